"""Where klines of each symbol may be, and the pieces in which they are read: few enough at once for any memory. Each
piece gives what it would as part of the whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import duckdb
import polars as pl

from klines.interval import INTERVALS, Interval
from klines.reading.derived import Asked
from klines.reading.predicate import passing_symbols, passing_window
from klines.storage.access import fetch_frame
from klines.window import Window, window

_SPANS = """
    SELECT symbol, epoch_ms(min(open_time)), epoch_ms(max(open_time)), min(interval) = max(interval)
    FROM klines
    WHERE market = $market AND kind = $kind AND interval IN (NAMES) AND AMONG
      AND open_time >= epoch_ms($start::BIGINT) AND open_time < epoch_ms($end::BIGINT)
    GROUP BY symbol ORDER BY symbol
"""


@dataclass(frozen=True, slots=True)
class Span:
    """A symbol, and the window in which klines of it may open.

    It can be cut where only one interval is stored of all that its klines can be had from: where there are several,
    what is derived depends on the first and the last kline of the whole window.
    """

    symbol: str
    window: Window
    can_be_cut: bool


def spans_stored(connection: duckdb.DuckDBPyConnection, asked: Asked, interval: Interval) -> list[Span]:
    """Those of the symbols that have any, by name."""
    names = [interval.name, *(part.name for part in INTERVALS.values() if interval.is_made_of(part))]
    sql = _SPANS.replace("NAMES", ", ".join(map(repr, names))).replace("AMONG", asked.among)
    bounds = {"start": asked.window.start_ms, "end": interval.ceil(asked.window.end_ms)}
    return [
        Span(symbol, opens, can_be_cut)
        for symbol, first_ms, last_ms, can_be_cut in fetch_frame(connection, sql, asked.series | bounds).iter_rows()
        for opens in window(
            max(interval.floor(first_ms), asked.window.start_ms), min(interval.step(last_ms, 1), asked.window.end_ms)
        )
    ]


def passing(spans: Sequence[Span], predicate: pl.Expr | None) -> Iterator[Span]:
    """What of the spans a predicate may let pass."""
    names = [span.symbol for span in spans]
    kept = set(names if predicate is None else passing_symbols(predicate, names))
    for span in spans:
        opens = passing_window(predicate, span.window) if predicate is not None and span.can_be_cut else span.window
        if opens and span.symbol in kept:
            yield replace(span, window=opens)


def pieces(spans: Iterator[Span], interval: Interval, most: int) -> Iterator[tuple[list[str], Window]]:
    """Symbols and windows of `most` slots in all, or of one symbol that can't be cut, by symbol and time."""
    group: list[Span] = []
    for span in spans:
        if group and _slots([*group, span], interval) > most:
            yield _joined(group)
            group = []
        if span.can_be_cut and _slots([span], interval) > most:
            yield from _cut(span, interval, most)
        else:
            group.append(span)
    if group:
        yield _joined(group)


def _cut(span: Span, interval: Interval, most: int) -> Iterator[tuple[list[str], Window]]:
    start_ms = span.window.start_ms
    while start_ms < span.window.end_ms:
        end_ms = min(interval.step(start_ms, most), span.window.end_ms)
        yield [span.symbol], Window(start_ms, end_ms)
        start_ms = end_ms


def _joined(group: Sequence[Span]) -> tuple[list[str], Window]:
    """All symbols of a group, and the window that holds theirs."""
    start_ms = min(span.window.start_ms for span in group)
    return [span.symbol for span in group], Window(start_ms, max(span.window.end_ms for span in group))


def _slots(group: Sequence[Span], interval: Interval) -> int:
    symbols, joined = _joined(group)
    return len(symbols) * interval.slots(interval.floor(joined.start_ms), interval.ceil(joined.end_ms))
