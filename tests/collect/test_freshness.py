"""Freshness after a run, and coverage of the last 30 days."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from klines.collect.freshness import Freshness
from klines.collect.review import Review
from klines.collect.run import Collect, CollectJob
from klines.collect.timeliness import timeliness
from klines.errors import ExchangeDown
from klines.interval import INTERVALS
from klines.market import MARKETS
from klines.outcome import Outcome
from klines.reading.coverage import COMPLETE, EXPLAINED, MISSING, NOTHING, last_days, said
from klines.settings import Settings
from klines.storage.database import opened
from klines.tables.schedules import Schedule
from tests.drive import MINUTE, NOON, PATIENCE_S, audit_once, collect_once, ms, query
from tests.exchange import StandIn


def fresh(exchange: StandIn, database: Path, symbols: list[str]) -> tuple[Collect, Freshness]:
    """One run, and how fresh its symbols are then."""
    settings = Settings(database=database, spot_url=exchange.url)
    job = CollectJob.of(settings, symbols, "spot", "1m", timedelta(minutes=30))
    with Collect(settings, job, request_timeout_s=PATIENCE_S, late_pauses_s=(0.1, 0.1)) as run:
        run.health()
        run.fetch(run.plan())
        run.store()
        outcome = run.outcome()
    found = Review(run).freshness()
    assert found is not None
    Review(run).follow(outcome, found)
    return run, found


def test_each_state(exchange: StandIn, database: Path) -> None:
    """After four minutes without an answer a symbol is late, after six stale; one that the exchange does not know is
    unknown, one that does not trade is told apart; the others are fresh."""
    symbols = ["BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT"]
    _, found = fresh(exchange, database, symbols)
    assert "spot 1m: 4 of 4 symbols are fresh" == found.said
    exchange.fault("ETHUSDT", "status", status=500)
    exchange.fault("SOLUSDT", "code", status=400, code=-1121)
    exchange.freeze(NOON + 5_000 + 4 * MINUTE)
    _, found = fresh(exchange, database, symbols)
    assert "spot 1m: 2 of 3 symbols are fresh; 1 late: ETHUSDT; 1 unknown: SOLUSDT" == found.said
    assert not found.is_well
    exchange.freeze(NOON + 5_000 + 6 * MINUTE)
    run, found = fresh(exchange, database, symbols)
    assert ["ETHUSDT"] == found.stale
    assert ("ETHUSDT", NOON) == (found.standings[0].symbol, found.standings[0].lacks_from_ms)
    assert "HTTP 500" in found.standings[0].why
    assert ["BTCUSDT", "XRPUSDT"] == run.collected()


def test_a_symbol_that_does_not_trade_is_not_stale(exchange: StandIn, database: Path) -> None:
    """One in BREAK has no kline for hours: neither stale nor late, also when the ledger has it already."""
    fresh(exchange, database, ["BTCUSDT", "ETHUSDT"])
    exchange.list("ETHUSDT", until_ms=NOON, status="BREAK")
    for minutes in (20, 21, 40):
        exchange.freeze(NOON + 5_000 + minutes * MINUTE)
        _, found = fresh(exchange, database, ["BTCUSDT", "ETHUSDT"])
        assert "spot 1m: 1 of 1 symbol is fresh; 1 not trading: ETHUSDT" == found.said


def test_whatever_way_a_run_ends(exchange: StandIn, database: Path) -> None:
    """A run that is silenced, and one that was not served at all, say how fresh symbols are by what is stored; neither
    makes an incident of that, as nobody knows whether they trade."""
    fresh(exchange, database, ["BTCUSDT", "ETHUSDT"])
    exchange.freeze(NOON + 5_000 + 6 * MINUTE)
    settings = Settings(database=database, spot_url=exchange.url)
    job = CollectJob.of(settings, ["BTCUSDT", "*USDT"], "spot", "1m", timedelta(minutes=5))
    exchange.maintenance = True
    with Collect(settings, job, clock=exchange.now_ms) as down, pytest.raises(ExchangeDown):
        down.health()
    exchange.maintenance = False
    exchange.fault("BTCUSDT", "status", status=418)
    silenced = Collect(settings, replace(job, symbols=["BTCUSDT", "ETHUSDT"]), clock=exchange.now_ms)
    with silenced as run:
        run.health()
        run.fetch(run.plan())
        run.store()
        assert "RateLimited" == run.outcome().state
    for run in (down, silenced):
        found = Review(run).freshness()
        assert found is not None
        assert "BTCUSDT" in found.stale
        assert (True, True) == (found.told.startswith("2026-01-02 12:"), found.told.endswith(f" UTC: {found.said}"))
        assert [] == Review(run).follow(Outcome("RateLimited", ""), found).began


def test_latency_is_of_scheduled_klines(exchange: StandIn, database: Path) -> None:
    """Seconds from close to commit are those of the last hour's klines that the first run after their close has stored;
    what a later one has caught up is counted apart, however soon it came."""
    fresh(exchange, database, ["BTCUSDT"])
    exchange.freeze(NOON + 65_000)
    fresh(exchange, database, ["BTCUSDT"])
    exchange.freeze(NOON + 245_000)
    run, _ = fresh(exchange, database, ["BTCUSDT"])
    found = Review(run).timeliness()
    assert (3, 29 + 2) == (found.klines, found.caught_up)
    assert found.max_s is not None
    assert 5 <= found.max_s < 60
    with opened(database, time.monotonic() + 5) as connection:
        every = "'spot', 'klines', '1m', '', 300, '2026-01-01', now(), now(), 'every-minute'"
        connection.execute(f"INSERT INTO schedules VALUES ({every})")
        slow = timeliness(connection, MARKETS["spot"], INTERVALS["1m"], exchange.now_ms())
        empty = timeliness(connection, MARKETS["usdm"], INTERVALS["1m"], NOON)
    assert found.klines < slow.klines
    assert (0, None) == (empty.klines, empty.p50_s)


def test_the_schedule_of_a_deployment(exchange: StandIn, database: Path) -> None:
    """A run whose schedule nobody has entered lately says so; once it is there, what a run is to store is noted as it
    stores, and what it did not get is late at once."""
    run, _ = fresh(exchange, database, ["BTCUSDT", "ETHUSDT"])
    assert Review(run).is_schedule_old()
    Review(run).note_schedule(Schedule(60, NOON + 5_000))
    exchange.fault("ETHUSDT", "status", status=500)
    exchange.freeze(NOON + 65_000)
    run, found = fresh(exchange, database, ["BTCUSDT", "ETHUSDT"])
    assert not Review(run).is_schedule_old()
    assert "spot 1m: 1 of 2 symbols are fresh; 1 late: ETHUSDT" == found.said
    with opened(database, time.monotonic() + 5) as connection:
        [state] = connection.execute(
            """WITH given AS (SELECT market, kind, symbol, interval, open_time AS last FROM newest())
               SELECT state FROM freshness_of('given', epoch_ms(?::BIGINT)) WHERE symbol = 'ETHUSDT'""",
            [exchange.now_ms()],
        ).fetchall()
    assert ("late",) == state


def test_coverage_tells_days_apart(exchange: StandIn, database: Path) -> None:
    """Of thirty days, those before the beginning are nothing; a day with a hole is explained once an audit has been,
    and missing where klines are only due; the others are complete. The counts are those of the database."""
    exchange.hole(ms("2026-01-01T03:00"), ms("2026-01-01T04:00"))
    collect_once(exchange, database, ["BTCUSDT"], lookback=timedelta(days=1))
    query(database, "UPDATE wanted SET since = '2026-01-01'")
    audit_once(exchange, database)
    with opened(database, time.monotonic() + 5) as connection:
        [found] = last_days(connection, exchange.now_ms())
        connection.execute("DELETE FROM klines WHERE date_trunc('hour', open_time) = '2026-01-02 01:00'")
        connection.execute(
            """INSERT INTO gaps SELECT * REPLACE ('due' AS reason, '2026-01-02 01:00'::TIMESTAMP AS start_time,
                                                  '2026-01-02 02:00'::TIMESTAMP AS end_time) FROM gaps LIMIT 1"""
        )
        [holed] = last_days(connection, exchange.now_ms())
    assert [NOTHING] * 28 + [EXPLAINED, COMPLETE] == list(found.days)
    assert (60, 0, 2095) == (found.explained, found.unexplained, found.stored)
    assert (MISSING, 60) == (holed.days[-1], holed.unexplained)
    assert "0 of 1 series are complete in the last 30 days" in said([holed])
