"""Time is UTC, whatever the machine's zone and its daylight-saving changes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from tests.drive import collect_once, ms, published, query, stored
from tests.exchange import StandIn

ZONES = [("Asia/Tokyo", "2026-03-08"), ("America/New_York", "2026-03-08"), ("America/New_York", "2026-11-01")]
"""Zones and days; New York's clocks change at 07:00 and at 06:00 UTC of its two."""


@pytest.fixture
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The test's process in the zone that the test names."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("zone", "day", "interval"),
    [
        *((*ZONES[0], interval) for interval in ("1m", "1h", "1d", "1M")),
        *((*zone, interval) for zone in ZONES[1:] for interval in ("1m", "1d")),
        *(pytest.param(*zone, interval, marks=pytest.mark.full) for zone in ZONES[1:] for interval in ("1h", "1M")),
    ],
    indirect=["zone"],
)
@pytest.mark.usefixtures("zone")
def test_the_machines_zone_changes_nothing(exchange: StandIn, database: Path, day: str, interval: str) -> None:
    """Klines, gaps and `since` are in UTC over a change of the clocks: every hour once, none missing, months whole."""
    exchange.list("BTCUSDT", since_ms=ms("2026-02-01"))
    exchange.hole(ms(f"{day}T06:30"), ms(f"{day}T07:30"))
    exchange.freeze(ms(f"{day}T12:00:05"))
    since = date.fromisoformat(day) - timedelta(days=1)
    outcome = collect_once(exchange, database, ["BTCUSDT"], since=since, interval=interval)

    assert "Completed" == outcome.state
    expected = exchange.klines("BTCUSDT", ms(since.isoformat()), ms(f"{day}T12:00:05"), interval)
    assert published(expected) == stored(database, "BTCUSDT", interval)
    gaps = query(database, "SELECT start_time::VARCHAR, end_time::VARCHAR FROM gaps WHERE reason = 'unresolved'")
    assert gaps == ([(f"{day} 06:30:00", f"{day} 07:30:00")] if interval == "1m" else [])


@pytest.mark.parametrize(("zone", "day"), ZONES, indirect=["zone"])
@pytest.mark.usefixtures("zone")
def test_every_minute_of_the_change_is_stored_once(exchange: StandIn, database: Path, day: str) -> None:
    """Runs each half hour through the night of the change leave one row a minute."""
    for half_hour in range(11, 16):
        exchange.freeze(ms(f"{day}T00:00:05") + half_hour * 1_800_000)
        collect_once(exchange, database, ["BTCUSDT"])

    assert [(150, 150)] == query(
        database, "SELECT count(*), date_diff('minute', min(open_time), max(open_time)) + 1 FROM klines"
    )
