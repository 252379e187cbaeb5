"""Every benchmark, one after the other, and their tables: `make bench` writes benchmarks/RESULTS.md.

    python -m benchmarks [--only minute growth …] [--quick]
    python -m benchmarks --only soak --parts FILE FILE …

All of it takes half a day, and 40 GB of disk for temporary files; --quick is the same with little data, to try it.
What is measured again replaces the table of before, the others stay.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from benchmarks import CHECKOUT
from benchmarks.table import KEPT, Line, kept, machine, number

FOLDER = CHECKOUT / "benchmarks"


class Benchmark(NamedTuple):
    """What a module of this package is about, its options, and those of --quick."""

    title: str
    options: Sequence[str]
    quick: Sequence[str]


BENCHMARKS = {
    "ceiling": Benchmark("The stand-in's ceiling", [], ["--requests", "200"]),
    "first": Benchmark("The first minute of a fresh install", [], []),
    "minute": Benchmark(
        "The minute, by the whole stack on its schedule",
        ["--symbols", "1500", "--usdm", "600", "--minutes", "10"],
        ["--symbols", "60", "--usdm", "60", "--minutes", "2", "--rows", "100_000"],
    ),
    "beside": Benchmark(
        "The minute beside an audit, and beside a backfill",
        [],
        ["--symbols", "60", "--rows", "100_000", "--minutes", "1", "--lacking", "200_000", "--rounds", "1"],
    ),
    "breakdown": Benchmark(
        "The minute's process, and where its time goes", [], ["--symbols", "60", "--rows", "60_000", "--rounds", "1"]
    ),
    "growth": Benchmark(
        "Growth of the file",
        [],
        ["--symbols", "60", "--rows", "100_000", "1_000_000", "--minutes", "3", "--hours", "1"],
    ),
    "backfill": Benchmark(
        "A backfill",
        [],
        ["--parts", "1", "3", "--symbols", "2", "--months", "2", "--rounds", "1"],
    ),
    "audit": Benchmark("An audit, before it asks the exchange", [], ["--symbols", "20", "--days", "35"]),
    "upgrade": Benchmark("The first opening of a large file by a newer version", [], ["--rows", "600_000"]),
    "maintain": Benchmark("Maintenance", [], ["--symbols", "20", "--minutes", "100_000"]),
    "read": Benchmark("Reading", [], ["--rows", "200_000", "--symbols", "5"]),
    "export": Benchmark(
        "Exports, and the programs that read them", [], ["--days", "3", "--programs", "parquet", "csv"]
    ),
    "day": Benchmark("Prefect's server over a day", [], ["--runs", "8", "--after", "4", "--pause", "0.2"]),
    "attack": Benchmark("Hostile answers, of every kind", [], ["--only", "flood", "age"]),
    "shards": Benchmark("Twenty shards against the limits, simulated", [], []),
    "lake": Benchmark(
        "A lake beside the file",
        [],
        ["--symbols", "60", "--rows", "3_000_000", "--stored", "0", "1_000_000", "--minute", "60", "--minutes", "1"],
    ),
    "soak": Benchmark("Hours in a hostile world", ["--hours", "1.5"], ["--hours", "0.1"]),
    "versions": Benchmark("This version beside 76b0701, without Prefect", ["76b0701"], ["76b0701", "--small"]),
}


def main() -> None:
    """Run them, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(BENCHMARKS), default=list(BENCHMARKS))
    parser.add_argument("--quick", action="store_true", help="little data: the numbers mean nothing")
    parser.add_argument("--parts", nargs="+", default=[], help="what soaks of some hours each kept: their sum is shown")
    options = parser.parse_args()
    place = FOLDER / ("RESULTS.quick.json" if options.quick else "RESULTS.json")
    found = json.loads(place.read_text()) if place.exists() else {}
    for name in options.only:
        benchmark = BENCHMARKS[name]
        print(f"\n== {benchmark.title} ==", flush=True)
        given = benchmark.quick if options.quick else benchmark.options
        parts = ["--parts", *options.parts] if options.parts and name == "soak" else []
        found[name] = {
            "when": f"{datetime.now(UTC):%Y-%m-%d}",
            "machine": machine(),
            "lines": [asdict(line) for line in run(name, parts or given)],
        }
        place.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
        place.with_suffix(".md").write_text(written(found))
    print(f"\n{written(found)}\nwritten to {place.with_suffix('.md')}")


def run(module: str, options: Sequence[str]) -> list[Line]:
    """The lines of one benchmark."""
    with tempfile.NamedTemporaryFile() as file:
        command = [sys.executable, "-m", f"benchmarks.{module}", *options]
        subprocess.run(command, cwd=CHECKOUT, env=os.environ | {KEPT: file.name}, check=True)
        return list(kept(Path(file.name)))


def written(found: Mapping[str, Mapping[str, object]]) -> str:
    """The Markdown of all of them."""
    parts = [
        "# Results\n\n`make bench` writes this: ours, beside a peer or a bare limit where one does the same work.\n"
    ]
    for name, benchmark in BENCHMARKS.items():
        if name in found:
            parts.append(section(name, benchmark, found[name]))
    return "\n".join(parts)


def section(module: str, benchmark: Benchmark, found: Mapping[str, object]) -> str:
    """The table of one benchmark."""
    lines = [Line(**line) for line in found["lines"]]  # type: ignore[attr-defined]  # as `main` made it
    rows = [f"| {' | '.join(row(line))} |" for line in lines]
    command = f"`python -m benchmarks.{' '.join([module, *benchmark.options])}`"
    head = ["| | ours | peer | ratio | limit |", "|---|--:|--:|--:|--:|"]
    return "\n".join([f"## {benchmark.title}\n", f"{command}, {found['when']}, {found['machine']}\n", *head, *rows, ""])


def row(line: Line) -> list[str]:
    """The cells of a line."""
    peer = "" if line.other is None else f"{line.peer}: {number(line.other)} {line.unit}"
    return [line.what, f"{number(line.ours)} {line.unit}".rstrip(), peer.rstrip(), line.ratio, line.limit]


if __name__ == "__main__":
    main()
