"""What it costs that amounts are decimals: bytes a row and reading, beside doubles, on recorded klines.

    python -m benchmarks.amounts [--times 4]

It needs the recorded files of the archive that the tests use (SHARED_DATA), each of which is there so many times.
Seconds are of one core, the best of five.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import duckdb
import polars as pl

from benchmarks.table import line, machine
from klines.binance.csv import read_csv
from klines.columns import AMOUNTS, PRICES, as_doubles, in_sql
from tests.test_exactness import EVER, files

KINDS: dict[str, Sequence[str]] = {
    "none": (),
    "quote volumes": [name for name in AMOUNTS if "quote" in name],
    "amounts": AMOUNTS,
    "all values": (*PRICES, *AMOUNTS),
}
"""Which columns are decimals."""
ROUNDS = 5


def main() -> None:
    """Run it and print the lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=4, help="how many symbols have the recorded klines")
    options = parser.parse_args()
    print(machine())
    rows = recorded_rows(options.times)
    line("klines", rows.height, "rows")
    with tempfile.TemporaryDirectory() as folder:
        for kind, decimals in KINDS.items():
            measure(Path(folder), rows, kind, decimals)


def recorded_rows(times: int) -> pl.DataFrame:
    """The klines of all recorded files, as of so many symbols each."""
    found = []
    for answer in files():
        frame, _ = read_csv(answer.csv or b"", answer.interval, EVER)
        found += [frame.with_columns(symbol=pl.lit(f"{answer.symbol}{n}")) for n in range(times)]
    return pl.concat(found).unique(["symbol", "open_time"]).sort("symbol", "open_time")


def measure(folder: Path, rows: pl.DataFrame, kind: str, decimals: Sequence[str]) -> None:
    """The lines of one choice."""
    path, parquet = folder / "klines.duckdb", folder / "klines.parquet"
    path.unlink(missing_ok=True)
    kinds = ", ".join(
        f"{name}::{'DECIMAL(38, 8)' if name in decimals else 'DOUBLE'} AS {name}" for name in (*PRICES, *AMOUNTS)
    )
    with duckdb.connect(str(path)) as connection:
        connection.register("rows", rows)
        connection.execute(f"CREATE TABLE klines AS SELECT * REPLACE ({kinds}) FROM rows ORDER BY symbol, open_time")
        connection.execute(f"COPY (FROM klines ORDER BY symbol, open_time) TO '{parquet}' (COMPRESSION zstd)")
    line(f"{kind} as decimals: the file", path.stat().st_size / rows.height, "bytes a row")
    line(f"{kind} as decimals: Parquet", parquet.stat().st_size / rows.height, "bytes a row")
    doubles = [*(f"{name}::DOUBLE AS {name}" for name in PRICES), *map(as_doubles, AMOUNTS)]
    asked = {
        "all columns, as doubles": f"SELECT symbol, open_time, trades, {', '.join(doubles)}",
        "two amounts, as doubles": f"SELECT {', '.join(map(as_doubles, AMOUNTS[:2]))}",
        "two amounts, as stored": f"SELECT {in_sql(AMOUNTS[:2])}",
        "two amounts, summed": f"SELECT {', '.join(f'sum({name})' for name in AMOUNTS[:2])}",
    }
    with duckdb.connect(str(path), read_only=True, config={"threads": 1}) as connection:
        for what, sql in asked.items():
            line(f"{kind} as decimals: {what}", best_s(connection, f"{sql} FROM klines"))


def best_s(connection: duckdb.DuckDBPyConnection, sql: str) -> float:
    """Seconds of one core that the answer takes, at best."""
    found = []
    for _ in range(ROUNDS):
        began_s = time.process_time()
        connection.sql(sql).to_arrow_table()
        found.append(time.process_time() - began_s)
    return min(found)


if __name__ == "__main__":
    main()
