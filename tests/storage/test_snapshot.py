"""Snapshots: one consistent state of everything, that keeps nobody out, whoever writes and whatever ends early."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path

import duckdb
import pytest

import klines
from klines.errors import BadParameter, DatabaseBusy, NoRoom
from klines.storage.database import opened
from klines.storage.duplicate import cloned
from klines.storage.snapshot import take
from tests.children import Child, child
from tests.drive import collect_once, query
from tests.exchange import StandIn

COUNT = "SELECT count(*) FROM klines"
NOW = timedelta(0)


@pytest.fixture
def minutes(exchange: StandIn, database: Path) -> Path:
    """Half an hour of two symbols."""
    collect_once(exchange, database, ["BTCUSDT", "ETHUSDT"])
    return database


def snapshots(database: Path) -> list[Path]:
    """All that lies in the folder for snapshots."""
    return sorted(database.with_name(f"{database.name}.snapshots").iterdir())


def later(exchange: StandIn, database: Path) -> None:
    """Another minute is collected."""
    exchange.freeze(exchange.now_ms() + 60_000)
    assert "Completed" == collect_once(exchange, database, ["BTCUSDT", "ETHUSDT"]).state


def test_a_snapshot_keeps_nobody_out_and_stays_as_it_is(exchange: StandIn, minutes: Path) -> None:
    """While it is open the next minute is stored; it goes on showing the state of which it is."""
    with klines.connect(database=minutes) as snapshot:
        later(exchange, minutes)
        assert [(60,)] == snapshot.sql(COUNT).fetchall()
    assert [(62,)] == query(minutes, COUNT)


def test_a_young_one_is_shared_and_an_old_one_replaced(exchange: StandIn, minutes: Path) -> None:
    """One made within `max_age` is opened again; else a new one takes its place, in this process, too, and whoever has
    the old one open keeps it although its file is gone."""
    with klines.connect(database=minutes) as first:
        [made] = snapshots(minutes)
        later(exchange, minutes)
        with klines.connect(max_age="PT1H", database=minutes) as again:
            assert [(60,)] == again.sql(COUNT).fetchall()
        assert [made] == snapshots(minutes)
        with klines.connect(max_age=NOW, database=minutes) as new:
            assert [(62,)] == new.sql(COUNT).fetchall()
        assert [(60,)] == first.sql(COUNT).fetchall()
    assert made not in snapshots(minutes)
    assert 1 == len(snapshots(minutes))


def fixed(database: Path) -> Path:
    """Where other programs find the newest one."""
    return database.with_name(f"{database.name}.snapshot.duckdb")


def test_other_programs_find_the_newest_at_a_path_that_stays(exchange: StandIn, minutes: Path) -> None:
    """It is replaced by each new one, nobody may write it, and who has the one before open goes on reading that."""
    klines.connect(database=minutes).close()
    with duckdb.connect(str(fixed(minutes)), read_only=True) as other:
        later(exchange, minutes)
        log = fixed(minutes).with_name(f"{fixed(minutes).name}.wal")
        log.write_bytes(b"of who wrote it all the same")
        klines.connect(max_age=NOW, database=minutes).close()
        assert not log.exists()
        assert [(60,)] == other.sql(COUNT).fetchall()
    assert [(62,)] == query(fixed(minutes), COUNT)
    assert 0 == fixed(minutes).stat().st_mode & 0o222


def test_the_path_that_stays_is_mended(minutes: Path) -> None:
    """It is put back by whoever reads next; what else is there is named, is left alone, and keeps no reader out of a
    snapshot that is there."""
    klines.connect(database=minutes).close()
    fixed(minutes).unlink()
    klines.connect(database=minutes).close()
    assert [(60,)] == query(fixed(minutes), COUNT)
    fixed(minutes).unlink()
    fixed(minutes).mkdir()
    with pytest.raises(BadParameter, match=r"snapshot\.duckdb, where other programs .* move away what is there"):
        klines.connect(max_age=NOW, database=minutes)
    klines.connect(database=minutes).close()
    assert fixed(minutes).is_dir()
    assert [] == list(minutes.parent.glob("*.new"))


def test_a_clone_is_whole_or_not_there(minutes: Path) -> None:
    """Where the file system has clones it is the same as the file; where it has none, nothing is left."""
    clone = minutes.with_name("clone")
    assert cloned(minutes, clone) == clone.exists()
    assert not clone.exists() or clone.read_bytes() == minutes.read_bytes()


def test_it_can_only_be_read_and_is_in_utc(minutes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both connections are in UTC, wherever the machine is, and refuse to write."""
    monkeypatch.setenv("TZ", "America/New_York")
    for live in (False, True):
        with klines.connect(live=live, database=minutes) as connection:
            assert [("UTC",)] == connection.sql("SELECT current_setting('TimeZone')").fetchall()
            with pytest.raises(duckdb.InvalidInputException, match="read-only"):
                connection.execute("DELETE FROM klines")


def opening(_: Connection, database: Path) -> None:
    """In a child: open the file, now or not at all."""
    with opened(database, 0):
        pass


def test_live_holds_the_file_until_it_is_closed(exchange: StandIn, minutes: Path) -> None:
    """While the live file is open a run has to wait, and is DatabaseBusy at its deadline; afterwards it catches up. To
    read meanwhile, and to make a snapshot, does not let go of it: closing a file gives up a process's locks on it."""
    with klines.connect(live=True, database=minutes) as live:
        klines.read("BTCUSDT", database=minutes)
        klines.connect(max_age=NOW, database=minutes).close()
        with child(opening, minutes) as other:
            assert other.hear().startswith("DatabaseBusy: ")
        assert [(60,)] == live.sql(COUNT).fetchall()
    later(exchange, minutes)


def test_two_at_once_make_one(minutes: Path) -> None:
    """Who comes while one is made waits for it, and opens the same."""
    with ThreadPoolExecutor(4) as threads:
        taken = list(threads.map(lambda _: take(minutes, datetime.now(UTC) - timedelta(hours=1)), range(4)))
    assert set(taken) == set(snapshots(minutes))
    assert 1 == len(set(taken))


def rewriting(pipe: Connection, database: Path, pause_s: float) -> None:
    """In a child: write all the time, in each transaction to a table, and another that is to be the same."""
    while True:
        with opened(database, time.monotonic() + 60) as connection:
            connection.begin()
            connection.execute("INSERT INTO one SELECT random() FROM range(20000)")
            connection.execute("DELETE FROM two; INSERT INTO two FROM one")
            connection.commit()
        pipe.send("written")
        time.sleep(pause_s)


@contextmanager
def writing(database: Path, pause_s: float) -> Iterator[Child]:
    """A process that writes all the time, and has written once."""
    query(database, "CREATE TABLE one AS SELECT random() AS value; CREATE TABLE two AS FROM one")
    with child(rewriting, database, pause_s) as writer:
        assert "written" == writer.hear()
        yield writer


@pytest.mark.parametrize("pause_s", [0.1, 0.4])
def test_it_is_consistent_whoever_writes(minutes: Path, pause_s: float) -> None:
    """Made while another process writes all the time, it has whole transactions only."""
    with writing(minutes, pause_s):
        for _ in range(6):
            with klines.connect(max_age=NOW, database=minutes) as snapshot:
                one, two = (
                    snapshot.sql(f"SELECT count(*), sum(hash(value)) FROM {which}").fetchall()
                    for which in ("one", "two")
                )
                assert one == two


def writing_and_dying(_: Connection, database: Path, sql: str) -> None:
    """In a child: write, and be gone without closing the file."""
    connection = duckdb.connect(str(database))
    connection.execute("SET checkpoint_threshold = '1GB'")
    connection.execute(sql)
    os._exit(1)


def test_what_a_killed_writer_left_is_in_it(minutes: Path) -> None:
    """What was committed before a kill -9 lies in a log beside the file; the snapshot has it, and needs no log."""
    with child(writing_and_dying, minutes, "DELETE FROM klines WHERE symbol = 'ETHUSDT'") as writer:
        assert 1 == writer.exit_code()
    assert Path(f"{minutes}.wal").exists()
    with klines.connect(max_age=NOW, database=minutes) as snapshot:
        assert [(30,)] == snapshot.sql(COUNT).fetchall()
    assert [".duckdb"] == [path.suffix for path in snapshots(minutes)]


def test_one_that_was_not_completed_is_removed(minutes: Path) -> None:
    """A process that was killed leaves a part, which nobody opens; the next one removes it."""
    folder = minutes.with_name(f"{minutes.name}.snapshots")
    folder.mkdir()
    for name in ("new", "new.wal"):
        (folder / name).write_bytes(b"half")
    with klines.connect(database=minutes) as snapshot:
        assert [(60,)] == snapshot.sql(COUNT).fetchall()
    assert [".duckdb"] == [path.suffix for path in snapshots(minutes)]


def test_disk_full(exchange: StandIn, small_disk: Path) -> None:
    """Without room for a snapshot the error says how much it needs; what there was stays, and with room it is made."""
    subprocess.run(["mount", "-o", "remount,size=20m", str(small_disk)], check=True)
    database, ballast = small_disk / "klines.duckdb", small_disk / "ballast"
    collect_once(exchange, database, ["BTCUSDT", "ETHUSDT"])
    with klines.connect(database=database):
        before = snapshots(database)
    ballast.write_bytes(bytes(shutil.disk_usage(small_disk).free - 100_000))
    with pytest.raises(NoRoom, match=r"MB free, and a snapshot of klines\.duckdb needs .* make room"):
        klines.connect(max_age=NOW, database=database)
    assert before == snapshots(database)
    ballast.unlink()
    with klines.connect(max_age=NOW, database=database) as snapshot:
        assert [(60,)] == snapshot.sql(COUNT).fetchall()


def test_a_new_file_in_its_place_is_another_state(exchange: StandIn, minutes: Path) -> None:
    """After maintenance has put a new file in place, the next snapshot is of that."""
    klines.connect(database=minutes).close()
    other = minutes.with_name("other.duckdb")
    collect_once(exchange, other, ["BTCUSDT"])
    other.replace(minutes)
    with klines.connect(max_age=NOW, database=minutes) as snapshot:
        assert [(30,)] == snapshot.sql(COUNT).fetchall()


def test_a_snapshot_waits_for_who_writes(minutes: Path) -> None:
    """A file that is written until the deadline is DatabaseBusy, with the writer's name, and leaves nothing behind."""
    with opened(minutes, time.monotonic() + 60), pytest.raises(DatabaseBusy, match="pid"):
        take(minutes, datetime.now(UTC), wait_s=0.5)
    assert [] == snapshots(minutes)


def test_a_file_has_no_past(minutes: Path) -> None:
    """`at` is refused in one line that says where there is one; so it is beside `live`."""
    with pytest.raises(BadParameter, match="is a file, which is only as it is now; a lake can be read as it was"):
        klines.connect(at="2026-01-01", database=minutes)
    with pytest.raises(BadParameter, match="leave one of the two out"):
        klines.connect(at="2026-01-01", live=True, database=minutes)
