"""What an answer says of the slots that were asked for: which are stored now, and why the others are not. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import polars as pl

from klines.interval import Interval
from klines.ledger import NOT_LISTED, REJECTED, UNRESOLVED
from klines.want import Want
from klines.window import Window, intersect, subtract, window


def reasons(
    want: Want, stored: Sequence[Window], interval: Interval, *, is_trading: bool = True
) -> list[tuple[Window, str]]:
    """The slots of the answered gaps that brought no row, each with its reason.

    Refused rows: `rejected`. Before the first kline: `not_listed`, or `unresolved` where REST alone says so. Where a
    later kline is stored or answered, or the symbol does not trade: `unresolved`. What is left is late, which is no gap
    yet.
    """
    if not subtract(want.gaps, stored):  # of nearly every symbol, every minute
        return []
    answered = intersect(want.gaps, want.answered)
    empty = subtract(answered, stored)
    refused = intersect(slots(want.refused_ms, interval), empty)
    before = window(0, interval.floor(want.first_ms or 0))
    unlisted = intersect(before, subtract(want.gaps, [*stored, *refused]))
    holes = subtract(empty, [*refused, *unlisted])
    if is_trading:
        holes = intersect(holes, window(0, max(want.newest_ms, 0)))
    return [
        *((gap, REJECTED) for gap in refused),
        *((gap, UNRESOLVED if want.listed_ms is None else NOT_LISTED) for gap in unlisted),
        *((gap, UNRESOLVED) for gap in holes),
    ]


def slots(times_ms: Iterable[int], interval: Interval) -> list[Window]:
    """The slots of some open times as windows that don't touch."""
    found: list[list[int]] = []
    for index in sorted(map(interval.index, times_ms)):
        if found and index <= found[-1][1] + 1:
            found[-1][1] = index
        else:
            found.append([index, index])
    return [Window(interval.start(first), interval.start(last + 1)) for first, last in found]


def islands(rows: pl.DataFrame, interval: Interval) -> list[Window]:
    """`slots` of a frame of klines, ascending, by columns."""
    if not interval.length_ms or rows.is_empty():
        return slots(rows["open_time"], interval)
    index = (rows["open_time"] - interval.phase_ms) // interval.length_ms
    is_first = (index.diff() > 1).fill_null(True)
    firsts = index.filter(is_first).to_list()
    lasts = [*index.filter(is_first.shift(-1, fill_value=True)).to_list()]
    return [Window(interval.start(first), interval.start(last + 1)) for first, last in zip(firsts, lasts, strict=True)]
