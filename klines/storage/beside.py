"""A new database file, built beside the one in use and put in its place when it is whole.

Everything half done lies in one folder, `<database>.maintain`, which goes at the end, however that comes; after a
kill -9 whoever next opens the database removes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import duckdb

from klines.errors import BadParameter, DatabaseBusy
from klines.storage.literal import literal

MEMORY, THREADS = "1000MB", 4
"""What DuckDB may take; each thread that writes takes some more, so that there are no more than these."""
LOG_BYTES, LOGGED_BYTES = 2**27, 160
"""How long DuckDB's logs may get, of the new file and of what is staged, before a checkpoint, which writes each row
group again that is not full; and what a kline takes in one."""
LATE_S = 0.1
"""A process that opened the old file before it was replaced has tried to lock it by then, and opens the new one."""
BEGINNING_S = 60.0
"""A folder that is younger may have been made by somebody who has not locked it yet."""
_MAGIC_AT, _NO_MAGIC = 8, b"GONE"


class Beside:
    """Use as `with`; one at a time for a database, whatever links lead to it.

    `connection`, which `connect` makes, has the new file as `beside`, from `create` to `replace`.
    """

    def __init__(self, database: Path, connect: Callable[[], duckdb.DuckDBPyConnection] = duckdb.connect) -> None:
        self._connect = connect
        self.target = database.resolve()
        self.folder = _folder_of(database)
        self.connection: duckdb.DuckDBPyConnection
        self._new = self.folder / "new.duckdb"

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._own_folder())
            self.connection = stack.enter_context(self._connect())
            temporary, threads = literal(self.folder / "temporary"), most_threads()
            self.connection.execute(
                f"SET TimeZone = 'UTC'; SET enable_progress_bar = false; SET temp_directory = {temporary}"
            )
            self.connection.execute(f"SET memory_limit = '{MEMORY}'; SET threads = {threads}")
            self.connection.execute(f"SET checkpoint_threshold = '{LOG_BYTES}B'")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    @contextlib.contextmanager
    def _own_folder(self) -> Iterator[None]:
        """The empty folder, this process's alone until it is removed at the end."""
        try:
            self.folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise BadParameter(f"KLINES_DATABASE: beside it {self.folder} can't be made: {error.strerror}") from None
        with self._locked():
            try:
                for path in self.folder.iterdir():
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
                yield
            finally:
                shutil.rmtree(self.folder, ignore_errors=True)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            self._lock(folder)
            yield
        finally:
            os.close(folder)

    def _lock(self, folder: int) -> None:
        """Lock the open folder; one that somebody else has removed meanwhile is not locked by that."""
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(folder).st_nlink:
                return
        raise DatabaseBusy(f"{self.target} is being maintained or moved by another process; let it end")

    def create(self) -> None:
        """The new file, empty, with the storage format, schema and access rights of `live`, which is held."""
        [(version,)] = self.connection.execute(
            "SELECT tags['storage_version'] FROM duckdb_databases() WHERE database_name = 'live'"
        ).fetchall()
        options = f"STORAGE_VERSION '{version.rstrip('+')}'"
        self.connection.execute(f"ATTACH {literal(self._new)} AS beside ({options})")
        self.connection.execute("COPY FROM DATABASE live TO beside (SCHEMA)")
        old = self.target.stat()
        try:
            os.chown(self._new, old.st_uid, old.st_gid)
        except PermissionError:
            raise BadParameter(f"{self.target} belongs to another user; run maintain as its owner") from None
        self._new.chmod(old.st_mode & 0o7777)

    @contextlib.contextmanager
    def staging(self) -> Iterator[None]:
        """A file for klines that are to be sorted, as `staging`; it takes no room in the new one."""
        path = self.folder / "staging.duckdb"
        self.connection.execute(f"ATTACH {literal(path)} AS staging")
        self.connection.execute("CREATE TABLE staging.klines AS FROM beside.klines LIMIT 0")
        yield
        self.connection.execute("DROP TABLE staging.klines; DETACH staging")
        path.unlink()

    def settle(self) -> None:
        """Write out what is in the new file so far: then little is left to write while the old one is held."""
        self.connection.execute("CHECKPOINT beside")
        _sync(self._new)

    def replace(self) -> None:
        """Put the new file, complete, in the place of the old one, which the caller holds.

        Whoever opened the old file before, and locks it only after it is let go, would write where nobody reads: to
        them it is no database any more, unless it has another name. Who reads it still goes on reading.
        """
        self.connection.execute("CHECKPOINT beside; DETACH beside")
        _sync(self._new)
        old = os.open(self.target, os.O_WRONLY)
        try:
            self._new.replace(self.target)
            _sync(self.target.parent)
            time.sleep(LATE_S)
            if os.fstat(old).st_nlink == 0:
                os.pwrite(old, _NO_MAGIC, _MAGIC_AT)
        finally:
            os.close(old)  # which gives up the lock on the old file


def most_threads() -> int:
    """How many threads of DuckDB work on what is large."""
    return min(THREADS, os.cpu_count() or 1)


def logged(klines: int) -> int:
    """Bytes that both logs take at most while so many are copied."""
    return 2 * min(LOG_BYTES, klines * LOGGED_BYTES)


def remove_left_over(database: Path) -> None:
    """Remove what a process that was killed has left beside the database: a folder that nobody has locked, and that
    was not made just now by somebody who is about to."""
    folder = _folder_of(database)
    with contextlib.suppress(OSError):
        if time.time() - folder.stat().st_mtime < BEGINNING_S:
            return
        opened = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder)
        finally:
            os.close(opened)


def _folder_of(database: Path) -> Path:
    target = database.resolve()
    return target.with_name(f"{target.name}.maintain")


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
