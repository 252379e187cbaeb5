"""The klines of some symbols as they can be had: those that are stored, and those derived from shorter intervals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import duckdb
import polars as pl

from klines.errors import NotStored
from klines.interval import INTERVALS, Interval
from klines.market import Market, series_name
from klines.outcome import plain
from klines.reading.derived import Asked, derived, has_parts, stored
from klines.reading.filled import PREVIOUS, slot
from klines.reading.inventory import check_known, series
from klines.tables.alike import alike
from klines.tables.klines import a_stored_time
from klines.window import Window, window


def needed_columns(columns: Sequence[str], fill: str | None = None) -> list[str]:
    """What is to be read for these columns."""
    needed = ["symbol", "open_time", *columns, *(["close"] if fill == PREVIOUS else [])]
    return [name for name in dict.fromkeys(needed) if name not in ("market", "kind", "interval")]


def with_series(klines: pl.DataFrame, market: Market, interval: Interval) -> pl.DataFrame:
    """With the columns that are the same in all rows, which are not read."""
    values = {"market": market.name, "kind": market.kind.name, "interval": interval.name}
    return klines.with_columns(pl.lit(value).alias(name) for name, value in values.items())


def with_phase(connection: duckdb.DuckDBPyConnection, market: Market, interval: Interval) -> Interval:
    """The interval with the phase that its stored klines have; raises NotStored where it needs one and has none."""
    if interval.is_phase_known:
        return interval
    stored_ms = a_stored_time(connection, market, interval)
    if stored_ms is None:
        raise NotStored(
            f"no {interval.name} kline is stored, and only one shows on which days they begin: backfill one"
        )
    return interval.shifted(stored_ms % interval.length_ms)


def found_klines(connection: duckdb.DuckDBPyConnection, asked: Asked, interval: Interval, now_ms: int) -> pl.DataFrame:
    """The stored klines, and, before the first and after the last of a symbol, those derived from shorter intervals."""
    asked = replace(asked, alike=alike(connection))
    klines = stored(connection, asked, interval)
    for part in sorted(INTERVALS.values(), key=lambda part: -part.length_ms):
        if interval.is_made_of(part) and has_parts(connection, asked, interval, part):
            found = [
                _outside(klines, derived(connection, replace(asked, window=lacking), interval, part, now_ms), interval)
                for lacking in _lacking(klines, asked.symbols, interval, asked.window)
            ]
            klines = _together([klines, *found])
    return klines


def _together(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """The rows of all of them. A single one stays as it is: then a symbol that all rows share is not written out."""
    some = [frame for frame in frames if not frame.is_empty()]
    return pl.concat(some) if len(some) > 1 else (some or frames)[0]


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
    time = pl.col("open_time")
    ends = klines.group_by("symbol").agg(first=time.min(), last=time.max())
    return ends.with_columns(slot(interval, name).alias(name) for name in ("first", "last"))


def in_order(klines: pl.DataFrame, symbols: Sequence[str]) -> pl.DataFrame:
    """By symbol and open time; a single symbol's usually are already."""
    if len(symbols) == 1:
        return klines if klines["open_time"].is_sorted() else klines.sort("open_time")
    by_name = pl.col("symbol").cast(pl.Enum(sorted(symbols)))  # in half the time of texts
    return klines.sort(by_name, "open_time")


def check_found(
    connection: duckdb.DuckDBPyConnection,
    market: Market,
    interval: Interval,
    symbols: Sequence[str],
    klines: pl.DataFrame,
) -> None:
    """Raises NotStored for a symbol that nothing is stored of, and where nothing was found: it says what there is."""
    found = klines["symbol"].unique() if len(symbols) > 1 else symbols[: klines.height]
    absent = sorted(set(symbols) - set(found))
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
