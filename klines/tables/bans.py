"""Silence that the exchange asked for, remembered per pool and address so that runs until then make no request at all.

The address is the one that requests leave by, as KLINES_EGRESS names it, empty where it names none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import duckdb

from klines.errors import Blocked, RateLimited, Stop
from klines.interval import HOUR, MINUTE

_FIRST_BLOCK_MS, _LONGEST_BLOCK_MS = 5 * MINUTE, 6 * HOUR


class Ban(NamedTuple):
    """One that is remembered; `state` is that of runs until then."""

    pool: str
    egress: str
    state: str
    message: str
    since_ms: int
    until_ms: int

    @property
    def error(self) -> Stop:
        """The error it was."""
        if self.state == "Blocked":
            return Blocked(self.message, remember=False)
        return RateLimited(self.message, self.until_ms, banned=True)


def whose(pool: str, egress: str) -> str:
    """`spot`, or `spot of 203.0.113.7`."""
    return f"{pool} of {egress}" if egress else pool


def holding(connection: duckdb.DuckDBPyConnection, now_ms: int) -> list[Ban]:
    """The bans that hold at `now_ms` by this machine's clock, that which ends last first.

    A file that only readers have opened since it was made may lack the address.
    """
    found = connection.execute(
        """SELECT * REPLACE (epoch_ms(since) AS since, epoch_ms(until) AS until) FROM bans
           WHERE until > epoch_ms(?::BIGINT) ORDER BY bans.until DESC, pool""",
        [now_ms],
    )
    names = [name for name, *_ in found.description or ()]
    rows = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
    return [
        Ban(row["pool"], row.get("egress") or "", row["state"], row["message"], row["since"], row["until"])
        for row in rows
    ]


def active_ban(connection: duckdb.DuckDBPyConnection, pool: str, egress: str, now_ms: int) -> Stop | None:
    """The ban that holds at `now_ms`, as the error it was; None when asking is allowed."""
    held = [ban.error for ban in holding(connection, now_ms) if (ban.pool, ban.egress) == (pool, egress)]
    return held[0] if held else None


def was_banned(connection: duckdb.DuckDBPyConnection, pool: str, egress: str, now_ms: int) -> bool:
    """Whether a ban has ended within the last hour."""
    return active_ban(connection, pool, egress, now_ms - HOUR) is not None


def lift(connection: duckdb.DuckDBPyConnection, pools: Sequence[str], egress: str, now_ms: int) -> dict[str, int]:
    """End what holds for these pools and the address at `now_ms`, so that the next run asks, at first with one request;
    until when each was silent, in ms."""
    held = [ban for ban in holding(connection, now_ms) if ban.pool in pools and ban.egress == egress]
    connection.execute(
        """UPDATE bans SET until = epoch_ms(?::BIGINT)
           WHERE list_contains(?, pool) AND egress = ? AND until > epoch_ms(?::BIGINT)""",
        [now_ms, list(pools), egress, now_ms],
    )
    return {ban.pool: ban.until_ms for ban in sorted(held, key=lambda ban: (ban.pool, ban.until_ms))}


def remember_ban(
    connection: duckdb.DuckDBPyConnection, pool: str, egress: str, error: Stop, *, now_ms: int, exchange_now_ms: int
) -> None:
    """Enter a 418, a long 429 or a 403; other errors are nothing to remember.

    Times are this machine's: a run during the ban can't ask the exchange for its clock. A 403 has no end that the
    exchange tells: 5 minutes, doubled each time it comes again right after, up to 6 hours.
    """
    if isinstance(error, RateLimited):
        until_ms = now_ms + error.until_ms - exchange_now_ms
        _enter(connection, Ban(pool, egress, "RateLimited", str(error), now_ms, until_ms))
    elif isinstance(error, Blocked) and error.remember:
        until_ms = now_ms + _block_ms(connection, pool, egress, now_ms)
        _enter(connection, Ban(pool, egress, "Blocked", str(error), now_ms, until_ms))


def _block_ms(connection: duckdb.DuckDBPyConnection, pool: str, egress: str, now_ms: int) -> int:
    rows = connection.execute(
        """SELECT epoch_ms(until) - epoch_ms(since), epoch_ms(until) FROM bans
           WHERE pool = ? AND egress = ? AND state = 'Blocked' ORDER BY until DESC LIMIT 1""",
        [pool, egress],
    ).fetchall()
    if not rows:
        return _FIRST_BLOCK_MS
    [(length_ms, until_ms)] = rows
    if now_ms >= until_ms + length_ms:
        return _FIRST_BLOCK_MS
    return int(max(_FIRST_BLOCK_MS, min(2 * length_ms, _LONGEST_BLOCK_MS)))  # one that was lifted may have been short


def _enter(connection: duckdb.DuckDBPyConnection, ban: Ban) -> None:
    connection.execute(
        """INSERT INTO bans (pool, egress, state, message, since, until)
           VALUES (?, ?, ?, ?, epoch_ms(?::BIGINT), epoch_ms(?::BIGINT))""",
        list(ban),
    )
