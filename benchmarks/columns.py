"""What each column of recorded BTCUSDT klines takes in the file, in bytes a row, beside its bits alone.

    python -m benchmarks.columns [--times 8]

It needs the recorded files of the archive that the tests use (SHARED_DATA): three months of minutes, which so many
symbols have. They lie as `maintain` puts them. DuckDB packs 2,048 integers together, each in as many bits as the
largest of them needs above the smallest; "bits alone" is that, without what of each block stays empty.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import duckdb
import polars as pl

from benchmarks.table import line, machine
from klines.binance.csv import read_csv
from klines.columns import AMOUNTS, PRICES
from klines.storage.database import opened
from tests.test_exactness import EVER, files

COLUMNS = {
    **{name: (name,) for name in (*AMOUNTS, "trades")},
    "four prices": PRICES,
    "five names": ("market", "symbol", "interval", "source", "kind"),
    "three times": ("open_time", "close_time", "fetched_at"),
}
FILLING = """
    INSERT INTO klines BY NAME
    SELECT 'spot' AS market, 'S' || n || 'USDT' AS symbol, '1m' AS interval, 'monthly' AS source, 'klines' AS kind,
           TIMESTAMP '2026-01-01' AS fetched_at,
           r.* REPLACE (epoch_ms(open_time) AS open_time, epoch_ms(close_time) AS close_time)
    FROM recorded r, range(?) symbols(n) ORDER BY symbol, r.open_time
"""
SEGMENTS = """
    SELECT column_name, block_id, block_offset FROM pragma_storage_info('klines') WHERE block_id >= 0
    UNION ALL SELECT '', block_id, $end FROM pragma_storage_info('klines') WHERE block_id >= 0 GROUP BY ALL
    ORDER BY block_id, block_offset
"""
"""Where each column's segments begin, and as one without a name where each block ends."""
BITS = """
    WITH packs AS (SELECT count(*) AS n, max(v) - min(v) AS width
                   FROM (SELECT ({name} * {scale})::HUGEINT AS v, rowid // 2048 AS pack FROM klines) GROUP BY pack)
    SELECT sum(n * ceil(log2(width::DOUBLE + 1))) / 8 / sum(n) FROM packs
"""


def main() -> None:
    """Fill a file, and show the lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=8, help="how many symbols have the recorded klines")
    options = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "klines.duckdb"
        rows = fill(database, options.times)
        with duckdb.connect(database, read_only=True) as connection:
            show(connection, rows)
        line(f"the file, {rows:,} klines", database.stat().st_size / rows, "bytes a row")


def fill(database: Path, times: int) -> int:
    """Store the recorded klines of BTCUSDT since December 2024 so many times; how many klines that are."""
    found = [
        read_csv(one.csv or b"", one.interval, EVER)[0]
        for one in files()
        if (one.symbol, one.interval.name) == ("BTCUSDT", "1m") and "daily" not in one.name
    ]
    recorded = pl.concat(found).filter(pl.col("open_time") >= 1_733_011_200_000).unique("open_time").sort("open_time")
    with opened(database, time.monotonic() + 10) as connection:
        connection.register("recorded", recorded)
        connection.execute(FILLING, [times])
    return recorded.height * times


def show(connection: duckdb.DuckDBPyConnection, rows: int) -> None:
    """A line for each column, or some of a kind, and for all."""
    taken = bytes_by_column(connection)
    for what, names in COLUMNS.items():
        bits = bits_alone(connection, what) if what in names else None
        line(what, sum(taken[name] for name in names) / rows, "bytes a row", peer="bits alone", other=bits)
    line("all columns", taken.total() / rows, "bytes a row")


def bytes_by_column(connection: duckdb.DuckDBPyConnection) -> Counter[str]:
    """What each column has of the blocks: from where a segment begins to the next one, or to the block's end."""
    [(end,)] = connection.execute("SELECT block_size FROM pragma_database_size()").fetchall()
    taken: Counter[str] = Counter()
    found = connection.execute(SEGMENTS, {"end": end}).fetchall()
    for (name, block, at), (_, next_block, until) in pairwise(found):
        if block == next_block:
            taken[name] += until - at
    return taken


def bits_alone(connection: duckdb.DuckDBPyConnection, name: str) -> float:
    """Bytes a row of an integer column."""
    scale = 1 if name == "trades" else 10**8
    [(found,)] = connection.execute(BITS.format(name=name, scale=scale)).fetchall()
    return float(found)


if __name__ == "__main__":
    main()
