"""A backtest of jesse on arrays that klines wrote, in an environment of its own.

    python jesse_here.py FOLDER EXCHANGE SYMBOL

Prints what it found and did as JSON.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy
from jesse import helpers, research
from jesse.indicators import sma
from jesse.strategies import Strategy


class Crossing(Strategy):  # type: ignore[misc] # jesse is not installed where this is checked
    """Long while the close is above the mean of 20 klines."""

    def should_long(self) -> bool:
        """In."""
        return bool(self.close > sma(self.candles, 20))

    def go_long(self) -> None:
        """A tenth of what there is."""
        self.buy = self.available_margin * 0.1 / self.price, self.price

    def should_cancel_entry(self) -> bool:
        """At once."""
        return True

    def update_position(self) -> None:
        """Out."""
        if self.close < sma(self.candles, 20):
            self.liquidate()


def main() -> None:
    """Load, and trade."""
    folder, exchange, symbol = sys.argv[1:]
    candles: Any = numpy.load(Path(folder) / exchange / f"{symbol}.npy")
    config = {
        "starting_balance": 10_000,
        "fee": 0.001,
        "type": "spot" if "Spot" in exchange else "futures",
        "futures_leverage": 1,
        "futures_leverage_mode": "cross",
        "exchange": exchange,
        "warm_up_candles": 0,
    }
    routes = [{"exchange": exchange, "strategy": Crossing, "symbol": symbol, "timeframe": "15m"}]
    given = {helpers.key(exchange, symbol): {"exchange": exchange, "symbol": symbol, "candles": candles}}
    result = research.backtest(config, routes, [], given)
    print(json.dumps({"candles": len(candles), "trades": result["metrics"]["total"]}))


if __name__ == "__main__":
    main()
