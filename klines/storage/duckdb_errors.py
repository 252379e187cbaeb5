"""DuckDB's errors as ours, with a next step: the file is busy, damaged, too new, or the disk is full."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import duckdb

from klines.errors import BadDatabase, BadParameter, DatabaseBusy, KlinesError, NoRoom
from klines.storage.places import way_out

_CONFLICT = "Conflicting lock is held"
_SAME_PROCESS = ("different configuration", "Unique file handle conflict")
"""What DuckDB says where the process itself has the file open in another mode, or attached to another connection."""
_HOLDER = re.compile(_CONFLICT + r" in (?P<program>.+?) \(PID (?P<pid>\d+)\)")
_FULL = ("No space left on device", "Disk quota exceeded", "could not write all bytes", "not enough space")
_DAMAGE = ("not a valid DuckDB database", "Corrupt database", "Could not read enough bytes", "checksum", "corrupt")


@contextlib.contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """What DuckDB raises because of the file at `path` is raised as ours; a mistake in SQL stays what it is."""
    try:
        yield
    except duckdb.Error as error:
        known = busy(error, path) or unusable(error, path)
        if known is None:
            raise
        raise known from error
    except RuntimeError as error:
        if raised := by_signal(error):
            raise raised from None
        raise


def by_signal(error: RuntimeError) -> BaseException | None:
    """What a signal's handler raised during a query, such as KeyboardInterrupt or a flow's timeout: DuckDB says only
    that the query was interrupted."""
    return error.__cause__ if str(error) == "Query interrupted" else None


def busy(error: duckdb.Error, path: Path) -> DatabaseBusy | None:
    """The error as DatabaseBusy where it says that somebody has the file open."""
    text = str(error)
    if any(sign in text for sign in _SAME_PROCESS):
        return DatabaseBusy(f"{path} is open in this process ({os.getpid()}) in another way; close that connection")
    if _CONFLICT not in text and "being used by another process" not in text:
        return None
    holder = _HOLDER.search(text)
    if holder is None and not has_locks(path):
        return None
    who = f"{Path(holder['program']).name}, pid {holder['pid']}," if holder else "another process"
    return DatabaseBusy(f"{who} has {path} open; nothing is lost: close it there")


def unusable(error: duckdb.Error, path: Path) -> KlinesError | None:
    """The error as one of ours where the file, its disk or its file system is the cause."""
    text = str(error)
    said = text.splitlines()[0] if text else type(error).__name__
    if "Could not set lock" in text:
        return BadParameter(
            f"KLINES_DATABASE: {path} can't be locked: its file system, such as a network share, has no locks, and "
            "without them two programs would spoil it; put the file on a local disk"
        )
    if any(sign in text for sign in _FULL):
        return NoRoom(f"the disk of {path} is full ({said}): nothing stored is lost; make room")
    if isinstance(error, duckdb.OutOfMemoryException):
        return NoRoom(f"DuckDB has too little memory for {path}: {said}; nothing stored is lost")
    if "version number" in text:
        return BadDatabase(f"{path} was written by a newer DuckDB than {duckdb.__version__}; upgrade klines' packages")
    if "in-memory database" in text:  # what DuckDB makes of the name of a CSV file
        return BadDatabase(f"{path} is no DuckDB database")
    if isinstance(error, duckdb.CatalogException | duckdb.BinderException):
        return BadDatabase(
            f"KLINES_DATABASE: {path} has not the tables, or their columns, of a klines database: {said}; "
            f"{way_out(path)}"
        )
    is_broken = isinstance(error, duckdb.SerializationException | duckdb.InternalException | duckdb.FatalException)
    if is_broken or any(sign in text for sign in _DAMAGE):
        return BadDatabase(f"KLINES_DATABASE: {path} is damaged: {said}; {way_out(path)}")
    if isinstance(error, duckdb.IOException):
        return BadParameter(f"KLINES_DATABASE: {path} can't be used: {said}")
    return None


def has_locks(path: Path) -> bool:
    """Whether files beside `path` can be locked; so it is taken to be where none can be made."""
    try:
        probe = tempfile.NamedTemporaryFile(dir=path.parent, prefix=f"{path.name}.")  # noqa: SIM115 - closed below
    except OSError:
        return True
    with probe:
        try:
            fcntl.lockf(probe, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
    return True
