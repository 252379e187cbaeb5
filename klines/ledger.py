"""The ledger of gaps: every wanted slot that is not stored, why not, and when to look again. Pure; no clock.

The ledger is also the work list: a gap whose `next_check_ms` has come is asked for again, one without is settled.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from klines.interval import DAY, HOUR, MINUTE
from klines.window import Window, intersect, subtract, window

DUE, UNRESOLVED, REJECTED, NOT_LISTED = "due", "unresolved", "rejected", "not_listed"
OUTAGE, HOLE, DELISTED = "exchange_outage", "exchange_hole", "delisted"
EXPLAINED = (OUTAGE, HOLE, DELISTED)
"""Reasons that only an audit gives and checks again; whoever else finds their slots empty leaves them as they are."""
FOREVER_MS = 253_402_214_400_000
"""9999-12-31: the end of an open-ended gap."""
SETTLED_AFTER = 3
"""So many empty answers between present neighbours settle a gap."""

BACK_OFF_MS = {
    UNRESOLVED: (HOUR, DAY, 7 * DAY),
    REJECTED: (10 * MINUTE, HOUR, DAY),
    OUTAGE: (HOUR, DAY),
    HOLE: (HOUR, DAY),
    DELISTED: (DAY,),
}
"""How long to wait after the first, second, … answered check; the last value goes on."""


@dataclass(frozen=True, slots=True, order=True)
class Gap:
    """Slots that are not stored, and why; `attempts` counts the checks that the exchange answered."""

    window: Window
    reason: str
    first_seen_ms: int
    last_checked_ms: int | None = None
    attempts: int = 0
    next_check_ms: int | None = None

    def is_open(self, now_ms: int) -> bool:
        """Whether it is time to ask the exchange for it.

        It is not while the gap is settled, explained or waiting, or while a backfill works on it. A due gap is asked
        for up to a minute early: the clock of this run may be behind that of the run before.
        """
        early_ms = MINUTE if self.reason == DUE else 0
        return self.reason not in EXPLAINED and self.is_to_check(now_ms + early_ms)

    def is_to_check(self, now_ms: int) -> bool:
        """Whether an audit should look at it again."""
        return self.next_check_ms is not None and self.next_check_ms <= now_ms

    def is_fresh_end(self, now_ms: int) -> bool:
        """Whether trading ended within the last day. It may be an interruption, so collecting goes on."""
        return self.reason == DELISTED and now_ms - self.window.start_ms < DAY


def due(window: Window, now_ms: int) -> Gap:
    """A gap of ours: to be collected as soon as there is room."""
    return Gap(window, DUE, first_seen_ms=now_ms, next_check_ms=now_ms)


def owe(gaps: Sequence[Gap], windows: Iterable[Window], now_ms: int) -> list[Gap]:
    """The ledger with `windows` added as due, where it does not have them yet; they join a due neighbour."""
    parts = subtract(windows, [gap.window for gap in gaps])
    neighbours = {gap.window.end_ms: gap for gap in gaps if gap.reason == DUE and gap.is_open(now_ms)}
    return _join(
        [
            *gaps,
            *(
                replace(neighbours[part.start_ms], window=part) if part.start_ms in neighbours else due(part, now_ms)
                for part in parts
            ),
        ]
    )


def lease(gaps: Sequence[Gap], windows: Iterable[Window], until_ms: int, now_ms: int) -> list[Gap]:
    """The ledger with `windows` added as due, and kept from everybody else until `until_ms`.

    Slots that have another reason keep it.
    """
    windows = list(windows)
    others = [gap for gap in gaps if gap.reason != DUE]
    dues = [gap for gap in gaps if gap.reason == DUE]
    kept = [replace(gap, window=rest) for gap in dues for rest in subtract([gap.window], windows)]
    held = [replace(gap, window=part) for gap in dues for part in intersect([gap.window], windows)]
    new = subtract(windows, [gap.window for gap in gaps])
    leased = [*held, *(due(part, now_ms) for part in new)]
    return _join([*others, *kept, *(replace(gap, next_check_ms=until_ms) for gap in leased)])


def release(gaps: Sequence[Gap], windows: Iterable[Window], now_ms: int) -> list[Gap]:
    """The ledger after a lease: what is due within `windows` is anybody's again."""
    dues = [gap.window for gap in gaps if gap.reason == DUE]
    return lease(gaps, intersect(dues, windows), now_ms, now_ms)


def drop_due(gaps: Sequence[Gap], windows: Iterable[Window]) -> list[Gap]:
    """The ledger without what is due of `windows`: nobody wants it any more."""
    windows = list(windows)
    return [
        replace(gap, window=part)
        for gap in gaps
        for part in (subtract([gap.window], windows) if gap.reason == DUE else [gap.window])
    ]


def revise(
    gaps: Sequence[Gap], stored: Iterable[Window], found: Iterable[tuple[Window, str]], now_ms: int
) -> list[Gap]:
    """The ledger of one series after an answer: `stored` windows leave it, `found` ones are in it with their reason.

    Law: the result is disjoint; it holds nothing of `stored`, all of `found`, and the rest of `gaps` unchanged. A found
    slot keeps the history of the gap with its reason that it was in or touches. So an outage that grows by a slot a
    minute stays one gap.
    """
    stored = list(stored)
    gaps = [part for gap in gaps for part in _after_return(gap, stored)]
    explained = [gap.window for gap in gaps if gap.reason in EXPLAINED]
    found = [
        (part, reason)
        for window, reason in found
        for part in (subtract([window], explained) if reason == UNRESOLVED else [window])
    ]
    taken = [*stored, *(window for window, _ in found)]
    kept = [replace(gap, window=rest) for gap in gaps for rest in subtract([gap.window], taken)]
    new = [gap for window, reason in found for gap in _find(gaps, window, reason, now_ms)]
    return _join([*kept, *new])


def _after_return(gap: Gap, stored: Sequence[Window]) -> list[Gap]:
    """A delisted symbol that trades again: the time between becomes unresolved, the time after is no gap."""
    returned_ms = min((w.start_ms for w in stored if w.start_ms >= gap.window.start_ms), default=FOREVER_MS)
    if gap.reason != DELISTED or returned_ms >= gap.window.end_ms:
        return [gap]
    between = window(gap.window.start_ms, returned_ms)
    return [replace(gap, window=part, reason=UNRESOLVED, next_check_ms=gap.first_seen_ms) for part in between]


def explain(gaps: Sequence[Gap], verdicts: Iterable[tuple[Window, str]], now_ms: int) -> list[Gap]:
    """The ledger after an audit found windows empty between present neighbours, and why.

    A gap that was checked before keeps its history; one that has been checked often enough is settled.
    """
    verdicts = list(verdicts)
    kept = [replace(gap, window=rest) for gap in gaps for rest in subtract([gap.window], [w for w, _ in verdicts])]
    new = []
    for verdict, reason in verdicts:
        known = [replace(gap, window=part) for gap in gaps for part in intersect([gap.window], [verdict])]
        fresh = [Gap(part, reason, now_ms) for part in subtract([verdict], [gap.window for gap in known])]
        new += [_settled_or_checked(replace(gap, reason=reason), now_ms) for gap in [*known, *fresh]]
    return _join([*kept, *new])


def weekly(gap: Gap, now_ms: int) -> Gap:
    """A gap that was just checked, to be looked at again in a week."""
    return replace(gap, next_check_ms=now_ms + 7 * DAY) if gap.last_checked_ms == now_ms else gap


def settle_bounded(gaps: Sequence[Gap]) -> list[Gap]:
    """The ledger with the time between two lives of a name settled: it is delisted, and has an end."""
    return [
        replace(gap, next_check_ms=None) if gap.reason == DELISTED and gap.window.end_ms != FOREVER_MS else gap
        for gap in gaps
    ]


def _settled_or_checked(gap: Gap, now_ms: int) -> Gap:
    checked = _checked(gap, now_ms)
    return replace(checked, next_check_ms=None) if checked.attempts >= SETTLED_AFTER else checked


def _find(gaps: Sequence[Gap], window: Window, reason: str, now_ms: int) -> list[Gap]:
    """`window` as gaps of `reason`: known parts count one more check; the rest joins a neighbour, or is new."""
    same = [gap for gap in gaps if gap.reason == reason]
    known = [_checked(replace(gap, window=part), now_ms) for gap in same for part in intersect([gap.window], [window])]
    rest = subtract([window], [gap.window for gap in known])
    return known + [
        _beside([*known, *same], part, now_ms) or _checked(Gap(part, reason, now_ms), now_ms) for part in rest
    ]


def _beside(same: Sequence[Gap], part: Window, now_ms: int) -> Gap | None:
    """`part` with the history of a waiting gap that ends where it starts; None if there is none."""
    beside = (gap for gap in same if gap.window.end_ms == part.start_ms and not gap.is_to_check(now_ms))
    return next((replace(gap, window=part) for gap in beside), None)


def _checked(gap: Gap, now_ms: int) -> Gap:
    """The gap after one more answered check; reasons that can't change are settled."""
    waits = BACK_OFF_MS.get(gap.reason)
    next_check_ms = now_ms + waits[min(gap.attempts, len(waits) - 1)] if waits else None
    return replace(gap, last_checked_ms=now_ms, attempts=gap.attempts + 1, next_check_ms=next_check_ms)


def _join(gaps: Iterable[Gap]) -> list[Gap]:
    """Neighbours that differ in nothing but their window, as one."""
    joined: list[Gap] = []
    for gap in sorted(gaps, key=lambda gap: gap.window):
        last = joined[-1] if joined else None
        if last and last.window.end_ms == gap.window.start_ms and replace(last, window=gap.window) == gap:
            joined[-1] = replace(gap, window=Window(last.window.start_ms, gap.window.end_ms))
        else:
            joined.append(gap)
    return joined
