"""The first opening of a large file by a newer version: how long it takes, in how much memory, and after a kill.

    python -m benchmarks.upgrade [--rows 100_000_000] [--symbols 600] [--steps 11]

A file is made as the version with so many steps of the schema left it, of made-up klines in the order in which minutes
write them. It is opened to be written in a process of its own, which takes the other steps; then once more, as every
run does. A copy is opened by a process that is killed half way, and then by another one. 100 million klines take 8 GB
of disk for the file and its copy.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import duckdb

from benchmarks import CHECKOUT
from benchmarks.audit import START_MS
from benchmarks.measure import apart, count
from benchmarks.table import line, machine
from klines.interval import MINUTE
from klines.storage.schema.migrations import STEPS

AT_ONCE = 2_000
"""Minutes that are made together."""
OPENED = """
import json, sys, time
from pathlib import Path
from benchmarks.audit import peak_mb
from klines.storage.database import opened
began_s = time.monotonic()
with opened(Path(sys.argv[1]), began_s + 600):
    seconds = time.monotonic() - began_s
print(json.dumps({"seconds": seconds, "with_close": time.monotonic() - began_s, "megabytes": peak_mb()}))
"""


def main() -> None:
    """Make the file, open it, and show the lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000_000)
    parser.add_argument("--symbols", type=int, default=600)
    parser.add_argument("--steps", type=int, default=11, help="that the file has taken")
    options = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        database, copy = Path(folder) / "klines.duckdb", Path(folder) / "copy.duckdb"
        apart(make, database, options.rows, options.symbols, options.steps)
        rows = count(database)
        print(f"{rows:,} rows, {database.stat().st_size / 1e9:.2f} GB, {options.steps} steps of {len(STEPS)}")
        shutil.copy(database, copy)
        first = opened(database)
        line(f"upgrade of {rows:,} klines, until runs go on", first["with_close"], limit="≤ 50")
        line("of it before the checkpoint", first["seconds"])
        line("peak memory", first["megabytes"], "MB", limit="≤ 2,000")
        line("the file after it, of before", database.stat().st_size / copy.stat().st_size, "")
        line("the next opening", opened(database)["with_close"])
        line("after a kill half way: the opening after that", killed(copy, first["with_close"] / 2), limit="≤ 50")
        if (count(copy), count(database)) != (rows, rows):
            raise SystemExit("klines have come or gone")


def make(database: Path, rows: int, symbols: int, steps: int) -> None:
    """The file."""
    end_ms = START_MS + rows // symbols * MINUTE
    with duckdb.connect(str(database)) as connection:
        connection.execute("SET enable_progress_bar = false; CREATE TABLE schema_version AS SELECT 0 AS version")
        for step in STEPS[:steps]:
            connection.execute(step)
        connection.execute("UPDATE schema_version SET version = ?", [steps])
        for from_ms in range(START_MS, end_ms, AT_ONCE * MINUTE):
            until_ms = min(from_ms + AT_ONCE * MINUTE, end_ms)
            connection.execute(
                f"""
                INSERT INTO klines
                SELECT 'spot', 'S' || lpad(n::VARCHAR, 4, '0'), '1m', epoch_ms(t), 1 + random(), 3, 0.5, 1 + random(),
                       random() * 100, epoch_ms(t + 59999), random() * 1000, 5, random(), random(), 'rest',
                       epoch_ms(t + 62000)
                FROM range({from_ms}::BIGINT, {until_ms}::BIGINT, {MINUTE}) times(t), range({symbols}) symbols(n)
                ORDER BY t, n
                """
            )


def opened(database: Path) -> dict[str, Any]:
    """What an opening takes in a process of its own."""
    done = subprocess.run([sys.executable, "-c", OPENED, str(database)], cwd=CHECKOUT, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    for said in done.stderr.splitlines():
        print(f"  said: {said}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def killed(database: Path, seconds: float) -> float:
    """Kill an opening after so long; the seconds of the next one."""
    with subprocess.Popen([sys.executable, "-c", OPENED, str(database)], cwd=CHECKOUT) as process:
        time.sleep(seconds)
        process.kill()
    return float(opened(database)["with_close"])


if __name__ == "__main__":
    main()
