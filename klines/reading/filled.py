"""The slots that have no kline, put in when klines are read, and flagged: nothing of it is ever stored. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from klines.columns import PRICES, SUMS
from klines.errors import BadParameter
from klines.interval import Interval
from klines.window import Window

NULL, PREVIOUS = "null", "previous"
MOST = 50_000_000
"""Rows that are made at once: of all columns about 10 GB. A start in the year 1 has 20 times as many minutes."""


def check_fill(fill: str | None) -> None:
    """Raises BadParameter for what is no way to fill."""
    if fill not in (None, NULL, PREVIOUS):
        raise BadParameter(f"fill: {fill!r} is neither None, 'null' nor 'previous'")


def filled(
    klines: pl.DataFrame, symbols: Sequence[str], interval: Interval, windows: Sequence[Window], fill: str
) -> pl.DataFrame:
    """The klines and a row for each slot of `windows` without one, by symbol and time.

    The column `filled` tells them apart. With `null` such a row has no values; with `previous` it has the close before
    as all four prices and zero as its sums, where klines have any, and no values where no kline is before it. Of the
    klines' columns only `symbol` and `open_time` must be there, and `close` for `previous`.

    Raises BadParameter where there would be more than MOST rows.
    """
    bounds = [(interval.index(window.start_ms - 1) + 1, interval.index(window.end_ms - 1) + 1) for window in windows]
    rows = len(symbols) * sum(after - first for first, after in bounds)
    if rows > MOST:
        raise BadParameter(f"fill: there would be {rows:,} rows, at most {MOST:,} are made at once; ask for less time")
    slots = [pl.int_range(first, after, dtype=pl.Int64, eager=True).alias("slot") for first, after in bounds]
    grid = pl.DataFrame({"slot": pl.concat(slots) if slots else []}, schema={"slot": pl.Int64})
    grid = pl.DataFrame({"symbol": symbols}, schema={"symbol": pl.String}).join(grid, how="cross")
    there = klines.with_columns(slot=slot(interval))
    lacking = grid.join(there, on=["symbol", "slot"], how="anti").select(
        "symbol",
        open_time=_start(interval, pl.col("slot")),
        close_time=_start(interval, pl.col("slot") + 1) - pl.duration(milliseconds=1),
        filled=pl.lit(True),
    )
    whole = pl.concat([klines.with_columns(filled=pl.lit(False)), lacking], how="diagonal").sort("symbol", "open_time")
    return whole if fill == NULL else _carried(whole)


def _carried(whole: pl.DataFrame) -> pl.DataFrame:
    close = pl.col("close").forward_fill().over("symbol")
    is_known = pl.col("filled") & close.is_not_null()
    there = whole.filter(~pl.col("filled"))
    prices, sums = (
        [name for name in names if name in whole.columns and there[name].count()] for names in (PRICES, SUMS)
    )
    return whole.with_columns(
        *(pl.when(is_known).then(close).otherwise(pl.col(name)).alias(name) for name in prices),
        *(pl.when(is_known).then(0).otherwise(pl.col(name)).cast(whole[name].dtype).alias(name) for name in sums),
    )


def slot(interval: Interval, column: str = "open_time") -> pl.Expr:
    """`interval.index` of a column of times."""
    time = pl.col(column)
    if interval.length_ms:
        return (time.dt.epoch("ms") - interval.phase_ms) // interval.length_ms
    return (time.dt.year().cast(pl.Int64) - 1970) * 12 + time.dt.month() - 1


def _start(interval: Interval, index: pl.Expr) -> pl.Expr:
    if interval.length_ms:
        return pl.from_epoch(index * interval.length_ms + interval.phase_ms, "ms").cast(pl.Datetime("us"))
    return pl.datetime(1970, 1, 1, time_unit="us").dt.offset_by(index.cast(pl.String) + "mo")
