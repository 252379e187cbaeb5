"""The ledger of funding rates: what of a symbol is to be asked for, and what an answer says of what lacks. Pure.

Its gaps are those of klines, in whole hours: a gap of several rates reaches from the first that lacks to the next one
that is there. Before the first rate nobody knows the slots; a gap there is time.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from klines.binance.funding.grid import FundedHour, Hole, holes_after, holes_between, hour_of, may_have_come
from klines.interval import FRESH_MS, HOUR, MINUTE
from klines.ledger import (
    DELISTED,
    FOREVER_MS,
    HOLE,
    NOT_LISTED,
    REJECTED,
    UNRESOLVED,
    Gap,
    explain,
    owe,
    revise,
)
from klines.window import Window, intersect, merge, subtract, window

FIRST_RATE_MS = 1_546_300_800_000
"""2019-01-01, before which Binance had no perpetual futures: where history begins that nobody says the beginning of."""
EARLY_MS = 5 * MINUTE
"""A gap is asked for so long before its time: runs that begin every hour are not an hour apart to the second."""
Verdict = tuple[Window, str]
"""A gap, and its reason."""


@dataclass(frozen=True)
class Funded:
    """What is stored of a symbol, its ledger, and its interval of today in hours; None where that is not known."""

    slots: Sequence[FundedHour]
    gaps: Sequence[Gap]
    since_ms: int = FIRST_RATE_MS
    today_hours: int | None = None

    @cached_property
    def times_ms(self) -> list[int]:
        """The slots that have a rate."""
        return [slot.time_ms for slot in self.slots]

    @cached_property
    def _between(self) -> list[Hole]:
        return holes_between(self.slots)

    @property
    def after_ms(self) -> int:
        """After the last slot that has a rate; where history begins, where none has."""
        return self.slots[-1].time_ms + HOUR if self.slots else hour_of(self.since_ms)

    @property
    def ended(self) -> Window | None:
        """From the end of its trading on, where the ledger has that; its last rate was before."""
        gaps = [gap.window for gap in self.gaps if gap.reason == DELISTED and gap.window.start_ms >= self.after_ms]
        return gaps[-1] if gaps else None

    def head(self, now_ms: int) -> list[Window]:
        """The time before the first rate."""
        end_ms = self.slots[0].time_ms if self.slots else hour_of(now_ms)
        return window(hour_of(self.since_ms), end_ms)

    def holes(self, now_ms: int) -> list[Hole]:
        """What lacks after the first rate, but for what is after the end of its trading, and for what may yet be
        published: that is late only."""
        return self._between + ([] if self.ended else self.tail(now_ms))

    def tail(self, now_ms: int) -> list[Hole]:
        """What lacks after the last rate: a hole or none."""
        return holes_after(self.slots, now_ms - FRESH_MS, self.today_hours)

    def lacking(self, now_ms: int) -> list[Window]:
        """All that lacks, ascending; what is after the end of its trading has no end."""
        return [
            *self.head(now_ms),
            *(hole.window for hole in self.holes(now_ms)),
            *([self.ended] if self.ended else []),
        ]

    def to_ask(self, now_ms: int) -> list[Window]:
        """What is to be asked for, ordered: what lacks, but for what is settled or waits for its next check, and what
        may have been published since."""
        waiting = [gap.window for gap in self.gaps if not gap.is_to_check(now_ms + EARLY_MS)]
        parts = subtract(intersect(self.lacking(now_ms), [Window(0, now_ms + 1)]), waiting)
        newest = subtract(window(self.after_ms, now_ms + 1), waiting)
        fresh = [part for part in newest if may_have_come(self.slots, part.start_ms, part.end_ms - 1, self.today_hours)]
        return merge([*parts, *fresh])

    def with_neighbours(self, parts: Iterable[Window], now_ms: int) -> list[Window]:
        """Windows to ask for: each with the rate before it and the one after it. Only an answer that has both says
        anything of what is between."""
        times, found = self.times_ms, []
        for part in parts:
            before, after = bisect_left(times, part.start_ms), bisect_left(times, part.end_ms)
            start_ms = times[before - 1] if before else part.start_ms
            end_ms = times[after] + HOUR if after < len(times) else part.end_ms
            found.append(Window(start_ms, min(end_ms, now_ms + 1)))
        return merge(found)


@dataclass(frozen=True, slots=True)
class Heard:
    """What a run was told of a symbol: by REST the windows that were answered, the hours that have a rate, and those
    whose row was refused; whether the archive, too, has nothing of before the first rate; and whether the symbol trades
    (None: nobody was asked, or could say)."""

    answered: Sequence[Window] = ()
    hours: frozenset[int] = frozenset()
    refused: Sequence[int] = ()
    archive_agrees: bool = False
    is_trading: bool | None = None

    def of(self, part: Window) -> tuple[list[Verdict], list[Window]]:
        """What of a window was refused, as verdicts, and what of it was answered without a row."""
        answered = intersect([part], self.answered)
        hours = merge(Window(time_ms, time_ms + HOUR) for time_ms in self.refused)
        refused = intersect(hours, answered)
        return [(window, REJECTED) for window in refused], subtract(answered, refused)


def revised(funded: Funded, heard: Heard, now_ms: int) -> list[Gap]:
    """The ledger after a run, of what is stored then.

    Law: the result is disjoint, and covers exactly what lacks. What was not answered keeps its gaps, or is due.
    """
    funded = _with_end(funded, heard, now_ms)
    verdicts = [*_of_head(funded, heard, now_ms), *_of_end(funded, heard, now_ms)]
    for hole in funded.holes(now_ms):
        verdicts += _of_hole(funded, heard, hole)
    lacking = funded.lacking(now_ms)
    between = [verdict for verdict in verdicts if verdict[1] == HOLE]
    others = [verdict for verdict in verdicts if verdict[1] != HOLE]
    gaps = revise(funded.gaps, subtract([Window(0, FOREVER_MS)], lacking), others, now_ms)
    return owe(explain(gaps, between, now_ms), lacking, now_ms)


def _with_end(funded: Funded, heard: Heard, now_ms: int) -> Funded:
    """Where a symbol does not trade, what lacks after its last rate is the end of its trading; where it trades again it
    has none."""
    if heard.is_trading is None:
        return funded
    if heard.is_trading:
        return replace(funded, gaps=[gap for gap in funded.gaps if gap.window != funded.ended])
    tails = [] if funded.ended else funded.tail(now_ms)
    if not tails:
        return funded
    end = Window(tails[0].window.start_ms, FOREVER_MS)
    known = [gap for gap in funded.gaps if gap.window.end_ms <= end.start_ms]
    return replace(funded, gaps=[*known, Gap(end, DELISTED, now_ms, next_check_ms=now_ms)])


def _of_head(funded: Funded, heard: Heard, now_ms: int) -> list[Verdict]:
    """Before the first rate it was not listed, where REST and the archive say so: one of them alone may lack it."""
    found: list[Verdict] = []
    begins = bool(funded.slots) and funded.slots[0].time_ms in heard.hours and heard.archive_agrees
    for part in funded.head(now_ms):
        refused, empty = heard.of(part)
        found += [*refused, *((gap, NOT_LISTED if begins else UNRESOLVED) for gap in empty)]
    return found


def _of_end(funded: Funded, heard: Heard, now_ms: int) -> list[Verdict]:
    """The end of its trading, where that was looked at."""
    end = funded.ended
    was_asked = end is not None and not subtract(window(end.start_ms, now_ms + 1), heard.answered)
    return [(end, DELISTED)] if end is not None and was_asked else []


def _of_hole(funded: Funded, heard: Heard, hole: Hole) -> list[Verdict]:
    """Empty between two rates that are in the same answers: the exchange has none. Else nobody knows."""
    refused, empty = heard.of(hole.window)
    before_ms = funded.times_ms[bisect_left(funded.times_ms, hole.window.start_ms) - 1]
    is_whole = not subtract([hole.window], heard.answered)
    is_between = is_whole and {before_ms, hole.window.end_ms} <= heard.hours
    return [*refused, *((part, HOLE if is_between else UNRESOLVED) for part in empty)]


@dataclass(frozen=True, slots=True)
class RatesSum:
    """Slots of a symbol from its first rate on, or from where they are wanted: from when, in epoch ms; how many should
    have a rate, have one, have none for a reason that is known, of these as it was refused, and for none; the first of
    those; and whether the newest one lacks."""

    since_ms: int = 0
    expected: int = 0
    stored: int = 0
    explained: int = 0
    rejected: int = 0
    unexplained: int = 0
    first_unexplained_ms: int | None = None
    is_stale: bool = False


def summed(funded: Funded, now_ms: int) -> RatesSum:
    """What is there of a symbol after a run, and why the rest is not."""
    unknown = [gap.window for gap in funded.gaps if gap.reason not in (HOLE, NOT_LISTED, DELISTED, REJECTED)]
    refused = [gap.window for gap in funded.gaps if gap.reason == REJECTED]
    wanted = Window(max(hour_of(funded.since_ms), funded.times_ms[0] if funded.slots else 0), FOREVER_MS)
    stored = len(funded.slots) - bisect_left(funded.times_ms, wanted.start_ms)
    found = funded.holes(now_ms)
    lacking = sum(hole.count(wanted) for hole in found)
    open_ones = [(hole, part) for hole in found for part in intersect(intersect([hole.window], unknown), [wanted])]
    unexplained = sum(hole.count(part) for hole, part in open_ones)
    rejected = sum(
        hole.count(part) for hole in found for part in intersect(intersect([hole.window], refused), [wanted])
    )
    return RatesSum(
        since_ms=wanted.start_ms,
        expected=stored + lacking,
        stored=stored,
        explained=lacking - unexplained,
        rejected=rejected,
        unexplained=unexplained,
        first_unexplained_ms=min((part.start_ms for _, part in open_ones), default=None),
        is_stale=any(hole.window.start_ms >= funded.after_ms for hole, _ in open_ones),
    )
