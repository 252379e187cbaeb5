"""A database that has amounts as doubles becomes one of decimals, while it is in use; what may not be Binance's number
is known, and can be fetched anew."""

from __future__ import annotations

import json
import shutil
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import klines
from klines.cli.screen import as_json, draw
from klines.columns import AMOUNTS
from klines.maintain.run import MaintainJob
from klines.reading.status import status
from klines.settings import Address, LakeAddress
from klines.storage.access import forget_lakes, place_of
from klines.storage.database import opened
from klines.storage.lake.lake import LAYOUT
from klines.storage.schema.exact import FEW
from tests.drive import (
    MINUTE,
    NOON,
    audit_once,
    backfill_once,
    collect_once,
    maintain_once,
    make_of_steps,
    ms,
    published,
    query,
    stored,
)
from tests.exchange import StandIn

OLD = 8
"""The steps of the last version that had doubles."""
ROWS = f"""
    SELECT 'spot', 'OLDUSDT', '{{interval}}', epoch_ms(t), 2, 3, 1, 2, n % 1000 + 0.12345678,
           epoch_ms(t + {{length_ms}} - 1), 1000000 + n % 77 + 0.5, 5, 0.1, 0.2, 'rest', TIMESTAMP '2024-07-01'
    FROM (SELECT n, {ms("2024-01-01")} + n * {{length_ms}} AS t FROM range({FEW + 1}) numbers(n))
"""

A_DAY = """
    INSERT INTO klines VALUES ('spot', 'A', '1d', '2024-01-01', 1, 1, 1, 1, {}, '2024-01-01 23:59:59.999', 1, 1, 1, 1,
                               'rest', '2024-01-02')
"""


def of_old(database: Path, sql: str = "") -> None:
    """A file as the last version with doubles left it, with what a statement puts there."""
    make_of_steps(database, OLD, sql)


def kinds(database: Path) -> set[str]:
    """The types that the amounts have."""
    sql = "SELECT column_type FROM (DESCRIBE klines) WHERE column_name LIKE '%volume'"
    return {kind for (kind,) in query(database, sql)}


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Many klines with doubles."""
    database = tmp_path_factory.mktemp("many") / "klines.duckdb"
    of_old(database, f"INSERT INTO klines {ROWS.format(interval='1m', length_ms=MINUTE)}")
    return database


@pytest.fixture
def old(exchange: StandIn, many: Path, database: Path) -> Path:
    """They, and half an hour of a symbol whose amounts no double holds."""
    shutil.copy(many, database)
    collect_once(exchange, database, ["SATSUSDT"])
    return database


def content_of(database: Address) -> list[tuple[Any, ...]]:
    """How many klines there are, and a hash of them, with their amounts as doubles: a quarter of a million take seconds
    to be fetched."""
    amounts = ", ".join(f"{name}::DOUBLE AS {name}" for name in AMOUNTS)
    return query(database, f"SELECT count(*), sum(hash(k)) FROM (SELECT * REPLACE ({amounts}) FROM klines) k")


def as_doubles(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The values as doubles held them."""
    return [tuple(float(value) if isinstance(value, Decimal) else value for value in row) for row in rows]


def test_few_klines_are_brought_over_at_an_opening(tmp_path: Path) -> None:
    """What was a double is its shortest decimal, nothing is lost, and what may have been another number is noted."""
    amounts = ("0.1", "123456789.5", "99999999.1234567", "123456789012345.6")
    for number, amount in enumerate(amounts):
        database = tmp_path / f"{number}.duckdb"
        of_old(database, A_DAY.format(amount))
        with opened(database, time.monotonic() + 5) as connection:
            assert [(Decimal(amount),)] == connection.execute("SELECT volume FROM klines").fetchall()
            assert [(number > 1,)] == connection.execute("SELECT count(*) > 0 FROM doubtful").fetchall()
        assert {"DECIMAL(38,8)"} == kinds(database)


def test_until_it_is_brought_over_a_database_works(
    exchange: StandIn, old: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Many klines stay doubles when the file is opened: it is written and read as before, and equal answers change
    nothing. Status says what makes them exact."""
    assert {"DOUBLE"} == kinds(old)
    expected = as_doubles(published(exchange.klines("SATSUSDT", NOON - 1_800_000, NOON)))
    assert expected == stored(old, "SATSUSDT")
    assert [expected[-1][5]] == klines.read("SATSUSDT", database=old)["volume"].tail(1).to_list()
    assert 6 == klines.read("SATSUSDT", interval="5m", database=old).height
    for outcome in (
        collect_once(exchange, old, ["SATSUSDT"]),
        backfill_once(exchange, old, ["SATSUSDT"], "2026-01-02T11:30", "2026-01-02T12:00", refresh=True),
        audit_once(exchange, old, repair=False),
    ):
        assert outcome.state in ("Completed", "Degraded"), (
            outcome.message
        )  # OLDUSDT's time is not what the exchange has
    assert [(0,)] == query(old, "SELECT count(*) FROM restatements")
    found = status(database=old)
    assert not found.is_exact
    capsys.readouterr()
    draw(found, None)
    assert "`klines maintain` makes decimals of them" in capsys.readouterr().out


def test_maintenance_brings_many_over(exchange: StandIn, old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run that is ended early leaves the file as it is. After the next one all klines are there, in order, as
    decimals, with what was stored and corrected while it copied; those that may differ are named with what fetches them
    anew, and are exact when that has been done."""
    with MaintainJob(place_of(old)).begin(NOON) as run:
        run.survey()
        run.cluster(run.begin()[0])
    assert {"DOUBLE"} == kinds(old)

    with MaintainJob(place_of(old)).begin(NOON) as run:
        run.survey()
        for month in run.begin():
            run.cluster(month)
        exchange.freeze(NOON + 120_000)
        exchange.restate("SATSUSDT", NOON - 60_000, volume="77.00000001", quote_volume="123456789012345.12345678")
        collect_once(exchange, old, ["SATSUSDT"])
        before = content_of(old)
        run.swap()
        outcome = run.outcome()
    assert "Completed" == outcome.state, outcome.message
    there = exchange.klines("SATSUSDT", NOON - 1_800_000, NOON + 120_000)
    large = sum(row[8] > 0 for row in there)
    assert f"amounts are decimals now; {large} klines may not have Binance's last digits" in outcome.message
    assert {"DECIMAL(38,8)"} == kinds(old)
    assert before == content_of(old)
    assert [(1,)] == query(old, "SELECT count(*) FROM restatements")
    assert [(Decimal("0.12345678"),)] == query(old, "SELECT min(volume) FROM klines WHERE symbol = 'OLDUSDT'")
    found = status(database=old)
    assert (True, large) == (found.is_exact, found.doubtful)
    [doubt] = found.doubts
    command = "klines backfill SATSUSDT --market spot --interval 1m --start 2026-01-02 --end 2026-01-03 --refresh"
    assert command == doubt.command == json.loads(as_json(found, None))["doubts"][0]["command"]
    capsys.readouterr()
    draw(found, None)
    assert f"{large}: {command}\n" in capsys.readouterr().out

    refreshed = backfill_once(exchange, old, ["SATSUSDT"], "2026-01-02T11:30", "2026-01-02T12:02", refresh=True)
    assert "Completed" == refreshed.state, refreshed.message
    assert published(there) == stored(old, "SATSUSDT")
    assert (0, []) == (status(database=old).doubtful, list(status(database=old).doubts))
    assert "nothing to do" in maintain_once(old).message


@pytest.fixture
def old_lake(lake: LakeAddress) -> LakeAddress:
    """A lake that has doubles, with many klines, all of one month."""
    amounts = ", ".join(f"{name}::DOUBLE AS {name}" for name in AMOUNTS)
    with place_of(lake).opened(time.monotonic() + 30) as connection:
        connection.execute(f"CREATE TABLE doubles AS SELECT * REPLACE ({amounts}) FROM klines")
        connection.execute("DROP TABLE klines; ALTER TABLE doubles RENAME TO klines")
        connection.execute(LAYOUT.format(table="klines"))
        seconds = ROWS.format(interval="1s", length_ms=1_000)
        connection.execute(f"INSERT INTO klines SELECT *, 'klines' FROM ({seconds})")
        connection.execute("UPDATE schema_version SET exact = false")
    forget_lakes()
    return lake


@pytest.mark.slow
def test_a_lake_is_brought_over(exchange: StandIn, old_lake: LakeAddress) -> None:
    """As a file: it works until maintenance has copied it, which goes on where it was ended, and takes with it what was
    stored and corrected meanwhile."""
    collect_once(exchange, old_lake, ["SATSUSDT"])
    assert as_doubles(published(exchange.klines("SATSUSDT", NOON - 1_800_000, NOON))) == stored(old_lake, "SATSUSDT")
    with MaintainJob(place_of(old_lake)).begin(NOON) as run:
        run.survey()
        run.cluster(run.begin()[0])
    exchange.freeze(NOON + 120_000)
    exchange.restate("SATSUSDT", NOON - 60_000, volume="77.00000001")
    collect_once(exchange, old_lake, ["SATSUSDT"])
    before = content_of(old_lake)

    outcome = maintain_once(old_lake)
    assert "Completed" == outcome.state, outcome.message
    assert before == content_of(old_lake)
    assert "copied every month; 250,033 klines in" in outcome.message
    assert "amounts are decimals now; 3" in outcome.message
    klines_there = exchange.klines("SATSUSDT", NOON - 1_800_000, NOON + 120_000)
    large = sum(row[8] > 0 for row in klines_there)
    assert large == status(database=old_lake).doubtful
    backfill_once(exchange, old_lake, ["SATSUSDT"], "2026-01-02T11:30", "2026-01-02T12:02", refresh=True)
    assert published(exchange.klines("SATSUSDT", NOON - 1_800_000, NOON + 120_000)) == stored(old_lake, "SATSUSDT")
    found = status(database=old_lake)
    assert (True, 0) == (found.is_exact, found.doubtful)
    tables = query(old_lake, "SELECT DISTINCT table_name FROM duckdb_columns() WHERE table_name LIKE 'klines%exact%'")
    assert [] == tables
    assert "amounts" not in maintain_once(old_lake).message
