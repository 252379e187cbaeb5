"""What the clocks of a market showed in a run before: it waits beside the database, `<database>.clocks`.

An exchange that stands still as a whole, such as one that a cache has kept, looks right in any one run.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from klines.binance.clocks import Shown, is_time
from klines.binance.waiting import leave_waiting, read_waiting

_LONGEST = 2**12
"""Bytes of the file that are looked at; it has two times a market."""


def shown_before(database: Path, market: str) -> Shown | None:
    """What the run before has noted of the market; what can't be read is nothing."""
    times = _read(_place(database)).get(market)
    if not isinstance(times, list) or len(times) != 2 or not all(map(is_time, times)):
        return None
    return Shown(*times)


def keep_shown(database: Path, market: str, shown: Shown | None) -> None:
    """Leave it for the next run; where it can't be written, there is nothing to compare with."""
    if shown:
        found = _read(_place(database)) | {market: [shown.server_ms, shown.machine_ms]}
        leave_waiting(_place(database), json.dumps(found), "w")


def _read(place: Path) -> dict[str, object]:
    with contextlib.suppress(ValueError, RecursionError):
        found = json.loads(read_waiting(place, _LONGEST))
        return found if isinstance(found, dict) else {}
    return {}


def _place(database: Path) -> Path:
    return database.with_name(f"{database.name}.clocks")
