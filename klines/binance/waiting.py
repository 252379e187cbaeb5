"""Small files of ours that wait beside a database for the next run."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Literal


def read_waiting(place: Path, longest: int) -> bytes:
    """Its first `longest` bytes; of what can't be read none."""
    with contextlib.suppress(OSError):
        if place.is_file():
            with place.open("rb") as file:
                return file.read(longest)
    return b""


def leave_waiting(place: Path, text: str, mode: Literal["a", "w"]) -> None:
    """Append it, or write it in the place of what is there; where it can't be written, it is not left."""
    with contextlib.suppress(OSError):
        if place.is_file() or not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)  # beside a lake there may be none yet
            with place.open(mode, encoding="utf-8") as file:
                file.write(text)
