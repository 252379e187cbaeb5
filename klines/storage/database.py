"""The DuckDB file: opened while others may hold it.

Lists of symbols go into SQL as one string, split there: DuckDB's client looks for numpy anew for every element of a
Python list, which costs 0.1 s for 600 symbols.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import duckdb

from klines.errors import DatabaseBusy
from klines.storage.beside import remove_left_over
from klines.storage.duckdb_errors import named_errors
from klines.storage.journal import close, mend
from klines.storage.literal import literal
from klines.storage.moved import check_not_moved
from klines.storage.places import check_not_lost, check_place, note
from klines.storage.schema.format import CREATED, is_older, reformat
from klines.storage.schema.migrations import lend_views, migrate
from klines.storage.turn import first, give_way
from klines.tables.sound import FEW, check_rows, having_rows

MEMORY = "1500MB"
"""What DuckDB may take, with its cache of the file: it would take most of the machine's."""
_KEEP_LOG = """
    SET checkpoint_threshold = '1TB';           -- klines.storage.journal makes the checkpoint, at the end
    PRAGMA disable_checkpoint_on_shutdown;
"""
_QUIET = "SET TimeZone = 'UTC'; SET enable_progress_bar = false"
"""What takes longer than two seconds would draw a bar on stdout, into what `--json` prints."""
_TO_WRITE = f"{_QUIET}; SET memory_limit = '{MEMORY}'; {_KEEP_LOG}"
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.02, 0.25
_Opened = TypeVar("_Opened")
_Look = tuple[tuple[int, int, int] | None, ...]
_left: dict[Path, _Look] = {}
"""How this process has left a database: one that nobody has written since has no rows that are not ours."""


@contextlib.contextmanager
def opened(path: Path, deadline_s: float) -> Iterator[duckdb.DuckDBPyConnection]:
    """The database for writing, created and migrated if need be, closed at the end; times are UTC.

    While another process holds the file this waits, until `deadline_s` of time.monotonic().
    Raises DatabaseBusy, BadDatabase, BadParameter, NoRoom; so does what is executed, where the file is the cause.
    """
    check_place(path)
    check_not_lost(path)
    remove_left_over(path)
    with first(path):
        is_as_left = _left.pop(path, ()) == _look(path)
        connection = _when_free(lambda: _connected(path), path, deadline_s)
    try:
        with named_errors(path):
            connection.execute(_TO_WRITE)
            check_not_moved(connection, path)
            migrate(connection, path)
            is_to_reformat = not is_as_left and is_older(connection)
            if not is_as_left:
                check_rows(connection, path, having_rows(connection, FEW))
            note(path)
            yield connection
            close(connection, path)
            if is_to_reformat:
                reformat(path)
            _left[path] = _look(path)
    finally:
        connection.close()


def _connected(path: Path) -> duckdb.DuckDBPyConnection:
    """A file that is there is opened as it is: one process can't have two connections to it with other settings."""
    return duckdb.connect(str(path), config={} if path.exists() else CREATED)


def _look(path: Path) -> _Look:
    """What is different of a database and its log once somebody has written it."""
    found: list[tuple[int, int, int] | None] = []
    for file in (path, path.with_name(f"{path.name}.wal")):
        try:
            at = file.stat()
            found.append((at.st_ino, at.st_size, at.st_mtime_ns))
        except OSError:
            found.append(None)
    return tuple(found)


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
        with named_errors(path):
            connection.execute(_QUIET)
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
    attach = f"ATTACH {literal(path)} AS {name} (READ_ONLY)"
    give_way(path, deadline_s)
    _when_free(lambda: connection.execute(attach), path, deadline_s)
    try:
        with named_errors(path):
            yield
    except BaseException:
        with contextlib.suppress(duckdb.Error):  # a full disk may have ended more than the transaction
            connection.execute(f"DETACH {name}")
        raise
    connection.execute(f"DETACH {name}")


@contextlib.contextmanager
def attached_to_write(
    connection: duckdb.DuckDBPyConnection, path: Path, deadline_s: float, name: str
) -> Iterator[None]:
    """The database at `path` as `name` of another connection, for this process alone, which may write it.

    It is taken as it is, neither migrated nor refused where it has moved. Waits and raises as `attached`.
    """
    connection.execute(_KEEP_LOG)
    with first(path):
        _when_free(lambda: connection.execute(f"ATTACH {literal(path)} AS {name}"), path, deadline_s)
    try:
        with named_errors(path):
            yield
            close(connection, path, name)
    except BaseException:
        with contextlib.suppress(duckdb.Error):  # it may be detached already
            connection.execute(f"DETACH {name}")
        raise


@contextlib.contextmanager
def in_memory() -> Iterator[duckdb.DuckDBPyConnection]:
    """An empty database that is gone afterwards."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        migrate(connection, Path(":memory:"))
        yield connection


def _when_free(open_it: Callable[[], _Opened], path: Path, deadline_s: float) -> _Opened:
    """What `open_it` returns, as soon as nobody else has the file at `path` open, or before `deadline_s`."""
    wait_s = _FIRST_WAIT_S
    while True:
        try:
            mend(path)
            with named_errors(path):
                return open_it()
        except DatabaseBusy:
            if time.monotonic() + wait_s >= deadline_s:
                raise
        time.sleep(wait_s)
        wait_s = min(wait_s * 2, _LONGEST_WAIT_S)
