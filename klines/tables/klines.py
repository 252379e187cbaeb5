"""The table `klines`: its columns, and what is stored of a series."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import duckdb
import polars as pl

from klines.binance.totals import Totals
from klines.interval import DAY, Interval
from klines.market import Market
from klines.window import Window, merge

FIRST_MS, NO_END_MS = 1_483_228_800_000, 2**52
"""2017-01-01, before which Binance has no klines (REST docs: earlier times are adjusted); and never."""
StoredWindows = dict[str, list[Window]]
"""Per symbol the windows whose slots are all stored, ordered and disjoint."""


def stored_windows(
    connection: duckdb.DuckDBPyConnection,
    market: Market,
    interval: Interval,
    symbols: Sequence[str],
    from_ms: int,
    to_ms: int = NO_END_MS,
) -> StoredWindows:
    """What is stored of [from_ms, to_ms). Counting tells for most symbols that there is no hole (4 ms for 600 × 1,440
    rows), and for most days of the others; only days that are short are looked at slot by slot."""
    parameters = [*market.key, interval.name, " ".join(symbols), from_ms, to_ms]
    counts = connection.execute(
        f"SELECT symbol, epoch_ms(min(open_time)), epoch_ms(max(open_time)), count(*) {_FROM} GROUP BY symbol",
        parameters,
    ).fetchall()
    stored: StoredWindows = {}
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
) -> StoredWindows:
    """The stored windows of symbols with holes; an interval that does not divide the day has no days to count."""
    found: dict[str, list[Window]] = defaultdict(list)
    if not symbols:
        return found
    parameters = [*market.key, interval.name, " ".join(symbols), from_ms, to_ms]
    whole = DAY // interval.length_ms if 0 < interval.length_ms < DAY else NO_END_MS
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
    WHERE market = ? AND kind = ? AND interval = ? AND is_among(symbol, ?)
      AND open_time >= epoch_ms(?::BIGINT) AND open_time < epoch_ms(?::BIGINT)
"""


def last_stored(
    connection: duckdb.DuckDBPyConnection,
    market: Market,
    interval: Interval,
    symbols: Sequence[str],
    recent: StoredWindows,
) -> dict[str, int]:
    """The newest open time, in ms, of each symbol that has any; the whole table is read only for those that `recent`
    does not know."""
    last_ms = {symbol: interval.step(windows[-1].end_ms, -1) for symbol, windows in recent.items() if windows}
    others = [symbol for symbol in symbols if symbol not in last_ms]
    if others:
        rows = connection.execute(
            f"SELECT symbol, epoch_ms(max(open_time)) {_FROM} GROUP BY symbol",
            [*market.key, interval.name, " ".join(others), 0, NO_END_MS],
        ).fetchall()
        last_ms |= dict(rows)
    return last_ms


def first_time_ms(connection: duckdb.DuckDBPyConnection) -> int | None:
    """The open time, in ms, of the first kline of all, which DuckDB knows without looking; None where there is none."""
    [(first_ms,)] = connection.execute("SELECT epoch_ms(min(open_time)) FROM klines").fetchall()
    return None if first_ms is None else int(first_ms)


def a_stored_time(connection: duckdb.DuckDBPyConnection, market: Market, interval: Interval) -> int | None:
    """The open time, in ms, of any stored kline of the interval."""
    rows: list[tuple[int]] = connection.execute(
        "SELECT epoch_ms(open_time) FROM klines WHERE market = ? AND kind = ? AND interval = ? LIMIT 1",
        [*market.key, interval.name],
    ).fetchall()
    return rows[0][0] if rows else None


def daily_totals(
    connection: duckdb.DuckDBPyConnection, market: Market, interval: Interval, symbol: str, from_ms: int, to_ms: int
) -> dict[int, Totals]:
    """What the stored klines of each day that has any in [from_ms, to_ms) add up to, by its start in ms."""
    rows = connection.execute(
        f"""
        SELECT epoch_ms(open_time) // {DAY} * {DAY}, sum(trades), sum(volume), max(high), min(low) {_FROM} GROUP BY ALL
        """,
        [*market.key, interval.name, symbol, from_ms // DAY * DAY, -(-to_ms // DAY) * DAY],
    ).fetchall()
    return {day: Totals(*totals) for day, *totals in rows}


def kinds_stored(connection: duckdb.DuckDBPyConnection) -> set[tuple[str, str, str]]:
    """Each market, kind and interval of which any kline is stored; every row is looked at."""
    return {*connection.execute("SELECT DISTINCT market, kind, interval FROM klines").fetchall()}


def largest(connection: duckdb.DuckDBPyConnection, market: Market, interval: Interval, count: int) -> list[str]:
    """The stored symbols with the largest quote volume in the last stored week, largest first."""
    rows = connection.execute(
        """
        SELECT symbol FROM klines WHERE market = ? AND kind = ? AND interval = ? AND open_time >= (
            SELECT max(open_time) - INTERVAL 7 DAY FROM klines WHERE market = ? AND kind = ? AND interval = ?)
        GROUP BY symbol ORDER BY sum(quote_volume) DESC, symbol LIMIT ?
        """,
        [*market.key, interval.name] * 2 + [count],
    ).fetchall()
    return [symbol for (symbol,) in rows]
