"""The views for SQL and BI tools: what klines.read derives, in any session time zone."""

from __future__ import annotations

import shutil
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

import klines
from tests.drive import audit_once, backfill_once, collect_once, ms, query
from tests.exchange import StandIn

ZONES = ("UTC", "America/New_York", "Asia/Kolkata")
VALUES = "symbol, epoch_ms(open_time), open, high, low, close, epoch_ms(close_time), trades, source"


def asked(database: Path, zone: str, sql: str) -> list[tuple[Any, ...]]:
    """The answer in a session in that zone."""
    with duckdb.connect(str(database), read_only=True) as connection:
        connection.execute(f"SET TimeZone = '{zone}'")
        return connection.execute(sql).fetchall()


def test_longer_klines_are_those_of_read(exchange: StandIn, database: Path) -> None:
    """Stored ones, and else whole ones of the longest interval: over a listing, an explained outage, a hole that is
    ours, and a stretch that is stored; the same in every zone."""
    exchange.list("NEWUSDT", since_ms=ms("2025-12-30T18:20"))
    exchange.hole(ms("2025-12-31T03:10"), ms("2025-12-31T05:10"))
    collect_once(exchange, database, ["BTCUSDT", "NEWUSDT"], since=date(2025, 12, 30))
    audit_once(exchange, database)
    for interval in ("1h", "1d"):
        backfill_once(exchange, database, ["BTCUSDT"], "2026-01-01", "2026-01-02", interval=interval, source="rest")
    query(database, "DELETE FROM klines WHERE interval = '1m' AND open_time = '2025-12-30 20:05'")
    for interval in ("1h", "1d"):
        check_view(database, interval)


def check_view(database: Path, interval: str) -> None:
    """The view of an interval has what `klines.read` gives."""
    found = klines.read(["BTCUSDT", "NEWUSDT"], interval=interval, database=database)
    times = found.select("symbol", found["open_time"].dt.epoch("ms"), "open", "high", "low", "close")
    expected = [
        (*values, close_ms, *rest)
        for values, close_ms, rest in zip(
            times.rows(), found["close_time"].dt.epoch("ms"), found.select("trades", "source").rows(), strict=True
        )
    ]
    assert {"1m", "rest"} == {row[-1] for row in expected}
    for zone in ZONES:
        assert expected == asked(database, zone, f"SELECT {VALUES} FROM klines_{interval} ORDER BY symbol, open_time")


def test_latest(exchange: StandIn, database: Path) -> None:
    """The newest kline of every series."""
    collect_once(exchange, database, ["BTCUSDT", "ETHUSDT"])
    collect_once(exchange, database, ["BTCUSDT"], interval="1h", lookback=timedelta(hours=3))
    sql = "SELECT symbol, interval, strftime(open_time, '%d %H:%M') FROM latest ORDER BY ALL"
    for zone in ZONES:
        assert [
            ("BTCUSDT", "1h", "02 11:00"),
            ("BTCUSDT", "1m", "02 11:59"),
            ("ETHUSDT", "1m", "02 11:59"),
        ] == asked(database, zone, sql)


@pytest.mark.parametrize(
    ("interval", "newest", "state"),
    [
        ("1M", "date_trunc('month', utc_now()) - INTERVAL 1 MONTH", "fresh"),
        ("1d", "date_trunc('day', utc_now()) - INTERVAL 1 DAY", "fresh"),
        ("1m", "date_trunc('minute', utc_now()) - INTERVAL 2 MINUTE", "fresh"),
        ("1m", "date_trunc('minute', utc_now()) - INTERVAL 3 MINUTE", "late"),
        ("1m", "date_trunc('minute', utc_now()) - INTERVAL 7 MINUTE", "stale"),
    ],
)
def test_freshness(exchange: StandIn, database: Path, interval: str, newest: str, state: str) -> None:
    """Whether the kline after the newest is due, by this machine's clock, in every zone: where nobody knows a schedule
    a minute after its close. Up to five minutes after that it is late, then stale."""
    collect_once(exchange, database, ["BTCUSDT"], lookback=timedelta(minutes=1))
    query(database, f"UPDATE klines SET interval = '{interval}', open_time = {newest}")
    query(database, f"UPDATE wanted SET interval = '{interval}'")
    for zone in ZONES:
        [(lacking, said)] = asked(database, zone, "SELECT lacking, state FROM freshness")
        assert (state, state == "fresh") == (said, lacking == 0)


@pytest.mark.parametrize(
    ("every_s", "asked", "time", "said"),
    [
        ("60", "11:00:00", "12:00:49", ("fresh", 0)),
        ("60", "11:00:00", "12:00:50", ("late", 1)),
        ("60", "12:00:00", "12:00:08", ("late", 1)),
        ("60", "11:00:00", "12:05:49", ("stale", 5)),
        ("3600", "11:00:00", "12:00:49", ("fresh", 0)),
        ("3600", "11:00:00", "12:00:50", ("late", 1)),
        ("3600", "12:00:00", "12:45:00", ("stale", 1)),
        ("NULL", "11:00:00", "12:00:59", ("fresh", 0)),
        ("NULL", "11:00:00", "12:01:00", ("late", 1)),
    ],
)
def test_a_kline_is_due_by_the_schedule(
    empty: Path, database: Path, every_s: str, asked: str, time: str, said: tuple[str, int]
) -> None:
    """One that closed at noon is due 45 seconds after the first run of second 5 that comes then, or as soon as a run
    was to store it; so no symbol is late because a minute has turned, or an hour where runs come hourly."""
    day = "TIMESTAMP '2026-01-02"
    shutil.copy(empty, database)
    rows = query(
        database,
        f"""
        INSERT INTO schedules
        VALUES ('spot', 'klines', '1m', '', {every_s}, {day} 00:00:05', {day} {asked}', {day} {asked}', '');
        WITH given AS (SELECT 'spot' AS market, 'klines' AS kind, 'BTCUSDT' AS symbol, '1m' AS interval,
                              {day} 11:58' AS last)
        SELECT state, lacking FROM freshness_of('given', {day} {time}')""",
    )
    assert [said] == rows


def test_the_shard_that_is_furthest_behind_counts(empty: Path, database: Path) -> None:
    """A kline of a market is due when all of its shards have had time for it."""
    shutil.copy(empty, database)
    rows = query(
        database,
        """
        INSERT INTO schedules
        SELECT 'spot', 'klines', '1m', unnest(['1/2', '2/2']), 60, '2026-01-01', '2026-01-02 12:00', '2026-01-02 12:00',
               'every-minute';
        UPDATE schedules SET asked_until = '2026-01-02 11:59' WHERE shard = '2/2';
        SELECT due_until FROM due_until(TIMESTAMP '2026-01-02 12:00:30')""",
    )
    assert [(datetime(2026, 1, 2, 11, 59),)] == rows


def test_the_deployment_that_is_due_first_counts(empty: Path, database: Path) -> None:
    """Of two that collect an interval, each symbol is due by those who want it: what only the hourly one has is fresh
    until then, and what both have is due each minute. They shared a row, in which the last one that ran stood."""
    shutil.copy(empty, database)
    rows = query(
        database,
        """
        INSERT INTO schedules
        SELECT 'spot', 'klines', '1m', '', every_s, '2026-01-01', '2026-01-02 11:00', '2026-01-02', whose
        FROM (VALUES (60, 'every-minute'), (3600, 'every-hour')) of_them(every_s, whose);
        INSERT INTO wanted SELECT 'spot', 'klines', symbol, '1m', '2026-01-01', NULL, whose, '2026-01-01'
        FROM (VALUES ('AUSDT', 'every-minute'), ('AUSDT', 'every-hour'), ('BUSDT', 'every-hour')) pairs(symbol, whose);
        WITH given AS (SELECT 'spot' AS market, 'klines' AS kind, unnest(['AUSDT', 'BUSDT', 'CUSDT']) AS symbol,
                              '1m' AS interval, TIMESTAMP '2026-01-02 10:59' AS last)
        SELECT symbol, state FROM freshness_of('given', TIMESTAMP '2026-01-02 11:59:30') ORDER BY ALL""",
    )
    assert [("AUSDT", "stale"), ("BUSDT", "fresh"), ("CUSDT", "stale")] == rows


def test_a_delisted_symbol_is_not_stale(exchange: StandIn, database: Path) -> None:
    """Where the ledger says that trading has ended, nothing is late."""
    collect_once(exchange, database, ["BTCUSDT"])
    query(
        database,
        """INSERT INTO gaps SELECT market, symbol, interval, max(open_time) + INTERVAL 1 MINUTE, '9999-12-31',
                  'delisted', now()::TIMESTAMP, NULL, 1, NULL, kind FROM klines GROUP BY ALL""",
    )
    assert [("not trading",)] == asked(database, "UTC", "SELECT state FROM freshness")


@pytest.mark.parametrize("interval", ["1s", "1h", "1d", "3d", "1w", "1M"])
def test_every_interval_has_its_freshness(exchange: StandIn, database: Path, interval: str) -> None:
    """The first slot that lacks is the one after the newest kline's, on the interval's own grid."""
    lookback = timedelta(seconds=30) if interval == "1s" else timedelta(days=70)
    collect_once(exchange, database, ["BTCUSDT"], interval=interval, lookback=lookback)
    [(close_ms, lacks_ms)] = query(
        database, "SELECT max(epoch_ms(close_time)), any_value(epoch_ms(lacks_from)) FROM klines, freshness"
    )
    assert close_ms + 1 == lacks_ms


def test_the_certificate_is_the_same_in_every_zone(exchange: StandIn, database: Path) -> None:
    """Counts and hash do not depend on the session's zone."""
    collect_once(exchange, database, ["BTCUSDT"], lookback=timedelta(hours=14))
    audit_once(exchange, database)
    answers = [asked(database, zone, "FROM certificate") for zone in ZONES]
    assert 1 == len(answers[0])
    assert [answers[0]] * 3 == answers
