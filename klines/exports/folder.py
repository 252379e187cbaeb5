"""The folder of an export: each file is there whole or not at all, and notes say of which klines it was written.

Half a file, and the notes, lie in `.klines`, which is this process's alone while it is open.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import BinaryIO, Self

from klines.errors import BadParameter, DatabaseBusy, KlinesError, NoRoom

_HIDDEN = ".klines"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True, slots=True)
class Written:
    """A file as it was written: its size, when it was last changed, and of each part the digest and its rows."""

    bytes: int
    changed_ns: int
    digests: Sequence[str]
    rows: Sequence[int]


@dataclass(slots=True)
class Notes:
    """What was written of a series, by path below the folder."""

    files: dict[str, Written] = field(default_factory=dict)


class Folder:
    """Use as `with`; made where it is not there. Raises BadParameter, and DatabaseBusy while another process has it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._half = root / _HIDDEN / "half"

    def __enter__(self) -> Self:
        with self._named():
            self._half.parent.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self._half.parent, os.O_RDONLY)
            try:
                self._take()
            except BaseException:
                os.close(self._lock)
                raise
        return self

    def _take(self) -> None:
        """It is this process's alone, and half a file that another one left is gone."""
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DatabaseBusy(f"{self.root} is being exported to by another process; let it end") from None
        self._half.unlink(missing_ok=True)

    def __exit__(self, *exc: object) -> None:
        os.close(self._lock)

    def notes(self, name: str) -> Notes:
        """What was noted under a name; nothing where that can't be read, so that all is written again."""
        with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
            noted = json.loads(self._note(name).read_bytes())
            return Notes({path: Written(**written) for path, written in noted.items()})
        return Notes()

    def note(self, name: str, notes: Notes) -> None:
        """Keep it."""
        text = json.dumps({path: asdict(written) for path, written in notes.files.items()})
        self.put(str(self._note(name).relative_to(self.root)), text.encode())

    def kept_rows(self, path: str, digests: Sequence[str], notes: Notes) -> Sequence[int]:
        """The rows of each of the first parts that the file has as they are now; where somebody else has changed it, or
        it is gone, there are none, nor a note any more."""
        written = notes.files.get(path)
        if written is None or not self._is_as_written(path, written):
            notes.files.pop(path, None)
            return []
        pairs = zip(digests, written.digests, strict=False)
        same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        return written.rows[:same]

    def _is_as_written(self, path: str, written: Written) -> bool:
        with contextlib.suppress(OSError):
            found = (self.root / path).stat()
            return (found.st_size, found.st_mtime_ns) == (written.bytes, written.changed_ns)
        return False

    def put(self, path: str, body: bytes) -> bool:
        """Write a small file where it is another one than before; whether it was."""
        with contextlib.suppress(OSError):
            if (self.root / path).read_bytes() == body:
                return False
        with self.writing(path) as file:
            file.write(body)
        return True

    @contextlib.contextmanager
    def writing(self, path: str) -> Iterator[BinaryIO]:
        """A file that takes the place of the one of before when this ends well, and is gone where it does not.

        Raises NoRoom where the disk is full, BadParameter where the file can't be written.
        """
        target = self.root / path
        with self._named():
            try:
                with self._half.open("wb") as file:
                    yield file
                    file.flush()
                    os.fsync(file.fileno())
                target.parent.mkdir(parents=True, exist_ok=True)
                self._half.replace(target)
                _sync(target.parent)
            finally:
                self._half.unlink(missing_ok=True)

    def remove(self, path: str, notes: Notes) -> None:
        """Remove a file, of which nothing is to be had any more, and its note; one without a note is not ours."""
        if notes.files.pop(path, None):
            with self._named():
                (self.root / path).unlink(missing_ok=True)

    def written(self, path: str, digests: Sequence[str], rows: Sequence[int]) -> Written:
        """What is to be noted of a file that was just written."""
        with self._named():
            found = (self.root / path).stat()
        return Written(found.st_size, found.st_mtime_ns, list(digests), list(rows))

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        """What the disk refuses, with the folder's name."""
        try:
            yield
        except KlinesError:
            raise
        except OSError as error:
            if error.errno in _FULL:
                raise NoRoom(
                    f"{self.root}: the disk is full; files that were written stay, and after making room the same "
                    "export goes on from there"
                ) from None
            where = error.filename2 or error.filename or self.root
            raise BadParameter(f"folder: {where} can't be written: {error.strerror or error}") from None

    def _note(self, name: str) -> Path:
        return self._half.parent / f"{name}.json"


def _sync(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
