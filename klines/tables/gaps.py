"""The ledger's table: rows of `gaps` to and from `Gap` values."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import duckdb
import polars as pl

from klines.interval import Interval
from klines.ledger import Gap
from klines.market import Market
from klines.window import Window

_TIMES = ("start_time", "end_time", "first_seen", "last_checked", "next_check")


def read_gaps(
    connection: duckdb.DuckDBPyConnection, market: Market, interval: Interval, symbols: Sequence[str]
) -> dict[str, list[Gap]]:
    """The ledger of some series, ordered; a symbol without gaps has an empty list."""
    rows = connection.execute(
        """
        SELECT symbol, epoch_ms(start_time), epoch_ms(end_time), reason, epoch_ms(first_seen), epoch_ms(last_checked),
               attempts, epoch_ms(next_check)
        FROM gaps WHERE market = ? AND kind = ? AND interval = ? AND is_among(symbol, ?)
        ORDER BY symbol, start_time
        """,
        [*market.key, interval.name, " ".join(symbols)],
    ).fetchall()
    ledger: dict[str, list[Gap]] = defaultdict(list)
    for symbol, start_ms, end_ms, *rest in rows:
        ledger[symbol].append(Gap(Window(start_ms, end_ms), *rest))
    return ledger


def write_gaps(
    connection: duckdb.DuckDBPyConnection, market: Market, interval: Interval, ledger: Mapping[str, Sequence[Gap]]
) -> None:
    """Replace the whole ledger of the series in `ledger`; part of the caller's transaction."""
    if not ledger:
        return
    connection.execute(
        "DELETE FROM gaps WHERE market = ? AND kind = ? AND interval = ? AND is_among(symbol, ?)",
        [*market.key, interval.name, " ".join(ledger)],
    )
    staged = _frame(market, interval, ledger)
    if staged.is_empty():
        return
    connection.register("staged_gaps", staged)
    times = ", ".join(f"epoch_ms({name}) AS {name}" for name in _TIMES)
    connection.execute(f"INSERT INTO gaps BY NAME SELECT * REPLACE ({times}) FROM staged_gaps")
    connection.unregister("staged_gaps")


def _frame(market: Market, interval: Interval, ledger: Mapping[str, Sequence[Gap]]) -> pl.DataFrame:
    columns = {
        "symbol": pl.String, "start_time": pl.Int64, "end_time": pl.Int64, "reason": pl.String, "first_seen": pl.Int64,
        "last_checked": pl.Int64, "attempts": pl.Int32, "next_check": pl.Int64,
    }  # fmt: skip
    rows = [
        (symbol, gap.window.start_ms, gap.window.end_ms, gap.reason, gap.first_seen_ms, gap.last_checked_ms,
         gap.attempts, gap.next_check_ms)
        for symbol, gaps in ledger.items() for gap in gaps
    ]  # fmt: skip
    series = {"market": market.name, "kind": market.kind.name, "interval": interval.name}
    return pl.DataFrame(rows, schema=columns, orient="row").with_columns(
        pl.lit(value).alias(name) for name, value in series.items()
    )
