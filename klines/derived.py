"""Klines of an interval from the stored klines of a shorter one, as the exchange makes its own.

A derived kline is given only when it is whole: each of its parts is stored, or the ledger says that the exchange never
had it (an outage, a hole, before the listing, after the delisting), in which case the exchange's own kline lacks it,
too. Where a part is due, unresolved or rejected, and while the kline still forms, there is none.
"""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import polars as pl

from klines.access import frame
from klines.interval import Interval
from klines.ledger import DELISTED, HOLE, NOT_LISTED, OUTAGE
from klines.window import Window

COLUMNS = (
    *("market", "symbol", "interval", "open_time", "open", "high", "low", "close", "volume", "close_time"),
    *("quote_volume", "trades", "taker_buy_volume", "taker_buy_quote_volume", "source", "fetched_at"),
)
"""Those of the table klines."""
_VALUES = ", ".join(name for name in COLUMNS if name not in ("market", "interval"))
_STORED = f"""
    SELECT {_VALUES} FROM klines
    WHERE market = $market AND interval = $part AND symbol IN (SYMBOLS)
      AND open_time >= epoch_ms($start::BIGINT) AND open_time < epoch_ms($end::BIGINT)
"""
# Off-grid klines of 2017 and 2018 belong to the slot in which they open.
_DERIVED = f"""
    WITH parts AS (
        SELECT symbol, SLOT AS slot, count(*) AS parts, arg_min(open, open_time) AS open, max(high) AS high,
               min(low) AS low, arg_max(close, open_time) AS close, sum(volume) AS volume,
               sum(quote_volume) AS quote_volume, sum(trades)::BIGINT AS trades,
               sum(taker_buy_volume) AS taker_buy_volume, sum(taker_buy_quote_volume) AS taker_buy_quote_volume,
               max(fetched_at) AS fetched_at
        FROM ({_STORED}) GROUP BY ALL
    ), short AS (
        SELECT symbol, slot, BEGIN AS since, FINISH AS until FROM parts
        WHERE parts < (epoch_ms(FINISH) - epoch_ms(BEGIN)) // LENGTH
    ), never AS (
        SELECT symbol, start_time, end_time FROM gaps
        WHERE market = $market AND interval = $part AND reason IN ('{OUTAGE}', '{HOLE}', '{DELISTED}')
        UNION ALL
        SELECT symbol, TIMESTAMP '1970-01-01', max(listed_at) FROM (
            SELECT symbol, listed_at FROM symbols WHERE market = $market AND listed_at IS NOT NULL
            UNION ALL SELECT symbol, end_time FROM gaps
            WHERE market = $market AND interval = $part AND reason = '{NOT_LISTED}')
        GROUP BY symbol
    ), explained AS (
        SELECT symbol, slot, sum((epoch_ms(least(end_time, until)) - epoch_ms(greatest(start_time, since))) // LENGTH)
                             AS explained
        FROM short JOIN never USING (symbol) WHERE start_time < until AND end_time > since GROUP BY ALL
    )
    SELECT symbol, BEGIN AS open_time, open, high, low, close, volume, FINISH - INTERVAL 1 MILLISECOND AS close_time,
           quote_volume, trades, taker_buy_volume, taker_buy_quote_volume, $part AS source, fetched_at
    FROM parts LEFT JOIN explained USING (symbol, slot)
    WHERE parts + coalesce(explained, 0) = (epoch_ms(FINISH) - epoch_ms(BEGIN)) // LENGTH
      AND epoch_ms(FINISH) <= $now
"""


def stored(
    connection: duckdb.DuckDBPyConnection, market: str, symbols: Sequence[str], interval: Interval, window: Window
) -> pl.DataFrame:
    """The stored klines that open in `window`, in no order; COLUMNS without market and interval."""
    bounds = {"start": window.start_ms, "end": window.end_ms}
    return frame(connection, _for(_STORED, symbols), {"market": market, "part": interval.name, **bounds})


def derived(
    connection: duckdb.DuckDBPyConnection,
    market: str,
    symbols: Sequence[str],
    interval: Interval,
    part: Interval,
    window: Window,
    now_ms: int,
) -> pl.DataFrame:
    """The whole klines of `interval` that open in `window` and have closed at `now_ms`, made of those of `part`.

    In no order, in the shape of `stored`; `source` is the name of `part`, `close_time` the last ms of the slot,
    `fetched_at` that of the part that was stored last.
    """
    sql = _DERIVED.replace("SLOT", interval.sql_index("open_time")).replace("LENGTH", str(part.length_ms))
    sql = sql.replace("BEGIN", interval.sql_start("slot")).replace("FINISH", interval.sql_start("slot + 1"))
    bounds = {"start": interval.ceil(window.start_ms), "end": interval.ceil(window.end_ms), "now": now_ms}
    return frame(connection, _for(sql, symbols), {"market": market, "part": part.name, **bounds})


def _for(sql: str, symbols: Sequence[str]) -> str:
    """The statement with the symbols, which hold no quotes, as literals: only by these are row groups left out."""
    return sql.replace("SYMBOLS", ", ".join(f"'{symbol}'" for symbol in symbols))
