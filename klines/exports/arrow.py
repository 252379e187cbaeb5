"""Files of Arrow's kind that grow by months: feather and Parquet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

Table = Callable[[pl.DataFrame], pa.Table]
"""What the klines are in the file."""


class FeatherFile:
    """Arrow's IPC format, compressed with lz4: what pandas and freqtrade call feather."""

    def __init__(self, file: BinaryIO, table: Table, schema: pa.Schema) -> None:
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        self._writer = pa.ipc.new_file(file, schema, options=options)
        self._table = table

    def take(self, before: Path, rows: int) -> None:
        """Batch by batch, as they lie on the disk."""
        with pa.memory_map(str(before)) as source:
            reader = pa.ipc.open_file(source)
            for batch in _first(rows, (reader.get_batch(number) for number in range(reader.num_record_batches))):
                self._writer.write_batch(batch)

    def add(self, klines: pl.DataFrame) -> int:
        """In a batch of their own."""
        table = self._table(klines)
        self._writer.write_table(table)
        return int(table.num_rows)

    def end(self) -> None:
        """The footer."""
        self._writer.close()

    def drop(self) -> None:
        """Nothing more."""


class ParquetFile:
    """Parquet, compressed with zstd unless the program wants another; a row group for what is added at once."""

    def __init__(self, file: BinaryIO, table: Table, schema: pa.Schema, compression: str = "zstd") -> None:
        self._writer = pq.ParquetWriter(file, schema, compression=compression)
        self._table = table

    def take(self, before: Path, rows: int) -> None:
        """Row group by row group."""
        with pq.ParquetFile(before) as reader:
            groups = (reader.read_row_group(number) for number in range(reader.num_row_groups))
            for batch in _first(rows, (batch for group in groups for batch in group.to_batches())):
                self._writer.write_batch(batch)

    def add(self, klines: pl.DataFrame) -> int:
        """In a row group of their own."""
        table = self._table(klines)
        self._writer.write_table(table)
        return int(table.num_rows)

    def end(self) -> None:
        """The footer."""
        self._writer.close()

    def drop(self) -> None:
        """It would write the footer when it is forgotten, into a file that is closed."""
        self._writer.is_open = False


def _first(rows: int, batches: Iterator[Any]) -> Iterator[Any]:
    """The first so many rows of batches."""
    for batch in batches:
        if rows <= 0:
            return
        yield batch.slice(0, rows)
        rows -= batch.num_rows


def as_arrow(klines: pl.DataFrame, schema: pa.Schema) -> pa.Table:
    """The columns that the schema names, of its types."""
    return klines.select(schema.names).to_arrow().cast(schema)
