"""jesse's candles: a file of numpy for each symbol, `Binance Spot/BTC-USDT.npy`, as `jesse.research` takes them.

A row is the open time in ms, open, close, high, low and volume, as doubles. jesse can't have a hole: between two klines
every minute without one has a row, as jesse makes it itself, with the close before as its prices and no volume.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

import polars as pl
import pyarrow as pa

from klines.errors import BadParameter
from klines.exports.assets import assets_of, why_no_pair
from klines.exports.stored import Part, Subject
from klines.exports.target import OpenFile, Target
from klines.interval import MINUTE, Interval
from klines.ledger import FOREVER_MS
from klines.market import Market
from klines.tables.klines import FIRST_MS

_COLUMNS = ("open", "close", "high", "low", "volume")
_ROW = struct.Struct("<6d")
_HEADER_BYTES = 128
_EXCHANGES = {"spot": "Binance Spot", "usdm": "Binance Perpetual Futures"}


class Jesse(Target):
    """See the module."""

    bytes_a_kline = 48

    def check(self, market: Market, interval: Interval) -> None:
        """Klines of a minute alone, of which jesse makes the others, and not of COIN-M."""
        if market.name not in _EXCHANGES:
            raise BadParameter("market: jesse does not trade COIN-M futures")
        if interval.name != "1m":
            raise BadParameter(f"interval: jesse takes 1m, and makes {interval.name} of it itself")

    def why_not(self, subject: Subject) -> str:
        """Symbols without a pair."""
        return why_no_pair(subject)

    def path(self, subject: Subject, part: Part) -> str:  # noqa: ARG002 - one for all of them
        """One file for all of a series."""
        return f"{_EXCHANGES[subject.market.name]}/{'-'.join(assets_of(subject))}.npy"

    def open(self, file: BinaryIO, subject: Subject, part: Part) -> OpenFile:  # noqa: ARG002
        """A file of numpy."""
        return _Npy(file)


class _Npy:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._file.write(_header(0))
        self._rows = 0
        self._last: tuple[int, float] | None = None
        """The time, in ms, and the close of the last row."""

    def take(self, before: Path, rows: int) -> None:
        """As they lie on the disk."""
        left = rows * _ROW.size
        with before.open("rb") as source:
            source.seek(_HEADER_BYTES)
            while left and (chunk := source.read(min(left, 1 << 24))):
                self._file.write(chunk)
                left -= len(chunk)
        self._rows = rows
        time_ms, _, close, *_ = _ROW.unpack(chunk[-_ROW.size :])
        if not FIRST_MS <= time_ms < FOREVER_MS:
            raise ValueError(f"{before} ends with a row that opens at {time_ms}")
        self._last = int(time_ms), close

    def add(self, klines: pl.DataFrame) -> int:
        """The klines, and the minutes that lack between them and after what came before."""
        rows = klines.select(pl.col("open_time").dt.epoch("ms"), *_COLUMNS)
        if self._last is not None:
            time_ms, close = self._last
            before = pl.DataFrame([(time_ms, *(close,) * 4, 0.0)], schema=rows.schema, orient="row")
            rows = pl.concat([before, rows])
        whole = _whole(rows).slice(0 if self._last is None else 1)
        self._file.write(_in_rows(whole))
        self._rows += whole.height
        self._last = int(whole["open_time"][-1]), float(whole["close"][-1])
        return whole.height

    def end(self) -> None:
        """How many rows there are stands in the header."""
        self._file.seek(0)
        self._file.write(_header(self._rows))

    def drop(self) -> None:
        """Nothing more."""


def _whole(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows, by the minute in which they open, and a row for every minute without one."""
    rows = rows.with_columns(pl.col("open_time") // MINUTE * MINUTE)
    first, last = rows["open_time"][0], rows["open_time"][-1]
    grid = pl.DataFrame({"open_time": pl.int_range(first, last + 1, MINUTE, eager=True)})
    if grid.height == rows.height:
        return rows
    close = pl.col("close").forward_fill()
    return grid.join(rows, on="open_time", how="left", maintain_order="left").with_columns(
        *(pl.col(name).fill_null(close) for name in ("open", "high", "low")), close, pl.col("volume").fill_null(0.0)
    )


def _in_rows(whole: pl.DataFrame) -> pa.Buffer:
    """The doubles, row after row."""
    numbers = whole.select(pl.concat_arr(pl.all().cast(pl.Float64))).to_series().explode()
    return pa.array(numbers.rechunk().to_arrow()).buffers()[1]


def _header(rows: int) -> bytes:
    """Of numpy's format 1.0, always of the same length."""
    told = f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({rows}, 6), }}"
    return (
        b"\x93NUMPY\x01\x00" + struct.pack("<H", _HEADER_BYTES - 10) + told.ljust(_HEADER_BYTES - 11).encode() + b"\n"
    )
