"""Alarms: kept until they have arrived, or are over."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from klines.collect.incidents import Followed, Seen, Spread, follow
from klines.market import MARKETS
from klines.storage.database import opened
from klines.tables.alarms import LONGEST_PAUSE_MS, NOBODY, Alarm, add_alarms, claim, note_attempt, waiting
from klines.tables.incidents import Incident

MINUTE = 60_000
SPOT = MARKETS["spot"]
BEGAN = Alarm("spot", "ExchangeDown", 0, "spot: 1m is ExchangeDown", 0)
ENDED = Alarm("spot", "ExchangeDown", 0, "spot: ExchangeDown is over", 90 * MINUTE, is_end=True)


@pytest.fixture
def connection(database: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database without alarms."""
    with opened(database, time.monotonic() + 5) as connection:
        yield connection


def attempts(connection: duckdb.DuckDBPyConnection, minutes: int, error: str, step: int = 1) -> list[int]:
    """The minutes up to `minutes` in which something was tried, in vain or not, by who looks each `step` minutes."""
    tried = []
    for minute in range(0, minutes, step):
        for alarm in claim(connection, SPOT, "hooks.example.com", minute * MINUTE):
            tried.append(minute)
            note_attempt(connection, alarm, error, minute * MINUTE)
    return tried


def test_growing_pauses_until_it_is_taken(connection: duckdb.DuckDBPyConnection) -> None:
    """What is not taken is tried again after a minute, two, four, up to an hour, as long as the incident goes on; what
    is taken is not. The table says how often, to whom and why not, and no secret."""
    add_alarms(connection, [BEGAN])
    assert [0, 1, 3, 7, 15, 31, 63, 123, 183] == attempts(connection, 200, "HTTP 500")
    [alarm] = waiting(connection, SPOT)
    assert ("hooks.example.com", 9, "HTTP 500") == (alarm.url, alarm.attempts, alarm.last_error)
    assert [] == waiting(connection, MARKETS["usdm"])
    [alarm] = claim(connection, SPOT, "hooks.example.com", 183 * MINUTE + LONGEST_PAUSE_MS)
    note_attempt(connection, alarm, "", 5)
    assert [] == waiting(connection, SPOT)
    assert [(10, True)] == connection.execute("SELECT attempts, delivered_at IS NOT NULL FROM alarms").fetchall()


def test_an_incident_that_is_over(connection: duckdb.DuckDBPyConnection) -> None:
    """Its course is told no more, its end is, for a day."""
    add_alarms(connection, [BEGAN])
    attempts(connection, 2, "ConnectError")
    add_alarms(connection, [ENDED])
    assert [ENDED] == waiting(connection, SPOT)
    attempts(connection, 2000, "ConnectError", step=20)
    assert [] == waiting(connection, SPOT)


def test_where_nobody_is_to_hear(connection: duckdb.DuckDBPyConnection) -> None:
    """Without a webhook all are given up, and say so."""
    add_alarms(connection, [BEGAN, ENDED])
    assert [] == claim(connection, SPOT, "", 0)
    assert [] == waiting(connection, SPOT)
    assert [(NOBODY,)] == connection.execute("SELECT DISTINCT last_error FROM alarms WHERE is_end").fetchall()


def see(before: list[Incident], seen: Seen, minute: int, part: str = "1m") -> tuple[Followed, list[Incident]]:
    """One run, and what goes on after it."""
    followed = follow(before, "spot", part, seen, minute * MINUTE)
    kept = {incident.kind: incident for incident in [*before, *followed.changed]}
    return followed, [incident for incident in kept.values() if incident.ended_ms is None]


def test_a_further_stale_symbol_is_told() -> None:
    """Within an incident that was told each symbol that becomes stale is told, once."""
    going_on: list[Incident] = []
    told: list[str] = []
    for minute, stale in enumerate((["A"], ["A", "B"], ["A", "B"], ["B"], ["A", "B", "C"], [])):
        followed, going_on = see(going_on, Seen("Degraded" if stale else "Completed", "", stale, stale), minute)
        told += [alarm.message for alarm in followed.alarms(minute)]
        assert all(isinstance(one, Spread) for one in followed.spread)
    assert [
        "spot: 1 symbol trading without a 1m kline for 5 minutes: A",
        "spot: 1 more symbol trading without a 1m kline for 5 minutes: B",
        "spot: 1 more symbol trading without a 1m kline for 5 minutes: C",
        "spot: stale is over after 5 min (A, B, C)",
    ] == told


def test_a_further_symbol_is_told_by_the_name_of_its_series() -> None:
    """As the first one was: with the kind, and without the shard."""
    _, going_on = see([], Seen("Degraded", "", ["A"]), 0, "mark 1m 3/10")
    followed, _ = see(going_on, Seen("Degraded", "", ["A", "B"]), 1, "mark 1m 3/10")
    assert ["spot: 1 more symbol trading without a mark 1m kline for 5 minutes: B"] == [
        alarm.message for alarm in followed.alarms(1)
    ]


def test_what_is_known_is_told_once_and_what_it_hides_later() -> None:
    """A symbol that fails is Degraded, and no news when it becomes stale; another one is. What an outage hides is told
    if it is still so when the outage is over."""
    going_on: list[Incident] = []
    told: list[str] = []
    nobody: list[str] = []
    runs = [("Degraded", ["A"], nobody)] * 3 + [("Degraded", ["A"], ["A"]), ("Degraded", ["A"], ["A", "B"])]
    for minute, (state, failed, stale) in enumerate(runs):
        followed, going_on = see(going_on, Seen(state, "", stale, failed), minute)
        told += [f"{alarm.incident}: {alarm.message.rpartition(': ')[2]}" for alarm in followed.alarms(minute)]
    assert ["Degraded: ", "stale: A, B"] == told
    going_on, told = [], []
    for minute, (state, stale) in enumerate((("ExchangeDown", ["A"]), ("ExchangeDown", ["A"]), ("Degraded", ["A"]))):
        followed, going_on = see(going_on, Seen(state, "", stale, stale), minute)
        told += [f"{alarm.incident}{' ended' * alarm.is_end}" for alarm in followed.alarms(minute)]
    assert ["ExchangeDown", "stale", "ExchangeDown ended"] == told
