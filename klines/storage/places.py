"""Where a database can be: checked before anything is opened, so that a path that can't be has a name and a mend."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from klines.errors import BadDatabase, BadParameter, NotStored

_MAGIC = b"DUCK"
RESTORE = "restore a backup, or move the file away: the next run makes a new one, and fetches what Binance still has"


def way_out(path: Path) -> str:
    """What to do about a database that can't be used; its newest snapshot is a backup, and a snapshot is made anew."""
    if path.parent.name.endswith(".snapshots"):
        return "delete this snapshot: whoever reads next makes a new one"
    snapshots = sorted(path.with_name(f"{path.name}.snapshots").glob("*.duckdb"))
    return RESTORE.replace(" backup", f" backup, such as {snapshots[-1]}", 1) if snapshots else RESTORE


def check_place(path: Path) -> None:
    """Raises BadParameter or BadDatabase where no database can be at `path`; makes and locks nothing."""
    with _named_by_us(path):
        folder = path.parent
        if not folder.is_dir():
            raise BadParameter(f"KLINES_DATABASE: the folder {folder} does not exist; create it, or name another file")
        _check_kind(path)
        if not os.access(path if path.exists() else folder, os.W_OK):
            raise BadParameter(f"KLINES_DATABASE: {path} is not writable for this user")
        _check_content(path)


def check_readable(path: Path) -> None:
    """Raises NotStored where there is no database at `path`, BadParameter where it can't be read.

    The file is not opened: closing it again would give up the lock of a connection that this process has to it.
    """
    with _named_by_us(path):
        if not path.exists():
            raise NotStored(f"there is no database at {path}; `klines run` makes it, KLINES_DATABASE says where")
        _check_kind(path)
        if not os.access(path, os.R_OK):
            raise BadParameter(f"{path} is not readable for this user")


@contextlib.contextmanager
def _named_by_us(path: Path) -> Iterator[None]:
    """What the system says of a path that can't be (too long, a loop of links, a NUL in it) as BadParameter."""
    try:
        path.resolve(strict=False)
        str(path).encode()  # DuckDB takes text alone
        yield
    except (OSError, RuntimeError, ValueError) as error:
        is_text = not isinstance(error, UnicodeError)
        what = (getattr(error, "strerror", None) or str(error).split(" from ")[0]) if is_text else "it is no UTF-8"
        raise BadParameter(f"KLINES_DATABASE: {str(path)[:200]!r} can't be a file: {what}; name another one") from None


def _check_kind(path: Path) -> None:
    """Raises BadParameter for what is there and no file: whoever opens a pipe waits for ever."""
    if path.is_dir():
        raise BadParameter(f"KLINES_DATABASE: {path} is a folder; name a file")
    target = path.resolve()
    beside = {Path(f"{place}{end}") for place in (path, target) for end in (".wal", ".journal")}
    for part in (path, *sorted(beside)):
        is_there = part.exists() if part == path else os.path.lexists(part)
        if is_there and not part.is_file():
            raise BadParameter(f"KLINES_DATABASE: {part} is no regular file; move it away, or name another file")


def _check_content(path: Path) -> None:
    if not path.exists():
        return
    if not path.stat().st_size:
        raise BadDatabase(f"KLINES_DATABASE: {path} is empty, and no database: {way_out(path)}")
    with path.open("rb") as file:
        is_database = _MAGIC in file.read(16)
    if not is_database:
        raise BadDatabase(f"KLINES_DATABASE: {path} is no DuckDB database; name one, or a file that does not exist yet")


def note_of(database: Path) -> Path:
    """The file beside a database that says that it was made there."""
    return database.with_name(f"{database.name}.was-here")


def check_not_lost(database: Path) -> None:
    """Raises BadDatabase, once, where a database was made and is gone; the next who opens it makes a new one."""
    if database.exists() or not note_of(database).exists():
        return
    note_of(database).unlink(missing_ok=True)
    raise BadDatabase(
        f"KLINES_DATABASE: the database that was at {database} is gone, and nothing was stored. If it was moved, move "
        "it back, or say where it is; else the next run makes a new one, and fetches what Binance still has"
    )


def note(database: Path) -> None:
    """Note beside a database that it was made; on a disk that is full it is noted the next time."""
    if not note_of(database).exists():
        with contextlib.suppress(OSError):
            note_of(database).write_text(
                f"{database.name} was made here, {datetime.now(UTC):%Y-%m-%d}. If it is gone, the next run fails once "
                "and says so. To begin anew, delete this file with it.\n"
            )
