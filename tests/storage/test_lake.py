"""A lake as a place: what it is called, what it refuses, which versions it reads; and that no secret is ever said."""

from __future__ import annotations

import logging
import re
import shutil
import time
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

import klines
from klines import settings
from klines.columns import SUMS
from klines.errors import BadDatabase, BadParameter, DatabaseBusy, KlinesError, NoRoom, NotStored
from klines.explorer.source import Source
from klines.interval import INTERVALS
from klines.market import MARKETS
from klines.outcome import Stored
from klines.reading.publish import PublishJob
from klines.reading.status import status
from klines.settings import Address, LakeAddress, Settings
from klines.shard import lane
from klines.storage.access import forget_lakes, place_of
from klines.storage.lake.extensions import connect_with
from klines.storage.lake.turns import keys_of
from klines.storage.place import Scope
from klines.storage.schema.migrations import STEPS
from klines.storage.store import scope_of, store
from klines.want import Want
from klines.window import Window
from stack.temporary import free_port
from tests.drive import NOON, at, backfill_once, collect_once, maintain_once, published, queries, query, stored
from tests.exchange import StandIn
from tests.lakes import KEY, PASSWORD, SECRET_KEY, Bucket, Lakes
from tests.storage.test_store import answered, row

SPOT, ONE_MINUTE = MARKETS["spot"], INTERVALS["1m"]


@pytest.fixture(scope="session")
def bucket() -> Iterator[Bucket]:
    """An S3 store, and the AWS variables for it."""
    with Bucket() as bucket, bucket.keys():
        yield bucket


@pytest.fixture
def in_bucket(lakes: Lakes, bucket: Bucket, tmp_path: Path) -> Iterator[LakeAddress]:
    """A lake whose data are in the store."""
    name = lakes.postgres.create()
    address = LakeAddress(lakes.postgres.catalog(name), f"s3://klines/{tmp_path.name}")
    assert bucket.url
    yield address
    forget_lakes()
    lakes.postgres.drop(name)


def put(address: Address, wants: list[Want], wait_s: float = 30) -> Stored:
    """Store answers, as a run does."""
    scope = scope_of(SPOT, ONE_MINUTE, wants)
    return place_of(address).write(
        time.monotonic() + wait_s, scope, lambda lake: store(lake, SPOT, ONE_MINUTE, wants, now_ms=NOON)
    )


def minutes(symbol: str, first: int, count: int, close: float = 2.0) -> Want:
    """An answer of so many klines."""
    rows = [row(at(first + minute), close) for minute in range(count)]
    return answered(rows, Window(at(first), at(first + count)), symbol)


def test_a_setting_names_a_lake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """KLINES_DATABASE=ducklake:postgres:… and KLINES_DATA_PATH are a lake, whose text has no password."""
    monkeypatch.setenv("KLINES_DATABASE", "ducklake:postgres:dbname=k host=db user=u password='sehr geheim'")
    monkeypatch.setenv("KLINES_DATA_PATH", str(tmp_path))
    found = settings.load().database
    assert isinstance(found, LakeAddress)
    assert ("k", str(tmp_path)) == (found.name, found.data)
    assert "ducklake:postgres:dbname=k host=db user=u password=…" == str(found)
    assert "k" == settings.database_name()
    for text in (str(found), repr(found), repr(settings.load()), str(settings.load())):
        assert "geheim" not in text


@pytest.mark.parametrize(
    "catalog",
    ["postgresql://u:pass@word@db:5432/k", "dbname=k password = pass@word", "dbname=k password='pass@word x'"],
)
def test_every_form_of_a_password_is_hidden(catalog: str) -> None:
    """libpq takes a password in words, in quotes and in an address."""
    assert "pass@word" not in str(LakeAddress(catalog))
    assert "word" not in str(LakeAddress(catalog)).replace("password", "")
    assert "k" == LakeAddress(catalog).name


@pytest.mark.parametrize(
    ("database", "data", "said"),
    [
        ("ducklake:klines.ducklake", None, "KLINES_DATABASE: ducklake:klines.ducklake… is no lake that several may"),
        ("ducklake:sqlite:klines.sqlite", None, "a catalog in a file can't keep two writers of one symbol apart"),
        ("klines.duckdb", "/tmp", "KLINES_DATA_PATH: a DuckDB file needs none"),
        ("ducklake:postgres:dbname=k", "gs://b/k", "KLINES_DATA_PATH: gs://b/k is neither a folder nor s3://"),
    ],
)
def test_what_is_no_lake(database: str, data: str | None, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A local catalog has no locks between processes, and is refused with that reason; so is other nonsense."""
    monkeypatch.setenv("KLINES_DATABASE", database)
    if data:
        monkeypatch.setenv("KLINES_DATA_PATH", data)
    with pytest.raises(BadParameter) as raised:
        settings.load()
    assert said in str(raised.value)


def test_locks_are_of_lanes() -> None:
    """A symbol is in the same lane everywhere; symbols of a market's other interval are locked apart."""
    assert 3 == len(keys_of(Scope("spot", "klines", "1m", ["BTCUSDT", "ETHUSDT", "BNBUSDT", "BTCUSDT"])))
    assert 195 == lane("BTCUSDT")
    assert set() == {*keys_of(Scope("spot", "klines", "1m", ["BTCUSDT"]))} & {
        *keys_of(Scope("spot", "klines", "1h", ["BTCUSDT"]))
    }
    assert ["spot"] == keys_of(Scope("spot", "klines", "1m", notes=True))


def test_only_what_pip_brought_is_trusted() -> None:
    """Extensions of wheels are loaded as they are; after them no unsigned one can be, and nothing changes that."""
    with connect_with("ducklake") as connection:
        setting = connection.execute("SELECT current_setting('allow_unsigned_extensions')").fetchall()
        assert [(False,)] == setting
        with pytest.raises(duckdb.InvalidInputException, match="while database is running"):
            connection.execute("SET allow_unsigned_extensions = true")


def test_a_lake_from_nothing(exchange: StandIn, in_bucket: LakeAddress) -> None:
    """The first run makes it, in a bucket; a backfill lays its files there; readers, a version and all that looks see
    the same, and publishing has nothing to do. The first row of a table is looked at, too, at the next opening.
    """
    assert not place_of(in_bucket).exists()
    with pytest.raises(NotStored):
        klines.read("BTCUSDT", database=in_bucket)
    assert "Completed" == collect_once(exchange, in_bucket, ["BTCUSDT"]).state
    days = backfill_once(exchange, in_bucket, ["BTCUSDT"], "2025-12-28", "2026-01-02")
    assert "Completed" == days.state

    first_ms = NOON - (12 + 5 * 24) * 3_600_000
    assert published(exchange.klines("BTCUSDT", first_ms, at(0)))[-30:] == stored(in_bucket, "BTCUSDT")[-30:]
    assert 5 * 1440 + 30 == klines.read("BTCUSDT", end=datetime(2026, 1, 3), database=in_bucket).height
    assert 0 < place_of(in_bucket).size() == status(in_bucket).bytes
    with klines.connect(database=in_bucket) as version:
        put(in_bucket, [minutes("ETHUSDT", 0, 3)])
        assert [(5 * 1440 + 30,)] == version.execute("SELECT count(*) FROM klines").fetchall()
        assert abs(datetime.now(UTC) - place_of(in_bucket).time_of(version)) < timedelta(minutes=5)
    assert {"BTCUSDT", "ETHUSDT"} == set(klines.symbols(database=in_bucket)["symbol"])
    job = PublishJob.of(Settings(database=in_bucket))
    assert job.run().message.startswith(f"nothing to publish of {in_bucket.name}")
    with Source(in_bucket).live() as live:
        assert [(5 * 1440 + 33,)] == live.execute("SELECT count(*) FROM klines").fetchall()
    query(in_bucket, "INSERT INTO bans VALUES ('spot', 'infinity', '', 'RateLimited', TIMESTAMP '2026-01-01', '')")
    forget_lakes()
    with pytest.raises(BadDatabase, match="a row in its table bans that klines does not write"):
        put(in_bucket, [minutes("ETHUSDT", 3, 1)])


def test_a_lake_as_it_was(lake: LakeAddress) -> None:
    """A time or a version's number is the lake as it was then, views and all, also once maintenance has moved its rows
    into files and put them together."""
    put(lake, [minutes("BTCUSDT", -40 * 1440, 3)])
    expected, [(number,)] = queries(lake, "FROM latest", "SELECT max(snapshot_id) FROM ducklake_snapshots('lake')")
    moment = datetime.now(UTC)
    put(lake, [minutes("BTCUSDT", -40 * 1440, 3, close=2.5), minutes("ETHUSDT", -40 * 1440, 1300)])
    maintain_once(lake)
    put(lake, [minutes("BTCUSDT", 0, 1)])
    for asked in (moment, moment.isoformat(), number):
        with klines.connect(at=asked, database=lake) as then:
            assert expected == then.execute("FROM latest").fetchall()
            assert [(3, 2.0)] == then.execute("SELECT count(*), max(close) FROM klines").fetchall()
            assert timedelta(0) < datetime.now(UTC) - place_of(lake).time_of(then) < timedelta(minutes=5)
    assert [(1304,)] == query(lake, "SELECT count(*) FROM klines")


@pytest.mark.parametrize(
    ("at", "said"),
    [
        ("2024-01-01", "has nothing of 2024-01-01 00:00:00 UTC: its oldest version is of 20"),
        (10**6, "has nothing of version 1000000: its oldest version is of 20"),
        ("2999-01-01", "at: 2999-01-01 00:00:00 UTC is yet to come"),
        ("soon", "at: 'soon' is no time"),
    ],
)
def test_a_version_that_there_is_not(lake: LakeAddress, at: str | int, said: str) -> None:
    """It is refused, with what there is."""
    with pytest.raises(BadParameter, match=said):
        klines.connect(at=at, database=lake)


def test_a_reader_writes_nothing(lake: LakeAddress) -> None:
    """What readers are given only reads."""
    for connection in (klines.connect(database=lake), klines.connect(live=True, database=lake)):
        with connection, pytest.raises(duckdb.InvalidInputException):
            connection.execute("DELETE FROM klines")


def test_a_minute_is_in_the_catalog_alone(lake: LakeAddress, lakes: Lakes) -> None:
    """A minute's klines, restatements and ledger make no file, so that it needs no bucket."""
    put(lake, [minutes(f"S{number}USDT", 0, 4) for number in range(300)])
    assert Stored(300, 2) == put(
        lake, [minutes(f"S{number}USDT", 3, 2, close=2.5 if number < 2 else 2.0) for number in range(300)]
    )
    assert [(0,)] == lakes.postgres.ask(lake.name, "SELECT count(*) FROM ducklake_data_file")
    assert [(1500, 1500)] == query(lake, "SELECT count(*), count(DISTINCT (symbol, open_time)) FROM klines")


def test_two_scopes_that_meet_wait(lake: LakeAddress) -> None:
    """Who wants a symbol that another run writes waits to its deadline, and is told who has it; others go on."""
    place = place_of(lake)
    with place.turns.taken(keys_of(Scope("spot", "klines", "1m", ["BTCUSDT"])), time.monotonic() + 10):  # type: ignore[attr-defined]
        put(lake, [minutes("ETHUSDT", 0, 1)])
        with pytest.raises(DatabaseBusy, match=r"a run on \S+, pid \d+, writes what this one would"):
            put(lake, [minutes("BTCUSDT", 0, 1)], wait_s=0.5)
    assert Stored(1) == put(lake, [minutes("BTCUSDT", 0, 1)])


def test_a_catalog_of_another_version(lake: LakeAddress, lakes: Lakes) -> None:
    """An older or newer DuckLake, and newer tables, are refused by name, for writing and for reading."""
    put(lake, [minutes("BTCUSDT", 0, 1)])
    for version in ("0.2", "9.0"):
        forget_lakes()
        lakes.postgres.ask(lake.name, f"UPDATE ducklake_metadata SET value = '{version}' WHERE key = 'version'")
        for look in (lambda: put(lake, [minutes("BTCUSDT", 1, 1)]), lambda: klines.read("BTCUSDT", database=lake)):
            with pytest.raises(BadDatabase, match=f"was made by another version of DuckLake.*{version}"):
                look()
    lakes.postgres.ask(lake.name, "UPDATE ducklake_metadata SET value = '1.0' WHERE key = 'version'")
    query(lake, f"UPDATE schema_version SET version = {len(STEPS) + 1}")
    forget_lakes()
    with pytest.raises(BadDatabase, match="upgrade klines"):
        put(lake, [minutes("BTCUSDT", 1, 1)])
    forget_lakes()
    with pytest.raises(BadDatabase, match="upgrade klines"):
        klines.connect(live=True, database=f"ducklake:postgres:{lake.catalog}")


def test_older_tables_are_brought_up(lake: LakeAddress) -> None:
    """Views of another version are replaced by the next who writes; who reads meanwhile brings his own."""
    query(lake, "UPDATE schema_version SET views = 'older'")
    forget_lakes()
    assert 0 == klines.coverage(database=lake).height
    put(lake, [minutes("BTCUSDT", 0, 1)])
    assert [("older",)] != query(lake, "SELECT views FROM schema_version")


def troubles(lake: LakeAddress, lakes: Lakes, bucket: Bucket) -> Iterator[tuple[str, type[KlinesError], LakeAddress]]:
    """Addresses that can't be used, each with its error and what that says."""
    catalog, port = lake.catalog, str(lakes.postgres.port)
    yield "can't be reached", DatabaseBusy, LakeAddress(catalog.replace(port, str(free_port())), lake.data)
    yield "password authentication failed", BadParameter, LakeAddress(catalog.replace("sehr", "ganz"), lake.data)
    yield "does not exist", BadParameter, LakeAddress(catalog.replace(lake.name, "nowhere"), lake.data)
    yield "has its data elsewhere", BadParameter, LakeAddress(catalog, "/somewhere/else")
    yield "needs a folder or s3://", BadParameter, LakeAddress(lakes.postgres.catalog(lakes.postgres.create()))
    yield "after ducklake:postgres: there must be", BadParameter, LakeAddress("host=x password='sehr-geheim-$")
    fresh = lakes.postgres.catalog(lakes.postgres.create())
    assert bucket.url
    yield "can't be used", BadParameter, LakeAddress(fresh, "s3://klines/forbidden")


def test_no_secret_is_ever_said(
    lake: LakeAddress, lakes: Lakes, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the password nor the bucket's keys are in a message, a traceback with all that led to it, a log, or what
    a connection says of itself."""
    caplog.set_level(logging.DEBUG)
    secrets = [PASSWORD, PASSWORD.replace("sehr", "ganz"), "geheim", SECRET_KEY, KEY, "wrong-key-of-a-bucket"]
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-key-of-a-bucket")
    for said, kind, address in troubles(lake, lakes, bucket):
        wants = [minutes(f"S{number}USDT", 0, 2000) for number in range(4)]
        with pytest.raises(kind, match=said) as raised:
            put(address, wants, wait_s=1)
        whole = "".join(traceback.format_exception(raised.value)) + str(raised.value.__context__)
        assert [] == [secret for secret in secrets if secret in whole]
    with klines.connect(database=lake) as connection:
        shown = connection.execute("SELECT * FROM duckdb_databases()").fetchall()
        shown += connection.execute("SELECT * FROM duckdb_secrets()").fetchall()
    assert [] == [secret for secret in secrets if secret in f"{shown} {caplog.text}"]


def test_a_full_disk_of_data(lakes: Lakes, small_disk: Path) -> None:
    """Where the data's disk is full nothing is half stored, and that is said; with room again all is stored."""
    name = lakes.postgres.create()
    address = LakeAddress(lakes.postgres.catalog(name), str(small_disk / "data"))
    put(address, [minutes("BTCUSDT", 0, 10)])
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(shutil.disk_usage(small_disk).free - 8192))
    many = [minutes(f"S{number}USDT", 0, 3_000, close=1.5 + number / 97) for number in range(20)]
    with pytest.raises(NoRoom, match="is full"):
        put(address, many)
    assert [(10,)] == query(address, "SELECT count(*) FROM klines")
    ballast.unlink()
    assert Stored(60_000) == put(address, many)
    forget_lakes()
    lakes.postgres.drop(name)


def test_who_reads_an_older_lake(exchange: StandIn, lake: LakeAddress) -> None:
    """A lake that has not taken the newest steps yet is read all the same, by one reader after the other; the next run
    brings it up."""
    collect_once(exchange, lake, ["BTCUSDT"])
    with place_of(lake).opened(time.monotonic() + 30) as connection:
        connection.execute("ALTER TABLE klines SET PARTITIONED BY (market, interval)")
        connection.execute("; ".join(f"ALTER TABLE klines ALTER {name} SET NOT NULL" for name in SUMS))
        tables = ("klines", "gaps", "rejects", "restatements", "audits", "ends", "doubtful", "symbols")
        connection.execute("; ".join(f"ALTER TABLE {table} DROP COLUMN kind" for table in tables))
        later = ("slots", "holes", "refused")
        connection.execute("; ".join(f"ALTER TABLE audits DROP COLUMN {name}" for name in later))
        made = re.findall(r"^CREATE TABLE (\w+)", "".join(STEPS[11:]), re.MULTILINE)
        connection.execute("; ".join(f"DROP TABLE {table}" for table in made))
        connection.execute("UPDATE schema_version SET version = 11, views = 'of old'")
    forget_lakes()
    for _ in range(2):
        assert {"klines"} == set(klines.read("BTCUSDT", database=lake)["kind"])
    forget_lakes()
    assert "Completed" == collect_once(exchange, lake, ["BTCUSDT"], market="usdm", kind="mark").state
    assert [("klines", 30), ("mark", 30)] == klines.symbols(database=lake).select("kind", "klines").rows()
