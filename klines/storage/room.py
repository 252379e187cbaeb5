"""How much room there is where something is to be written."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from klines.outcome import Room


def rooms(needs: Sequence[tuple[Path | None, int]]) -> list[Room]:
    """A room for each disk of the folders, with all bytes that are needed of it; a folder may not be there yet, and
    one that is None needs no disk of this machine."""
    disks: dict[int, tuple[Path, int]] = {}
    for folder, needed in needs:
        if folder is None or not needed:
            continue
        there = next(path for path in (folder, *folder.parents) if path.exists())
        disk = os.stat(there).st_dev
        before, sum_before = disks.get(disk, (there, 0))
        disks[disk] = before, sum_before + needed
    return [Room(str(folder), needed, shutil.disk_usage(folder).free) for folder, needed in disks.values()]
