"""What is to be complete: ranges of series, each with who wants it. What nobody wants is neither due nor stale. Pure.

Whoever collects wants a series on and on, from where it began; a backfill and a person want a range. A series can have
several ranges, of several who want them: what is promised is all of them together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from klines.clock import clock
from klines.interval import Interval
from klines.ledger import FOREVER_MS
from klines.market import Market
from klines.window import Window, merge, subtract, window

SHELL, BACKFILL, PERSON, UPGRADE = "shell", "backfill", "person", "upgrade"
"""Who wants: a collect from the shell, a backfill, somebody by `klines wanted`, the upgrade of a database of before.
A deployment's collect is named as the deployment is."""
NO_DEPLOYMENTS = (SHELL, BACKFILL, PERSON, UPGRADE)


@dataclass(frozen=True, slots=True, order=True)
class Promise:
    """A range of a series, who wants it, and when that was noted; it ends at FOREVER_MS where it goes on."""

    window: Window
    by: str
    noted_ms: int

    @property
    def goes_on(self) -> bool:
        """Whether it has no end."""
        return self.window.end_ms == FOREVER_MS


def promised(wanted: Iterable[Promise], since_ms: int | None = None) -> list[Window]:
    """All that anybody wants of a series, ordered and disjoint; where KLINES_SINCE is set, what is collected is wanted
    from `since_ms` on."""
    return merge(
        one.window
        if since_ms is None or not one.goes_on or one.by == PERSON
        else replace(one.window, start_ms=since_ms)
        for one in wanted
    )


def choose_on(wanted: Sequence[Promise], by: str, begin_ms: int, since_ms: int | None, now_ms: int) -> list[Promise]:
    """The ranges of a series that `by` collects from now on: from `begin_ms` where it is new to it, from where it began
    where it was chosen before, or from `since_ms` where that is set.

    What a shell collected, and what an upgrade found to be collected, is taken over.
    """
    before = [one for one in wanted if one.by in (by, SHELL) or (one.by == UPGRADE and one.goes_on)]
    start_ms = max(before).window.start_ms if before else begin_ms
    on = Promise(Window(start_ms if since_ms is None else since_ms, FOREVER_MS), by, now_ms)
    same = [one for one in before if (one.window, one.by) == (on.window, by)]
    kept = [one for one in wanted if one not in before or one.window.end_ms < on.window.start_ms]
    return sorted([*kept, *(same or [on])])


def let_go(
    wanted: Sequence[Promise], by: str, end_ms: int, taken_over: Sequence[str] = (SHELL, UPGRADE)
) -> list[Promise]:
    """The ranges of a series that `by`, and those whom it has taken over, do not collect any more: what went on ends at
    `end_ms`."""
    kept = []
    for one in wanted:
        is_over = one.goes_on and one.by in (by, *taken_over)
        kept += [replace(one, window=part) for part in window(one.window.start_ms, end_ms)] if is_over else [one]
    return kept


def add_range(wanted: Sequence[Promise], asked: Window, by: str, now_ms: int) -> list[Promise]:
    """The ranges of a series with one more, which joins those of the same `by` that it touches."""
    mine = [one for one in wanted if one.by == by]
    joined = merge([*(one.window for one in mine), asked])
    noted = {one.window: one for one in mine}
    others = [one for one in wanted if one.by != by]
    return sorted([*others, *(noted.get(part, Promise(part, by, now_ms)) for part in joined)])


def remove_range(wanted: Sequence[Promise], asked: Window) -> list[Promise]:
    """The ranges of a series without this one, whoever wants it."""
    return [replace(one, window=part) for one in wanted for part in subtract([one.window], [asked])]


def lying_between(wanted: Iterable[Promise], end_ms: int) -> list[Window]:
    """What lies between the ranges of a series, and nobody wants; after `end_ms` lies nothing."""
    parts = promised(wanted)
    return subtract(window(parts[0].start_ms, min(parts[-1].end_ms, end_ms)), parts) if parts else []


def add_command(symbols: Sequence[str], market: Market, interval: Interval, asked: Window) -> str:
    """The command that wants a range of some series, too."""
    series = {
        "market": (market.name, "spot"), "kind": (market.kind.name, "klines"), "interval": (interval.name, "1m")
    }  # fmt: skip
    options = [f"--{name} {value}" for name, (value, usual) in series.items() if value != usual]
    start, end = (clock(ms).replace(" 00:00", "").replace(" ", "T") for ms in (asked.start_ms, asked.end_ms))
    return " ".join(["klines wanted", *symbols, "--add", f"--start {start} --end {end}", *options])


def changed(
    before: Mapping[str, Sequence[Promise]], after: Mapping[str, Sequence[Promise]]
) -> dict[str, Sequence[Promise]]:
    """Those series whose ranges are others than before."""
    return {symbol: ranges for symbol, ranges in after.items() if list(ranges) != list(before.get(symbol, []))}
