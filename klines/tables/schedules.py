"""The table `schedules`: when runs of each deployment collect the series of a market and interval, and what the last
one was to store."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import duckdb

from klines.interval import MINUTE, SECOND, Interval
from klines.market import Market

GRACE_MS = MINUTE
"""Where nothing is known of a schedule, a kline is due so long after its close; views.sql has it, too."""
_SERIES = "market = ? AND kind = ? AND interval = ?"
_ITS = "wanted_by IN (?, '')"


@dataclass(frozen=True, slots=True)
class Schedule:
    """Every `every_s` seconds, also at `anchor_ms`; None where its times are no such series."""

    every_s: int | None = None
    anchor_ms: int | None = None


@dataclass(frozen=True, slots=True)
class AskedFor:
    """What a run of a deployment, `by` its name, and of a `shard` (empty: of all symbols) was to store: klines that
    closed up to `until_ms`."""

    shard: str
    until_ms: int
    by: str


def note_asked(connection: duckdb.DuckDBPyConnection, market: Market, interval: Interval, asked: AskedFor) -> None:
    """Enter what a run has asked for, where its schedule is known. Part of the caller's transaction."""
    connection.execute(
        f"UPDATE schedules SET asked_until = epoch_ms(?::BIGINT) WHERE {_SERIES} AND {_ITS} AND shard = ?",
        [asked.until_ms, *market.key, interval.name, asked.by, asked.shard],
    )


def note_schedule(
    connection: duckdb.DuckDBPyConnection,
    market: Market,
    interval: Interval,
    schedule: Schedule,
    asked: AskedFor,
    now_ms: int,
) -> None:
    """Enter the schedule of a deployment's runs of a shard, and forget those of another number of shards. Part of the
    caller's transaction."""
    connection.execute(
        f"""DELETE FROM schedules
            WHERE {_SERIES} AND {_ITS} AND (shard = ? OR split_part(shard, '/', 2) != split_part(?, '/', 2))""",
        [*market.key, interval.name, asked.by, asked.shard, asked.shard],
    )
    times = [schedule.anchor_ms, asked.until_ms, now_ms]
    connection.execute(
        """INSERT INTO schedules
           VALUES (?, ?, ?, ?, ?, epoch_ms(?::BIGINT), epoch_ms(?::BIGINT), epoch_ms(?::BIGINT), ?)""",
        [*market.key, interval.name, asked.shard, schedule.every_s, *times, asked.by],
    )


def forget_schedules(connection: duckdb.DuckDBPyConnection, by: str) -> None:
    """The deployment is gone. Part of the caller's transaction."""
    connection.execute("DELETE FROM schedules WHERE wanted_by = ?", [by])


def noted_ms(
    connection: duckdb.DuckDBPyConnection, market: Market, interval: Interval, shard: str, by: str
) -> int | None:
    """When the schedule of a deployment's runs of a shard was entered; None: it is not known."""
    rows: list[tuple[int]] = connection.execute(
        f"SELECT epoch_ms(noted_at) FROM schedules WHERE {_SERIES} AND shard = ? AND wanted_by = ?",
        [*market.key, interval.name, shard, by],
    ).fetchall()
    return rows[0][0] if rows else None


@dataclass(frozen=True, slots=True)
class Collected:
    """A market, kind and interval that runs of a deployment, `by` its name, collect, of a shard: every `every_s`
    seconds, also at `anchor_ms`. The last run was to store what had closed up to `asked_ms`."""

    market: str
    kind: str
    interval: str
    shard: str
    every_s: int | None
    anchor_ms: int | None
    asked_ms: int
    by: str

    def due_ms(self, from_ms: int) -> int | None:
        """When the first run from then on is due; None: nobody knows."""
        if self.every_s is None or self.anchor_ms is None:
            return None
        every_ms = self.every_s * SECOND
        return self.anchor_ms - (self.anchor_ms - from_ms) // every_ms * every_ms


def next_due_ms(schedules: Iterable[Collected], from_ms: int) -> int | None:
    """When the first run of all of them is due, from then on; None: nobody knows."""
    return min((due_ms for one in schedules if (due_ms := one.due_ms(from_ms)) is not None), default=None)


def collected(connection: duckdb.DuckDBPyConnection) -> list[Collected]:
    """All whose schedule is known; of several that collect the same, that which comes most often is the last."""
    rows = connection.execute(
        """SELECT market, kind, interval, shard, every_s, epoch_ms(anchor), epoch_ms(asked_until), wanted_by
           FROM schedules ORDER BY market, kind, interval, shard, every_s DESC NULLS FIRST, wanted_by"""
    ).fetchall()
    return [Collected(*row) for row in rows]


def due_until_ms(connection: duckdb.DuckDBPyConnection, market: Market, interval: Interval, now_ms: int) -> int:
    """Klines that have closed up to then should be stored at `now_ms`."""
    rows: list[tuple[int]] = connection.execute(
        f"SELECT epoch_ms(due_until) FROM due_until(epoch_ms(?::BIGINT)) WHERE {_SERIES}",
        [now_ms, *market.key, interval.name],
    ).fetchall()
    return rows[0][0] if rows else now_ms - GRACE_MS
