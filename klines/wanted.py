"""What is missing, asked of the database and never remembered: the first step of every run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import duckdb
import polars as pl

from klines.interval import DAY, Interval
from klines.ledger import Gap, due
from klines.ledger_rows import read_gaps, write_gaps
from klines.market import Market
from klines.plan import Want, newest_page
from klines.totals import Totals
from klines.window import Window, intersect, merge, missing, subtract

FIRST_MS, FOREVER_MS = 1_483_228_800_000, 2**52
"""2017-01-01, before which Binance has no klines (REST docs: earlier times are adjusted); and never."""
Stored = dict[str, list[Window]]
"""Per symbol the windows whose slots are all stored, ordered and disjoint."""


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
    ledger = read_gaps(connection, market.name, interval.name, symbols)
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
    connection.begin()
    write_gaps(connection, market.name, interval.name, changed)
    connection.commit()


def stored_windows(
    connection: duckdb.DuckDBPyConnection,
    market: Market,
    interval: Interval,
    symbols: Sequence[str],
    from_ms: int,
    to_ms: int = FOREVER_MS,
) -> Stored:
    """What is stored of [from_ms, to_ms). Counting tells for most symbols that there is no hole (4 ms for 600 × 1,440
    rows), and for most days of the others; only days that are short are looked at slot by slot."""
    parameters = [market.name, interval.name, " ".join(symbols), from_ms, to_ms]
    counts = connection.execute(
        f"SELECT symbol, epoch_ms(min(open_time)), epoch_ms(max(open_time)), count(*) {_FROM} GROUP BY symbol",
        parameters,
    ).fetchall()
    stored: Stored = {}
    holed = []
    for symbol, first_ms, last_ms, count in counts:
        if interval.index(last_ms) - interval.index(first_ms) + 1 == count:
            stored[symbol] = [Window(interval.floor(first_ms), interval.step(last_ms, 1))]
        else:
            holed.append(symbol)
    return stored | _by_day(connection, market, interval, holed, from_ms, to_ms)


def _by_day(
    connection: duckdb.DuckDBPyConnection,
    market: Market,
    interval: Interval,
    symbols: Sequence[str],
    from_ms: int,
    to_ms: int,
) -> Stored:
    """The stored windows of symbols with holes; an interval that does not divide the day has no days to count."""
    found: dict[str, list[Window]] = defaultdict(list)
    if not symbols:
        return found
    parameters = [market.name, interval.name, " ".join(symbols), from_ms, to_ms]
    whole = DAY // interval.length_ms if 0 < interval.length_ms < DAY else FOREVER_MS
    days = connection.execute(
        f"SELECT symbol, epoch_ms(open_time) // {DAY} AS day, count(*) {_FROM} GROUP BY ALL ORDER BY ALL", parameters
    ).fetchall()
    for symbol, day, count in days:
        if count == whole:
            found[symbol].append(Window(day * DAY, (day + 1) * DAY))
    short = [(symbol, day) for symbol, day, count in days if count != whole]
    # from consecutive slots their row numbers differ by a constant
    connection.register("short_days", pl.DataFrame(short, schema={"symbol": str, "day": int}, orient="row"))
    rows = connection.execute(
        f"""
        WITH slots AS (SELECT DISTINCT symbol, {interval.sql_index("open_time")} AS slot
                       FROM (SELECT symbol, open_time, epoch_ms(open_time) // {DAY} AS day {_FROM})
                       JOIN short_days USING (symbol, day)),
             numbered AS (SELECT *, slot - row_number() OVER (PARTITION BY symbol ORDER BY slot) AS island FROM slots)
        SELECT symbol, min(slot), max(slot) FROM numbered GROUP BY symbol, island ORDER BY symbol, min(slot)
        """,
        parameters,
    ).fetchall()
    connection.unregister("short_days")
    for symbol, first, last in rows:
        found[symbol].append(Window(interval.start(first), interval.start(last + 1)))
    return {symbol: merge(windows) for symbol, windows in found.items()}


_FROM = """
    FROM klines
    WHERE market = ? AND interval = ? AND symbol IN (SELECT unnest(string_split(?, ' ')))
      AND open_time >= epoch_ms(?::BIGINT) AND open_time < epoch_ms(?::BIGINT)
"""


def last_stored(
    connection: duckdb.DuckDBPyConnection, market: Market, interval: Interval, symbols: Sequence[str], recent: Stored
) -> dict[str, int]:
    """The newest open time, in ms, of each symbol that has any; the whole table is read only for those that `recent`
    does not know."""
    last_ms = {symbol: interval.step(windows[-1].end_ms, -1) for symbol, windows in recent.items() if windows}
    others = [symbol for symbol in symbols if symbol not in last_ms]
    if others:
        rows = connection.execute(
            f"SELECT symbol, epoch_ms(max(open_time)) {_FROM} GROUP BY symbol",
            [market.name, interval.name, " ".join(others), 0, FOREVER_MS],
        ).fetchall()
        last_ms |= dict(rows)
    return last_ms


def listings(connection: duckdb.DuckDBPyConnection, market: Market, symbols: Sequence[str]) -> dict[str, int]:
    """The open time, in ms, of the first kline of those symbols of which it was asked for."""
    rows = connection.execute(
        """
        SELECT symbol, epoch_ms(listed_at) FROM symbols
        WHERE market = ? AND listed_at IS NOT NULL AND symbol IN (SELECT unnest(string_split(?, ' ')))
        """,
        [market.name, " ".join(symbols)],
    ).fetchall()
    return dict(rows)


def a_stored_time(connection: duckdb.DuckDBPyConnection, market: Market, interval: Interval) -> int | None:
    """The open time, in ms, of any stored kline of the interval."""
    rows: list[tuple[int]] = connection.execute(
        "SELECT epoch_ms(open_time) FROM klines WHERE market = ? AND interval = ? LIMIT 1", [market.name, interval.name]
    ).fetchall()
    return rows[0][0] if rows else None


def stored_totals(
    connection: duckdb.DuckDBPyConnection, market: Market, interval: Interval, symbol: str, day: Window
) -> Totals | None:
    """What the stored klines of a day add up to; None where there are none."""
    [(count, *totals)] = connection.execute(
        f"SELECT count(*), sum(trades), sum(volume), max(high), min(low) {_FROM}",
        [market.name, interval.name, symbol, day.start_ms, day.end_ms],
    ).fetchall()
    return Totals(*totals) if count else None


def first_stored(
    connection: duckdb.DuckDBPyConnection, market: Market, interval: Interval, symbols: Sequence[str]
) -> dict[str, int]:
    """The open time, in ms, of the first stored kline of each symbol that has any."""
    rows = connection.execute(
        f"SELECT symbol, epoch_ms(min(open_time)) {_FROM} GROUP BY symbol",
        [market.name, interval.name, " ".join(symbols), 0, FOREVER_MS],
    ).fetchall()
    return dict(rows)


def largest(connection: duckdb.DuckDBPyConnection, market: Market, interval: Interval, count: int) -> list[str]:
    """The stored symbols with the largest quote volume in the last stored week, largest first."""
    rows = connection.execute(
        """
        SELECT symbol FROM klines WHERE market = ? AND interval = ? AND open_time >= (
            SELECT max(open_time) - INTERVAL 7 DAY FROM klines WHERE market = ? AND interval = ?)
        GROUP BY symbol ORDER BY sum(quote_volume) DESC, symbol LIMIT ?
        """,
        [market.name, interval.name] * 2 + [count],
    ).fetchall()
    return [symbol for (symbol,) in rows]
