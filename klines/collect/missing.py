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
    since_ms: Mapping[str, int],
) -> tuple[list[Want], dict[str, int]]:
    """Per symbol what a run should ask for: `lookback` and all since the last stored kline, less what is stored or
    settled, and what the ledger has due. Symbols of which nothing is missing are left out.

    Returns it with the open time, in ms, of each symbol's newest stored kline.

    `now_ms` is the exchange's clock. Nothing is asked for that is before `since_ms`, from where on a symbol is wanted.
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
        start_ms = _start(interval, min(from_ms, interval.step(end_ms, -1)), last_ms.get(symbol), since_ms[symbol])
        gaps = _gaps(stored.get(symbol, []), ledger[symbol], start_ms, end_ms, now_ms)
        if gaps:
            found.append(Want(symbol, gaps, last_ms.get(symbol), listed_ms.get(symbol)))
    _remember(connection, market, interval, found, ledger, now_ms)
    return found, last_ms


def _start(interval: Interval, from_ms: int, last_ms: int | None, since_ms: int) -> int:
    """Where the window of a run begins."""
    return since_ms if last_ms is None else max(min(from_ms, interval.step(last_ms, 1)), since_ms)


def beginnings(
    interval: Interval, symbols: Sequence[str], *, now_ms: int, lookback_ms: int, joined_ms: Mapping[str, int]
) -> dict[str, int]:
    """Where the history of each symbol begins that is collected for the first time, in ms: `lookback_ms` ago; where it
    was listed meanwhile, at `joined_ms`."""
    from_ms = interval.floor(max(now_ms - lookback_ms, FIRST_MS))
    oldest_ms = min(from_ms, interval.step(interval.floor(now_ms), -1))
    return {symbol: min(oldest_ms, interval.floor(joined_ms.get(symbol, oldest_ms))) for symbol in symbols}


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
