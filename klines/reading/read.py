"""`read`: klines of some symbols as a frame. The file is opened, asked, and closed again on return.

Only SQL of one's own, or a look at one state of everything, needs a connection: see `connect` in storage/access.py.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

import duckdb
import polars as pl

from klines.clock import Time
from klines.errors import BadParameter, NotStored
from klines.interval import INTERVALS, Interval
from klines.market import Market, series_name
from klines.outcome import plain
from klines.reading.derived import Asked, derived, stored
from klines.reading.filled import NULL, PREVIOUS, filled, slot
from klines.reading.inventory import asked_window, check_known, series
from klines.reading.parameters import columns_named, interval_named, market_named, symbols_named
from klines.storage.access import Database, reading
from klines.storage.schema.exact import check_exact
from klines.tables.klines import a_stored_time
from klines.window import Window, window


def read(
    symbols: str | Sequence[str],
    start: Time | None = None,
    end: Time | None = None,
    *,
    market: str = "spot",
    kind: str = "klines",
    interval: str = "1m",
    fill: Literal["null", "previous"] | None = None,
    columns: Sequence[str] | None = None,
    exact: bool = False,
    database: Database = None,
) -> pl.DataFrame:
    """Klines that open in [start, end), by symbol and `open_time` (UTC): the columns of the table klines, or `columns`.

    `start` and `end` are dates, datetimes or ISO 8601 texts, UTC where they name no zone; left out, they are the
    beginning and now. Of an interval that is not stored, or where it is not, klines are derived from the longest stored
    one that it is a multiple of (4h from 1h or else 1m; 10m, 2d and 2w, too), on the exchange's boundaries; their
    `source` names that interval. One that has a part missing, unless the exchange never had it, is left out: see
    klines/reading/derived.py.

    Slots without a kline have no row. With `fill` they have one, flagged by the column `filled`, from `start` to `end`
    as far as that is past (left out: the first and the last kline found): "null" without values, "previous" with the
    close before as prices, and zero sums.

    Prices and amounts are doubles, amounts the nearest ones. With `exact` they are decimals of eight places, each the
    number that Binance published (docs/database.md says where a database of before may have another).

    `kind` is klines, or, of futures, mark, index, premium or continuous: see docs/kinds.md.

    `database` is a file, else that of KLINES_DATABASE; whoever wants to write it waits until this returns.
    Raises NotStored: an unknown symbol, a range in which there is nothing, no database; BadParameter; DatabaseBusy:
    the file was in use for half a minute, by the program that the text names; BadDatabase, also where `exact` is asked
    of a database that has amounts as doubles still.
    """
    wanted, names = interval_named(interval), symbols_named(symbols)
    where = market_named(market, kind)
    if fill not in (None, NULL, PREVIOUS):
        raise BadParameter(f"fill: {fill!r} is neither None, 'null' nor 'previous'")
    now_ms = int(time.time() * 1000)
    columns = columns_named(columns)
    asked = Asked(where, names, asked_window(start, end, now_ms), _needed(columns, fill), exact)
    with reading(database) as connection:
        if exact:
            check_exact(connection)
        wanted = _with_phase(connection, where, wanted)
        klines = _klines(connection, asked, wanted, now_ms)
        _check_found(connection, where, wanted, names, klines)
    klines = _in_order(klines, names)
    if fill is not None:
        first, last = klines.select(slot(wanted).min().alias("first"), slot(wanted).max().alias("last")).row(0)
        start_ms = wanted.start(first) if start is None else asked.window.start_ms
        end_ms = wanted.start(last + 1) if end is None else min(asked.window.end_ms, wanted.floor(now_ms))
        klines = filled(klines, names, wanted, window(start_ms, end_ms), fill)
    flag = [] if fill is None else ["filled"]
    constant = {"market": market, "kind": where.kind.name, "interval": interval}
    return klines.with_columns(pl.lit(value).alias(name) for name, value in constant.items()).select(*columns, *flag)


def _needed(columns: Sequence[str], fill: str | None) -> list[str]:
    """What is to be read for these columns."""
    needed = ["symbol", "open_time", *columns, *(["close"] if fill == PREVIOUS else [])]
    return [name for name in dict.fromkeys(needed) if name not in ("market", "kind", "interval")]


def _with_phase(connection: duckdb.DuckDBPyConnection, market: Market, interval: Interval) -> Interval:
    """The interval with the phase that its stored klines have; raises NotStored where it needs one and has none."""
    if interval.is_phase_known:
        return interval
    stored_ms = a_stored_time(connection, market, interval)
    if stored_ms is None:
        raise NotStored(
            f"no {interval.name} kline is stored, and only one shows on which days they begin: backfill one"
        )
    return interval.shifted(stored_ms % interval.length_ms)


def _klines(connection: duckdb.DuckDBPyConnection, asked: Asked, interval: Interval, now_ms: int) -> pl.DataFrame:
    """The stored klines, and, before the first and after the last of a symbol, those derived from shorter intervals."""
    klines = stored(connection, asked, interval)
    for part in sorted(INTERVALS.values(), key=lambda part: -part.length_ms):
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
    connection: duckdb.DuckDBPyConnection,
    market: Market,
    interval: Interval,
    symbols: Sequence[str],
    klines: pl.DataFrame,
) -> None:
    """Raises NotStored for a symbol that nothing is stored of, and where nothing was found: it says what there is."""
    absent = sorted(set(symbols) - set(klines["symbol"].unique()))
    if absent:
        check_known(connection, market, absent)
    if klines.is_empty():
        stored = series(connection).filter(market=market.name, kind=market.kind.name, symbol=absent[0])
        listed = ", ".join(
            f"{name} from {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M}"
            for name, first, last in stored.select("interval", "first", "last").iter_rows()
        )
        about = series_name(*market.key, "")
        raise NotStored(
            f"nothing is stored of {absent[0]} {interval.name} ({about}) in this range; there is {plain(listed)}"
        )
