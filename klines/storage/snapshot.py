"""Snapshots of a file: each one state of everything, which keeps nobody out.

Snapshots lie in the folder `<database>.snapshots`. Each is named by the time (UTC) of its state, as 20261124T200500123:
DuckDB takes a path that a process has open already for the same file, so each needs a name of its own. The newest is
opened. Older ones are deleted when it is complete; whoever has one open keeps it until he closes it.

For other programs, which are told a path once, the newest is also at `<database>.snapshot.duckdb`. That is a clone of
it where the file system has such (Btrfs, XFS), else another name of it: neither takes time or room. It is replaced at
once; whoever has the one before open keeps that. Nobody has the permission to write it: many programs open a file to
write it if they can, and would lock readers out.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from klines import errors
from klines.checkout import CHECKOUT
from klines.errors import BadDatabase, BadParameter, DatabaseBusy
from klines.outcome import plain
from klines.storage.duplicate import cloned
from klines.storage.places import way_out

NAME = "%Y%m%dT%H%M%S%f"
WAIT_S = 30.0
"""How long a reader waits for the file: a minute has it for a fraction of a second, a backfill for a second or so."""
_LONGEST_S = 600.0
"""How long one waits for a snapshot that another process makes."""
_LOOK_S = 0.1
_EVER = datetime(1970, 1, 1, tzinfo=UTC)


def take(database: Path, since: datetime, *, wait_s: float = WAIT_S) -> Path:
    """The newest snapshot, if it is of `since` or later; else a new one, made while others read and write.

    `wait_s` is how long others may have the file.

    Raises NoRoom, DatabaseBusy, BadParameter; what is half done then goes, and what there was before stays.
    """
    folder = _folder_of(database)
    if young := _newest(folder, since):
        _see_to_fixed_path(database, folder, young)
        return young
    with _locked(folder) as lock:
        return _newest(folder, since) or _make(database, folder, lock, wait_s)


def _see_to_fixed_path(database: Path, folder: Path, snapshot: Path) -> None:
    """Put a snapshot there that is not; who may not do that can read it all the same."""
    if not _is_put(database, snapshot):
        with contextlib.suppress(BadParameter), _locked(folder):
            if snapshot == _newest(folder, _EVER):
                _put(database, snapshot)


def share_copied(database: Path) -> float | None:
    """Of a snapshot that is being made, the share of its bytes that is there; None where nothing is copied yet."""
    with contextlib.suppress(OSError):
        new = _folder_of(database) / "new"
        return min(1.0, new.stat().st_size / max(1, database.stat().st_size))
    return None


def changed_ms(database: Path) -> int:
    """When the database, or its log, was last written (epoch ms); 0 where there is none."""
    found = [0]
    for path in (database, database.with_name(f"{database.name}.wal")):
        with contextlib.suppress(OSError):
            found.append(path.stat().st_mtime_ns // 1_000_000)
    return max(found)


def _folder_of(database: Path) -> Path:
    return database.with_name(f"{database.name}.snapshots")


def _newest(folder: Path, since: datetime) -> Path | None:
    snapshots = sorted(folder.glob("*.duckdb"))
    return snapshots[-1] if snapshots and snapshots[-1].stem >= since.strftime(NAME) else None


def _make(database: Path, folder: Path, lock: int, wait_s: float) -> Path:
    _clean(folder)  # after a process that was killed
    snapshot, new = folder / f"{datetime.now(UTC).strftime(NAME)}.duckdb", folder / "new"
    try:
        _copy(database, new, lock, wait_s)
        new.rename(snapshot)
    finally:
        _clean(folder)
    _put(database, snapshot)
    for old in folder.glob("*.duckdb"):
        if old != snapshot:
            old.unlink()
    return snapshot


def _clean(folder: Path) -> None:
    for left in folder.glob("new*"):
        left.unlink()


def _copy(database: Path, new: Path, lock: int, wait_s: float) -> None:
    """Copy in a process of its own: closing a file gives up all locks that a process has on it, so one that copies the
    database must have no connection to it. It keeps our lock for as long as it lives.
    """
    is_safe = [] if CHECKOUT else ["-P"]  # without a checkout, whatever lies in the caller's folder is not imported
    command = [sys.executable, *is_safe, "-m", "klines.storage.duplicate", str(database), str(new), str(wait_s)]
    done = subprocess.run(command, cwd=CHECKOUT, pass_fds=[lock], capture_output=True, text=True)
    if done.returncode == 0:
        return
    try:
        name, text = json.loads(done.stdout)
    except ValueError:
        said = plain(" ".join(done.stderr.splitlines()[-1:]))
        raise BadDatabase(
            f"{database} was not copied, as what copies it ended with {done.returncode} {said}".rstrip()
            + f"; ask again, and if that ends so, too, {way_out(database)}"
        ) from None
    raise getattr(errors, name)(text)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[int]:
    """The folder, made if need be, for this process alone: the descriptor that has the lock."""
    try:
        folder.mkdir(mode=0o755, exist_ok=True)
        lock = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise BadParameter(
            f"{folder}, for snapshots, can't be used: {error.strerror}; let its owner publish them, or use live=True"
        ) from None
    try:
        _wait_for(lock, folder)
        yield lock
    finally:
        os.close(lock)


def _wait_for(lock: int, folder: Path) -> None:
    until_s = time.monotonic() + _LONGEST_S
    while time.monotonic() < until_s:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(_LOOK_S)
    raise DatabaseBusy(f"another process has been making a snapshot in {folder} for 10 minutes; end it")


def _fixed_path(database: Path) -> Path:
    """Where it is."""
    return database.with_name(f"{database.name}.snapshot.duckdb")


def _is_put(database: Path, snapshot: Path) -> bool:
    """Whether this snapshot is there."""
    with contextlib.suppress(OSError):
        here, there = _fixed_path(database).stat(), snapshot.stat()
        return (here.st_size, here.st_mtime_ns) == (there.st_size, there.st_mtime_ns)
    return False


def _put(database: Path, snapshot: Path) -> None:
    """Put a snapshot there; only one process does so at a time. Raises BadParameter."""
    path = _fixed_path(database)
    new = path.with_name(f"{path.name}.new")
    try:
        new.unlink(missing_ok=True)  # of a process that was killed
        _name_again(snapshot, new)
        path.with_name(f"{path.name}.wal").unlink(missing_ok=True)  # of who could write the one before all the same
        new.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            new.unlink()
        raise BadParameter(
            f"{path}, where other programs find the newest snapshot, can't be replaced: {error.strerror}; "
            "move away what is there"
        ) from None


def _name_again(snapshot: Path, new: Path) -> None:
    """The snapshot by another name; a copy, where a file can have only one. `_is_put` knows it by its time."""
    snapshot.chmod(snapshot.stat().st_mode & 0o444)
    if cloned(snapshot, new):
        shutil.copystat(snapshot, new)
        return
    try:
        os.link(snapshot, new)
    except OSError:
        shutil.copy2(snapshot, new)
