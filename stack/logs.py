"""Logs of processes that write for months are bounded while they are written."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from stack.home import private

LOG_BYTES = 20_000_000
"""A log that is longer is put aside, in the place of the one before: a process has twice that at most."""


def put_aside(log: Path) -> None:
    """Copy the end of a log that is too long to `<name>.old.log`, and empty it: who appends to it goes on with it.

    On a full disk it is emptied all the same.
    """
    with contextlib.suppress(OSError):
        if log.is_file() and log.stat().st_size > LOG_BYTES:
            with contextlib.suppress(OSError):
                _copy_end(log, log.with_suffix(".old.log"))
            os.truncate(log, 0)


def _copy_end(log: Path, old: Path) -> None:
    with log.open("rb") as full, open(old, "wb", opener=private) as copy:
        full.seek(-LOG_BYTES, os.SEEK_END)
        shutil.copyfileobj(full, copy)
