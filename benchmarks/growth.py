"""What a minute of many symbols costs in a small and in a large file, and over a day: time, memory, bytes a row.

    python -m benchmarks.growth [--symbols 600] [--small 1_000_000] [--large 100_000_000] [--minutes 20] [--hours 24]

The minutes are those of `collect` without Prefect, made one after the other in one process for each file, against the
stand-in in another. Each minute is made in the small file and in the large one before the next.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from benchmarks.measure import apart, count, rss_mb
from benchmarks.minute import Part, fill, names
from benchmarks.table import line, machine
from benchmarks.warm import START_MS, Minutes
from klines.settings import Address
from tests.drive import Fixed, collect_once
from tests.exchange import StandIn


class Took(NamedTuple):
    """What a minute took, and what its process holds in memory after it."""

    seconds: float
    rss_mb: float
    complaint: str


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
    parser.add_argument("--small", type=int, default=1_000_000, help="rows")
    parser.add_argument("--large", type=int, default=100_000_000, help="rows")
    parser.add_argument("--minutes", type=int, default=20)
    parser.add_argument("--hours", type=int, default=24, help="of the small file; 0: none")
    options = parser.parse_args()
    print(machine())
    symbols = names("S", options.symbols)
    with tempfile.TemporaryDirectory() as folder, StandIn(symbols, ["spot"]) as exchange:
        minutes = Minutes(Path(folder), exchange, symbols, 0)
        with writing(minutes, "small", options.small) as small:
            with writing(minutes, "large", options.large) as large:
                compare(minutes, small, large, options.minutes)
            (minutes.folder / "large.duckdb").unlink()
            if options.hours:
                grow(minutes, small, options.hours)


def compare(minutes: Minutes, small: Writer, large: Writer, number: int) -> None:
    """The same minutes in both files; the first warms up."""
    took: list[list[float]] = []
    for _ in range(number + 1):
        minutes.next()
        took.append([size.run().seconds for size in (small, large)])
    in_small, in_large = (statistics.median(column) for column in zip(*took[1:], strict=True))
    what = f"a minute of {len(minutes.symbols)} symbols at {count(minutes.folder / 'large.duckdb'):,} rows"
    line(what, in_large, peer=f"at {count(minutes.folder / 'small.duckdb'):,}", other=in_small, limit="ratio ≤ 1.5")


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
def writing(minutes: Minutes, name: str, rows: int) -> Iterator[Writer]:
    """A file of so many rows, and a process that makes minutes in it."""
    database = minutes.folder / f"{name}.duckdb"
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
