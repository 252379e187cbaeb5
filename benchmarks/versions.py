"""This version beside another, in one run: the minute, a load of the archive, what a kline takes, and reads.

    python -m benchmarks.versions [76b0701] [--small] [--symbols 1500] [--minutes 10] [--months 60] [--rounds 3]

The other version is taken out of git into a temporary folder. It runs with the packages of this environment, where its
pyproject.toml allows them, and else in an environment of its own in --cache, made by pip. Both are driven without
Prefect, as their tests drive them, against the same stand-in of the exchange, in turns, each time in a new process,
whose start is not counted. Ratios are medians of those of each round, with the smallest and the largest.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement

from benchmarks import CHECKOUT, measure
from benchmarks.backfill import END, back, compared, monthly, ms, wanted_minutes
from benchmarks.table import machine
from klines.interval import MINUTE
from tests.exchange import StandIn
from tests.exchange.__main__ import symbols as named

WORK = CHECKOUT / "benchmarks" / "peers" / "version.py"
NOT_MEASURED = {"prefect", "fastapi", "sqlalchemy", "starlette", "uvicorn", "socksio", "httpx"}
"""Packages of servers and of Prefect: nothing that is measured here imports them."""
BEGAN_MS = 1_767_355_200_000
"""2026-01-02 12:00 UTC: the exchange's clock before the first minute."""
SECOND_MS = 5_000
"""Runs are due at this second of their minute, as prefect.yaml has it."""
LOADED = 2
"""Symbols of a load."""


Took = dict[str, float]
"""What a piece of work took: `seconds`, `cpu_s`, and what it counted itself."""


class Version(NamedTuple):
    """A version of klines: where its sources are, the Python that runs them, and a folder for its databases."""

    name: str
    sources: Path
    python: Path
    place: Path

    def do(self, work: str, database: str, *arguments: object) -> Took:
        """What a piece of work took; ends this process if it failed."""
        command = [self.python, "-P", WORK, self.sources, work, self.database(database), *arguments]
        environment = os.environ | {"PYTHONPATH": str(self.sources)}
        done = subprocess.run(
            [*map(str, command)], cwd=self.sources, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"{work} of {self.name} failed:\n{(done.stdout + done.stderr)[-4000:]}")
        found: Took = json.loads(done.stdout.splitlines()[-1])
        return found

    def database(self, name: str) -> Path:
        """A database of this version's."""
        return self.place / f"{name}.duckdb"


class Pair(NamedTuple):
    """Both versions."""

    ours: Version
    other: Version

    def in_turn(self, turn: int, ask: Callable[[Version], Took]) -> tuple[Took, Took]:
        """What it took ours and the other; whoever began the last time is second in this one."""
        order = [self.ours, self.other] if turn % 2 else [self.other, self.ours]
        found = {whose.name: ask(whose) for whose in order}
        return found[self.ours.name], found[self.other.name]

    def do(self, turn: int, work: str, database: str, *arguments: object) -> tuple[Took, Took]:
        """The same of both."""
        return self.in_turn(turn, lambda whose: whose.do(work, database, *arguments))

    def show(self, what: str, unit: str, runs: Sequence[tuple[float, float]], limit: str = "") -> None:
        """A line: medians side by side, and their ratio."""
        ours, others = zip(*runs, strict=True)
        compared(what, unit, ours, self.other.name, others, limit).show()

    def show_times(self, what: str, runs: Sequence[tuple[Took, Took]], limit: str = "") -> None:
        """A line of seconds, and one of CPU seconds."""
        self.show(what, "s", [(ours["seconds"], other["seconds"]) for ours, other in runs], limit)
        self.show(f"{what}: its CPU", "s", [(ours["cpu_s"], other["cpu_s"]) for ours, other in runs])


def main() -> None:
    """Run it and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("revision", nargs="?", default="76b0701")
    parser.add_argument("--symbols", type=int, default=1500, help="of the minute")
    parser.add_argument("--minutes", type=int, default=10)
    parser.add_argument("--months", type=int, default=60, help=f"of {LOADED} symbols, which are loaded and read")
    parser.add_argument("--rounds", type=int, default=3, help="of loads and reads")
    parser.add_argument("--small", action="store_true", help="little data: the numbers mean nothing")
    parser.add_argument("--cache", default=Path(tempfile.gettempdir()) / "klines-benchmarks", type=Path)
    options = parser.parse_args()
    if options.small:
        options.symbols, options.minutes, options.months, options.rounds = 30, 2, 2, 1
    print(machine())
    with both(options.revision, options.cache) as pair:
        minutes(pair, options.symbols, options.minutes)
        history(pair, options.cache / "archives", options.months, options.rounds)


@contextmanager
def both(revision: str, cache: Path) -> Iterator[Pair]:
    """This checkout as it is, and a revision of it in a temporary folder."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        there, place, other = folder / "sources", folder / "here", folder / "there"
        for made in (there, place, other):
            made.mkdir()
        take_out(revision, there)
        python = python_for(there, cache / f"version-{revision}")
        yield Pair(Version("here", CHECKOUT, Path(sys.executable), place), Version(revision, there, python, other))


def take_out(revision: str, folder: Path) -> None:
    """Put the files of a revision there; ends this process where git does not have it."""
    done = subprocess.run(["git", "archive", revision], cwd=CHECKOUT, capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(f"git archive {revision}: {done.stderr.decode().strip()}")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")


def python_for(folder: Path, place: Path) -> Path:
    """This Python where the version there allows its packages, or that of an environment which is made at `place`."""
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    listed = [*project["dependencies"], *project.get("optional-dependencies", {}).get("collect", [])]
    wanted = [one for text in listed if (one := Requirement(text)).name not in NOT_MEASURED]
    if refused := [one for one in wanted if not allows(one)]:
        print(f"made by pip, as these are not here: {', '.join(map(str, refused))}")
        return measure.installed(place, *map(str, wanted), "pytest")
    return Path(sys.executable)


def allows(wanted: Requirement) -> bool:
    """Whether what is installed here will do."""
    try:
        return wanted.specifier.contains(version(wanted.name), prereleases=True)
    except PackageNotFoundError:
        return False


def minutes(pair: Pair, symbols: int, count: int) -> None:
    """Runs of collect of symbols that are up to date, each a minute of the exchange's clock after the last.

    Each version has a stand-in of its own, as both together would ask for more than an address may.
    """
    listed = [f"S{number:04}USDT" for number in range(symbols)]
    with StandIn(listed, ["spot"]) as ours, StandIn(listed, ["spot"]) as other:
        exchanges = {pair.ours.name: ours, pair.other.name: other}
        took = [minute(pair, exchanges, turn, listed) for turn in range(count + 1)]
    pair.show_times(f"a minute of {symbols:,} spot symbols", took[1:])


def minute(pair: Pair, exchanges: dict[str, StandIn], turn: int, symbols: Sequence[str]) -> tuple[Took, Took]:
    """One of them; the first stores half an hour."""
    now_ms = BEGAN_MS + turn * MINUTE + SECOND_MS
    for exchange in exchanges.values():
        exchange.forget()
        exchange.freeze(now_ms)
    return pair.in_turn(turn, lambda whose: whose.do("minute", "minutes", exchanges[whose.name].url, now_ms, *symbols))


def history(pair: Pair, archives: Path, months: int, rounds: int) -> None:
    """Loads of the archive, each into a new file; what a kline takes then, and after maintenance; reads of it."""
    symbols, start = named([str(LOADED)]), back(months)
    measure.make_archives(archives, [path for symbol in symbols for path in monthly(symbol, months)])
    rows = LOADED * wanted_minutes(start)
    with measure.exchange(symbols, "--archives", str(archives)) as url:
        measure.warm(url, symbols, ms(start), ms(END))
        job = (url, f"{start:%Y-%m-%d}", f"{END:%Y-%m-%d}", *symbols)
        took = [pair.do(turn, "load", f"{turn}", *job) for turn in range(rounds)]
    speeds = [(rows / ours["seconds"], rows / other["seconds"]) for ours, other in took]
    pair.show(f"archive, {LOADED} symbols × {months} months", "rows/s", speeds, "ratio ≥ 0.8")
    costs = [(ours["cpu_s"] / rows * 1e6, other["cpu_s"] / rows * 1e6) for ours, other in took]
    pair.show("the same: CPU a row", "µs", costs)
    sizes(pair, rows, "a kline as loaded")
    pair.show_times("maintenance of it", [pair.do(0, "maintain", "0")])
    sizes(pair, rows, "a kline after maintenance")
    reads(pair, symbols[0], months, rounds)


def sizes(pair: Pair, rows: int, what: str) -> None:
    """Bytes of the file a kline; ends this process unless all are stored."""
    ours, other = pair.do(0, "size", "0")
    if not ours["rows"] == other["rows"] == rows:
        raise SystemExit(f"{ours['rows']:,} and {other['rows']:,} of {rows:,} klines were stored")
    pair.show(what, "bytes", [(ours["bytes"] / rows, other["bytes"] / rows)])


def reads(pair: Pair, symbol: str, months: int, rounds: int) -> None:
    """A month, and all of it, of one symbol."""
    for count, said in ((1, "a month"), (months, f"{months} months")):
        job = (symbol, f"{back(count):%Y-%m-%d}", f"{END:%Y-%m-%d}")
        took = [pair.do(turn, "read", "0", *job) for turn in range(rounds)]
        pair.show_times(f"klines.read of {said} of one symbol", took)


if __name__ == "__main__":
    main()
