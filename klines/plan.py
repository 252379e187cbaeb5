"""Gaps → pages: what one run asks the exchange for one symbol, and what has come of it. Pure; no clock."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from klines.errors import KlinesError
from klines.interval import Interval
from klines.rows import Reject, Row
from klines.window import Window, subtract

OVERLAP = 3
"""Klines before the newest gap that its request covers too, so that a value corrected after the close is noticed."""


class Want:
    """One symbol of a run: the windows wanted of it, and, filled in while asking, what the exchange answered.

    `gaps` are closed, on the grid, ordered and disjoint. `last_ms` is the open time of the newest stored kline, None
    for a symbol without any. At most `most_pages` pages are asked for; the rest stays for the next runs.
    """

    def __init__(self, symbol: str, gaps: Sequence[Window], last_ms: int | None = None) -> None:
        self.symbol = symbol
        self.gaps = list(gaps)
        self.last_ms = last_ms
        self.most_pages = 1
        self.answered: list[Window] = []
        self.rows: list[Row] = []
        self.rejects: list[Reject] = []
        self.listed_ms: int | None = None
        self.error: KlinesError | None = None

    @property
    def left(self) -> list[Window]:
        """The gaps that no answer has covered yet."""
        return subtract(self.gaps, self.answered)

    @property
    def newest_ms(self) -> int:
        """The newest open time that is stored or was answered; −1 for none."""
        return max([row.open_time for row in self.rows] + [-1 if self.last_ms is None else self.last_ms])

    def silent_from(self, interval: Interval) -> int:
        """The open time of the first slot after all that is stored, answered or refused, in ms."""
        refused_ms = [r.open_time_ms for r in self.rejects if r.open_time_ms is not None]
        known_ms = max([self.newest_ms, *(time_ms for time_ms in refused_ms if time_ms < self.gaps[-1].end_ms)])
        return self.gaps[0].start_ms if known_ms < 0 else interval.step(known_ms, 1)

    def tail(self, interval: Interval) -> Window | None:
        """The newest wanted slots that nothing has come of: what is published late."""
        newest = self.gaps[-1]
        start_ms = max(newest.start_ms, self.silent_from(interval))
        return Window(start_ms, newest.end_ms) if start_ms < newest.end_ms else None


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


def share_out(wants: Sequence[Want], pages_a_run: int) -> None:
    """Give each symbol its share of the pages that one run asks for: at least one, so that the newest klines of every
    symbol come first."""
    for want in wants:
        want.most_pages = max(1, pages_a_run // len(wants))


def newest_slots(gaps: Sequence[Window], interval: Interval, slots: int) -> list[Window]:
    """The newest `slots` slots of `gaps`, ordered."""
    kept: list[Window] = []
    for gap in reversed(gaps):
        if slots <= 0:
            break
        start_ms = max(gap.start_ms, interval.step(gap.end_ms, -slots))
        slots -= interval.slots(start_ms, gap.end_ms)
        kept.insert(0, Window(start_ms, gap.end_ms))
    return kept
