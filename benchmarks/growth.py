"""What a minute of many symbols, a reading and an audit cost in a small and in a large file, and over a day.

    python -m benchmarks.growth [--symbols 600] [--rows 1_000_000 100_000_000 300_000_000] [--minutes 20] [--hours 6]

The minutes are those of `collect` without Prefect, made one after the other in one process for each file, against the
stand-in in another. Each minute is made in every file before the next. The files are ordered by time, as minutes write
them. What is read, and looked through for gaps, is the last day of all symbols, in a process of its own for each time.
The hours are of minutes in the smallest file.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import klines
from benchmarks.audit import peak_mb
from benchmarks.measure import apart, count, rss_mb
from benchmarks.minute import Part, fill, names
from benchmarks.table import line, machine
from benchmarks.warm import START_MS, Minutes
from klines.interval import DAY, INTERVALS
from klines.market import MARKETS
from klines.settings import Address
from klines.storage.database import opened
from klines.tables.klines import stored_windows
from klines.window import Window
from tests.drive import Fixed, collect_once
from tests.exchange import StandIn

SPOT = MARKETS["spot"]


class Took(NamedTuple):
    """What a minute took, and what its process holds in memory after it."""

    seconds: float
    rss_mb: float
    complaint: str


class Asked(NamedTuple):
    """What a question took in a process of its own, and the peak of that process's memory."""

    seconds: float
    megabytes: float


class Writer(NamedTuple):
    """A process that makes minutes in a file."""

    minutes: Minutes
    pipe: Connection
    database: Address

    def run(self) -> Took:
        """The minute that the stand-in has."""
        self.pipe.send(None)
        took: Took = self.pipe.recv()
        if took.complaint:
            raise SystemExit(f"minute {self.minutes.count}: {took.complaint}")
        return took

    @property
    def bytes_a_row(self) -> float:
        """Of the whole file, with what waits in its write-ahead log."""
        assert isinstance(self.database, Path)
        files = (self.database, self.database.with_name(f"{self.database.name}.wal"))
        return sum(file.stat().st_size for file in files if file.exists()) / count(self.database)


def main() -> None:
    """Run it and print the lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--symbols", type=int, default=600)
    parser.add_argument(
        "--rows",
        type=int,
        nargs="+",
        default=[1_000_000, 100_000_000, 300_000_000],
        help="of each file, fewest first",
    )
    parser.add_argument("--minutes", type=int, default=20)
    parser.add_argument("--hours", type=int, default=6, help="of the small file; 0: none")
    options = parser.parse_args()
    print(machine())
    symbols = names("S", options.symbols)
    with tempfile.TemporaryDirectory() as folder, StandIn(symbols, ["spot"]) as exchange:
        minutes = Minutes(Path(folder), exchange, symbols, 0)
        with contextlib.ExitStack() as stack:
            writers = [stack.enter_context(writing(minutes, rows)) for rows in options.rows]
            compare(minutes, writers, options.minutes)
            for question in (READING, AUDITING):
                ask(question, minutes, writers)
            for writer in writers[1:]:
                Path(str(writer.database)).unlink()
            if options.hours:
                grow(minutes, writers[0], options.hours)


def compare(minutes: Minutes, writers: Sequence[Writer], number: int) -> None:
    """The same minutes in every file; the first warms up."""
    took: list[list[Took]] = []
    for _ in range(number + 1):
        minutes.next()
        took.append([writer.run() for writer in writers])
    costs = [
        Asked(statistics.median(one.seconds for one in column), column[-1].rss_mb)
        for column in zip(*took[1:], strict=True)
    ]
    show(f"a minute of {len(minutes.symbols)} symbols", writers, costs)


def show(what: str, writers: Sequence[Writer], costs: Sequence[Asked]) -> None:
    """A line of time and one of memory for each file, beside the smallest."""
    sizes = [f"{count(writer.database):,}" for writer in writers if isinstance(writer.database, Path)]
    first = costs[0]
    for size, cost in list(zip(sizes, costs, strict=True))[1:]:
        peer = f"at {sizes[0]}"
        line(f"{what} at {size} rows", cost.seconds, peer=peer, other=first.seconds, limit="ratio ≤ 1.5")
        line(f"{what} at {size} rows: memory", cost.megabytes, "MB", peer=peer, other=first.megabytes, limit="≤ 2,000")


READING, AUDITING = "klines.read of their last day", "looking for the gaps of their last day"


def ask(question: str, minutes: Minutes, writers: Sequence[Writer]) -> None:
    """The question to every file in turn, five times; the first warms up."""
    window = Window(START_MS - DAY, START_MS)
    took = [[asked_apart(question, writer.database, minutes.symbols, window) for writer in writers] for _ in range(6)]
    columns = zip(*took[1:], strict=True)
    costs = [Asked(*(statistics.median(numbers) for numbers in zip(*column, strict=True))) for column in columns]
    show(question, writers, costs)


def asked_apart(question: str, database: Address, symbols: Sequence[str], window: Window) -> Asked:
    """What it takes in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as child:
        return child.submit(asked, question, database, symbols, window).result()


def asked(question: str, database: Address, symbols: Sequence[str], window: Window) -> Asked:
    """In that process: ask, and say what it took."""
    assert isinstance(database, Path)
    began_s = time.monotonic()
    if question == READING:
        times = [datetime.fromtimestamp(ms / 1000, UTC) for ms in (window.start_ms, window.end_ms)]
        klines.read(list(symbols), *times, database=database)
    else:
        with opened(database, began_s + 10) as connection:
            stored_windows(connection, SPOT, INTERVALS["1m"], symbols, window.start_ms, window.end_ms)
    return Asked(time.monotonic() - began_s, peak_mb())


def grow(minutes: Minutes, writer: Writer, hours: int) -> None:
    """So many hours of minutes; the first is what the last is compared with."""
    firsts: tuple[float, float, float] | None = None
    for hour in range(1, hours + 1):
        took = []
        for _ in range(60):
            minutes.next()
            took.append(writer.run())
        now = (statistics.median(seconds.seconds for seconds in took), took[-1].rss_mb, writer.bytes_a_row)
        firsts = firsts or now
        print(f"hour {hour:2}: a minute {now[0]:.3f} s, memory {now[1]:.0f} MB, {now[2]:.1f} bytes a row", flush=True)
    assert firsts is not None
    for what, unit, value, first in zip(
        ("a minute", "memory", "a row"), ("s", "MB", "bytes"), now, firsts, strict=True
    ):
        line(f"{what}, in hour {hours} of accelerated minutes", value, unit, peer="hour 1", other=first, limit="flat")


@contextmanager
def writing(minutes: Minutes, rows: int) -> Iterator[Writer]:
    """A file of so many rows, and a process that makes minutes in it."""
    database = minutes.folder / f"{rows}.duckdb"
    apart(fill, database, [Part("spot", minutes.symbols)], rows, START_MS)
    with writer_of(minutes, database) as writer:
        yield writer


@contextmanager
def writer_of(minutes: Minutes, database: Address) -> Iterator[Writer]:
    """A process that makes minutes in a database that is there."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    child = spawn.Process(target=write, args=(theirs, minutes.exchange.url, database, minutes.symbols))
    child.start()
    theirs.close()
    try:
        yield Writer(minutes, ours, database)
        ours.close()
        child.join()
    finally:
        child.terminate()


def write(pipe: Connection, url: str, database: Address, symbols: Sequence[str]) -> None:
    """Make a minute whenever it is asked for, until the pipe ends."""
    while True:
        try:
            pipe.recv()
        except EOFError:
            return
        began_s = time.monotonic()
        outcome = collect_once(Fixed(url), database, symbols)
        seconds = time.monotonic() - began_s
        pipe.send(
            Took(
                seconds,
                rss_mb(os.getpid()),
                "" if outcome.state == "Completed" else f"{outcome.state}: {outcome.message}",
            )
        )


if __name__ == "__main__":
    main()
