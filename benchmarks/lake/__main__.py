"""A lake beside a file, with a PostgreSQL, an S3 store and a stand-in of its own, all on loopback.

    python -m benchmarks.lake [--only upkeep room reading opening minute] [--symbols 600] [--rows 100_000_000]
                              [--stored 10_000_000 300_000_000] [--minute 600 2100] [--minutes 2]

upkeep: maintenance of a month of all symbols, a file a day, beside so many rows (--stored) of other months.
room: bytes a row, of made-up values and of recorded ones, where those are there.
reading: klines.read of a month of one symbol and of two days of all, at --rows rows, local and on S3.
opening: what a run takes until it has its database.
minute: so many symbols (--minute), without Prefect beside a file, and by three workers on schedule, Prefect's server on
PostgreSQL, for so many whole minutes (--minutes), at --rows rows that are there already.

A month of a symbol has 44,640 rows; other months have the same values throughout, as nothing reads them. It takes a
quarter of an hour on two idle cores, and 15 GB of the folder for temporary files (TMPDIR).
"""

from __future__ import annotations

import argparse
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.lake.ground import Ground
from benchmarks.lake.minute import measure_minute
from benchmarks.lake.opening import measure_opening
from benchmarks.lake.reading import measure_reading
from benchmarks.lake.room import measure_room
from benchmarks.lake.upkeep import measure_upkeep
from benchmarks.table import machine


def main() -> None:
    """Run what is asked for, and print the lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--symbols", type=int, default=600, help="of the month that is maintained and read")
    parser.add_argument("--rows", type=int, default=100_000_000, help="stored where klines are read, and collected")
    parser.add_argument("--stored", type=int, nargs="+", default=[10_000_000, 300_000_000], help="beside the month")
    parser.add_argument("--minute", type=int, nargs="+", default=[600, 2100], help="symbols of a minute")
    parser.add_argument("--minutes", type=int, default=2)
    parts: dict[str, Callable[[Ground], None]] = {
        "upkeep": lambda ground: measure_upkeep(ground, options.stored),
        "room": measure_room,
        "reading": lambda ground: measure_reading(ground, options.rows),
        "opening": measure_opening,
        "minute": lambda ground: measure_minute(ground, options.minute, options.rows, options.minutes),
    }
    parser.add_argument("--only", nargs="+", choices=list(parts), default=list(parts))
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what was started ends, too
    print(machine())
    with tempfile.TemporaryDirectory(prefix="klines-lake-") as folder:
        try:
            with Ground(Path(folder), options.symbols) as ground:
                for name in options.only:
                    print(f"-- {name}", flush=True)
                    parts[name](ground)
        except pytest.skip.Exception as missing:
            raise SystemExit(str(missing)) from None


if __name__ == "__main__":
    main()
