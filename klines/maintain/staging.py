"""Klines of a month that were staged in the order in which they were stored, into a table in the order of symbols."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import duckdb

SORTED_AT_ONCE = 2_000_000
"""Klines that are sorted in memory together; a symbol's month always is, however many klines it has."""


def sort_staged(connection: duckdb.DuckDBPyConnection, table: str, wait: Callable[[], None] | None = None) -> None:
    """Append what is in staging.klines to the table, by market, kind, interval, symbol and open time; each part is
    sorted when `wait` has returned."""
    for market, kind, interval, first, last in _slices(connection):
        if wait:
            wait()
        connection.execute(
            f"""INSERT INTO {table} FROM staging.klines
                WHERE market = ? AND kind = ? AND interval = ? AND symbol BETWEEN ? AND ? ORDER BY symbol, open_time""",
            [market, kind, interval, first, last],
        )


def _slices(connection: duckdb.DuckDBPyConnection) -> Iterator[tuple[str, str, str, str, str]]:
    """Market, kind, interval, first and last symbol of what can be sorted at once; in order."""
    series = connection.execute(
        "SELECT market, kind, interval, symbol, count(*) FROM staging.klines GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    while series:
        market, kind, interval, first, rows = series.pop(0)
        last = first
        while series and series[0][:3] == (market, kind, interval) and rows + series[0][4] <= SORTED_AT_ONCE:
            last, rows = series[0][3], rows + series.pop(0)[4]
        yield market, kind, interval, first, last
