"""What is missing, asked of the database and never remembered: the first step of every run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import duckdb

from klines.interval import Interval
from klines.ledger import Gap, due
from klines.market import Market
from klines.tables.gaps import read_gaps, write_gaps
from klines.tables.klines import FIRST_MS, last_stored, stored_windows
from klines.tables.symbols import listings
from klines.tables.transaction import transaction
from klines.want import Want, newest_page
from klines.window import Window, intersect, merge, missing, subtract


def wants(
    connection: duckdb.DuckDBPyConnection,
    market: Market,
    interval: Interval,
    symbols: Sequence[str],
    *,
    now_ms: int,
    lookback_ms: int,
    since_ms: int | None = None,
    joined_ms: Mapping[str, int] | None = None,
) -> tuple[list[Want], dict[str, int]]:
    """Per symbol what a run should ask for: `lookback` and all since the last stored kline, less what is stored or
    settled, and what the ledger has due. Symbols of which nothing is missing are left out.

    Returns it with the open time, in ms, of each symbol's newest stored kline.

    `now_ms` is the exchange's clock. A symbol with nothing stored begins at `since_ms`, or `lookback_ms` ago, or where
    the ledger says that it began; one that was listed meanwhile at `joined_ms`.
    What does not fit into a symbol's newest page is entered into the ledger as due before this returns.
    """
    end_ms = interval.floor(now_ms)
    from_ms = interval.floor(max(now_ms - lookback_ms, FIRST_MS))
    stored = stored_windows(connection, market, interval, symbols, from_ms)
    last_ms = last_stored(connection, market, interval, symbols, stored)
    listed_ms = listings(connection, market, symbols)
    ledger = read_gaps(connection, market, interval, symbols)
    found = []
    for symbol in symbols:
        oldest_ms = min(from_ms, interval.step(end_ms, -1), interval.floor((joined_ms or {}).get(symbol, from_ms)))
        start_ms = _start(interval, oldest_ms, last_ms.get(symbol), since_ms)
        start_ms = min([start_ms, *(gap.window.start_ms for gap in ledger[symbol] if symbol not in last_ms)])
        gaps = _gaps(stored.get(symbol, []), ledger[symbol], start_ms, end_ms, now_ms)
        if gaps:
            found.append(Want(symbol, gaps, last_ms.get(symbol), listed_ms.get(symbol)))
    _remember(connection, market, interval, found, ledger, now_ms)
    return found, last_ms


def _start(interval: Interval, from_ms: int, last_ms: int | None, since_ms: int | None) -> int:
    """Where the window of a run begins."""
    since_ms = None if since_ms is None else interval.ceil(max(since_ms, FIRST_MS))
    if last_ms is None:
        return from_ms if since_ms is None else since_ms
    return max(min(from_ms, interval.step(last_ms, 1)), since_ms or 0)


def _gaps(stored: list[Window], ledger: list[Gap], start_ms: int, end_ms: int, now_ms: int) -> list[Window]:
    """Missing, minus what the ledger has settled or waits with, plus what it has due."""
    open_gaps = [gap.window for gap in ledger if gap.is_open(now_ms)]
    waiting = [gap.window for gap in ledger if not (gap.is_open(now_ms) or gap.is_fresh_end(now_ms))]
    fresh = missing(stored, Window(start_ms, end_ms), waiting) if start_ms < end_ms else []
    return intersect(merge([*fresh, *open_gaps]), [Window(0, end_ms)] if end_ms > 0 else [])


def _remember(
    connection: duckdb.DuckDBPyConnection,
    market: Market,
    interval: Interval,
    found: Iterable[Want],
    ledger: dict[str, list[Gap]],
    now_ms: int,
) -> None:
    """Enter what is older than a symbol's newest page as due: a page that fails in the middle is not forgotten."""
    changed: dict[str, list[Gap]] = {}
    for want in found:
        known = [gap.window for gap in ledger[want.symbol]]
        older = subtract(want.gaps, [*newest_page(want.gaps, interval, market.page_slots(interval)), *known])
        if older:
            changed[want.symbol] = sorted(
                [*ledger[want.symbol], *(due(window, now_ms) for window in older)], key=lambda gap: gap.window
            )
    with transaction(connection):
        write_gaps(connection, market, interval, changed)
