"""Rows that no run of ours writes, such as those that somebody has altered by hand.

In the tables that runs go by they are looked for before anything is done: a time without an end would be worked off for
ever, and a reason that nobody knows would be believed. In those with many rows they are looked for once an error shows
that there is one.
"""

from __future__ import annotations

from collections.abc import Mapping

import duckdb

from klines.columns import BESIDE_KEY, TYPES
from klines.errors import BadDatabase
from klines.interval import INTERVALS
from klines.ledger import DELISTED, DUE, HOLE, NOT_LISTED, OUTAGE, REJECTED, UNRESOLVED
from klines.market import FUNDING, KINDS, MARKETS
from klines.outcome import plain
from klines.symbol import LONGEST_SYMBOL, SYMBOL_PATTERN

_IS_TIME = "{} BETWEEN TIMESTAMP '1970-01-01' AND TIMESTAMP '9999-12-31'"


def _times(*columns: str) -> str:
    return " AND ".join(_IS_TIME.format(column) for column in columns)


def _times_if_any(*columns: str) -> str:
    return " AND ".join(f"({column} IS NULL OR {_IS_TIME.format(column)})" for column in columns)


_MARKET = f"market IN {tuple(MARKETS)}"
_OF_KIND = f"{_MARKET} AND list_contains({[*KINDS, FUNDING.name]}, kind)"
_SYMBOL = f"length(symbol) <= {LONGEST_SYMBOL} AND regexp_matches(symbol, '{SYMBOL_PATTERN}')"
_SERIES = f"{_OF_KIND} AND interval IN {tuple(INTERVALS)} AND {_SYMBOL}"
_REASONS = (DUE, UNRESOLVED, REJECTED, NOT_LISTED, OUTAGE, HOLE, DELISTED)
FEW = {
    "gaps": f"{_SERIES} AND reason IN {_REASONS} AND start_time < end_time AND attempts >= 0 AND "
    + f"{_times('start_time', 'end_time', 'first_seen')} AND {_times_if_any('last_checked', 'next_check')}",
    "symbols": f"{_OF_KIND} AND "
    + _times_if_any("listed_at", "quarantined_until", "first_seen", "unseen_at", "delisted_at", "last_checked")
    + f" AND {_times_if_any('ended_at', 'relisted_at')}",
    "bans": f"egress IS NOT NULL AND {_times('until', 'since')}",
    "incidents": f"{_MARKET} AND {_times('began_at')} AND {_times_if_any('ended_at')} AND "
    + "list_count(intervals) = len(intervals) AND list_count(symbols) = len(symbols)",
    "alarms": f"{_MARKET} AND attempts >= 0 AND {_times('began_at', 'made_at')} AND "
    + _times_if_any("next_attempt", "delivered_at"),
    "audits": f"{_SERIES} AND since <= until AND {_times('since', 'until', 'audited_at')}",
    "wanted": f"{_SERIES} AND (until IS NULL OR since < until) AND {_times('since', 'noted_at')} AND "
    + _times_if_any("until"),
    "schedules": f"{_OF_KIND} AND interval IN {tuple(INTERVALS)} AND coalesce(every_s, 1) > 0 AND "
    + "wanted_by IS NOT NULL AND "
    + f"{_times('asked_until', 'noted_at')} AND {_times_if_any('anchor')}",
    "clustered": _times("month", "clustered_at"),
    "counted": f"{_times('until')} AND {_times_if_any('hours_until')} AND hours_until <= until IS NOT FALSE",
    "ends": f"{_SERIES} AND {_times('open_time', 'noted_at')} AND "
    + " AND ".join(
        f"try_cast(kline[{number}] AS {TYPES[name]}) IS NOT NULL" for number, name in enumerate(BESIDE_KEY, start=1)
    ),
}
"""Of each table that runs go by, what is true of every row."""
MANY = {
    "klines": f"{_SERIES} AND isfinite(open + high + low + close) AND "
    + _times("open_time", "close_time", "fetched_at"),
    "rejects": f"{_OF_KIND} AND {_times('first_seen', 'last_seen')} AND {_times_if_any('open_time')}",
    "rules": f"{_MARKET} AND {_times('first_seen')} AND {_times_if_any('unseen_at', 'onboard_at', 'delivery_at')}",
    "restatements": f"{_OF_KIND} AND {_times('open_time', 'seen_at')}",
    "daily_counts": f"{_SERIES} AND klines > 0 AND {_times('first', 'last')}",
    "hours": f"{_OF_KIND} AND {_SYMBOL} AND parts > 0 AND {_times('open_time', 'fetched_at')}",
    "hours_to_make": f"{_OF_KIND} AND {_SYMBOL} AND {_times('month')}",
    "doubtful": f"{_SERIES} AND {_times('open_time')}",
    "funding": f"{_MARKET} AND {_SYMBOL} AND abs(rate) < 1000 AND interval_hours BETWEEN 1 AND 24 IS NOT FALSE AND "
    + _times("funding_time", "fetched_at"),
    "archive_files": f"{_times('loaded_at')} AND {_times_if_any('verified_at')}",
}
"""So of those with many rows."""


def check_rows(connection: duckdb.DuckDBPyConnection, path: object, sound: Mapping[str, str] = FEW) -> None:
    """Raises BadDatabase, naming a row of one of these tables that can't be of ours, and what to do about it."""
    parts = [
        f"(SELECT '{table}', r::VARCHAR FROM {table} r WHERE NOT coalesce({is_sound}, false) LIMIT 1)"
        for table, is_sound in sound.items()
    ]
    for table, content in connection.execute(" UNION ALL ".join(parts)).fetchall() if parts else ():
        raise BadDatabase(
            f"KLINES_DATABASE: {path} has a row in its table {table} that klines does not write: "
            f"{plain(content, 400)}; all else is as it was: correct or delete that row by hand, or restore a backup"
        )


def having_rows(connection: duckdb.DuckDBPyConnection, sound: Mapping[str, str]) -> dict[str, str]:
    """Those of these tables that have a row: to find none that is wrong in twelve without one takes a file 9 ms."""
    parts = " UNION ALL ".join(f"(SELECT '{table}' FROM {table} LIMIT 1)" for table in sound)
    return {table: sound[table] for (table,) in connection.execute(parts).fetchall()}
