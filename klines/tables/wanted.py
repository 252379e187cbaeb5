"""The table `wanted`: which ranges of which series are to be complete, and who wants them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import duckdb
import polars as pl

from klines.interval import Interval
from klines.ledger import FOREVER_MS, drop_due
from klines.market import Market
from klines.tables.gaps import read_gaps, write_gaps
from klines.tables.promise import Promise, add_range, changed, let_go, promised, remove_range
from klines.tables.transaction import transaction
from klines.window import Window, subtract

_ROWS = f"""
    SELECT symbol, epoch_ms(since), coalesce(epoch_ms(until), {FOREVER_MS}), wanted_by, epoch_ms(noted_at) FROM wanted
    WHERE market = ? AND kind = ? AND interval = ? AND (?::VARCHAR IS NULL OR is_among(symbol, ?))
    ORDER BY symbol, since, until, wanted_by
"""
_COLUMNS = {
    "symbol": pl.String, "since": pl.Int64, "until": pl.Int64, "wanted_by": pl.String, "noted_at": pl.Int64,
}  # fmt: skip


def read_wanted(
    connection: duckdb.DuckDBPyConnection, market: Market, interval: Interval, symbols: Sequence[str] | None = None
) -> dict[str, list[Promise]]:
    """The ranges of some series, or of all that anybody wants of a market and interval; ordered, and on the grid."""
    names = None if symbols is None else " ".join(symbols)
    rows = connection.execute(_ROWS, [*market.key, interval.name, names, names]).fetchall()
    found: dict[str, list[Promise]] = defaultdict(list)
    for symbol, since_ms, until_ms, by, noted_ms in rows:
        end_ms = until_ms if until_ms == FOREVER_MS else interval.ceil(until_ms)
        if (start_ms := interval.floor(since_ms)) < end_ms:
            found[symbol].append(Promise(Window(start_ms, end_ms), by, noted_ms))
    return {symbol: sorted(ranges) for symbol, ranges in found.items()}


def write_wanted(
    connection: duckdb.DuckDBPyConnection, market: Market, interval: Interval, wanted: Mapping[str, Sequence[Promise]]
) -> None:
    """Replace all ranges of these series; part of the caller's transaction."""
    if not wanted:
        return
    connection.execute(
        "DELETE FROM wanted WHERE market = ? AND kind = ? AND interval = ? AND is_among(symbol, ?)",
        [*market.key, interval.name, " ".join(wanted)],
    )
    rows = [
        (symbol, one.window.start_ms, None if one.goes_on else one.window.end_ms, one.by, one.noted_ms)
        for symbol, ranges in wanted.items()
        for one in ranges
    ]
    connection.register("staged_wanted", pl.DataFrame(rows, schema=_COLUMNS, orient="row"))
    times = ", ".join(f"epoch_ms({name}) AS {name}" for name in ("since", "until", "noted_at"))
    connection.execute(
        f"""INSERT INTO wanted BY NAME
            SELECT * REPLACE ({times}), ? AS market, ? AS kind, ? AS interval FROM staged_wanted""",
        [*market.key, interval.name],
    )
    connection.unregister("staged_wanted")


def note_range(
    connection: duckdb.DuckDBPyConnection,
    market: Market,
    interval: Interval,
    symbols: Sequence[str],
    asked: Window,
    by: str,
    now_ms: int,
) -> None:
    """Enter that `by` wants a range of some series; nothing is written where all of it was noted before."""
    before = read_wanted(connection, market, interval, symbols)
    after = {symbol: add_range(before.get(symbol, []), asked, by, now_ms) for symbol in symbols}
    if news := changed(before, after):
        with transaction(connection):
            write_wanted(connection, market, interval, news)


def forget_range(
    connection: duckdb.DuckDBPyConnection, market: Market, interval: Interval, symbols: Sequence[str], asked: Window
) -> None:
    """A range of some series is wanted by nobody any more, and owes nothing: what is due of it leaves the ledger."""
    before = read_wanted(connection, market, interval, symbols)
    after = {symbol: remove_range(ranges, asked) for symbol, ranges in before.items()}
    ledger = read_gaps(connection, market, interval, list(after))
    owing = {symbol: drop_due(ledger[symbol], subtract([asked], promised(ranges))) for symbol, ranges in after.items()}
    with transaction(connection):
        write_wanted(connection, market, interval, changed(before, after))
        write_gaps(connection, market, interval, {name: gaps for name, gaps in owing.items() if gaps != ledger[name]})


def forget_unknown(
    connection: duckdb.DuckDBPyConnection, market: Market, interval: Interval, symbols: Sequence[str], by: str
) -> None:
    """Symbols that the exchange never had: `by` wants nothing of them, and they owe nothing. Part of the caller's
    transaction."""
    before = read_wanted(connection, market, interval, symbols)
    kept = {symbol: [one for one in ranges if one.by != by] for symbol, ranges in before.items()}
    write_wanted(connection, market, interval, changed(before, kept))
    ledger = read_gaps(connection, market, interval, symbols)
    owing = {symbol: drop_due(gaps, [Window(0, FOREVER_MS)]) for symbol, gaps in ledger.items()}
    write_gaps(connection, market, interval, owing)


def let_go_all(connection: duckdb.DuckDBPyConnection, market: Market, interval: Interval, by: str, now_ms: int) -> int:
    """What `by` wanted on and on of a market and interval is wanted until `now_ms` only; of how many symbols. Part of
    the caller's transaction."""
    before = read_wanted(connection, market, interval)
    after = {symbol: let_go(ranges, by, interval.floor(now_ms), ()) for symbol, ranges in before.items()}
    ended = changed(before, after)
    write_wanted(connection, market, interval, ended)
    return len(ended)


def wanted_on_by(connection: duckdb.DuckDBPyConnection) -> dict[str, list[tuple[str, str, str, int]]]:
    """Who wants anything on and on: of which market, kind and interval, and of how many symbols."""
    rows = connection.execute(
        """SELECT wanted_by, market, kind, interval, count(DISTINCT symbol) FROM wanted WHERE until IS NULL
           GROUP BY ALL ORDER BY ALL"""
    ).fetchall()
    found: dict[str, list[tuple[str, str, str, int]]] = defaultdict(list)
    for by, *series in rows:
        found[by].append((series[0], series[1], series[2], series[3]))
    return dict(found)


def wanted_series(
    connection: duckdb.DuckDBPyConnection,
    markets: str | None,
    kinds: str | None,
    intervals: str | None,
    symbols: Sequence[str] | None,
) -> list[tuple[str, str, str, list[str]]]:
    """Of each market, kind and interval of which anything is wanted, the symbols; None stands for all of them."""
    names = None if symbols is None else " ".join(symbols)
    return connection.execute(
        """
        SELECT market, kind, interval, list(DISTINCT symbol ORDER BY symbol) FROM wanted
        WHERE market = coalesce(?, market) AND kind = coalesce(?, kind) AND interval = coalesce(?, interval)
          AND (?::VARCHAR IS NULL OR is_among(symbol, ?))
        GROUP BY ALL ORDER BY ALL
        """,
        [markets, kinds, intervals, names, names],
    ).fetchall()
