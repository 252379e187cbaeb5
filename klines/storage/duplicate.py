"""A consistent copy of the database in use, which keeps those who write it out only for moments.

    python -m klines.storage.duplicate DATABASE COPY SECONDS

Where the file system can clone files (Btrfs, XFS), it is a clone, made at once. Else the file is copied while nobody is
kept out, and compared until it did not change during a whole pass: who writes has it for a moment every minute. A pass
after the first writes only what differs. If somebody writes all the time, the file is held during the last one. On
failure, the error's name and text are printed as JSON.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb

from klines.errors import BadDatabase, KlinesError, NoRoom
from klines.storage.database import opened_to_read
from klines.storage.duckdb_errors import named_errors
from klines.storage.places import way_out
from klines.storage.turn import Patience

PASSES = 4
"""How often it is tried without holding the file."""
_CHUNK = 2**22
_FICLONE = 0x40049409
"""Linux (ioctl_ficlonerange(2)): have the content of another file, until one of the two is written."""
State = tuple[tuple[int, int, int], ...]


def duplicate(database: Path, copy: Path, wait_s: float) -> None:
    """Make `copy`, complete and on disk; `database` is not open in this process. Others may have it for `wait_s`.

    Raises NoRoom, DatabaseBusy, BadDatabase.
    """
    try:
        _copy(database, copy, wait_s)
        if _log(copy).exists():
            with named_errors(database):
                duckdb.connect(str(copy)).close()  # which brings it into the file
        _settle(copy, database.stat().st_mode)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _no_room(database, copy) from None
        raise BadDatabase(f"{database} can't be copied ({error.strerror}): {way_out(database)}") from None


def _copy(database: Path, copy: Path, wait_s: float) -> None:
    with _held(database, wait_s):
        if _log_cloned(database, copy) and cloned(database, copy):  # in this order: closing the file lets go of it
            return
        state = _state(database)
    if shutil.disk_usage(copy.parent).free < database.stat().st_size * 21 // 20:
        raise _no_room(database, copy)
    wait = Patience(database).wait
    for _ in range(PASSES):
        _adjust(database, copy, wait)
        before = state
        with _held(database, wait_s):
            state = _state(database)
        if state == before:
            return
    with _held(database, wait_s):
        _adjust(database, copy, lambda: None)


def cloned(file: Path, clone: Path) -> bool:
    """Make a clone, which is another file with the same content at no cost; False, and there is none, where the file
    system has no such."""
    try:
        with file.open("rb") as there, clone.open("wb") as here:
            fcntl.ioctl(here, _FICLONE, there.fileno())
    except OSError as error:
        clone.unlink(missing_ok=True)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        return False
    return True


def _log_cloned(database: Path, copy: Path) -> bool:
    """Whether the log is cloned, or there is none, as usual: see `_adjust`."""
    return not _log(database).exists() or cloned(_log(database), _log(copy))


@contextlib.contextmanager
def _held(database: Path, wait_s: float) -> Iterator[None]:
    """Nobody writes the database until this ends."""
    with contextlib.closing(opened_to_read(database, time.monotonic() + wait_s)):
        yield


def _state(database: Path) -> State:
    """What changes with every write: inode, size and time of the file, and of the log that a killed writer has left."""
    found = [path.stat() for path in (database, _log(database)) if path.exists()]
    return tuple((stat.st_ino, stat.st_size, stat.st_mtime_ns) for stat in found)


def _log(database: Path) -> Path:
    return Path(f"{database}.wal")


def _adjust(database: Path, copy: Path, wait: Callable[[], None]) -> None:
    """Write into the copy what differs, of the file and its log."""
    _write_differences(database, copy, wait)
    try:
        _write_differences(_log(database), _log(copy), wait)
    except FileNotFoundError:  # as usual: a log is there only while somebody writes, and after he was killed
        _log(copy).unlink(missing_ok=True)


def _write_differences(source: Path, copy: Path, wait: Callable[[], None]) -> None:
    """Piece by piece, before each of which it waits."""
    with source.open("rb", buffering=0) as there, copy.open("rb+" if copy.exists() else "wb+", buffering=0) as here:
        while chunk := there.read(_CHUNK):
            wait()
            at = here.tell()
            if here.read(len(chunk)) != chunk:
                os.pwrite(here.fileno(), chunk, at)
                here.seek(at + len(chunk))
        here.truncate(there.tell())


def _settle(copy: Path, mode: int) -> None:
    """All of it on disk, with the access rights of the database."""
    copy.chmod(mode & 0o777)
    with copy.open("rb+") as file:
        os.fsync(file)


def _no_room(database: Path, copy: Path) -> NoRoom:
    free, size = shutil.disk_usage(copy.parent).free, database.stat().st_size
    return NoRoom(
        f"{copy.parent} has {free / 1e6:,.0f} MB free, and a snapshot of {database.name} needs "
        f"{size / 1e6:,.0f} MB; make room, or use live=True"
    )


if __name__ == "__main__":
    try:
        duplicate(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]))
    except KlinesError as error:
        print(json.dumps([type(error).__name__, str(error)]))
        sys.exit(1)
