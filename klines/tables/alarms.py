"""The table `alarms`: what is to be told of incidents, to whom, and whether it has arrived."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import duckdb

from klines.interval import DAY, MINUTE, SECOND
from klines.market import Market

LONGEST_PAUSE_MS = 60 * MINUTE
"""The pauses between attempts are of a minute, two, four, … up to this, less SOONER_MS, as runs come every minute."""
SOONER_MS = 10 * SECOND
END_TRIED_MS = DAY
"""So long the end of an incident is tried to be told. Its course is as long as it goes on."""
AT_ONCE = 3
"""How many are tried at once."""
NOBODY = "no webhook is set"
"""Why what nobody is to hear is given up."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """What is to be told of an incident, which its market, kind and beginning name. `url` is the host of whom it was
    told last, without anything secret, and empty before the first attempt."""

    market: str
    incident: str
    began_ms: int
    message: str
    made_ms: int
    is_end: bool = False
    url: str = ""
    attempts: int = 0
    last_error: str | None = None


_COLUMNS = "market, incident, epoch_ms(began_at), message, epoch_ms(made_at), is_end, url, attempts, last_error"
_THIS = "market = ? AND incident = ? AND message = ? AND epoch_ms(made_at) = ?"


def _this(alarm: Alarm) -> list[object]:
    return [alarm.market, alarm.incident, alarm.message, alarm.made_ms]


def add_alarms(connection: duckdb.DuckDBPyConnection, alarms: Iterable[Alarm]) -> None:
    """Enter alarms, due at once. Where an incident has ended, what was left to tell of its course is given up. Part of
    the caller's transaction."""
    for alarm in alarms:
        if alarm.is_end:
            connection.execute(
                "UPDATE alarms SET next_attempt = NULL WHERE market = ? AND incident = ? AND NOT is_end",
                [alarm.market, alarm.incident],
            )
        connection.execute(
            "INSERT INTO alarms VALUES ($1, $2, epoch_ms($3::BIGINT), $4, epoch_ms($5::BIGINT), $6, '', 0, "
            "epoch_ms($5::BIGINT), NULL, NULL)",
            [alarm.market, alarm.incident, alarm.began_ms, alarm.message, alarm.made_ms, alarm.is_end],
        )


def waiting(connection: duckdb.DuckDBPyConnection, market: Market) -> list[Alarm]:
    """The alarms of a market that have neither arrived nor been given up, oldest first."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM alarms WHERE market = ? AND next_attempt IS NOT NULL ORDER BY made_at",
        [market.name],
    ).fetchall()
    return [Alarm(*row) for row in rows]


def claim(connection: duckdb.DuckDBPyConnection, market: Market, url: str, now_ms: int) -> list[Alarm]:
    """Those that are due at `now_ms`, at most AT_ONCE, counted as tried at `url`: others leave them alone for a pause.
    Where there is no `url`, all are given up. Part of the caller's transaction."""
    if not url:
        connection.execute(
            "UPDATE alarms SET next_attempt = NULL, last_error = ? WHERE market = ? AND next_attempt IS NOT NULL",
            [NOBODY, market.name],
        )
        return []
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM alarms WHERE market = ? AND epoch_ms(next_attempt) <= ? "
        f"ORDER BY made_at LIMIT {AT_ONCE}",
        [market.name, now_ms],
    ).fetchall()
    claimed = [replace(alarm, url=url, attempts=alarm.attempts + 1) for alarm in (Alarm(*row) for row in rows)]
    for alarm in claimed:
        connection.execute(
            f"UPDATE alarms SET url = ?, attempts = ?, next_attempt = epoch_ms(?::BIGINT) WHERE {_THIS}",
            [url, alarm.attempts, _next_ms(alarm, now_ms), *_this(alarm)],
        )
    return claimed


def _next_ms(alarm: Alarm, now_ms: int) -> int | None:
    """When to try again, after an attempt at `now_ms`; None: never."""
    if alarm.is_end and now_ms >= alarm.made_ms + END_TRIED_MS:
        return None
    return now_ms + min(MINUTE << min(alarm.attempts - 1, 10), LONGEST_PAUSE_MS) - SOONER_MS


def note_attempt(connection: duckdb.DuckDBPyConnection, alarm: Alarm, error: str, now_ms: int) -> None:
    """Enter what became of an attempt: why it was not taken, or, where that is empty, that it was. Part of the caller's
    transaction."""
    if error:
        connection.execute(f"UPDATE alarms SET last_error = ? WHERE {_THIS}", [error, *_this(alarm)])
    else:
        connection.execute(
            f"UPDATE alarms SET delivered_at = epoch_ms(?::BIGINT), next_attempt = NULL WHERE {_THIS}",
            [now_ms, *_this(alarm)],
        )
