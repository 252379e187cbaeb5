"""That nothing has been collected for a while, which no run can tell: whoever lives beside the runs looks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from klines.clock import clock, duration
from klines.collect.incidents import Followed
from klines.interval import INTERVALS, MINUTE
from klines.market import series_name
from klines.outcome import names
from klines.tables.incidents import Incident
from klines.tables.schedules import Collected

NOT_COLLECTED = "NotCollected"
"""The kind of incident."""
AFTER_MS = 10 * MINUTE
"""So long after a run was due that would have collected something it is one."""


@dataclass(frozen=True, slots=True)
class Overdue:
    """What of a market nothing was collected of: `1m`, `mark 1m`, of a shard `1m 3/10`; and since when, in epoch ms."""

    parts: Sequence[str]
    since_ms: int

    def said(self, now_ms: int) -> str:
        """`1m: nothing has been collected for 12 min, since 2026-01-01 12:00 UTC: …`."""
        lasted = duration((now_ms - self.since_ms) / 1000)
        return (
            f"{names(self.parts)}: nothing has been collected for {lasted}, since {clock(self.since_ms)} UTC: does the "
            "worker of `klines run` still run? `klines status` shows what lacks; the next run fetches it"
        )


def overdue(collected: Iterable[Collected], now_ms: int) -> dict[str, Overdue]:
    """By market what is overdue. A schedule that is not of so many seconds tells nothing."""
    late: dict[str, list[Collected]] = {}
    for one in collected:
        due_ms = one.due_ms(INTERVALS[one.interval].step(one.asked_ms, 1))  # when it has something to collect
        if due_ms is not None and now_ms > due_ms + AFTER_MS:
            late.setdefault(one.market, []).append(one)
    return {
        market: Overdue(sorted({_part(one) for one in found}), min(one.asked_ms for one in found))
        for market, found in late.items()
    }


def _part(one: Collected) -> str:
    return " ".join(filter(None, [series_name("", one.kind, one.interval), one.shard]))


def follow_overdue(
    before: Sequence[Incident], market: str, late: Overdue | None, now_ms: int, *, is_told: bool
) -> Followed:
    """What that means for the incidents of a market that go on; where `is_told` runs tell already why nothing can be
    collected, and none begins."""
    was = next((one for one in before if one.kind == NOT_COLLECTED), None)
    if late is None:
        ended = [replace(was, ended_ms=now_ms)] if was else []
        return Followed(changed=ended, ended=ended)
    if was or is_told:
        return Followed()
    began = [Incident(market, NOT_COLLECTED, late.parts, [], late.since_ms, late.said(now_ms), loud=True)]
    return Followed(changed=began, began=began)
