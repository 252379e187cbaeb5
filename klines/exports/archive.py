"""CSV as in Binance's archive: the same paths, columns and digits, so that what reads those reads these.

Prices and amounts of spot have eight decimals. Those of futures have as many as the month needs, and zero has none;
prices of mark, index and premium klines have eight, their volumes are zero, as there, and the number of samples, which
is not stored, is empty. Futures have a header, as in files from 2022 on; spot's times are microseconds from 2025 on.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import polars as pl

from klines.binance.files import File
from klines.columns import AMOUNTS, DECIMALS, DIGITS, PRICES, VALUES
from klines.errors import BadParameter
from klines.exports.stored import Part, Subject
from klines.exports.target import OpenFile, Target
from klines.interval import INTERVALS, Interval
from klines.market import KINDS, Market

_COLUMNS = ("open_time", *VALUES)
_HEADER = ",".join((*_COLUMNS, "ignore")).replace("trades", "count").encode() + b"\n"
_HEADER_FROM_MS = 1_640_995_200_000
"""2022-01-01."""
_MICROSECONDS_FROM_MS = 1_735_689_600_000
"""2025-01-01, of spot."""
_AT_ONCE = 100_000
"""Rows that are made text at once."""


class MonthlyCsv(Target):
    """See the module."""

    bytes_a_kline = 147
    kinds = tuple(kind.name for kind in KINDS.values() if kind.is_archived)
    columns = _COLUMNS
    is_exact = True

    def check(self, market: Market, interval: Interval) -> None:  # noqa: ARG002 - of any market
        """Binance's intervals alone."""
        if interval.name not in INTERVALS:
            raise BadParameter(f"interval: the archive has {', '.join(INTERVALS)}, not {interval.name}")

    def path(self, subject: Subject, part: Part) -> str:
        """That of the monthly file, whose zip holds such a CSV."""
        market, kind = subject.market.key
        file = File(market, subject.symbol, subject.interval.name, True, part.month_ms, kind)
        return file.path.replace(".zip", ".csv")

    def open(self, file: BinaryIO, subject: Subject, part: Part) -> OpenFile:
        """A CSV with the header that its month has."""
        is_spot = subject.market.name == "spot"
        if not is_spot and part.month_ms >= _HEADER_FROM_MS:
            file.write(_HEADER)
        in_microseconds = is_spot and part.month_ms >= _MICROSECONDS_FROM_MS
        return _Csv(file, is_spot=is_spot, in_microseconds=in_microseconds, has_volumes=subject.market.kind.has_volumes)


class _Csv:
    def __init__(self, file: BinaryIO, *, is_spot: bool, in_microseconds: bool, has_volumes: bool) -> None:
        self._file = file
        self._is_spot = is_spot
        self._in_microseconds = in_microseconds
        self._has_volumes = has_volumes

    def take(self, before: Path, rows: int) -> None:
        """Never: a month has a file of its own."""
        raise NotImplementedError(before, rows)

    def add(self, klines: pl.DataFrame) -> int:
        """A line for each kline."""
        for part in klines.with_columns(*self._texts(klines)).iter_slices(_AT_ONCE):
            rows = part.select(*self._times(), pl.exclude("open_time", "close_time")).select(*_COLUMNS, ignore=0)
            self._file.write(rows.write_csv(include_header=False).encode())
        return klines.height

    def _texts(self, klines: pl.DataFrame) -> Sequence[pl.Expr]:
        """The columns that are not written as they are."""
        if not self._has_volumes:
            return [pl.lit(0).alias(name) for name in AMOUNTS]
        return [] if self._is_spot else [_short(klines, name) for name in (*PRICES, *AMOUNTS)]

    def _times(self) -> Sequence[pl.Expr]:
        """The last millisecond of a kline is its last 1,000 microseconds."""
        times = [pl.col(name).dt.epoch("ms") for name in ("open_time", "close_time")]
        if self._in_microseconds:
            return [times[0] * 1000, times[1] * 1000 + 999]
        return times

    def end(self) -> None:
        """Nothing more."""

    def drop(self) -> None:
        """Nothing more."""


def _short(klines: pl.DataFrame, name: str) -> pl.Expr:
    """A column as text, with as many decimals as its longest number needs."""
    unscaled = klines[name].cast(pl.String).str.replace(".", "", literal=True)
    zeros = unscaled.filter(klines[name] != 0).str.extract("(0*)$").str.len_chars().min()
    decimals = DECIMALS - min(DECIMALS, DECIMALS if zeros is None else int(str(zeros)))
    text = pl.col(name).cast(pl.Decimal(DIGITS, decimals)).cast(pl.String)
    return pl.when(pl.col(name) == 0).then(pl.lit("0")).otherwise(text).alias(name)
