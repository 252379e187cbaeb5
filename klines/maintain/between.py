"""When the file may be held for some seconds: between two minutes, where schedules say when the next one is due."""

from __future__ import annotations

import time
from collections.abc import Sequence

from klines.storage.turn import AHEAD_S, Patience
from klines.tables.schedules import Collected, next_due_ms

LONGEST_S = 60.0
"""For so long a turn is put off at most: by then every schedule of a minute has left what room it leaves."""
_LOOK_S = 0.1


class Between:
    """`wait` before the file is held. `schedules` are those of the runs that should not have to wait for it."""

    def __init__(self, patience: Patience) -> None:
        self.schedules: Sequence[Collected] = ()
        self._patience = patience

    def wait(self, for_s: float) -> None:
        """Return when no minute is at work, and none is due within `for_s` seconds, or that has lasted for too long."""
        until_s = time.monotonic() + LONGEST_S
        self._patience.wait()
        while time.monotonic() < until_s and self._is_due_within(for_s + AHEAD_S):
            time.sleep(_LOOK_S)
            self._patience.wait()

    def _is_due_within(self, seconds: float) -> bool:
        now_ms = int(time.time() * 1000)
        due_ms = next_due_ms(self.schedules, now_ms)
        return due_ms is not None and due_ms < now_ms + seconds * 1000
