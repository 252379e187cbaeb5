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


class _ArrowFile:
    """What both write alike: klines as `table` has them, by a writer of pyarrow."""

    def __init__(self, writer: Any, table: Table) -> None:
        self._writer = writer
        self._table = table

    def add(self, klines: pl.DataFrame) -> int:
        """In a batch, or a row group, of their own."""
        table = self._table(klines)
        self._writer.write_table(table)
        return int(table.num_rows)

    def end(self) -> None:
        """The footer."""
        self._writer.close()

    def drop(self) -> None:
        """Nothing more."""


class FeatherFile(_ArrowFile):
    """Arrow's IPC format, compressed with lz4: what pandas and freqtrade call feather."""

    def __init__(self, file: BinaryIO, table: Table, schema: pa.Schema) -> None:
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        super().__init__(pa.ipc.new_file(file, schema, options=options), table)

    def take(self, before: Path, rows: int) -> None:
        """Batch by batch, as they lie on the disk."""
        with pa.memory_map(str(before)) as source:
            reader = pa.ipc.open_file(source)
            for batch in _first(rows, (reader.get_batch(number) for number in range(reader.num_record_batches))):
                self._writer.write_batch(batch)


class ParquetFile(_ArrowFile):
    """Parquet, compressed with zstd unless the program wants another; a row group for what is added at once."""

    def __init__(self, file: BinaryIO, table: Table, schema: pa.Schema, compression: str = "zstd") -> None:
        super().__init__(pq.ParquetWriter(file, schema, compression=compression), table)

    def take(self, before: Path, rows: int) -> None:
        """Row group by row group."""
        with pq.ParquetFile(before) as reader:
            groups = (reader.read_row_group(number) for number in range(reader.num_row_groups))
            for batch in _first(rows, (batch for group in groups for batch in group.to_batches())):
                self._writer.write_batch(batch)

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
