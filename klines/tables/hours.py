"""The tables `hours` and `hours_to_make`: what each hour has of its klines of a minute, in closed months.

Counts, sums of decimals, the highest, the lowest, the first and the last: of hours longer klines come as of minutes.
Who stores or changes klines of such a month notes in the same transaction that its hours are to be made; until
maintenance has made them, none of them is read. A lake has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import duckdb

from klines.columns import KEY, OF_PARTS, SUMS, in_sql
from klines.errors import BadDatabase
from klines.interval import HOUR, INTERVALS, Interval
from klines.market import Market
from klines.tables.transaction import transaction
from klines.window import Window, subtract, window, within

HOURS_OF = INTERVALS["1m"]
"""The interval of which hours are kept."""
AT_ONCE = 20
"""Months of series whose hours are made in one turn: a million klines at most, in about a second."""
_MONTHS = INTERVALS["1M"]
_SERIES = in_sql(KEY[:3])
_OF = f"interval = '{HOURS_OF.name}'"
_MONTH = "date_trunc('month', {})::TIMESTAMP"
_TO_MAKE = f"INSERT INTO hours_to_make ({_SERIES}, month) "
_NOT_YET = f"EXCEPT SELECT {_SERIES}, month FROM hours_to_make"
_MADE = ", ".join(f"{made} AS {name}" for name, made in OF_PARTS.items())
_ITS = " AND ".join(f"b.{name} = {{0}}.{name}" for name in KEY[:3]) + f" AND b.month = {_MONTH.format('{0}.open_time')}"
_AMOUNTS = ", ".join([f"sum({name})" for name in SUMS] + ["max(high)", "min(low)", "max(fetched_at)"])
_ENDS = "arg_min(open, open_time), arg_max(close, open_time)"


class SeriesMonth(NamedTuple):
    """A month, where it begins, naive UTC, of a series of HOURS_OF."""

    market: str
    kind: str
    symbol: str
    month: datetime


def is_of_hours(interval: Interval, part: Interval) -> bool:
    """Whether klines of `interval` that are made of those of `part` can be made of hours."""
    return part == HOURS_OF and interval.length_ms % HOUR == 0 and interval.phase_ms % HOUR == 0


def hours_until_ms(connection: duckdb.DuckDBPyConnection) -> int:
    """The beginning of a month, in epoch ms, before which hours are kept; 0 where none are."""
    [(until_ms,)] = connection.execute("SELECT coalesce(epoch_ms(max(hours_until)), 0) FROM counted").fetchall()
    return int(until_ms)


def hours_kept(connection: duckdb.DuckDBPyConnection, market: Market, among: str, span: Window) -> list[Window]:
    """The times of a window, which begins and ends with an hour, whose hours are right for all symbols that meet the
    condition `among`."""
    kept = window(span.start_ms, min(span.end_ms, hours_until_ms(connection)))
    if not kept:
        return []
    months = connection.execute(
        f"SELECT DISTINCT epoch_ms(month) FROM hours_to_make WHERE market = ? AND kind = ? AND {among}", [*market.key]
    ).fetchall()
    return subtract(kept, [Window(ms, _MONTHS.step(ms, 1)) for (ms,) in months])


def note_changed(connection: duckdb.DuckDBPyConnection, changed: str) -> None:
    """Note klines that the caller's transaction adds or changes: `changed` is a query of their keys."""
    if hours_until_ms(connection):
        connection.execute(
            f"""{_TO_MAKE} SELECT DISTINCT {_SERIES}, {_MONTH.format("open_time")} FROM ({changed})
                WHERE {_OF} AND open_time < (SELECT max(hours_until) FROM counted) {_NOT_YET}"""
        )


def note_hours_to_make(connection: duckdb.DuckDBPyConnection, now_ms: int) -> list[SeriesMonth]:
    """Note the series and months that are to have hours at `now_ms`, those that are closed and counted, and whose hours
    have another number of klines on any day than the table daily_counts, which maintenance has proved; all that are
    noted."""
    until = f"date_trunc('month', least(until, epoch_ms({now_ms}::BIGINT)))::TIMESTAMP"
    with transaction(connection):
        connection.execute(f"UPDATE counted SET hours_until = {until} WHERE coalesce(hours_until < {until}, true)")
        connection.execute(
            f"""
            {_TO_MAKE} WITH made AS (
                SELECT {_SERIES}, open_time::DATE AS day, sum(parts) AS klines FROM hours GROUP BY ALL
            ), there AS (
                SELECT {_SERIES}, day, sum(klines) AS klines FROM daily_counts
                WHERE {_OF} AND day < (SELECT max(hours_until) FROM counted) GROUP BY ALL
            )
            SELECT DISTINCT {_SERIES}, {_MONTH.format("day")} FROM made FULL JOIN there USING ({_SERIES}, day)
            WHERE made.klines IS DISTINCT FROM there.klines {_NOT_YET}
            """
        )
        noted = connection.execute(f"SELECT DISTINCT {_SERIES}, month FROM hours_to_make ORDER BY ALL").fetchall()
    return [SeriesMonth(*one) for one in noted]


def make_hours(connection: duckdb.DuckDBPyConnection, wanted: Sequence[SeriesMonth]) -> None:
    """Make the hours of these series and months anew, and let them be read; of AT_ONCE it takes about a second.

    Raises BadDatabase where they do not add up to what their klines do.
    """
    if not wanted:
        return
    with transaction(connection):
        connection.execute("CREATE OR REPLACE TEMP TABLE some_hours AS FROM hours_to_make LIMIT 0")
        connection.executemany("INSERT INTO some_hours VALUES (?, ?, ?, ?)", [list(one) for one in wanted])
        [(first, last, start_ms, end_ms)] = connection.execute(
            """SELECT min(symbol), max(symbol), epoch_ms(min(month)), epoch_ms(max(month) + INTERVAL 1 MONTH)
               FROM some_hours"""
        ).fetchall()
        first, last = (symbol.replace("'", "''") for symbol in (first, last))
        _make(connection, f"symbol BETWEEN '{first}' AND '{last}' AND {within(Window(start_ms, end_ms))}")


def _make(connection: duckdb.DuckDBPyConnection, among: str) -> None:
    """Those of the table some_hours, all of which meet the condition `among`."""
    month = _MONTH.format("open_time")
    connection.execute(f"DELETE FROM hours WHERE {among} AND ({_SERIES}, {month}) IN (FROM some_hours)")
    klines = f"(FROM klines WHERE {among} AND {_OF}) k SEMI JOIN some_hours b ON ({_ITS.format('k')})"
    connection.execute(
        f"""INSERT INTO hours BY NAME
            SELECT {_SERIES}, date_trunc('hour', k.open_time) AS open_time, count(*) AS parts, {_MADE}
            FROM {klines} GROUP BY {_SERIES}, date_trunc('hour', k.open_time) ORDER BY ALL"""
    )
    hours = f"(FROM hours WHERE {among}) h SEMI JOIN some_hours b ON ({_ITS.format('h')})"
    by_month = f"{_SERIES}, {month} AS month, {_ENDS}, {_AMOUNTS}"
    odd = connection.execute(
        f"""(SELECT {by_month}, count(*) FROM {klines} GROUP BY {_SERIES}, month)
            EXCEPT (SELECT {by_month}, sum(parts) FROM {hours} GROUP BY {_SERIES}, month) LIMIT 1"""
    ).fetchall()
    if odd:
        market, kind, symbol, month, *_ = odd[0]
        raise BadDatabase(
            f"the hours of {market} {kind} {symbol} of {month:%Y-%m} do not add up to what its klines do; nothing was "
            "changed, and klines are read without them: run maintain again"
        )
    connection.execute(f"DELETE FROM hours_to_make WHERE ({_SERIES}, month) IN (FROM some_hours)")
