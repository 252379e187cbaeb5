"""Who goes first at a database: courtesy, by locks that end with their process, without which everything still works.

Who wants to write goes before those who come to read: otherwise, of many readers, one always has it. He keeps a lock on
the database's folder while he waits, and who wants to read passes through the same lock first.

The minute goes before bulk work, which has the cores for minutes on end. While it is at work it shares a lock on the
empty file `<database>.minute`, and bulk work looks for that before each of its small pieces.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

LONGEST_S = 5.0
"""For so long a reader lets others go first at most."""
AHEAD_S = 1.5
"""A minute that is due says so this much before: by then each piece of bulk work that was begun has ended."""
PATIENCE_S = 15.0
"""For so long bulk work lets minutes go first at a time; then it goes on for as long, whatever they do."""
_LOOK_S = 0.01
_LOOK_FOR_MINUTE_S = 0.05


@contextlib.contextmanager
def first(path: Path) -> Iterator[None]:
    """Those who come to read the database at `path` wait, until this ends."""
    with _opened(_folder(path)) as folder:
        if folder is not None:
            _lock(folder, fcntl.LOCK_EX, time.monotonic() + _LOOK_S)
        yield


def give_way(path: Path, deadline_s: float) -> None:
    """Wait until nobody waits to write the database at `path`, or LONGEST_S, or until `deadline_s`."""
    with _opened(_folder(path)) as folder:
        if folder is not None:
            _lock(folder, fcntl.LOCK_EX, min(time.monotonic() + LONGEST_S, deadline_s))


@contextlib.contextmanager
def minute_at_work(path: Path) -> Iterator[None]:
    """Bulk work on the database that is at `path`, or has it beside itself, makes way until this ends."""
    with _opened(_file(path), os.O_RDONLY | os.O_CREAT) as file:
        if file is not None:
            _lock(file, fcntl.LOCK_SH, time.monotonic() + _LOOK_S)
        yield


def is_minute_at_work(path: Path) -> bool:
    """Whether a minute is at work there, in whatever process of this machine."""
    with _opened(_file(path)) as file:
        return file is not None and not _lock(file, fcntl.LOCK_EX, 0.0)


class Patience:
    """That of one piece of bulk work on a database: `wait` before each small piece of it, from any thread."""

    def __init__(self, path: Path, longest_s: float = PATIENCE_S) -> None:
        self._path = path
        self._longest_s = longest_s
        self._goes_on_until_s = 0.0

    def wait(self) -> None:
        """Return when no minute is at work, or it has lasted for too long."""
        until_s = time.monotonic() + self._longest_s
        while self._must_wait(until_s):
            time.sleep(_LOOK_FOR_MINUTE_S)

    async def waited(self) -> None:
        """As `wait`, on an event loop."""
        until_s = time.monotonic() + self._longest_s
        while self._must_wait(until_s):
            await asyncio.sleep(_LOOK_FOR_MINUTE_S)

    def end(self) -> None:
        """Wait for nobody any more: whoever is stopped has to end."""
        self._goes_on_until_s = float("inf")

    def _must_wait(self, until_s: float) -> bool:
        now_s = time.monotonic()
        if now_s < self._goes_on_until_s or not is_minute_at_work(self._path):
            return False
        if now_s >= until_s:
            self._goes_on_until_s = now_s + self._longest_s
        return now_s < until_s


def _folder(path: Path) -> Path:
    return path.resolve().parent


def _file(path: Path) -> Path:
    """Beside the database itself, whatever links lead to it; where they go round, it is refused later."""
    target = Path(os.path.realpath(path))
    return target.with_name(f"{target.name}.minute")


@contextlib.contextmanager
def _opened(path: Path, flags: int = os.O_RDONLY) -> Iterator[int | None]:
    """A file or folder, whose lock ends with this; None where it can't be opened."""
    try:
        opened = os.open(path, flags | os.O_NONBLOCK, 0o644)
    except OSError:
        yield None
        return
    try:
        yield opened
    finally:
        os.close(opened)


def _lock(opened: int, kind: int, until_s: float) -> bool:
    """Whether nobody else keeps it locked until then; it is locked, unless it can't be."""
    while True:
        try:
            fcntl.flock(opened, kind | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= until_s:
                return False
        except OSError:
            return True
        time.sleep(_LOOK_S)
