"""Reading a large file: klines.read beside pandas on freqtrade's feather files, the same klines in the same run.

    python -m benchmarks.read [--rows 100000000] [--symbols 600] [--only "one symbol"] [--pandas /path/to/python]

The klines lie as `maintain` puts them, by month, symbol and time. The first symbol has as many of 1m as Binance has of
BTCUSDT (4.35 million); the rest is shared by all, so that 315 million rows are a year of 600 symbols. Each question is
asked in a process of its own, of us and of pandas in turn, three times, several times in each of these: the shortest
counts, and, by itself, the first of each process, of which the median counts. Who asks again has given back the answer
before, whose memory is then used again: by pandas all of it, by DuckDB hardly any. The file is in the page cache.

pandas is installed into --cache, if --pandas names none. Then klines.connect() makes a snapshot, while somebody opens
the file for writing twice a second; and at last the hours that were derived are stored, and read again. --only takes
the questions with that text in their names; those of one symbol soon end with `--rows 9000000 --symbols 2`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import duckdb
import pyarrow
from pyarrow import feather

import klines
from benchmarks import CHECKOUT
from benchmarks.maintain import ROWS
from benchmarks.measure import apart, count
from benchmarks.table import line, machine
from klines.interval import INTERVALS, MINUTE
from klines.storage.database import opened
from klines.tables.counts import count_month
from klines.tables.ends import newest, note_ends
from klines.tables.hours import make_hours, note_hours_to_make

HISTORY = 4_350_000
YEARS = 5
YEAR_MINUTES = 525_600
ROUNDS = 3
MONTH = INTERVALS["1M"]
FREQTRADES = ["symbol", "open_time", "open", "high", "low", "close", "volume"]
"""The columns of its files, and the symbol, which is their name."""
END_MS = 1_767_225_600_000
"""2026-01-01."""


class Question(NamedTuple):
    """What is asked, and what it may take of 100 million rows. No columns: all. `files` is pandas' folder, `stored` the
    longest interval that is stored."""

    name: str
    symbols: list[str]
    start_ms: int
    end_ms: int
    interval: str
    tries: int
    limit: str
    columns: list[str] | None = None
    files: str = "feather"
    stored: str = "1m"


def main() -> None:
    """Generate, ask, and show the lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000_000)
    parser.add_argument("--symbols", type=int, default=600)
    parser.add_argument("--cache", default=Path(tempfile.gettempdir()) / "klines-benchmarks", type=Path)
    parser.add_argument("--only", default="", help="the questions that have this text in their names")
    parser.add_argument("--pandas", type=Path, help="a Python that has pandas and pyarrow")
    parser.add_argument("--ask", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ask:
        ask(Path(options.ask[0]), json.loads(options.ask[1]))
        return
    python = options.pandas or installed(options.cache / "pandas")
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        database, symbols = folder / "klines.duckdb", [f"S{n:04}USDT" for n in range(options.symbols)]
        history, shared = starts(options.rows, options.symbols)
        apart(fill, database, options.symbols, history, shared)
        years = END_MS - min(YEARS * YEAR_MINUTES, (END_MS - history) // MINUTE) * MINUTE
        apart(export, database, folder / "feather", symbols, history)
        apart(export, database, folder / "feather-years", symbols[:1], years)
        size_gb = database.stat().st_size / 1e9
        print(f"{count(database):,} rows, {size_gb:.2f} GB; {(END_MS - shared) // MINUTE:,} minutes of all symbols")
        asked = questions(symbols, history, years, shared)
        for question in asked:
            if options.only in question.name:
                compare(question, database, folder, python)
        first(database, asked[0])
        if options.only in asked[-1].name:
            apart(snapshot, database)
            apart(keep, database, asked[-1])
            hours = asked[-1]._replace(name="the same, when 1h is stored", stored="1h")
            compare(hours, database, folder, python)


def starts(rows: int, symbols: int) -> tuple[int, int]:
    """Where the first symbol's history begins, and that of all, in ms."""
    history = min(HISTORY, rows // 2) // 60 * 60
    return END_MS - history * MINUTE, INTERVALS["1h"].floor(END_MS - (rows - history) // symbols * MINUTE)


def questions(symbols: list[str], history: int, years: int, shared: int) -> list[Question]:
    """A symbol's month, its whole history, years of it, hours of both, and hours of everything."""
    one, month = symbols[:1], (MONTH.step(END_MS, -2), MONTH.step(END_MS, -1))
    return [
        Question("one symbol, a month of 1m", one, *month, "1m", 9, "≤ 0.05"),
        Question("one symbol, all of 1m", one, history, END_MS, "1m", 5, "≤ 1.2 times"),
        Question("one symbol, years of 1m", one, years, END_MS, "1m", 5, "≤ 1.2 times", files="feather-years"),
        Question("one symbol, 1h from all of 1m", one, history, END_MS, "1h", 5, "less"),
        Question("one symbol, 1h from years of 1m", one, years, END_MS, "1h", 5, "less", files="feather-years"),
        Question(f"{len(symbols)} symbols, 1h from 1m", symbols, shared, END_MS, "1h", 2, "≤ 5"),
    ]


def fill(database: Path, symbols: int, history_ms: int, shared_ms: int) -> None:
    """By month, symbol and time, as maintenance leaves them, with what it notes of each series, and with hours."""
    with opened(database, time.monotonic() + 10) as connection:
        connection.execute("SET enable_progress_bar = false; SET preserve_insertion_order = true")
        for month in range(MONTH.index(history_ms), MONTH.index(END_MS)):
            start_ms, end_ms = MONTH.start(month), MONTH.start(month + 1)
            parts = [(0, 1, history_ms), *((n, min(n + 10, symbols), shared_ms) for n in range(1, symbols, 10))]
            for first, after, from_ms in parts:
                sql = ROWS.replace("range({symbols})", f"range({first}, {after})").replace("BY t, n", "BY n, t")
                connection.execute(sql.format(start=max(start_ms, from_ms), end=end_ms))
        note_ends(connection, newest(connection, whole=True), END_MS)
        while count_month(connection, END_MS):
            pass
        make_hours(connection, note_hours_to_make(connection, END_MS))


def export(database: Path, folder: Path, symbols: list[str], start_ms: int) -> None:
    """The same klines, since then, as freqtrade keeps them: a file a symbol, six columns, compressed with lz4."""
    folder.mkdir()
    with duckdb.connect(database, read_only=True) as connection:
        for symbol in symbols:
            table: pyarrow.Table = connection.execute(
                """SELECT (open_time AT TIME ZONE 'UTC')::TIMESTAMPTZ AS date, open, high, low, close,
                          volume::DOUBLE AS volume
                   FROM klines WHERE symbol = ? AND open_time >= epoch_ms(?::BIGINT) ORDER BY open_time""",
                [symbol, start_ms],
            ).to_arrow_table()
            times = table.column("date").cast(pyarrow.timestamp("ms", "UTC"))
            name = f"{symbol.removesuffix('USDT')}_USDT-1m.feather"
            feather.write_feather(table.set_column(0, "date", times), folder / name, "lz4", compression_level=9)


def compare(question: Question, database: Path, folder: Path, python: Path) -> None:
    """Ask all in turn, us and DuckDB for what the feather files have and for all columns, and show the lines."""
    asked = [json.dumps(question._replace(columns=columns)._asdict()) for columns in (FREQTRADES, None)]
    theirs = [str(python), "benchmarks/peers/feather.py", str(folder / question.files), asked[0]]
    ours = [[sys.executable, "-m", "benchmarks.read", "--ask", str(database), columns] for columns in asked]
    bare = [[sys.executable, "-m", "benchmarks.bare", str(database), columns] for columns in asked]
    rounds = [[answered(command) for command in (theirs, *ours, *bare)] for _ in range(ROUNDS)]
    other, few, many, bare_few, bare_many = zip(*rounds, strict=True)
    for name, answers, bare_ones in (
        (question.name, few, bare_few),
        (f"{question.name}, all 16 columns", many, bare_many),
    ):
        show(question._replace(name=name), answers, other)
        show(question._replace(name=f"{name}, the first time"), firsts(answers), firsts(other))
        of_it = f"{name}, beside the engine"
        show(question._replace(name=of_it, limit="≤ 1.1 times"), answers, bare_ones, peer="DuckDB's bare query")


def firsts(answers: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the first question of a process took, the median of some processes."""
    return [{"seconds": [median(answer["seconds"][0] for answer in answers)], "rows": answers[0]["rows"]}]


def show(
    question: Question,
    ours: Sequence[dict[str, Any]],
    theirs: Sequence[dict[str, Any]],
    *,
    peer: str = "pandas on feather",
) -> None:
    """A line."""
    [(mine, other)] = {(one["rows"], two["rows"]) for one, two in zip(ours, theirs, strict=True)}
    if mine != other:
        raise SystemExit(f"{question.name}: {mine:,} klines here, {other:,} there")
    seconds, others = (min(min(answer["seconds"]) for answer in answers) for answers in (ours, theirs))
    line(f"{question.name}: {mine:,} klines", seconds, peer=peer, other=others, limit=question.limit)


def first(database: Path, question: Question) -> None:
    """Show what the first call in a new process takes, with all that it imports."""
    start, end = (datetime.fromtimestamp(ms / 1000, UTC).isoformat() for ms in (question.start_ms, question.end_ms))
    code = (
        "import json, sys, time\nbegan_s = time.perf_counter()\nimport klines\n"
        "klines.read(sys.argv[2], *sys.argv[3:], database=sys.argv[1])\n"
        'print(json.dumps({"seconds": time.perf_counter() - began_s}))'
    )
    command = [sys.executable, "-c", code, str(database), *question.symbols, start, end]
    seconds = min(answered(command)["seconds"] for _ in range(ROUNDS))
    line("the first call in a new process, a month of 1m", seconds, limit="≤ 0.5")


def answered(command: list[str]) -> dict[str, Any]:
    """What a process that was asked has printed."""
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def ask(database: Path, question: dict[str, Any]) -> None:
    """Read a few times; print seconds and rows."""
    start, end = (datetime.fromtimestamp(question[name] / 1000, UTC) for name in ("start_ms", "end_ms"))
    seconds, rows = [], 0
    for _ in range(question["tries"]):
        began_s = time.perf_counter()
        found = klines.read(
            question["symbols"],
            start,
            end,
            interval=question["interval"],
            columns=question["columns"],
            database=database,
        )
        seconds.append(time.perf_counter() - began_s)
        rows = found.height
    print(json.dumps({"seconds": seconds, "rows": rows}))


def keep(database: Path, question: Question) -> None:
    """Store the klines that were derived."""
    start, end = (datetime.fromtimestamp(ms / 1000, UTC) for ms in (question.start_ms, question.end_ms))
    derived = klines.read(question.symbols, start, end, interval=question.interval, database=database)
    with opened(database, time.monotonic() + 10) as connection:
        connection.execute("SET enable_progress_bar = false")
        connection.register("derived", derived)
        connection.execute("INSERT INTO klines FROM derived")


def snapshot(database: Path) -> None:
    """Make one, and show what it took, and how long a writer had to wait meanwhile."""
    code = (
        "import sys, time, pathlib; from klines.storage.database import opened\n"
        "longest = 0.0\n"
        "print('ready', flush=True)\n"
        "while not pathlib.Path(sys.argv[2]).exists():\n"
        "    began = time.monotonic()\n"
        "    with opened(pathlib.Path(sys.argv[1]), began + 60):\n"
        "        longest = max(longest, time.monotonic() - began)\n"
        "    time.sleep(0.5)\n"
        "print(longest)"
    )
    ended = database.with_name("ended")
    command = [sys.executable, "-c", code, str(database), str(ended)]
    with subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        began_s = time.monotonic()
        klines.connect(max_age="PT0S", database=database).close()
        taken_s = time.monotonic() - began_s
        ended.touch()
        line("a snapshot of it", taken_s)
        line("who writes meanwhile waits, longest", float(writer.stdout.read()))


def installed(folder: Path) -> Path:
    """The Python of an environment that has pandas; made once."""
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "pandas", "pyarrow"], check=True)
    return python


if __name__ == "__main__":
    main()
