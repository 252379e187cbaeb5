"""How many klines are stored of each day, without counting them: the tables `daily_counts` and `counted`."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path

import pytest

import klines
from klines.interval import DAY
from klines.session import count_days
from klines.settings import Address
from klines.storage.access import place_of
from tests.drive import NOON, backfill_once, maintain_once, query
from tests.exchange import StandIn
from tests.storage.test_lake import minutes, put

LATER = NOON + 40 * DAY
NOTED = """SELECT market, kind, symbol, interval, day, sum(klines)::BIGINT, min(first), max(last) FROM daily_counts
           GROUP BY ALL ORDER BY ALL"""
LYING = """SELECT market, kind, symbol, interval, open_time::DATE, count(*), min(open_time), max(open_time) FROM klines
           WHERE open_time < (SELECT until FROM counted) GROUP BY ALL ORDER BY ALL"""


@pytest.fixture(params=["file", "lake"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Address:
    """A database of either kind."""
    return tmp_path / "klines.duckdb" if request.param == "file" else request.getfixturevalue("lake")


def count(database: Address, now_ms: int) -> None:
    """Count the days that are over then."""
    count_days(place_of(database), now_ms, 30)


def test_what_is_added_to_days_that_are_counted_is_noted(place: Address) -> None:
    """Whatever is stored of such days, counts are what a look at everything finds: klines that are there are not
    counted twice, those of later days not at all."""
    put(place, [minutes("BTCUSDT", -100, 50)])
    count(place, NOON)
    assert [] == query(place, NOTED)
    put(place, [minutes("BTCUSDT", -1500, 1600), minutes("ETHUSDT", -2500, 2000), minutes("SOLUSDT", 30, 20)])
    assert query(place, LYING) == query(place, NOTED) != []
    count(place, LATER)
    put(place, [minutes("BTCUSDT", -1500, 1700, close=3.0), minutes("ETHUSDT", -2600, 4500)])
    assert query(place, LYING) == query(place, NOTED)
    assert [(datetime(2026, 2, 11),)] == query(place, "SELECT until FROM counted")


def test_a_run_that_is_out_of_time_counts_nothing(database: Path) -> None:
    """The minute keeps its deadline, however much a database of before has that is not counted."""
    put(database, [minutes("BTCUSDT", -1500, 1600)])
    count_days(place_of(database), NOON, 30, time.monotonic())
    assert [] == query(database, NOTED)
    count(database, NOON)
    assert [] != query(database, NOTED)


def test_months_are_counted_one_by_one(database: Path, exchange: StandIn) -> None:
    """What a file of before has is counted up to today, and a second time there is nothing to do; what is fetched then
    is in the counts, too, whether it comes by file or by REST."""
    backfill_once(exchange, database, ["BTCUSDT"], "2025-12-31", "2026-01-01T12:00")
    query(database, "DELETE FROM daily_counts")
    query(database, "DELETE FROM counted")
    count(database, NOON)
    assert query(database, LYING) == query(database, NOTED)
    assert 2 == len(query(database, NOTED))
    count(database, NOON)
    backfill_once(exchange, database, ["BTCUSDT", "ETHUSDT"], "2025-12-29", "2026-01-02T10:00")
    assert query(database, LYING) == query(database, NOTED)
    assert 4 + 4 == len(query(database, NOTED))


def test_coverage_is_the_same_by_counts(database: Path, exchange: StandIn) -> None:
    """Of whole days and of parts of them, `klines.coverage` says the same before and after days are counted."""
    backfill_once(exchange, database, ["BTCUSDT", "ETHUSDT"], "2025-12-30T05:00", "2026-01-02T10:00")
    times = [
        (None, None),
        ("2025-12-31", "2026-01-02"),
        ("2025-12-30T12:34", "2026-01-01T06:00"),
        ("2026-01-01T06:00", "2026-01-01T07:00"),
    ]
    before = [klines.coverage(None, *some, database=database) for some in times]
    count(database, NOON)
    assert all(day.height for day in before)
    for some, days in zip(times, before, strict=True):
        assert days.equals(klines.coverage(None, *some, database=database))


@pytest.mark.slow
def test_maintenance_proves_the_counts(place: Address) -> None:
    """Where somebody has deleted or added klines by hand, maintenance counts their days anew, and says so; it counts
    what nobody has."""
    put(place, [minutes("BTCUSDT", -3000, 3000), minutes("ETHUSDT", -3000, 3000)])
    assert "counts of" not in maintain_once(place, LATER).message
    assert query(place, LYING) == query(place, NOTED) != []
    query(place, "DELETE FROM klines WHERE symbol = 'ETHUSDT' AND open_time < '2026-01-01 12:00'")
    query(place, "INSERT INTO klines SELECT * REPLACE ('SOLUSDT' AS symbol) FROM klines LIMIT 1")
    assert "the counts of 3 days were wrong, and are right now" in maintain_once(place, LATER).message
    assert query(place, LYING) == query(place, NOTED)
