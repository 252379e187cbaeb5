"""A move from a file to a lake and back: everything is there afterwards, whoever writes meanwhile, whatever ends it."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import duckdb
import pytest

from klines.cli import exit_status
from klines.errors import BadDatabase, BadParameter, NoRoom
from klines.interval import INTERVALS
from klines.market import MARKETS
from klines.move.run import Move
from klines.rows import Row
from klines.settings import Address, LakeAddress
from klines.storage.access import forget_lakes, place_of
from klines.storage.database import opened
from klines.storage.lake.lake import Lake
from klines.storage.moved import MoveNote, write_note
from klines.storage.store import scope_of, store
from klines.want import Want
from klines.window import Window
from tests.children import child
from tests.drive import MINUTE, NOON, maintain_once, ms, queries, query
from tests.lakes import PASSWORD, Lakes
from tests.maintain.test_run import FILLING
from tests.storage.test_lake import minutes, put

ONE = Decimal(1)

pytestmark = pytest.mark.slow
TABLES = ("gaps", "rejects", "restatements", "archive_files", "bans", "symbols", "audits", "incidents", "theirs")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as the minutes have written it."""
    path = tmp_path_factory.mktemp("template") / "klines.duckdb"
    with opened(path, time.monotonic() + 60) as connection:
        connection.execute(FILLING.format(symbols=2, start=ms("2025-12-30"), end=NOON))
    return path


@pytest.fixture
def filled(template: Path, database: Path) -> Path:
    """A copy of it."""
    shutil.copy(template, database)
    return database


@pytest.fixture
def nowhere(lakes: Lakes, tmp_path: Path) -> Iterator[LakeAddress]:
    """A lake that nobody has made yet, with a folder of its own."""
    name = lakes.postgres.create()
    yield LakeAddress(lakes.postgres.catalog(name), str(tmp_path / "data"))
    forget_lakes()
    lakes.postgres.drop(name)


def move(source: Address, target: Address) -> str:
    """A move from beginning to end, or what is left of one; what it says."""
    with Move(place_of(source), place_of(target), NOON) as run:
        if not run.is_over:
            copied(run)
        run.finish()
        return run.said()


def copied(run: Move) -> None:
    """All that comes before the end."""
    months = run.plan().months
    run.begin()
    for month in months:
        run.copy(month)
    for month in months:
        run.verify(month)


def contents(database: Address) -> dict[str, list[tuple[Any, ...]]]:
    """The rows of every table that matters, and the certificate."""
    names = (*TABLES, "certificate", "klines")
    *others, rows = queries(database, *(f"FROM {name} ORDER BY ALL" for name in names))
    return dict(zip(names, [*(sorted(other, key=repr) for other in others), rows], strict=True))


def test_to_a_lake_and_back(filled: Path, template: Path, nowhere: LakeAddress, tmp_path: Path) -> None:
    """Every row of every table is the same in the lake, and in the file that it is moved back to; in each a month lies
    in order, so that maintenance finds nothing to do."""
    back = tmp_path / "back.duckdb"
    before = contents(template)
    said = move(filled, nowhere)
    assert said.startswith("moved 10,254 klines in 2 months, 10,254 copied now; the hashes of 8 series are the same; ")
    assert before == contents(nowhere)
    assert "nothing to do" in maintain_once(nowhere).message
    with duckdb.connect() as connection:
        for file in Path(str(nowhere.data)).glob("main/klines/**/move-*.parquet"):
            rows = connection.execute("SELECT symbol, open_time FROM read_parquet(?)", [str(file)]).fetchall()
            assert sorted(rows) == rows
    assert move(nowhere, back).startswith(
        "moved 10,254 klines in 2 months, 10,254 copied now; the hashes of 8 series are the same; "
    )
    assert before == contents(back)
    assert "nothing to do" in maintain_once(back).message


def read(database: Address, sql: str) -> list[tuple[Any, ...]]:
    """The rows of a query, also of a database that refuses to be written."""
    with place_of(database).reading(time.monotonic() + 30) as connection:
        return connection.execute(sql).fetchall()


@pytest.fixture
def small(lake: LakeAddress) -> LakeAddress:
    """A lake with two months, in files and in the catalog, and some of it restated."""
    put(lake, [minutes(f"S{n}USDT", -3 * 1440, 1200) for n in range(5)])
    put(lake, [minutes(f"S{n}USDT", 0, 3) for n in range(5)])
    put(lake, [minutes("S3USDT", -3 * 1440, 40, close=2.5)])
    return lake


def storing(pipe: Connection, database: Address) -> None:
    """In a child: store a new minute and change one of a closed month, again and again, until it is refused; it says
    how many there are."""
    for n in count():
        wants = []
        for open_ms in (NOON + n * MINUTE, ms("2025-12-30") + n * MINUTE):
            wants.append(Want("S1USDT", [Window(open_ms, open_ms + MINUTE)]))
            wants[-1].rows = [Row(open_ms, 2.0, 3.0, 0.5, 1.0, Decimal(n), open_ms + 59999, ONE, 1, ONE, ONE)]
        scope = scope_of(MARKETS["spot"], INTERVALS["1m"], wants)
        answer = partial(store, market=MARKETS["spot"], interval=INTERVALS["1m"], wants=wants, now_ms=NOON)
        place_of(database).write(time.monotonic() + 60, scope, answer)
        pipe.send(n + 1)
        time.sleep(0.1)


def written_meanwhile(source: Address, target: Address) -> None:
    """Move while a child writes, from before the beginning to the end: what it stored is there, and then it is told."""
    with child(storing, source) as writer, Move(place_of(source), place_of(target), NOON) as run:
        writer.hear()
        months = run.plan().months
        run.begin()
        for month in months:
            writer.skip()
            writer.hear()
            run.copy(month)
        for month in months:
            run.verify(month)
        run.finish()
        *_, stored, refused = writer.rest()
    assert f"KLINES_DATABASE: {source} has moved to {target}, and nothing was stored here" in refused
    changed = "symbol = 'S1USDT' AND interval = '1m' AND close = 1.0 AND open = 2.0"
    new = query(target, f"SELECT volume FROM klines WHERE {changed} AND epoch_ms(open_time) >= {NOON} ORDER BY 1")
    old = query(target, f"SELECT volume FROM klines WHERE {changed} AND epoch_ms(open_time) < {NOON} ORDER BY 1")
    assert [(float(n),) for n in range(stored)] == new == old
    assert stored <= query(target, "SELECT count(*) FROM restatements")[0][0]
    for table in ("klines", "restatements", "gaps"):
        assert read(source, f"FROM {table} ORDER BY ALL") == read(target, f"FROM {table} ORDER BY ALL")


def test_who_writes_a_file_meanwhile_loses_nothing(filled: Path, lake: LakeAddress) -> None:
    """Each minute that was stored while a file was copied, and each value that changed, is in the lake; who writes the
    file afterwards is refused in a line that says where it has gone."""
    written_meanwhile(filled, lake)


def test_who_writes_a_lake_meanwhile_loses_nothing(small: LakeAddress, tmp_path: Path) -> None:
    """The same of a lake that moves to a file."""
    written_meanwhile(small, tmp_path / "back.duckdb")


def moving(pipe: Connection, source: Address, target: Address) -> None:
    """In a child: a move, which says when it begins with each step."""
    with Move(place_of(source), place_of(target), NOON) as run:
        pipe.send("plan")
        months = run.plan().months
        pipe.send("begin")
        run.begin()
        for step in (run.copy, run.verify):
            for month in months:
                pipe.send(f"{step.__name__} {month}")
                step(month)
        pipe.send("finish")
        run.finish()


@pytest.mark.parametrize("way", ["to a lake", "to a file"])
def test_killed_in_every_step(way: str, filled: Path, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """A kill -9 in any step leaves the source in use; the next move goes on, and in the end everything is there."""
    lake = request.getfixturevalue("lake" if way == "to a lake" else "small")
    source, target = (filled, lake) if way == "to a lake" else (lake, tmp_path / "back.duckdb")
    tables = ("klines", "restatements", "gaps")
    before, moments = [read(source, f"FROM {table} ORDER BY ALL") for table in tables], random.Random(7)
    for last in ("begin", "copy 2026-01", "finish"):
        with child(moving, source, target) as run:
            while run.hear() != last:
                pass
            time.sleep(moments.uniform(0, 0.4))
    move(source, target)
    assert before == [read(target, f"FROM {table} ORDER BY ALL") for table in tables]
    assert before == [read(source, f"FROM {table} ORDER BY ALL") for table in tables]


def test_a_month_is_copied_once(filled: Path, nowhere: LakeAddress) -> None:
    """A move that ended between two months copies the second alone; what a killed one has left half written under its
    name is written over."""
    with Move(place_of(filled), place_of(nowhere), NOON) as run:
        [first, _] = run.plan().months
        run.begin()
        run.copy(first)
    [made] = Path(str(nowhere.data)).glob("main/klines/market=spot/kind=klines/interval=1m/**/move-*.parquet")
    left = made.parents[2] / "year=2026/month=1" / made.name
    left.parent.mkdir(parents=True)
    left.write_bytes(b"PAR1 half")
    assert " klines in 2 months, 4,394 copied now; " in move(filled, nowhere)
    assert left.stat().st_size > 10_000
    assert read(filled, "SELECT count(*) FROM klines") == read(nowhere, "SELECT count(*) FROM klines")
    assert [left] == [*left.parent.iterdir()]


def test_a_hash_that_differs_is_found(small: LakeAddress, tmp_path: Path) -> None:
    """A value that somebody changes in the new place is found by the hash of its series, and copied anew; klines that
    he adds are, too."""
    back = tmp_path / "back.duckdb"
    with Move(place_of(small), place_of(back), NOON) as run:
        months = run.plan().months
        run.begin()
        for month in months:
            run.copy(month)
        query(back, "UPDATE klines SET close = close + 0.25 WHERE symbol = 'S3USDT' AND open_time < '2026-01-01'")
        for month in months:
            run.verify(month)
        query(back, "DELETE FROM gaps; INSERT INTO bans SELECT 'spot', epoch_ms(0), 'it', 'is', epoch_ms(0), ''")
        run.finish()
        assert "the hashes of 5 series are the same, after what differed was copied anew: 2025-12; " in run.said()
    for table in ("klines", "gaps", "bans"):
        assert read(small, f"FROM {table} ORDER BY ALL") == read(back, f"FROM {table} ORDER BY ALL")


def test_where_something_is_already(filled: Path, lake: LakeAddress, nowhere: LakeAddress, tmp_path: Path) -> None:
    """A place that holds anything, that another move fills, or of the same kind is refused before anything is done; a
    second move from the same place says that it has moved."""
    put(lake, [minutes("BTCUSDT", 0, 1)])
    for target, said in (
        (lake, "is not empty, it has 1 row in its table klines; nothing was copied"),
        (tmp_path / "other.duckdb", "is of the same kind as"),
        (LakeAddress(nowhere.catalog), "--data: a new lake needs a folder or s3://bucket/path"),
    ):
        with pytest.raises(BadParameter, match=said):
            move(filled, target)
    assert not (tmp_path / "other.duckdb").exists()
    assert not place_of(nowhere).exists()
    assert [(1,)] == query(lake, "SELECT count(*) FROM klines")
    query(lake, "DELETE FROM klines; DELETE FROM gaps")
    write_note_apart(lake, MoveNote("from", "/elsewhere.duckdb", "1"))
    with pytest.raises(BadParameter, match=r"is being filled from /elsewhere\.duckdb"):
        move(filled, lake)


def write_note_apart(lake: LakeAddress, note: MoveNote) -> None:
    """Leave a note in a lake."""
    place = place_of(lake)
    assert isinstance(place, Lake)
    place.alone(time.monotonic() + 30, lambda cursor: write_note(cursor, note))


def test_too_little_room(filled: Path, nowhere: LakeAddress, small_disk: Path) -> None:
    """A disk without room is refused, with how much is needed, before anything is made."""
    (small_disk / "ballast").write_bytes(bytes(shutil.disk_usage(small_disk).free - 200_000))
    with pytest.raises(
        NoRoom, match=r"has 0\.2 MB free, and this needs up to \d\.\d MB there: nothing was done; make room first"
    ):
        move(filled, LakeAddress(nowhere.catalog, str(small_disk / "data")))
    assert not place_of(nowhere).exists()


def test_the_command(
    filled: Path, nowhere: LakeAddress, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`klines move` says what it will do, what it did and what to set; with --dry-run it does nothing; none of it has a
    password. Where it was killed when the old place was closed and the new one not yet open, neither can be written;
    the same command opens the new one."""
    monkeypatch.setenv("KLINES_DATABASE", str(filled))
    words = ["move", "--to", f"ducklake:postgres:{nowhere.catalog}", "--data", str(nowhere.data)]
    assert 0 == exit_status([*words, "--dry-run"])
    assert not place_of(nowhere).exists()
    assert 0 == exit_status(words)
    write_note_apart(nowhere, MoveNote("from", str(filled), "1"))
    with pytest.raises(BadDatabase, match="is being filled from"):
        put(nowhere, [minutes("BTCUSDT", 0, 1)])
    assert 0 == exit_status(words)
    put(nowhere, [minutes("BTCUSDT", 0, 1)])
    assert 1 == exit_status(["move", "--to", "ducklake:postgres:dbname=elsewhere", "--data", str(nowhere.data)])
    said, wrong = capsys.readouterr()
    assert "10,254 klines in 2 months, 2025-12 to 2026-01" in said
    assert "moved 10,254 klines in 2 months, 10,254 copied now" in said
    assert f"    KLINES_DATA_PATH={nowhere.data}\n" in said
    assert f"{filled} had moved to {nowhere} already" in said
    assert f"klines: KLINES_DATABASE: {filled} has moved to {nowhere}, and nothing was stored here" in wrong
    assert PASSWORD not in said + wrong
