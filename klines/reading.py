"""What users read: `read`, `symbols`, `coverage`, `gaps`. Each opens the file, asks, and has closed it on return.

Only SQL of one's own, or a look at one state of everything, needs a connection: see `connect` in klines/snapshot.py.
"""

from __future__ import annotations

import difflib
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import duckdb
import polars as pl

from klines.access import Database, frame, reading
from klines.asked import Time, columns_named, interval_named, market_named, symbols_named, time_ms
from klines.derived import Asked, derived, stored
from klines.errors import BadParameter, NotStored
from klines.filled import NULL, PREVIOUS, filled, slot
from klines.interval import DAY, INTERVALS, Interval
from klines.ledger import FOREVER_MS
from klines.market import MARKETS
from klines.wanted import FIRST_MS, a_stored_time
from klines.window import Window, window

_COVERAGE = (Path(__file__).parent / "coverage.sql").read_text()
_GAPS = """
    SELECT * FROM gaps
    WHERE market = $market AND interval = $interval
      AND ($symbols = '' OR symbol IN (SELECT unnest(string_split($symbols, ' '))))
      AND start_time < epoch_ms($end::BIGINT) AND end_time > epoch_ms($start::BIGINT)
    ORDER BY ALL
"""
_SHOWN = 5


def read(
    symbols: str | Sequence[str],
    start: Time | None = None,
    end: Time | None = None,
    *,
    market: str = "spot",
    interval: str = "1m",
    fill: Literal["null", "previous"] | None = None,
    columns: Sequence[str] | None = None,
    database: Database = None,
) -> pl.DataFrame:
    """Klines that open in [start, end), by symbol and `open_time` (UTC): the columns of the table klines, or `columns`.

    `start` and `end` are dates, datetimes or ISO 8601 texts, UTC where they name no zone; left out, they are the
    beginning and now. Of an interval that is not stored, or where it is not, klines are derived from the longest stored
    one that it is a multiple of (4h from 1h or else 1m; 10m, 2d and 2w, too), on the exchange's boundaries; their
    `source` names that interval. One that has a part missing, unless the exchange never had it, is left out: see
    klines/derived.py.

    Slots without a kline have no row. With `fill` they have one, flagged by the column `filled`, from `start` to `end`
    as far as that is past (left out: the first and the last kline found): "null" without values, "previous" with the
    close before as prices, and zero sums.

    `database` is a file, else that of KLINES_DATABASE; whoever wants to write it waits until this returns.
    Raises NotStored: an unknown symbol, a range in which there is nothing, no database; BadParameter; DatabaseBusy:
    the file was in use for half a minute, by the program that the text names; BadDatabase.
    """
    wanted, names = interval_named(interval), symbols_named(symbols)
    market_named(market)
    if fill not in (None, NULL, PREVIOUS):
        raise BadParameter(f"fill: {fill!r} is neither None, 'null' nor 'previous'")
    now_ms = int(time.time() * 1000)
    columns = columns_named(columns)
    asked = Asked(market, names, _window(start, end, now_ms), _needed(columns, fill))
    with reading(database) as connection:
        wanted = _with_phase(connection, market, wanted)
        klines = _klines(connection, asked, wanted, now_ms)
        _check_found(connection, market, names, interval, klines)
    klines = _in_order(klines, names)
    if fill is not None:
        first, last = klines.select(slot(wanted).min().alias("first"), slot(wanted).max().alias("last")).row(0)
        start_ms = wanted.start(first) if start is None else asked.window.start_ms
        end_ms = wanted.start(last + 1) if end is None else min(asked.window.end_ms, wanted.floor(now_ms))
        klines = filled(klines, names, wanted, window(start_ms, end_ms), fill)
    flag = [] if fill is None else ["filled"]
    return klines.with_columns(market=pl.lit(market), interval=pl.lit(interval)).select(*columns, *flag)


def _needed(columns: Sequence[str], fill: str | None) -> list[str]:
    """What is to be read for these columns."""
    needed = ["symbol", "open_time", *columns, *(["close"] if fill == PREVIOUS else [])]
    return [name for name in dict.fromkeys(needed) if name not in ("market", "interval")]


def _window(start: Time | None, end: Time | None, now_ms: int) -> Window:
    start_ms, end_ms = time_ms("start", start), time_ms("end", end)
    start_ms = FIRST_MS if start_ms is None else start_ms
    end_ms = max(now_ms, start_ms + 1) if end_ms is None else end_ms
    if start_ms >= end_ms:
        raise BadParameter(f"start: {start} is not before the end, {end}")
    return Window(start_ms, end_ms)


def _with_phase(connection: duckdb.DuckDBPyConnection, market: str, interval: Interval) -> Interval:
    """The interval with the phase that its stored klines have; raises NotStored where it needs one and has none."""
    if interval.is_phase_known:
        return interval
    stored_ms = a_stored_time(connection, MARKETS[market], interval)
    if stored_ms is None:
        raise NotStored(
            f"no {interval.name} kline is stored, and only one shows on which days they begin: backfill one"
        )
    return interval.shifted(stored_ms % interval.length_ms)


def _klines(connection: duckdb.DuckDBPyConnection, asked: Asked, interval: Interval, now_ms: int) -> pl.DataFrame:
    """The stored klines, and, before the first and after the last of a symbol, those derived from shorter intervals."""
    klines = stored(connection, asked, interval)
    for part in sorted(INTERVALS.values(), key=lambda it: -it.length_ms):
        if interval.is_made_of(part):
            found = [
                _outside(klines, derived(connection, replace(asked, window=lacking), interval, part, now_ms), interval)
                for lacking in _lacking(klines, asked.symbols, interval, asked.window)
            ]
            klines = pl.concat([klines, *found])
    return klines


def _lacking(klines: pl.DataFrame, symbols: Sequence[str], interval: Interval, asked: Window) -> Iterator[Window]:
    """What of `asked` is before the first or after the last kline of some symbol."""
    ends = _ends(klines, interval)
    if ends.height < len(symbols):
        yield asked
        return
    first, last = ends.select(pl.col("first").max(), pl.col("last").min()).row(0)
    yield from window(asked.start_ms, min(interval.start(first), asked.end_ms))
    yield from window(max(interval.start(last + 1), asked.start_ms), asked.end_ms)


def _outside(klines: pl.DataFrame, found: pl.DataFrame, interval: Interval) -> pl.DataFrame:
    """Of `found`, the klines that are before or after all that there are of their symbol."""
    if klines.is_empty():
        return found
    joined = found.with_columns(slot=slot(interval)).join(_ends(klines, interval), on="symbol", how="left")
    is_outside = pl.col("first").is_null() | (pl.col("slot") < pl.col("first")) | (pl.col("slot") > pl.col("last"))
    return joined.filter(is_outside).drop("slot", "first", "last")


def _ends(klines: pl.DataFrame, interval: Interval) -> pl.DataFrame:
    """The slots of each symbol's first and last kline."""
    return klines.group_by("symbol").agg(first=slot(interval).min(), last=slot(interval).max())


def _in_order(klines: pl.DataFrame, symbols: Sequence[str]) -> pl.DataFrame:
    """By symbol and open time; a single symbol's usually are already."""
    is_ordered = len(symbols) == 1 and klines["open_time"].is_sorted()
    by_name = pl.col("symbol").cast(pl.Enum(sorted(symbols)))  # in half the time of texts
    return klines if is_ordered else klines.sort(by_name, "open_time")


def _check_found(
    connection: duckdb.DuckDBPyConnection, market: str, symbols: Sequence[str], interval: str, klines: pl.DataFrame
) -> None:
    """Raises NotStored for a symbol that nothing is stored of, and where nothing was found: it says what there is."""
    absent = sorted(set(symbols) - set(klines["symbol"].unique()))
    if absent:
        _check_known(connection, market, absent)
    if klines.is_empty():
        stored = _series(connection).filter(market=market, symbol=absent[0])
        listed = ", ".join(
            f"{name} from {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M}"
            for name, first, last in stored.select("interval", "first", "last").iter_rows()
        )
        raise NotStored(f"nothing is stored of {absent[0]} {interval} ({market}) in this range; there is {listed}")


def _check_known(connection: duckdb.DuckDBPyConnection, market: str, symbols: Sequence[str]) -> None:
    """Raises NotStored, with the names most like it, for a symbol that has neither klines nor gaps."""
    rows = connection.execute(
        "SELECT symbol FROM klines WHERE market = $1 UNION SELECT symbol FROM gaps WHERE market = $1", [market]
    ).fetchall()
    known = [symbol for (symbol,) in rows]
    unknown = [symbol for symbol in symbols if symbol not in known]
    if unknown:
        like = difflib.get_close_matches(unknown[0], known, _SHOWN) or sorted(known)[:_SHOWN]
        did_you = f"; did you mean {', '.join(like)}?" if like else f": nothing is stored of {market}"
        raise NotStored(f"{unknown[0]} is not stored ({market}){did_you}")


def symbols(*, market: str | None = None, database: Database = None) -> pl.DataFrame:
    """What is stored, a row per series: market, symbol, interval, open times of the `first` and `last` kline, `klines`.

    Raises NotStored where there is no database; DatabaseBusy, BadDatabase, BadParameter.
    """
    with reading(database) as connection:
        series = _series(connection)
    return series if market is None else series.filter(market=market_named(market))


def _series(connection: duckdb.DuckDBPyConnection) -> pl.DataFrame:
    return frame(
        connection,
        """SELECT market, symbol, interval, min(open_time) AS first, max(open_time) AS last, count(*) AS klines
           FROM klines GROUP BY ALL ORDER BY ALL""",
        {},
    )


def coverage(
    symbols: str | Sequence[str] | None = None,
    start: Time | None = None,
    end: Time | None = None,
    *,
    market: str = "spot",
    interval: str = "1m",
    database: Database = None,
) -> pl.DataFrame:
    """How much there is, a row per symbol and day (UTC): how many klines are `expected`, `stored`, `explained` by the
    ledger, and `unexplained`: to be collected, or not yet looked into.

    Of [start, end), as far as it is over, and of `symbols`, or all; a symbol begins with the first that is known of it.
    For stored intervals up to 1d. Raises as `read` does.
    """
    wanted, asked = interval_named(interval), _window(start, end, int(time.time() * 1000))
    names = None if symbols is None else symbols_named(symbols)
    if not 0 < wanted.length_ms <= DAY:
        raise BadParameter(f"interval: days are counted in klines of up to 1d, not of {interval}")
    market_named(market)
    with reading(database) as connection:
        days = _asked_of(connection, _COVERAGE, market, interval, names, wanted.floor(asked.start_ms), asked.end_ms)
        if names and days["symbol"].n_unique() < len(names):
            _check_known(connection, market, names)
    return days


def gaps(
    symbols: str | Sequence[str] | None = None,
    start: Time | None = None,
    end: Time | None = None,
    *,
    market: str = "spot",
    interval: str = "1m",
    database: Database = None,
) -> pl.DataFrame:
    """The rows of the ledger that overlap [start, end), of `symbols`, or all: what is not stored, and why.

    Left out, `start` and `end` are the beginning and the end of time: a delisted symbol's row is open-ended.
    Raises as `read` does.
    """
    names = None if symbols is None else symbols_named(symbols)
    interval_named(interval), market_named(market)
    start_ms, end_ms = time_ms("start", start) or 0, time_ms("end", end) or FOREVER_MS
    with reading(database) as connection:
        rows = _asked_of(connection, _GAPS, market, interval, names, start_ms, end_ms)
        if names and rows.is_empty():
            _check_known(connection, market, names)
    return rows


def _asked_of(
    connection: duckdb.DuckDBPyConnection,
    sql: str,
    market: str,
    interval: str,
    symbols: Sequence[str] | None,
    start_ms: int,
    end_ms: int,
) -> pl.DataFrame:
    """The answer of a query about the series of some symbols, or of all."""
    parameters: dict[str, str | int] = {"market": market, "interval": interval, "start": start_ms, "end": end_ms}
    return frame(connection, sql, parameters | {"symbols": " ".join(symbols or [])})
