"""Freshness after a run, and coverage of the last 30 days."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path

from klines.collect.freshness import Freshness
from klines.collect.run import Collect, CollectJob
from klines.collect.timeliness import timeliness
from klines.interval import INTERVALS
from klines.market import MARKETS
from klines.reading.coverage import COMPLETE, EXPLAINED, MISSING, NOTHING, last_days, said
from klines.settings import Settings
from klines.storage.database import opened
from tests.drive import MINUTE, NOON, audit_once, collect_once, ms
from tests.exchange import StandIn


def fresh(exchange: StandIn, database: Path, symbols: list[str]) -> tuple[Collect, Freshness]:
    """One run, and how fresh its symbols are then."""
    settings = Settings(database=database, spot_url=exchange.url)
    job = CollectJob.of(settings, symbols, "spot", "1m", timedelta(minutes=30))
    with Collect(settings, job, request_timeout_s=1, late_pauses_s=(0.1, 0.1)) as run:
        run.health()
        run.fetch(run.plan())
        run.store()
        outcome = run.outcome()
    found = run.freshness()
    assert found is not None
    run.follow(outcome, found)
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


def test_a_run_that_did_not_come_so_far_knows_nothing(exchange: StandIn, database: Path) -> None:
    """Before its end, and after a ban, a run does not say who is fresh."""
    settings = Settings(database=database, spot_url=exchange.url)
    run = Collect(settings, CollectJob.of(settings, ["BTCUSDT"], "spot", "1m", timedelta(minutes=5)))
    assert run.freshness() is None
    exchange.fault("BTCUSDT", "status", status=418)
    with run:
        run.health()
        run.fetch(run.plan())
        run.store()
        assert "RateLimited" == run.outcome().state
    assert run.freshness() is None


def test_timeliness_is_of_what_was_collected_live(exchange: StandIn, database: Path) -> None:
    """Seconds from close to commit are those of the last hour's live klines; what was caught up is counted apart."""
    fresh(exchange, database, ["BTCUSDT"])
    exchange.freeze(NOON + 65_000)
    run, _ = fresh(exchange, database, ["BTCUSDT"])
    found = run.timeliness()
    assert (11, 20) == (found.klines, found.caught_up)
    assert found.p50_s is not None
    assert found.max_s is not None
    assert 5 <= found.p50_s <= found.max_s < 600
    with opened(database, time.monotonic() + 5) as connection:
        empty = timeliness(connection, MARKETS["usdm"], INTERVALS["1m"], NOON)
    assert (0, None) == (empty.klines, empty.p50_s)


def test_coverage_tells_days_apart(exchange: StandIn, database: Path) -> None:
    """Of thirty days, those before the beginning are nothing; a day with a hole is explained once an audit has been,
    and missing where klines are only due; the others are complete. The counts are those of the database."""
    exchange.hole(ms("2026-01-01T03:00"), ms("2026-01-01T04:00"))
    collect_once(exchange, database, ["BTCUSDT"], lookback=timedelta(days=1))
    outcome = audit_once(exchange, database, start_ms=ms("2025-12-30"))
    assert "660 more klines from the archive" in outcome.message
    assert "corrected" not in outcome.message
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
