"""Maintenance of a large file while a minute is written to it every second: 100 million rows as minutes wrote them.

    python -m benchmarks.maintain [--symbols 500] [--minutes 200000] [--second]

The rows end two days into the current month; their values have about as many digits as those of ALGOUSDT, fewer than
BTCUSDT's. The flow runs as from the shell, on a server of its own; the folder for temporary files needs room for the
file three times.

With `--second` all but the last month of the rows lies in order, as an earlier run has left it, each month with the
same values; and what is measured is the run after that month has closed: with fewer symbols and more minutes, as
`--symbols 50 --minutes 2000000`, there is less of it.
"""

from __future__ import annotations

import argparse
import json
import select
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import duckdb

from benchmarks import CHECKOUT
from benchmarks.measure import apart, client, count, prefect_server, process
from benchmarks.table import line, machine
from klines.interval import DAY, INTERVALS, MINUTE
from klines.market import MARKETS
from klines.rows import Row
from klines.storage.database import opened
from klines.storage.store import store
from klines.tables.counts import count_month
from klines.tables.ends import newest, note_ends
from klines.tables.hours import AT_ONCE as HOURS_AT_ONCE
from klines.tables.hours import make_hours, note_hours_to_make
from klines.want import Want
from klines.window import Window

MONTH = INTERVALS["1M"]
ONE = Decimal(1)

AFTER = "after maintain"
AT_ONCE = 4_000
"""Minutes that are generated together."""
ROWS = """
    INSERT INTO klines
    WITH series AS (
        SELECT n, 'S' || lpad(n::VARCHAR, 4, '0') || 'USDT' AS symbol, (n % 5 + 1)::INTEGER AS places,
               (n % 2)::INTEGER AS lots
        FROM range({symbols}) numbers(n)
    ), walks AS (
        SELECT *, pow(10, 4 - places) * (0.4 + 0.1 * sin(t / 2.3e8 + n) + 0.01 * sin(t / 4.1e6)) AS p,
               exp(2 + random() * 2.5) AS v, random() AS share
        FROM range({start}::BIGINT, {end}::BIGINT, 60000) times(t), series
    ), rounded AS (
        SELECT *, round(p * (1 + random() * 5e-4), places) AS o, round(p * (1 + random() * 5e-4), places) AS c,
               round(v, lots) AS volume, round(v * share, lots) AS taker
        FROM walks
    )
    SELECT 'spot', symbol, '1m', epoch_ms(t), o, round(greatest(o, c) + p * random() * 2e-4, places),
           round(least(o, c) - p * random() * 2e-4, places), c, volume, epoch_ms(t + 59999),
           round(volume * c, places + lots), (v * 3)::BIGINT, taker, round(taker * c, places + lots), 'rest',
           epoch_ms(t + 65000), 'klines'
    FROM rounded ORDER BY t, n
"""
A_MONTH = """
    INSERT INTO klines SELECT * REPLACE (open_time + to_milliseconds($at) AS open_time,
        close_time + to_milliseconds($at) AS close_time, fetched_at + to_milliseconds($at) AS fetched_at)
    FROM model
    WHERE open_time >= epoch_ms($start::BIGINT - $at::BIGINT) AND open_time < epoch_ms($end::BIGINT - $at::BIGINT)
"""
CLUSTERED = (
    "INSERT INTO clustered SELECT date_trunc('month', open_time), count(*), now()::TIMESTAMP FROM klines GROUP BY 1"
)
QUERY = """
    SELECT count(*), avg(close), max(high), min(low), sum(volume) FROM klines
    WHERE market = 'spot' AND interval = '1m' AND symbol = 'S0007USDT' AND open_time >= epoch_ms(?::BIGINT)
      AND open_time < epoch_ms(?::BIGINT)
"""


def main() -> None:
    """Generate, maintain, and show the lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--symbols", type=int, default=500)
    parser.add_argument("--minutes", type=int, default=200_000)
    parser.add_argument("--second", action="store_true")
    parser.add_argument("--write", nargs=3, metavar=("FILE", "SYMBOLS", "FROM"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.write:
        write(Path(options.write[0]), *map(int, options.write[1:]))
    print(machine())
    end_ms = MONTH.floor(int(time.time() * 1000)) + 2 * DAY
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "klines.duckdb"
        start_ms = end_ms - options.minutes * MINUTE
        if options.second:
            until_ms = MONTH.step(end_ms, -1)
            apart(fill_in_order, database, options.symbols, start_ms, until_ms)
            start_ms = until_ms
        apart(fill, database, options.symbols, start_ms, end_ms)
        apart(show, "before maintain", database, end_ms)
        with writing(database, options.symbols, end_ms) as waits_s:
            maintained(Path(folder), database)
        line(f"a minute beside it waits for the file, median of {len(waits_s)}", statistics.median(waits_s))
        line("the same, longest", max(waits_s), limit="≤ 2")
        lost = options.symbols * (options.minutes + len(waits_s)) - count(database)
        line("rows lost", lost, "", limit="0")
        apart(show, AFTER, database, end_ms, options.second)


def fill(database: Path, symbols: int, start_ms: int, end_ms: int) -> None:
    """Rows of so many symbols, ordered by time."""
    for first_ms in range(start_ms, end_ms, AT_ONCE * MINUTE):
        until_ms = min(first_ms + AT_ONCE * MINUTE, end_ms)
        with opened(database, time.monotonic() + 10) as connection:
            connection.execute("SET enable_progress_bar = false")
            connection.execute(ROWS.format(symbols=symbols, start=first_ms, end=until_ms))


def fill_in_order(database: Path, symbols: int, start_ms: int, end_ms: int) -> None:
    """Rows of so many symbols up to a month's end, by month, symbol and time, with what maintenance notes of them."""
    with opened(database, time.monotonic() + 10) as connection:
        connection.execute("SET enable_progress_bar = false; CREATE TEMP TABLE model AS FROM klines")
        rows = ROWS.replace("INSERT INTO klines", "INSERT INTO model").replace("BY t, n", "BY n, t")
        connection.execute(rows.format(symbols=symbols, start=0, end=31 * DAY))
        for index in range(MONTH.index(start_ms), MONTH.index(end_ms)):
            connection.execute(A_MONTH, {"at": MONTH.start(index), "end": MONTH.start(index + 1), "start": start_ms})
        connection.execute(CLUSTERED)
        note_ends(connection, newest(connection, whole=True), end_ms)
        while count_month(connection, end_ms):
            pass
        wanted = note_hours_to_make(connection, end_ms)
        for start in range(0, len(wanted), 10 * HOURS_AT_ONCE):
            make_hours(connection, wanted[start : start + 10 * HOURS_AT_ONCE])


def show(when: str, database: Path, end_ms: int, second: bool = False) -> None:
    """Show the size of the file, and how long a symbol's klines of a closed month and of all times take: these have no
    limit in a second run, where a symbol has ten times as many klines."""
    rows, size = count(database), database.stat().st_size
    closed = Window(MONTH.step(end_ms, -1), MONTH.floor(end_ms))
    with duckdb.connect(database, read_only=True) as connection:
        connection.execute("SET enable_progress_bar = false")
        a_month, history = timed(connection, closed), timed(connection, Window(0, end_ms))
    for what, value, unit, limit in (
        (f"a row, {rows:,} in the file", size / rows, "bytes", 25),
        ("one symbol, one month", a_month, "ms", 10),
        ("one symbol, whole history", history, "ms", "" if second else 50),
    ):
        line(f"{when}: {what}", value, unit, limit=f"≤ {limit}" if when == AFTER and limit else "")


def timed(connection: duckdb.DuckDBPyConnection, window: Window) -> float:
    """Milliseconds of an aggregate over a symbol's klines in the window; the median of nine."""
    taken = []
    for _ in range(9):
        began_s = time.perf_counter()
        connection.execute(QUERY, [window.start_ms, window.end_ms]).fetchall()
        taken.append((time.perf_counter() - began_s) * 1000)
    return statistics.median(taken)


def maintained(folder: Path, database: Path) -> None:
    """Run the flow, and show what it took and said."""
    with prefect_server(folder) as server:
        command = [sys.executable, "-m", "flows.maintain"]
        taken = process(command, folder, client(server, folder) | {"KLINES_DATABASE": str(database)})
    line("maintain", taken.wall_s)
    line("maintain: CPU", taken.cpu_s)
    line("maintain: peak memory", taken.rss_mb, "MB", limit="≤ 2,000")
    print(taken.printed.splitlines()[-1], flush=True)


@contextmanager
def writing(database: Path, symbols: int, from_ms: int) -> Iterator[list[float]]:
    """A process that writes a minute every second; at its end the list has how long each waited for the file."""
    waits_s: list[float] = []
    command = [sys.executable, "-m", "benchmarks.maintain", "--write", str(database), str(symbols), str(from_ms)]
    with subprocess.Popen(command, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        yield waits_s
        printed, _ = writer.communicate()
        waits_s += json.loads(printed)


def write(database: Path, symbols: int, from_ms: int) -> None:
    """Store a minute of all symbols every second, until the input ends; then print the waits, and exit."""
    waits_s: list[float] = []
    while not select.select([sys.stdin], [], [], 1)[0]:
        open_ms = from_ms + len(waits_s) * MINUTE
        wants = [Want(f"S{n:04}USDT", [Window(open_ms, open_ms + MINUTE)]) for n in range(symbols)]
        for want in wants:
            want.rows = [Row(open_ms, 1.0, 2.0, 0.5, 1.5, ONE, open_ms + 59_999, ONE, 1, ONE, ONE)]
        began_s = time.monotonic()
        with opened(database, began_s + 60) as connection:
            waits_s.append(time.monotonic() - began_s)
            store(connection, MARKETS["spot"], INTERVALS["1m"], wants, now_ms=open_ms + MINUTE)
    print(json.dumps(waits_s))
    sys.exit()


if __name__ == "__main__":
    main()
