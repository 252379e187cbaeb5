"""The DuckDB file: opened while others may hold it.

Lists of symbols go into SQL as one string, split there: DuckDB's client looks for numpy anew for every element of a
Python list, which costs 0.1 s for 600 symbols.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import duckdb

from klines import settings
from klines.errors import BadDatabase, BadParameter, DatabaseBusy, NotStored
from klines.settings import Settings
from klines.storage.journal import close, mend
from klines.storage.migrations import lend_views, migrate
from klines.storage.turn import first, give_way

MEMORY = "1500MB"
"""What DuckDB may take, with its cache of the file: it would take most of the machine's."""
_TO_WRITE = f"""
    SET TimeZone = 'UTC';
    SET memory_limit = '{MEMORY}';
    SET checkpoint_threshold = '1TB';           -- klines.storage.journal makes the checkpoint, at the end
    PRAGMA disable_checkpoint_on_shutdown;
"""
_MAGIC = b"DUCK"
_HOLDER = re.compile(r"Conflicting lock is held in (?P<program>.+?) \(PID (?P<pid>\d+)\)")
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.02, 0.25
_Opened = TypeVar("_Opened")


@contextlib.contextmanager
def opened(path: Path, deadline_s: float) -> Iterator[duckdb.DuckDBPyConnection]:
    """The database for writing, created and migrated if need be, closed at the end; times are UTC.

    While another process holds the file this waits, until `deadline_s` of time.monotonic().
    Raises DatabaseBusy, BadDatabase, BadParameter.
    """
    check_place(path)
    with first(path):
        connection = _when_free(lambda: duckdb.connect(str(path)), path, deadline_s)
    try:
        connection.execute(_TO_WRITE)
        migrate(connection, path)
        yield connection
        close(connection, path)
    finally:
        connection.close()


def opened_to_read(path: Path, deadline_s: float) -> duckdb.DuckDBPyConnection:
    """The database in use, for reading, which keeps everybody who wants to write out until it is closed.

    Waits as `opened` does, and lets those who wait to write go first. Raises DatabaseBusy, BadDatabase, BadParameter.
    """
    give_way(path, deadline_s)
    return read_only(path, deadline_s)


def read_only(path: Path, deadline_s: float) -> duckdb.DuckDBPyConnection:
    """A database that is not, or only now and then, written; times are UTC. Raises as `opened_to_read`."""
    connection = _when_free(lambda: duckdb.connect(str(path), read_only=True), path, deadline_s)
    try:
        connection.execute("SET TimeZone = 'UTC'")
        lend_views(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


@contextlib.contextmanager
def attached(connection: duckdb.DuckDBPyConnection, path: Path, deadline_s: float, name: str) -> Iterator[None]:
    """The database at `path` as `name` of another connection, for reading: nobody writes it meanwhile, many may read.

    Waits as `opened` does. Raises DatabaseBusy, BadDatabase, BadParameter.
    """
    attach = f"ATTACH {quoted(path)} AS {name} (READ_ONLY)"
    give_way(path, deadline_s)
    _when_free(lambda: connection.execute(attach), path, deadline_s)
    try:
        yield
    except BaseException:
        with contextlib.suppress(duckdb.Error):  # a full disk may have ended more than the transaction
            connection.execute(f"DETACH {name}")
        raise
    connection.execute(f"DETACH {name}")


def quoted(path: Path) -> str:
    """The path as a SQL literal: statements such as ATTACH take no parameters."""
    return "'" + str(path).replace("'", "''") + "'"


@contextlib.contextmanager
def in_memory() -> Iterator[duckdb.DuckDBPyConnection]:
    """An empty database that is gone afterwards."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        migrate(connection, Path(":memory:"))
        yield connection


def settings_to_write() -> Settings:
    """The settings in force, and the database can be where they say; raises BadParameter or BadDatabase."""
    found = settings.load()
    check_place(found.database)
    return found


def check_place(path: Path) -> None:
    """Raises BadParameter or BadDatabase where no database can be at `path`; makes and locks nothing."""
    folder = path.parent
    if not folder.is_dir():
        raise BadParameter(f"KLINES_DATABASE: the folder {folder} does not exist; create it, or name another file")
    if path.is_dir():
        raise BadParameter(f"KLINES_DATABASE: {path} is a folder; name a file")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise BadParameter(f"KLINES_DATABASE: {path} is not writable for this user")
    if path.exists() and path.stat().st_size and _MAGIC not in _head(path):
        raise BadDatabase(f"KLINES_DATABASE: {path} is no DuckDB database; name one, or a file that does not exist yet")


def check_readable(path: Path) -> None:
    """Raises NotStored where there is no database at `path`, BadParameter where it can't be read.

    The file itself is not opened: closing it again would give up the lock of a connection that this process has to it.
    """
    if not path.exists():
        raise NotStored(f"there is no database at {path}; `make run` makes it, KLINES_DATABASE says where")
    if path.is_dir() or not os.access(path, os.R_OK):
        raise BadParameter(f"{path} is {'a folder' if path.is_dir() else 'not readable for this user'}")


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(16)


def _when_free(open_it: Callable[[], _Opened], path: Path, deadline_s: float) -> _Opened:
    """What `open_it` returns, as soon as nobody else has the file at `path` open, or before `deadline_s`."""
    wait_s = _FIRST_WAIT_S
    while True:
        try:
            mend(path)
            return open_it()
        except duckdb.Error as error:
            busy = _busy(error, path)
            if busy is None:
                raise _unusable(error, path) from error
            if time.monotonic() + wait_s >= deadline_s:
                raise busy from error
        time.sleep(wait_s)
        wait_s = min(wait_s * 2, _LONGEST_WAIT_S)


def _busy(error: duckdb.Error, path: Path) -> DatabaseBusy | None:
    """The error as DatabaseBusy where it says that somebody has the file open."""
    text = str(error)
    if isinstance(error, duckdb.ConnectionException):
        return DatabaseBusy(f"{path} is open in this process ({os.getpid()}) in another mode; close that connection")
    if "Could not set lock" not in text and "being used by another process" not in text:
        return None
    holder = _HOLDER.search(text)
    who = f"{Path(holder['program']).name}, pid {holder['pid']}," if holder else "another process"
    return DatabaseBusy(f"{who} has {path} open; nothing is lost: close it there, the next run catches up")


def _unusable(error: duckdb.Error, path: Path) -> BadDatabase | BadParameter | duckdb.Error:
    text = str(error)
    if "version number" in text:
        return BadDatabase(f"{path} was written by a newer DuckDB than {duckdb.__version__}; upgrade klines' packages")
    if "in-memory database" in text:  # what DuckDB makes of the name of a CSV file
        return BadDatabase(f"{path} is no DuckDB database")
    if any(sign in text for sign in ("not a valid DuckDB database", "Serialization Error", "Corrupt database")):
        return BadDatabase(f"KLINES_DATABASE: {path} is damaged: {text.splitlines()[0]}")
    if isinstance(error, duckdb.IOException):
        return BadParameter(f"KLINES_DATABASE: {path} can't be opened: {text.splitlines()[0]}")
    return error
