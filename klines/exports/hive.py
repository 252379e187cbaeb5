"""Parquet by month, in folders that name the series: what DuckDB, polars, Spark and pyarrow read as one table.

`market=spot/kind=klines/interval=1m/symbol=BTCUSDT/month=2024-01/klines.parquet`, with the columns of the table
klines that the folders do not name; prices and amounts are decimals.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import BinaryIO

import pyarrow as pa

from klines.columns import AMOUNTS, BESIDE_KEY, DECIMALS, DIGITS, PRICES
from klines.exports.arrow import ParquetFile, as_arrow
from klines.exports.stored import Part, Subject
from klines.exports.target import OpenFile, Target, interval_in_paths
from klines.market import KINDS

_COLUMNS = ("open_time", *BESIDE_KEY)


def _type(name: str) -> pa.DataType:
    if name in (*PRICES, *AMOUNTS):
        return pa.decimal128(DIGITS, DECIMALS)
    return {"trades": pa.int64(), "source": pa.string()}.get(name, pa.timestamp("us"))


_SCHEMA = pa.schema([(name, _type(name)) for name in _COLUMNS])


class Hive(Target):
    """See the module."""

    bytes_a_kline = 73
    kinds = tuple(KINDS)
    columns = _COLUMNS
    is_exact = True

    def path(self, subject: Subject, part: Part) -> str:
        """A file for each month."""
        market, kind = subject.market.key
        month = datetime.fromtimestamp(part.month_ms / 1000, UTC)
        series = f"market={market}/kind={kind}/interval={interval_in_paths(subject.interval)}"
        return f"{series}/symbol={subject.symbol}/month={month:%Y-%m}/klines.parquet"

    def open(self, file: BinaryIO, subject: Subject, part: Part) -> OpenFile:  # noqa: ARG002
        """A Parquet file."""
        return ParquetFile(file, lambda klines: as_arrow(klines, _SCHEMA), _SCHEMA)
