"""Prefect's home is its owner's alone: its database and logs hold what alarms call."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def make_private(home: Path) -> None:
    """Make the folder, and take all that is in it from everybody but its owner. Raises OSError where it can't be."""
    (home / "logs").mkdir(mode=0o700, parents=True, exist_ok=True)
    keep_from_others(home)
    for folder, folders, files in os.walk(home):
        for name in (*folders, *files):
            keep_from_others(Path(folder, name))


def keep_from_others(path: Path) -> int:
    """Take a file or folder of this user from all others; returns the mode it had if that was too open, else 0.

    What is not there, not this user's, or a link, stays as it is.
    """
    with contextlib.suppress(OSError):
        found = path.lstat()
        if found.st_uid == os.geteuid() and not stat.S_ISLNK(found.st_mode) and found.st_mode & _OTHERS:
            path.chmod(stat.S_IMODE(found.st_mode) & ~_OTHERS)
            return stat.S_IMODE(found.st_mode)
    return 0


def close_env(path: Path) -> str:
    """Take a file of settings, which may hold a password, from all but its owner; what to say, if it was open."""
    mode = keep_from_others(path)
    return f"{path} could be read by others ({mode:04o}); now only by you" if mode else ""


def private(path: str | Path, flags: int) -> int:
    """An opener for `open`: a file that is made is its owner's alone, whatever the umask."""
    return os.open(path, flags, 0o600)
