"""Where in the table the klines of each month are: what can be read in short turns. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from klines.interval import HOUR, INTERVALS, Interval
from klines.window import Window, within

CHUNK = 122_880
"""Rows of one of DuckDB's row groups; where row groups are whole, those from a multiple of it on."""
PART_ROWS, PART_CHUNKS = CHUNK, 8
"""What a part has at most: so many rows of its month, in so many chunks; 0.2 s on an idle core."""
AT_ONCE = 250_000
"""Klines that are looked at together for two in a slot."""
MONTH = INTERVALS["1M"]
ACROSS = ("3d", "1w")
"""Intervals whose slots reach from one month into the next."""
ALWAYS = Window(-(2**42), 2**42)
"""All times: from before 1900 to after 2100."""


@dataclass(frozen=True, slots=True)
class RowRange:
    """The klines of one window among the rows [first, end)."""

    window: Window
    first: int
    end: int

    @property
    def sql(self) -> str:
        """They, as what follows on SELECT and columns; a row is `k`."""
        rows = f"rowid >= {self.first} AND rowid < {self.end}"
        return f"FROM live.klines k WHERE {rows} AND {within(self.window, 'k.open_time')}"

    @property
    def notes_sql(self) -> str:
        """The same of restatements, whatever their times."""
        return f"FROM live.restatements WHERE rowid >= {self.first} AND rowid < {self.end}"


@dataclass(slots=True)
class Month:
    """The klines of a calendar month: how many of each interval, in which chunks, and the first and last open time."""

    index: int
    first_ms: int
    last_ms: int
    counts: Counter[str] = field(default_factory=Counter)
    chunks: Counter[int] = field(default_factory=Counter)

    @property
    def window(self) -> Window:
        """From its first moment to the next month's."""
        return Window(MONTH.start(self.index), MONTH.start(self.index + 1))

    @property
    def name(self) -> str:
        """`2026-01`."""
        years, months = divmod(self.index, 12)
        return f"{1970 + years}-{months + 1:02}"

    @property
    def rows(self) -> int:
        """Klines of all intervals."""
        return self.counts.total()

    def parts(self, end: int) -> list[RowRange]:
        """What to read it in: all of it that lies before row `end`."""
        found: list[RowRange] = []
        rows, chunks = PART_ROWS, PART_CHUNKS
        for chunk in sorted(self.chunks):
            if rows + self.chunks[chunk] > PART_ROWS or chunks == PART_CHUNKS:
                found.append(RowRange(self.window, chunk * CHUNK, 0))
                rows = chunks = 0
            rows, chunks = rows + self.chunks[chunk], chunks + 1
            found[-1] = RowRange(self.window, found[-1].first, min((chunk + 1) * CHUNK, end))
        return found

    def windows(self, interval: Interval) -> list[Window]:
        """The month in windows of whole slots, with about AT_ONCE klines of the interval in each."""
        if not 0 < interval.length_ms < HOUR:
            return [self.window]
        start_ms, end_ms = self.first_ms // HOUR * HOUR, (self.last_ms // HOUR + 1) * HOUR
        count = -(-self.counts[interval.name] // AT_ONCE)
        step_ms = -(-(end_ms - start_ms) // (count * HOUR)) * HOUR
        return [Window(time_ms, min(time_ms + step_ms, end_ms)) for time_ms in range(start_ms, end_ms, step_ms)]


def months(counted: Iterable[tuple[int, int, str, int, int, int]]) -> list[Month]:
    """The months of (month, chunk, interval, klines, first and last open time), ascending."""
    found: dict[int, Month] = {}
    for index, chunk, interval, rows, first_ms, last_ms in counted:
        month = found.setdefault(index, Month(index, first_ms, last_ms))
        month.counts[interval] += rows
        month.chunks[chunk] += rows
        month.first_ms, month.last_ms = min(month.first_ms, first_ms), max(month.last_ms, last_ms)
    return [found[index] for index in sorted(found)]


def slot_windows(found: Sequence[Month], interval: Interval) -> list[Window]:
    """Windows that hold all klines of the interval, and no slot in two of them."""
    if interval.name in ACROSS:
        return [ALWAYS]
    return [window for month in found if month.counts[interval.name] for window in month.windows(interval)]


def ranges(first: int, end: int, rows: int) -> list[RowRange]:
    """[first, end) in ranges of so many rows, whatever their times."""
    return [RowRange(ALWAYS, start, min(start + rows, end)) for start in range(first, end, rows)]
