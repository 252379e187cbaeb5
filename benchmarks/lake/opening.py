"""What a run takes until it has its database, in a new process.

python -m benchmarks.lake.opening    (of the database that KLINES_DATABASE names)
"""

from __future__ import annotations

import json
import statistics
import sys
import time

from benchmarks.lake.ground import Ground, fill, settings_of
from benchmarks.measure import process
from benchmarks.table import line
from klines import settings
from klines.settings import Address
from klines.storage.access import place_of

PROCESSES = 3


def measure_opening(ground: Ground) -> None:
    """The first opening of a process, and those after it."""
    database = ground.file()
    fill(database, [])
    in_file, address = opened(ground, database), ground.lake([])
    in_lake = opened(ground, address)
    ground.drop(address)
    database.unlink()
    for what, ours, other in zip(("the first opening of a process", "each one after"), in_lake, in_file, strict=True):
        line(what, ours, peer="the file", other=other)


def opened(ground: Ground, database: Address) -> tuple[float, float]:
    """Seconds of the first opening and of the next ones, medians."""
    firsts, others = [], []
    for _ in range(PROCESSES):
        taken = process([sys.executable, "-m", "benchmarks.lake.opening"], ground.folder, settings_of(database))
        first, *rest = json.loads(taken.printed.splitlines()[-1])
        firsts.append(first)
        others += rest
    return statistics.median(firsts), statistics.median(others)


def main() -> None:
    """Open it a few times, ask for something small, and print the seconds of each."""
    place, seconds = place_of(settings.load().database), []
    for _ in range(4):
        began_s = time.perf_counter()
        with place.opened(time.monotonic() + 60) as connection:
            connection.execute("SELECT count(*) FROM gaps").fetchall()
        seconds.append(time.perf_counter() - began_s)
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
