"""What is stored of a long range, looked at in short turns: a scan of years would keep the file from the minute, which
writes it meanwhile, for half a minute."""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Sequence

import duckdb

from klines.interval import DAY, Interval
from klines.market import Market
from klines.tables.klines import StoredWindows, first_time_ms, stored_windows
from klines.window import Window, merge

_FIRST_DAYS, _MOST_DAYS = 8, 64
"""Days of the first turn, and of any."""
_HELD_S = 0.5
"""Each turn should hold the file for less; it is free for as long afterwards."""
_Opened = Callable[[], contextlib.AbstractContextManager[duckdb.DuckDBPyConnection]]


def stored_in_turns(
    opened: _Opened, market: Market, interval: Interval, symbols: Sequence[str], asked: Window
) -> StoredWindows:
    """As `stored_windows`; what is stored of a day that was looked at already, while this goes on, is not in it."""
    found: StoredWindows = defaultdict(list)
    days, start_ms = _FIRST_DAYS, asked.start_ms
    while start_ms < asked.end_ms:
        with opened() as connection:
            began_s = time.monotonic()
            first_ms = first_time_ms(connection)
            if first_ms is None:
                break
            start_ms = max(start_ms, min(interval.floor(first_ms), asked.end_ms))
            end_ms = min(start_ms // DAY * DAY + days * DAY, asked.end_ms)
            for symbol, windows in stored_windows(connection, market, interval, symbols, start_ms, end_ms).items():
                found[symbol] += windows
            held_s = time.monotonic() - began_s
        days = next_days(days, held_s)
        start_ms = end_ms
        time.sleep(held_s if start_ms < asked.end_ms else 0)
    return {symbol: merge(windows) for symbol, windows in found.items()}


def next_days(days: int, held_s: float) -> int:
    """Of the next turn, after one that has held the file for so long."""
    if held_s > _HELD_S:
        return max(1, int(days * _HELD_S / held_s))
    return min(days * 2, _MOST_DAYS) if held_s < _HELD_S / 2 else days
