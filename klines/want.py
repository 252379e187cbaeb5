"""Gaps → pages: what one run asks the exchange for one symbol, and what has come of it. Pure; no clock."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from klines.interval import Interval
from klines.rows import Rejects, Row
from klines.window import Window, subtract, window

OVERLAP = 3
"""Klines before the newest gap that its request covers too, so that a value corrected after the close is noticed."""


class Begin(NamedTuple):
    """When a symbol's klines begin, in ms, None while it has none; settled when REST and the archive agree. REST's own
    begin at `rest_ms`, where that was asked: later, for a name that is used again."""

    first_ms: int | None
    is_settled: bool = True
    rest_ms: int | None = None

    @property
    def listed_ms(self) -> int | None:
        """The same where it is settled."""
        return self.first_ms if self.is_settled else None


NO_BEGIN = Begin(None, is_settled=False)


class Want:
    """One symbol of a run: the windows wanted of it, and, filled in while asking, what the exchange answered.

    `gaps` are closed, on the grid, ordered and disjoint. `last_ms` is the open time of the newest stored kline, None
    for a symbol without any; `listed_ms` that of its first one, None until REST and the archive agree upon it;
    `begins_ms` what REST alone says. At most `most_pages` pages are asked for; the rest stays for the next runs.
    """

    def __init__(
        self,
        symbol: str,
        gaps: Sequence[Window],
        last_ms: int | None = None,
        listed_ms: int | None = None,
        begins_ms: int | None = None,
    ) -> None:
        self.symbol = symbol
        self.gaps = list(gaps)
        self.last_ms = last_ms
        self.listed_ms = listed_ms
        self.begins_ms = begins_ms
        self.most_pages = 1
        self.answered: list[Window] = []
        self.rows: list[Row] = []
        self.rejects = Rejects()
        self.error: Exception | None = None

    def take_back(self, error: Exception) -> None:
        """Nothing of it was answered, but this error."""
        self.rows, self.rejects, self.answered, self.error = [], Rejects(), [], error

    def keep_closed(self, closed_ms: int) -> None:
        """Leave out the klines that had not closed at `closed_ms`."""
        self.rows = [row for row in self.rows if row.close_time < closed_ms]

    @property
    def left(self) -> list[Window]:
        """The gaps that no answer has covered yet."""
        return subtract(self.gaps, self.answered)

    def owed(self, interval: Interval) -> list[Window]:
        """`left` without what is before the symbol's first kline: still to be collected."""
        first_ms = interval.floor(self.first_ms or 0)
        return [part for gap in self.left for part in window(max(gap.start_ms, first_ms), gap.end_ms)]

    @property
    def first_ms(self) -> int | None:
        """The open time of the symbol's first kline, as far as anybody has said it."""
        return self.begins_ms if self.listed_ms is None else self.listed_ms

    @property
    def was_filled(self) -> bool:
        """Whether a good row of the gaps was answered."""
        return any(gap.start_ms <= row.open_time < gap.end_ms for row in reversed(self.rows) for gap in self.gaps)

    @property
    def newest_ms(self) -> int:
        """The newest open time that is stored or was answered; −1 for none."""
        return max([row.open_time for row in self.rows] + [-1 if self.last_ms is None else self.last_ms])

    @property
    def refused_ms(self) -> list[int]:
        """The open times of the refused rows, as far as they were asked for."""
        return sorted(t for t in self.rejects.times_ms if self.gaps[0].start_ms <= t < self.gaps[-1].end_ms)

    def silent_from(self, interval: Interval) -> int:
        """The open time of the first slot after all that is stored, answered or refused, in ms."""
        return self._after(max([self.newest_ms, *self.refused_ms]), interval)

    def unstored_from(self, interval: Interval) -> int:
        """The open time of the first slot after all that is stored or was answered with a good row, in ms."""
        return self._after(self.newest_ms, interval)

    def _after(self, time_ms: int, interval: Interval) -> int:
        if time_ms >= 0:
            return interval.step(time_ms, 1)
        return max(self.gaps[0].start_ms, interval.floor(self.first_ms or 0))

    def tail(self, interval: Interval) -> Window | None:
        """The newest wanted slots where they were asked for and nothing came: what is published late."""
        newest = self.gaps[-1]
        tail = window(max(newest.start_ms, self.silent_from(interval)), newest.end_ms)
        return tail[0] if tail and not subtract(tail, self.answered) else None


def pages(gaps: Sequence[Window], interval: Interval, page_slots: int) -> Iterator[Window]:
    """Windows of at most `page_slots` slots that cover `gaps` exactly, newest first."""
    for gap in reversed(gaps):
        end_ms = gap.end_ms
        while end_ms > gap.start_ms:
            start_ms = max(gap.start_ms, interval.step(end_ms, -page_slots))
            yield Window(start_ms, end_ms)
            end_ms = start_ms


def overlapped(page: Window, interval: Interval, page_slots: int) -> Window:
    """`page` with up to OVERLAP klines before it, as far as the page has room for them."""
    room = page_slots - interval.slots(page.start_ms, page.end_ms)
    return Window(interval.step(page.start_ms, -min(OVERLAP, room)), page.end_ms)


def share_out(wants: Sequence[Want], interval: Interval, page_slots: int, pages_a_run: int) -> None:
    """Every symbol has its newest page; `pages_a_run` older ones go in equal parts to those that are behind, or one
    each to those that are furthest behind."""
    older = {
        want: left for want in wants if (left := subtract(want.gaps, newest_page(want.gaps, interval, page_slots)))
    }
    furthest = sorted(older, key=lambda want: sum(gap.start_ms - gap.end_ms for gap in older[want]))[:pages_a_run]
    for want in furthest:
        want.most_pages = 1 + pages_a_run // len(furthest)


def newest_page(gaps: Sequence[Window], interval: Interval, page_slots: int) -> list[Window]:
    """The first of `pages`, in a list."""
    return list(islice(pages(gaps, interval, page_slots), 1))
