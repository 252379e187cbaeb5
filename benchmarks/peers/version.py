"""One piece of work by a version of klines, driven as its tests drive it; seconds and CPU seconds of it, as JSON.

    PYTHONPATH=FOLDER python -P benchmarks/peers/version.py FOLDER WORK DATABASE ARGUMENTS…

Run by benchmarks/versions.py, in the folder of the version. What it uses of tests/drive.py has been there all along.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from datetime import datetime
from inspect import signature
from pathlib import Path
from typing import Any

import klines
from tests import drive

DAY_MS = 86_400_000


def minute(database: Path, url: str, now_ms: str, *symbols: str) -> dict[str, float]:
    """One run of collect, which is to be Completed; this machine's clock agrees with the exchange's, where a version
    asks for it."""
    has_clock = "clock" in signature(drive.collect_once).parameters
    clock: dict[str, Any] = {"clock": lambda: int(now_ms)} if has_clock else {}
    completed(drive.collect_once(drive.Fixed(url), database, symbols, **clock))
    return {}


def load(database: Path, url: str, start: str, end: str, *symbols: str) -> dict[str, float]:
    """A backfill from the archive, which is to be Completed."""
    completed(drive.backfill_once(drive.Fixed(url), database, symbols, start, end, source="archive"))
    return {}


def size(database: Path) -> dict[str, float]:
    """How many klines there are, and the file's bytes."""
    [(rows,)] = drive.query(database, "SELECT count(*) FROM klines")
    return {"rows": rows, "bytes": database.stat().st_size}


def maintain(database: Path) -> dict[str, float]:
    """Maintenance, as of a day in which no month is open that has klines here."""
    [(last_ms,)] = drive.query(database, "SELECT epoch_ms(max(open_time)) FROM klines")
    completed(drive.maintain_once(database, last_ms + 40 * DAY_MS))
    return {}


def read(database: Path, symbol: str, start: str, end: str) -> dict[str, float]:
    """A range of one symbol, for the second time in this process."""
    klines.read(symbol, start, end, database=database)
    began_s, cpu_s = time.monotonic(), time.process_time()
    frame = klines.read(symbol, start, end, database=database)
    return {"rows": frame.height, "seconds": time.monotonic() - began_s, "cpu_s": time.process_time() - cpu_s}


def completed(outcome: Any) -> None:
    """Ends this process for any other state."""
    if outcome.state != "Completed":
        raise SystemExit(f"{outcome.state}: {outcome.message[:500]}")


WORK: dict[str, Callable[..., dict[str, float]]] = {one.__name__: one for one in (minute, load, size, maintain, read)}


def main() -> None:
    """Do it, and print a line."""
    folder, work, database, *arguments = sys.argv[1:]
    if not Path(klines.__file__).is_relative_to(Path(folder).resolve()):
        raise SystemExit(f"{klines.__file__} is not of {folder}")
    datetime.now().astimezone()  # what reads the time zone does so before the time is taken
    began_s, cpu_s = time.monotonic(), time.process_time()
    found = WORK[work](Path(database), *arguments)
    print(json.dumps({"seconds": time.monotonic() - began_s, "cpu_s": time.process_time() - cpu_s} | found))


if __name__ == "__main__":
    main()
