"""Finding the gaps of a large file: a year of 600 symbols of 1m, and the last day of them; and its coverage.

    python -m benchmarks.audit [--symbols 600] [--days 365]

The rows (315 million, 13 GB) are generated straight into DuckDB, with holes of some minutes on every tenth day of each
symbol, which the ledger explains. What is measured is what an audit does before it asks the exchange anything; how long
the days are counted, once; and klines.coverage of all of it, which reads these counts.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import klines
from benchmarks.measure import apart
from benchmarks.table import line, machine
from klines.interval import DAY, INTERVALS, MINUTE
from klines.market import MARKETS
from klines.session import count_days
from klines.storage.access import place_of
from klines.storage.database import opened
from klines.tables.klines import stored_windows
from klines.tables.promise import PERSON
from klines.tables.wanted import note_range
from klines.window import Window, missing

START_MS = 1_704_067_200_000
"""2024-01-01."""
HOLE = "(t // 60000 + n * 131) % 14400 BETWEEN 5000 AND 5006"
"""Seven minutes of every tenth day, at another time for every symbol."""
SPOT, MINUTES = MARKETS["spot"], INTERVALS["1m"]


def main() -> None:
    """Generate, measure in processes of their own, and show the lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--symbols", type=int, default=600)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--measure", nargs=4, metavar=("FILE", "SYMBOLS", "FROM", "TO"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measured(Path(options.measure[0]), *map(int, options.measure[1:]))))
        return
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        whole, day = Path(folder) / "year.duckdb", Path(folder) / "day.duckdb"
        end_ms = START_MS + options.days * DAY
        fill(day, 600, START_MS, START_MS + 2 * DAY)
        row("the last day of 600 symbols", 2, day, 600, START_MS + DAY, START_MS + 2 * DAY)
        fill(whole, options.symbols, START_MS, end_ms)
        row(f"{options.days} days of {options.symbols} symbols", 60, whole, options.symbols, START_MS, end_ms)
        apart(show_coverage, whole, options.symbols, START_MS, end_ms)


def fill(database: Path, symbols: int, start_ms: int, end_ms: int) -> None:
    """Rows of so many symbols but for their holes, a month at a time, as maintenance would cluster them."""
    command = [sys.executable, "-c", FILL, str(database), str(symbols), str(start_ms), str(end_ms)]
    subprocess.run(command, check=True)


FILL = f"""
import sys, time
from pathlib import Path
from klines.storage.database import opened
database, symbols, start_ms, end_ms = Path(sys.argv[1]), *map(int, sys.argv[2:])
for first_ms in range(start_ms, end_ms, 30 * {DAY}):
    until_ms = min(first_ms + 30 * {DAY}, end_ms)
    with opened(database, time.monotonic() + 10) as connection:
        connection.execute(f'''
            INSERT INTO klines
            SELECT 'spot', 'S' || lpad(n::VARCHAR, 4, '0'), '1m', epoch_ms(t), 1, 2, 0.5, 1.5, t % 1000,
                   epoch_ms(t + 59999), t % 977, 5, 1, 1, 'monthly', epoch_ms(t), 'klines'
            FROM range({{symbols}}) symbols(n), range({{first_ms}}::BIGINT, {{until_ms}}::BIGINT, {MINUTE}) times(t)
            WHERE NOT {HOLE}
        ''')
"""


def row(name: str, limit_s: int, database: Path, symbols: int, from_ms: int, to_ms: int) -> None:
    """Measure, and show the lines."""
    options = map(str, (database, symbols, from_ms, to_ms))
    command = [sys.executable, "-m", "benchmarks.audit", "--measure", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    facts = json.loads(done.stdout)
    said = f"finding {facts['gaps']:,} gaps in {facts['klines']:,} klines, {name}"
    line(said, facts["seconds"], limit=f"≤ {limit_s}")
    line(f"{said}: peak memory", facts["megabytes"], "MB", limit="≤ 2,000")


def show_coverage(database: Path, symbols: int, start_ms: int, end_ms: int) -> None:
    """Want all of it, explain the holes, count the days, and ask for the coverage three times."""
    names, end = [f"S{n:04}" for n in range(symbols)], datetime.fromtimestamp(end_ms / 1000, UTC)
    with opened(database, time.monotonic() + 10) as connection:
        note_range(connection, SPOT, MINUTES, names, Window(start_ms, end_ms), PERSON, end_ms)
        connection.execute(EXPLAINED.format(symbols=symbols, start=start_ms, end=end_ms))
    began_s = time.monotonic()
    count_days(place_of(database), int(time.time() * 1000), 10)
    line("counting its days, once, in turns", time.monotonic() - began_s)
    seconds, days = [], 0
    for _ in range(3):
        began_s = time.monotonic()
        days = klines.coverage(end=end, database=database).height
        seconds.append(time.monotonic() - began_s)
    line(f"klines.coverage of {days:,} days of {symbols} symbols", statistics.median(seconds), limit="≤ 3")


EXPLAINED = f"""
    INSERT INTO gaps
    SELECT 'spot', 'S' || lpad(n::VARCHAR, 4, '0'), '1m', epoch_ms(t), epoch_ms(t + 7 * {MINUTE}), 'exchange_outage',
           epoch_ms(t), NULL, 3, NULL, 'klines'
    FROM range({{symbols}}) symbols(n), range({{start}}::BIGINT, {{end}}::BIGINT, {MINUTE}) times(t)
    WHERE (t // 60000 + n * 131) % 14400 = 5000
"""


def measured(database: Path, symbols: int, from_ms: int, to_ms: int) -> dict[str, float]:
    """What is missing in the range: klines looked at, gaps found, seconds, and the process's peak memory."""
    names = [f"S{n:04}" for n in range(symbols)]
    began_s = time.monotonic()
    with opened(database, began_s + 10) as connection:
        stored = stored_windows(connection, SPOT, MINUTES, names, from_ms, to_ms)
    gaps = [gap for name in names for gap in missing(stored[name], Window(stored[name][0].start_ms, to_ms), [])]
    seconds = time.monotonic() - began_s
    count = sum(w.end_ms - w.start_ms for windows in stored.values() for w in windows) // MINUTE
    return {"klines": count, "gaps": len(gaps), "seconds": seconds, "megabytes": peak_mb()}


def peak_mb() -> float:
    """The peak of this process's own memory, not of the one that started it (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1000


if __name__ == "__main__":
    main()
