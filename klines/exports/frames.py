"""A Parquet file for each series, which `pandas.read_parquet` gives as a frame with the open time (UTC) as its index.

`spot-1m/BTCUSDT.parquet`, with prices, amounts as doubles, and trades: as vectorbt and others on pandas want it.
"""

from __future__ import annotations

import json
from typing import Any, BinaryIO

import polars as pl
import pyarrow as pa

from klines.columns import PRICES, SUMS
from klines.exports.arrow import ParquetFile, as_arrow
from klines.exports.stored import Part, Subject
from klines.exports.target import OpenFile, Target, series_in_paths
from klines.market import KINDS

_INDEX = "open_time"
_COLUMNS = (*PRICES, *SUMS)


def _of_pandas(name: str) -> dict[str, Any]:
    """What pandas notes of a column."""
    types: dict[str, Any]
    if name == _INDEX:
        types = {"pandas_type": "datetimetz", "numpy_type": "datetime64[ms]", "metadata": {"timezone": "UTC"}}
    else:
        type_ = "int64" if name == "trades" else "float64"
        types = {"pandas_type": type_, "numpy_type": type_, "metadata": None}
    return {"name": name, "field_name": name, **types}


_NOTE = {
    "index_columns": [_INDEX],
    "column_indexes": [],
    "columns": [_of_pandas(name) for name in (*_COLUMNS, _INDEX)],
    "pandas_version": "2.2.0",
}
"""How pandas knows the index, in the form of that version."""
_SCHEMA = pa.schema(
    [
        *((name, pa.int64() if name == "trades" else pa.float64()) for name in _COLUMNS),
        (_INDEX, pa.timestamp("ms", "UTC")),
    ],
    metadata={"pandas": json.dumps(_NOTE)},
)


class Frames(Target):
    """See the module."""

    bytes_a_kline = 82
    kinds = tuple(KINDS)
    columns = (_INDEX, *_COLUMNS)

    def path(self, subject: Subject, part: Part) -> str:  # noqa: ARG002 - one for all of them
        """One file for all of a series."""
        return f"{series_in_paths(subject)}/{subject.symbol}.parquet"

    def open(self, file: BinaryIO, subject: Subject, part: Part) -> OpenFile:  # noqa: ARG002
        """A Parquet file."""
        return ParquetFile(file, _table, _SCHEMA)


def _table(klines: pl.DataFrame) -> pa.Table:
    return as_arrow(klines.with_columns(pl.col(_INDEX).dt.replace_time_zone("UTC")), _SCHEMA)
