"""Binance's sixteen kline intervals: where the slot of a time begins, and where the next one does.

A *slot* is the place on the interval's grid that at most one kline fills. Lengths and names are Binance's (REST docs,
"Kline/Candlestick chart intervals"); all boundaries are UTC. `1w` opens on Mondays, `1M` is a calendar month; no
document says where the days of `3d` begin, so its phase is learnt from a kline.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

IntervalName = Literal[
    "1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w", "1M"
]  # fmt: skip
FRESH_MS = 300_000
"""A due kline is late up to this long after its close, then stale."""

SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
MONDAY = 4 * DAY  # 1970-01-05: the epoch was a Thursday
_EPOCH_MONTH = 1970 * 12


@dataclass(frozen=True, slots=True)
class Interval:
    """One interval; `length_ms` is 0 for the calendar month, `phase_ms` shifts the grid against the epoch."""

    name: str
    length_ms: int
    phase_ms: int = 0
    is_phase_known: bool = True

    def shifted(self, phase_ms: int) -> Interval:
        """The interval with the phase that a kline has shown."""
        return replace(self, phase_ms=phase_ms, is_phase_known=True)

    def index(self, time_ms: int) -> int:
        """The number of the slot that `time_ms` falls into; consecutive slots have consecutive numbers."""
        if self.length_ms:
            return (time_ms - self.phase_ms) // self.length_ms
        day = datetime.fromtimestamp(time_ms / 1000, UTC)
        return day.year * 12 + day.month - 1 - _EPOCH_MONTH

    def sql_index(self, column: str) -> str:
        """`index` as a SQL expression of a TIMESTAMP column."""
        if self.length_ms:
            return f"(epoch_ms({column}) - {self.phase_ms}) // {self.length_ms}"
        return f"(year({column}) * 12 + month({column}) - {1 + _EPOCH_MONTH})"

    def sql_start(self, index: str) -> str:
        """`start` as a SQL expression of an index, a TIMESTAMP."""
        if self.length_ms:
            return f"epoch_ms(({index}) * {self.length_ms} + {self.phase_ms})"
        return f"(TIMESTAMP '1970-01-01' + to_months(({index})::INTEGER))"

    def is_made_of(self, part: Interval) -> bool:
        """Whether each slot is some whole slots of `part`, two or more."""
        if not (part.length_ms and part.is_phase_known and self.is_phase_known):
            return False
        if not self.length_ms:
            return DAY % part.length_ms == 0 and part.phase_ms % DAY == 0
        is_aligned = (self.phase_ms - part.phase_ms) % part.length_ms == 0
        return self.length_ms > part.length_ms and self.length_ms % part.length_ms == 0 and is_aligned

    def start(self, index: int) -> int:
        """The open time, in ms, of slot `index`."""
        if self.length_ms:
            return index * self.length_ms + self.phase_ms
        year, month = divmod(index + _EPOCH_MONTH, 12)
        return int(datetime(year, month + 1, 1, tzinfo=UTC).timestamp()) * 1000

    def floor(self, time_ms: int) -> int:
        """The open time, in ms, of the slot that holds `time_ms`."""
        return self.start(self.index(time_ms))

    def ceil(self, time_ms: int) -> int:
        """The first slot start at or after `time_ms`."""
        return self.start(self.index(time_ms - 1) + 1)

    def step(self, time_ms: int, slots: int) -> int:
        """The open time of the slot `slots` after (before, when negative) the one that holds `time_ms`."""
        return self.start(self.index(time_ms) + slots)

    def slots(self, start_ms: int, end_ms: int) -> int:
        """How many slots begin in [start_ms, end_ms), both on the grid."""
        return self.index(end_ms) - self.index(start_ms)


INTERVALS: dict[str, Interval] = {
    interval.name: interval
    for interval in (
        Interval("1s", SECOND),
        *(Interval(f"{n}m", n * MINUTE) for n in (1, 3, 5, 15, 30)),
        *(Interval(f"{n}h", n * HOUR) for n in (1, 2, 4, 6, 8, 12)),
        Interval("1d", DAY),
        Interval("3d", 3 * DAY, is_phase_known=False),
        Interval("1w", 7 * DAY, MONDAY),
        Interval("1M", 0),
    )
}
