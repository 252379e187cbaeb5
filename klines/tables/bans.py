"""Silence that the exchange asked for, remembered per pool so that runs until then make no request at all."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from klines.errors import Blocked, RateLimited, Stop
from klines.interval import HOUR, MINUTE

_FIRST_BLOCK_MS, _LONGEST_BLOCK_MS = 5 * MINUTE, 6 * HOUR


def active_ban(connection: duckdb.DuckDBPyConnection, pool: str, now_ms: int) -> Stop | None:
    """The ban that holds at `now_ms` by this machine's clock, as the error it was; None when asking is allowed."""
    rows = connection.execute(
        """SELECT state, message, epoch_ms(until) FROM bans
           WHERE pool = ? AND until > epoch_ms(?::BIGINT) ORDER BY until DESC LIMIT 1""",
        [pool, now_ms],
    ).fetchall()
    if not rows:
        return None
    [(state, message, until_ms)] = rows
    return Blocked(message, remember=False) if state == "Blocked" else RateLimited(message, until_ms, banned=True)


def was_banned(connection: duckdb.DuckDBPyConnection, pool: str, now_ms: int) -> bool:
    """Whether a ban of the pool has ended within the last hour."""
    found = connection.execute(
        "SELECT 1 FROM bans WHERE pool = ? AND until > epoch_ms(?::BIGINT) LIMIT 1", [pool, now_ms - HOUR]
    )
    return bool(found.fetchall())


def lift(connection: duckdb.DuckDBPyConnection, pools: Sequence[str], now_ms: int) -> dict[str, int]:
    """End what holds for these pools at `now_ms`, so that the next run asks, at first with one request; until when each
    was silent, in ms."""
    found = connection.execute(
        """SELECT pool, epoch_ms(max(until)) FROM bans
           WHERE list_contains(?, pool) AND until > epoch_ms(?::BIGINT) GROUP BY pool ORDER BY pool""",
        [list(pools), now_ms],
    ).fetchall()
    connection.execute(
        "UPDATE bans SET until = epoch_ms(?::BIGINT) WHERE list_contains(?, pool) AND until > epoch_ms(?::BIGINT)",
        [now_ms, list(pools), now_ms],
    )
    return dict(found)


def remember_ban(
    connection: duckdb.DuckDBPyConnection, pool: str, error: Stop, *, now_ms: int, exchange_now_ms: int
) -> None:
    """Enter a 418, a long 429 or a 403; other errors are nothing to remember.

    Times are this machine's: a run during the ban can't ask the exchange for its clock. A 403 has no end that the
    exchange tells: 5 minutes, doubled each time it comes again right after, up to 6 hours.
    """
    if isinstance(error, RateLimited):
        _enter(connection, pool, "RateLimited", str(error), now_ms, now_ms + error.until_ms - exchange_now_ms)
    elif isinstance(error, Blocked) and error.remember:
        _enter(connection, pool, "Blocked", str(error), now_ms, now_ms + _block_ms(connection, pool, now_ms))


def _block_ms(connection: duckdb.DuckDBPyConnection, pool: str, now_ms: int) -> int:
    rows = connection.execute(
        """SELECT epoch_ms(until) - epoch_ms(since), epoch_ms(until) FROM bans
           WHERE pool = ? AND state = 'Blocked' ORDER BY until DESC LIMIT 1""",
        [pool],
    ).fetchall()
    if not rows:
        return _FIRST_BLOCK_MS
    [(length_ms, until_ms)] = rows
    if now_ms >= until_ms + length_ms:
        return _FIRST_BLOCK_MS
    return int(max(_FIRST_BLOCK_MS, min(2 * length_ms, _LONGEST_BLOCK_MS)))  # one that was lifted may have been short


def _enter(
    connection: duckdb.DuckDBPyConnection, pool: str, state: str, message: str, now_ms: int, until_ms: int
) -> None:
    connection.execute(
        "INSERT INTO bans VALUES (?, epoch_ms(?::BIGINT), ?, ?, epoch_ms(?::BIGINT))",
        [pool, until_ms, message, state, now_ms],
    )
