"""The table `rules`: what exchangeInfo said of each symbol, a row for each change, which stays as it is for ever.

A row tells the first answer that said so, and the last one before that said otherwise: what changed did so between.
When it was last said is told by the next row of the symbol, or, of the last one, by the market's last answer, as each
answer is of all symbols. So an answer that says what the one before did adds nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

import duckdb
import polars as pl

from klines.binance.listing import GONE, SymbolInfo
from klines.columns import in_sql
from klines.market import Market

SAID = (
    *("status", "base", "quote", "contract_type", "pair", "margin_asset", "contract_size", "underlying_type"),
    *("underlying_subtypes", "onboard_at", "delivery_at", "permissions", "tick_size", "step_size", "min_quantity"),
    "min_notional",
)
"""The columns that hold what was said."""
_TIMES = {"onboard_ms": "onboard_at", "delivery_ms": "delivery_at"}


def listing_frame(entries: Mapping[str, SymbolInfo]) -> pl.DataFrame:
    """The symbols of an exchangeInfo with the columns of SAID."""
    schema = {"symbol": pl.String} | {name: pl.Int64 if name in _TIMES else pl.String for name in SymbolInfo._fields}
    rows = [(symbol, *info) for symbol, info in entries.items()]
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    times = [pl.from_epoch(name, time_unit="ms").alias(column) for name, column in _TIMES.items()]
    return frame.with_columns(times).select("symbol", *SAID)


def note_rules(connection: duckdb.DuckDBPyConnection, market: Market, now_ms: int, before_ms: int | None) -> None:
    """Add what of `listed`, which is a `listing_frame`, is another than was said last; `before_ms` is when that was.

    Of symbols that are not listed any more it is said that they are GONE. Whoever calls this has the market's lock.
    """
    said = in_sql(("symbol", *SAID))
    nothing = ", ".join(f"NULL AS {name}" for name in SAID if name != "status")
    connection.execute(
        f"""
        INSERT INTO rules (market, unseen_at, first_seen, {said})
        WITH latest AS (
            SELECT {said} FROM rules WHERE market = ?
            QUALIFY row_number() OVER (PARTITION BY symbol ORDER BY first_seen DESC) = 1
        ), now AS (
            SELECT {said} FROM listed
            UNION ALL BY NAME SELECT symbol, '{GONE}' AS status, {nothing} FROM latest ANTI JOIN listed USING (symbol)
        )
        SELECT ?, CASE WHEN EXISTS (FROM latest) THEN epoch_ms(?::BIGINT) END, epoch_ms(?::BIGINT), {said}
        FROM (FROM now EXCEPT FROM latest)
        """,
        [market.name, market.name, before_ms, now_ms],
    )
