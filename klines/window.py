"""Half-open windows of time, [start_ms, end_ms), and their arithmetic. Pure; no clock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """The times t with start_ms ≤ t < end_ms, in epoch milliseconds UTC; never empty."""

    start_ms: int
    end_ms: int

    def __post_init__(self) -> None:
        if self.start_ms >= self.end_ms:
            raise ValueError(f"an empty window: [{self.start_ms}, {self.end_ms})")


def window(start_ms: int, end_ms: int) -> list[Window]:
    """[start_ms, end_ms) as a list of one window, or of none where it is empty."""
    return [Window(start_ms, end_ms)] if start_ms < end_ms else []


def within(window: Window, time: str = "open_time") -> str:
    """That a time is in a window, in SQL."""
    return f"{time} >= epoch_ms({window.start_ms}::BIGINT) AND {time} < epoch_ms({window.end_ms}::BIGINT)"


def merge(windows: Iterable[Window]) -> list[Window]:
    """The same times as ordered windows that neither overlap nor touch."""
    merged: list[Window] = []
    for w in sorted(windows):
        if merged and w.start_ms <= merged[-1].end_ms:
            merged[-1] = Window(merged[-1].start_ms, max(merged[-1].end_ms, w.end_ms))
        else:
            merged.append(w)
    return merged


def subtract(wanted: Iterable[Window], minus: Iterable[Window]) -> list[Window]:
    """The times of `wanted` that are in no window of `minus`; ordered and disjoint."""
    holes, wholes = merge(minus), merge(wanted)
    if not holes:
        return wholes
    left: list[Window] = []
    first = 0
    for w in wholes:
        while first < len(holes) and holes[first].end_ms <= w.start_ms:
            first += 1
        cursor, at = w.start_ms, first
        while at < len(holes) and holes[at].start_ms < w.end_ms:
            left += window(cursor, holes[at].start_ms)
            cursor, at = holes[at].end_ms, at + 1
        left += window(cursor, w.end_ms)
    return left


def intersect(some: Iterable[Window], others: Iterable[Window]) -> list[Window]:
    """The times that are in both; ordered and disjoint."""
    ones = merge(some)
    return subtract(ones, subtract(ones, others))


def missing(stored: Sequence[Window], wanted: Window, settled: Sequence[Window]) -> list[Window]:
    """wanted − stored − settled. Law: every slot of `wanted` is in exactly one of the three."""
    return subtract([wanted], [*stored, *settled])
