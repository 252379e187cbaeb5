"""Opening the file: created, migrated, waited for while others hold it, refused in a sentence when it can't be used."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import duckdb
import pytest

from klines.errors import BadDatabase, BadParameter, DatabaseBusy
from klines.storage.access import place_of
from klines.storage.beside import Beside
from klines.storage.database import opened
from tests.children import child


def holding(pipe: Connection, path: Path, mode: str, seconds: float | None) -> None:
    """In a child: have the file open for so long, None: for ever."""
    with contextlib.closing(duckdb.connect(str(path), read_only=mode == "read")):
        pipe.send("held")
        pipe.poll(seconds)
    pipe.poll(None)


@contextmanager
def held(path: Path, mode: str, seconds: float | None = None) -> Iterator[int]:
    """Another process that has the file open for so long, None: to the end of the block; its pid."""
    with child(holding, path, mode, seconds) as holder:
        assert holder.hear() == "held"
        yield holder.pid


def soon(seconds: float = 0.4) -> float:
    """A deadline."""
    return time.monotonic() + seconds


def make(path: Path) -> Path:
    """A database of ours."""
    with opened(path, soon(5)):
        pass
    return path


def test_new_file_has_the_contracts_tables(database: Path) -> None:
    """A file that does not exist is created with all tables, and its session counts in UTC."""
    with opened(database, soon()) as connection:
        tables = {name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
        [(zone,)] = connection.execute("SELECT current_setting('TimeZone')").fetchall()

    assert {"klines", "gaps", "rejects", "restatements", "archive_files", "bans"} <= tables
    assert zone == "UTC"


@pytest.mark.parametrize("mode", ["read", "write"])
def test_held_file_is_waited_for_until_the_deadline_then_names_the_holder(database: Path, mode: str) -> None:
    """Until the deadline the lock is waited for; the error names the other program and its pid."""
    with held(make(database), mode) as pid, pytest.raises(DatabaseBusy) as busy, opened(database, soon()):
        pass

    assert f"pid {pid}," in str(busy.value)
    assert "python" in str(busy.value)


def test_file_that_becomes_free_in_time_is_opened(database: Path) -> None:
    """A reader that lets go before the deadline costs waiting, nothing else."""
    make(database)
    with contextlib.ExitStack() as reader:
        reader.enter_context(held(database, "read"))
        timer = threading.Timer(1.0, reader.close)
        timer.start()
        with opened(database, soon(20)) as connection:
            assert connection.execute("SELECT count(*) FROM klines").fetchall() == [(0,)]
        timer.join()


def test_connection_of_this_very_process_in_another_mode_is_named(database: Path) -> None:
    """DuckDB reports a read-only connection of the same process differently; it is DatabaseBusy all the same."""
    make(database)
    with (
        duckdb.connect(str(database), read_only=True),
        pytest.raises(DatabaseBusy, match="this process"),
        opened(database, soon()),
    ):
        pass


def test_attached_to_a_connection_of_this_very_process_is_busy(database: Path) -> None:
    """A thread that opens the file while another has it attached waits for it, and does not take it for damaged."""
    make(database)
    with duckdb.connect() as other:
        other.execute(f"ATTACH '{database}' AS other")
        with pytest.raises(DatabaseBusy, match="this process"), opened(database, soon()):
            pass


def test_file_that_is_no_database_is_refused_and_left_alone(database: Path) -> None:
    """A file of another kind is never written to."""
    database.write_text("open,high,low\n" * 1000)
    with pytest.raises(BadDatabase, match="no DuckDB database"), opened(database, soon()):
        pass

    assert database.read_text() == "open,high,low\n" * 1000


def test_database_of_a_newer_version_is_refused(database: Path) -> None:
    """A schema with more steps than this version knows is refused with what to do, not migrated down."""
    with duckdb.connect(str(make(database))) as connection:
        connection.execute("UPDATE schema_version SET version = version + 1")
    with pytest.raises(BadDatabase, match="upgrade klines"), opened(database, soon()):
        pass


def test_foreign_database_with_a_table_of_our_name_is_refused(database: Path) -> None:
    """A database of somebody else's that has a table `klines` is not ours to migrate."""
    with duckdb.connect(str(database)) as connection:
        connection.execute("CREATE TABLE klines (a INTEGER)")
    with pytest.raises(BadDatabase, match="not ours"), opened(database, soon()):
        pass


def test_missing_folder_is_named(database: Path) -> None:
    """A path whose folder is missing is refused with the setting's name; no folder is made."""
    with (
        pytest.raises(BadParameter, match=r"KLINES_DATABASE: the folder .* does not exist"),
        opened(database.parent / "no" / "file.duckdb", soon()),
    ):
        pass

    assert not (database.parent / "no").exists()


def test_folder_in_place_of_a_file_is_named(tmp_path: Path) -> None:
    """A path that is a folder is refused with the setting's name."""
    with pytest.raises(BadParameter, match="is a folder"), opened(tmp_path, soon()):
        pass


def test_what_a_killed_run_has_left_goes(database: Path) -> None:
    """A folder of a maintenance or a move that was killed goes with the next opening; one that somebody has locked, or
    has made just now, stays."""
    with Beside(make(database)) as running:
        os.utime(running.folder, (0, 0))
        make(database)
        assert running.folder.is_dir()
    for age_s, stays in ((0, True), (3600, False)):
        running.folder.mkdir(exist_ok=True)
        (running.folder / "new.duckdb").write_bytes(b"half")
        os.utime(running.folder, (time.time() - age_s,) * 2)
        make(database)
        assert stays == running.folder.exists()


class Ended(Exception):
    """What a signal's handler raises."""


@pytest.mark.parametrize("where", ["database", "lake"])
def test_what_a_signal_raises_is_raised_as_itself(where: str, request: pytest.FixtureRequest) -> None:
    """Ctrl-C or a flow's timeout during a query is no error of DuckDB, which says only that it was interrupted."""
    place = place_of(request.getfixturevalue(where))

    def ended(*_: object) -> None:
        raise Ended

    def ask(connection: duckdb.DuckDBPyConnection) -> None:
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        connection.execute("SELECT count(*) FROM range(30_000_000_000) t(n) WHERE n % 7 = 3").fetchall()

    before = signal.signal(signal.SIGUSR1, ended)
    try:
        with pytest.raises(Ended), place.opened(soon(60)) as connection:
            ask(connection)
    finally:
        signal.signal(signal.SIGUSR1, before)
