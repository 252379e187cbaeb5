"""The slots of funding rates: the full hours of a symbol that should have one. Pure; no clock.

A symbol has a rate every 8, 4 or 1 hours, and that changes: so there is no grid that could be computed, only rates that
are there and the interval of each. Between two rates that are further apart than their intervals something lacks. Which
hours these are is sure where both have one interval; where they differ nobody knows when it changed, and only hours are
expected that are in the grids of both.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import gcd, lcm
from typing import NamedTuple

from klines.interval import HOUR
from klines.window import Window

USUAL_HOURS = 8
"""The interval of a symbol of which nothing else is known; no longer one is known."""


class FundedHour(NamedTuple):
    """A slot that has a rate: its full hour, in epoch ms, and the interval, in hours, that was published with it."""

    time_ms: int
    hours: int | None = None


class Hole(NamedTuple):
    """Slots that have no rate: every `every_ms` from the beginning of `window`, which ends at the next rate, or an hour
    after the last of them."""

    window: Window
    every_ms: int

    def count(self, within: Window) -> int:
        """How many of the slots are in a window."""
        first, every = self.window.start_ms, self.every_ms
        start_ms, end_ms = max(first, within.start_ms), min(self.window.end_ms, within.end_ms)
        return max(0, -(-(end_ms - first) // every) - -(-(start_ms - first) // every))


def hour_of(time_ms: int) -> int:
    """The slot of a published time, which may be some ms after the full hour: that hour, in epoch ms."""
    return time_ms // HOUR * HOUR


def spacings(slots: Sequence[FundedHour], today_hours: int | None = None) -> list[int]:
    """The interval of each rate, in ms: as it was published, else what its distances to its neighbours have in common;
    that of a lone one is today's. `slots` ascend, one an hour."""
    apart = [0, *(after.time_ms - before.time_ms for before, after in pairwise(slots)), 0]
    usual = (today_hours or USUAL_HOURS) if len(slots) == 1 else USUAL_HOURS
    return [
        slot.hours * HOUR if slot.hours else gcd(apart[number], apart[number + 1], usual * HOUR)
        for number, slot in enumerate(slots)
    ]


def holes_between(slots: Sequence[FundedHour]) -> list[Hole]:
    """What lacks from the first rate to the last."""
    known = list(zip((slot.time_ms for slot in slots), spacings(slots), strict=True))
    return [
        hole
        for before, after in pairwise(known)
        if after[0] - before[0] > before[1]
        for hole in _between(*before, *after)
    ]


def holes_after(slots: Sequence[FundedHour], until_ms: int, today_hours: int | None = None) -> list[Hole]:
    """What lacks after the last rate up to `until_ms`, which is included: there the symbol's interval of today counts,
    too, where that is known."""
    if not slots:
        return []
    last_ms, length_ms = slots[-1].time_ms, spacings(slots[-3:], today_hours)[-1]
    return _after(last_ms, length_ms, today_hours * HOUR if today_hours else length_ms, until_ms)


def _between(before_ms: int, one_ms: int, after_ms: int, other_ms: int) -> list[Hole]:
    """What lacks between two rates and their intervals."""
    if after_ms - before_ms <= max(one_ms, other_ms):
        return []
    every = lcm(one_ms, other_ms)
    is_one_grid = before_ms % every == after_ms % every
    first_ms = _next(before_ms, every, before_ms % every if is_one_grid else 0)
    return [Hole(Window(first_ms, after_ms), every)] if first_ms < after_ms else []


def _after(last_ms: int, length_ms: int, today_ms: int, until_ms: int) -> list[Hole]:
    """What lacks after the last rate."""
    every = lcm(length_ms, today_ms)
    first_ms = _next(last_ms, every, last_ms % every if length_ms == today_ms else 0)
    if first_ms > until_ms:
        return []
    end_ms = until_ms - (until_ms - first_ms) % every + HOUR
    return [Hole(Window(first_ms, end_ms), every)]


def _next(time_ms: int, every_ms: int, phase_ms: int) -> int:
    """The first slot of a grid after a time."""
    return time_ms + every_ms - (time_ms - phase_ms) % every_ms


def may_have_come(slots: Sequence[FundedHour], since_ms: int, until_ms: int, today_hours: int | None = None) -> bool:
    """Whether there may be a rate from `since_ms` on, which is after all that are there, up to `until_ms`, included.

    It is so at each hour of the shorter one of the last rate's interval and today's.
    """
    if not slots:
        return since_ms <= until_ms
    last_ms, length_ms = slots[-1].time_ms, spacings(slots[-3:], today_hours)[-1]
    every = gcd(length_ms, today_hours * HOUR) if today_hours else length_ms
    return _next(max(last_ms, since_ms - 1), every, last_ms % every) <= until_ms
