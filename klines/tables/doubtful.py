"""The table `doubtful`: klines that were stored as doubles, and may not have Binance's last digits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import duckdb

from klines.clock import clock, epoch_ms
from klines.columns import KEY, in_sql
from klines.interval import DAY, INTERVALS
from klines.market import KLINES


@dataclass(frozen=True, slots=True)
class Doubt:
    """How many klines of a series are doubtful; the open times (UTC) of the first and the last."""

    market: str
    kind: str
    symbol: str
    interval: str
    klines: int
    first: datetime
    last: datetime

    @property
    def command(self) -> str:
        """What fetches them anew; with --dry-run it says what that costs."""
        kind = "" if self.kind == KLINES.name else f" --kind {self.kind}"
        series = f"{self.symbol} --market {self.market}{kind} --interval {self.interval}"
        last_ms = epoch_ms(self.last)
        end_ms = INTERVALS["1d"].ceil(last_ms + (INTERVALS[self.interval].length_ms or 31 * DAY))
        return f"klines backfill {series} --start {self.first:%Y-%m-%d} --end {clock(end_ms):.10} --refresh"


def settle(connection: duckdb.DuckDBPyConnection, written: str) -> None:
    """Klines whose keys are in a table, and that were just written or compared as decimals, are doubtful no more."""
    if connection.execute("SELECT 1 FROM doubtful, schema_version WHERE exact LIMIT 1").fetchall():
        same = " AND ".join(f"d.{name} = w.{name}" for name in KEY)
        connection.execute(f"DELETE FROM doubtful d USING {written} w WHERE {same}")


def doubts(connection: duckdb.DuckDBPyConnection, most: int) -> tuple[int, Sequence[Doubt]]:
    """How many klines are doubtful, and so many series that have the most of them; a database of before the table has
    none."""
    series = in_sql(KEY[:-1])
    try:
        rows = connection.execute(
            f"""SELECT {series}, count(*) AS klines, min(open_time), max(open_time), sum(count(*)) OVER ()::BIGINT
                FROM doubtful GROUP BY {series} ORDER BY klines DESC, {series} LIMIT {most}"""
        ).fetchall()
    except duckdb.CatalogException:
        return 0, []
    return (rows[0][-1] if rows else 0), [Doubt(*row[:-1]) for row in rows]
