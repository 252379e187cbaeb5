"""A backtest of nautilus_trader on a catalog that klines wrote, in an environment of its own.

    python nautilus_here.py FOLDER INSTRUMENT

Its example strategy, a crossing of two means, trades the bars of a minute. Prints what it found and did as JSON.
"""

import json
import sys
from decimal import Decimal

from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig
from nautilus_trader.examples.strategies.ema_cross import EMACross, EMACrossConfig
from nautilus_trader.model.currencies import USDT
from nautilus_trader.model.data import BarType
from nautilus_trader.model.enums import AccountType, OmsType
from nautilus_trader.model.identifiers import InstrumentId, Venue
from nautilus_trader.model.objects import Money
from nautilus_trader.persistence.catalog import ParquetDataCatalog


def main() -> None:
    """Look into the catalog, and trade."""
    folder, name = sys.argv[1:]
    catalog = ParquetDataCatalog(folder)
    [instrument] = catalog.instruments(instrument_ids=[name])
    bar_type = BarType.from_str(f"{name}-1-MINUTE-LAST-EXTERNAL")
    bars = catalog.bars(bar_types=[str(bar_type)])
    engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True)))
    engine.add_venue(Venue("BINANCE"), OmsType.NETTING, AccountType.MARGIN, [Money(1_000_000, USDT)], USDT)
    engine.add_instrument(instrument)
    engine.add_data(bars)
    strategy = EMACross(
        EMACrossConfig(
            instrument_id=InstrumentId.from_str(name),
            bar_type=bar_type,
            trade_size=Decimal("0.1"),
            fast_ema_period=10,
            slow_ema_period=30,
        )
    )
    engine.add_strategy(strategy)
    engine.run()
    first, last = bars[0], bars[-1]
    said = {"bars": len(bars), "first": str(first), "last": str(last), "orders": engine.get_result().total_orders}
    print(json.dumps({"kinds": catalog.list_data_types(), **said}))


if __name__ == "__main__":
    main()
