"""Archive files into DuckDB with nothing else: no HTTP, no checks, no ledger, no second look at what is stored.

    python -m benchmarks.peers.bare DATABASE ZIP…

Two threads unzip and parse ahead of the one that inserts, ten files a transaction. Prints seconds and rows as JSON.
"""

from __future__ import annotations

import io
import json
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import polars as pl

from klines.rows import SCHEMA
from klines.storage.schema.migrations import STEPS

A_TRANSACTION = 10


def main() -> None:
    """Load, and print what it took."""
    database, files = sys.argv[1], [Path(name) for name in sys.argv[2:]]
    batches = [files[start : start + A_TRANSACTION] for start in range(0, len(files), A_TRANSACTION)]
    began_s, rows = time.monotonic(), 0
    with ThreadPoolExecutor(2) as parsers, duckdb.connect(database) as connection:
        connection.execute(STEPS[0])
        ahead = [parsers.submit(parse, file) for file in batches[0]]
        for following in [*batches[1:], []]:
            staged = pl.concat([parsed.result() for parsed in ahead])
            ahead = [parsers.submit(parse, file) for file in following]
            insert(connection, staged)
            rows += staged.height
    print(json.dumps({"seconds": time.monotonic() - began_s, "rows": rows}))


def parse(file: Path) -> pl.DataFrame:
    """The klines of a file of spot before 2025: no header, times in ms."""
    with zipfile.ZipFile(io.BytesIO(file.read_bytes())) as archive:
        csv = archive.read(archive.namelist()[0])
    rows = pl.read_csv(csv, has_header=False, schema={**SCHEMA, "ignore": pl.String}).drop("ignore")
    return rows.with_columns(symbol=pl.lit(file.name.partition("-")[0]))


def insert(connection: duckdb.DuckDBPyConnection, staged: pl.DataFrame) -> None:
    """One transaction."""
    connection.register("staged", staged.to_arrow())
    connection.execute(
        """
        INSERT INTO klines BY NAME
        SELECT * REPLACE (epoch_ms(open_time) AS open_time, epoch_ms(close_time) AS close_time), 'spot' AS market,
               '1m' AS interval, 'monthly' AS source, now()::TIMESTAMP AS fetched_at
        FROM staged
        """
    )
    connection.unregister("staged")


if __name__ == "__main__":
    main()
