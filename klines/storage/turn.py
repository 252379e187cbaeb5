"""Who wants to write the database goes before those who come to read it: otherwise, of many readers, one always has it.

Who wants to write keeps a lock while he waits, and who wants to read passes through the same lock first. It is one on
the database's folder, so it needs no file of its own; it is a courtesy, without which everything still works.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

LONGEST_S = 5.0
"""For so long a reader lets others go first at most."""
_LOOK_S = 0.01


@contextlib.contextmanager
def first(path: Path) -> Iterator[None]:
    """Those who come to read the database at `path` wait, until this ends."""
    with _folder(path) as folder:
        if folder is not None:
            _lock(folder, time.monotonic() + _LOOK_S)
        yield


def give_way(path: Path, deadline_s: float) -> None:
    """Wait until nobody waits to write the database at `path`, or LONGEST_S, or until `deadline_s`."""
    with _folder(path) as folder:
        if folder is not None:
            _lock(folder, min(time.monotonic() + LONGEST_S, deadline_s))


@contextlib.contextmanager
def _folder(path: Path) -> Iterator[int | None]:
    """The open folder of the database, whose lock ends with this; None where it can't be opened."""
    try:
        folder = os.open(path.resolve().parent, os.O_RDONLY)
    except OSError:
        yield None
        return
    try:
        yield folder
    finally:
        os.close(folder)


def _lock(folder: int, until_s: float) -> None:
    """Lock the folder, unless somebody else keeps it locked until then, or it can't be locked."""
    while True:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= until_s:
                return
        except OSError:
            return
        time.sleep(_LOOK_S)
