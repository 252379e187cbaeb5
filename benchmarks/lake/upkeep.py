"""Maintenance of a month of a lake, in a process of its own: what the flow does, without Prefect.

python -m benchmarks.lake.upkeep    (of the lake that KLINES_DATABASE names)
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import duckdb

from benchmarks.lake.ground import Ground, settings_of
from benchmarks.lake.stock import MEASURED, Part
from benchmarks.measure import apart, process
from benchmarks.table import line
from klines import settings
from klines.session import count_days
from klines.settings import LakeAddress
from klines.storage.access import place_of
from tests.drive import maintain_once, query

_FILES = "SELECT data_file FROM ducklake_list_files('lake', 'klines') ORDER BY 1"
COUNTED_WITHIN_S = 600.0
_LIMIT_ROWS = 20_000_000
"""The limit is of a month of 27 million rows: one that is much smaller has none."""


def measure_upkeep(ground: Ground, sizes: Sequence[int]) -> None:
    """A month of all symbols, a file a day, is put in order in lakes that have so many rows besides, whose days are
    counted."""
    for rows in sizes:
        others = ground.stock.others(rows)
        address = ground.lake(others, beside=ground.daily)
        apart(count_all, address)
        stored = sum(part.rows for part in others)
        show(f"{stored:,} rows stored besides", ground.stock.rows, maintained(ground, address))
        ground.merged = ground.merged or merged(ground, address)
        ground.drop(address)


def count_all(address: LakeAddress) -> None:
    """Count the days, as runs have done by the time that a month is over."""
    count_days(place_of(address), time.time_ns() // 1_000_000, COUNTED_WITHIN_S)


def show(beside: str, rows: int, taken: dict[str, float]) -> None:
    """The lines of a month of so many rows."""
    limit = "≤ 120" if rows > _LIMIT_ROWS else ""
    line(f"maintenance of a month of {rows:,} rows, {beside}", taken["seconds"], limit=limit)
    line("the same: writers wait, longest", taken["held_s"])
    line("the same: peak memory", taken["rss_mb"], "MB", limit="≤ 2,000")


def maintained(ground: Ground, address: LakeAddress) -> dict[str, float]:
    """Maintain a lake; seconds, how long writers waited, and memory."""
    taken = process([sys.executable, "-m", "benchmarks.lake.upkeep"], ground.folder, settings_of(address))
    found: dict[str, float] = json.loads(taken.printed.splitlines()[-1])
    return found | {"rss_mb": taken.rss_mb}


def merged(ground: Ground, address: LakeAddress) -> list[Part]:
    """The month's files as maintenance has left them, which stay when the lake goes."""
    kept = []
    for number, (path,) in enumerate(query(address, _FILES)):
        if f"year={MEASURED // 12 + 1970}/month={MEASURED % 12 + 1}/" in path:
            link = ground.stock.folder / f"merged-{number}.parquet"
            link.hardlink_to(path)
            kept.append(Part(link, MEASURED, rows_of(link)))
    return kept


def rows_of(file: Path) -> int:
    """Of a Parquet file."""
    with duckdb.connect() as connection:
        [(rows,)] = connection.execute("SELECT num_rows FROM parquet_file_metadata(?)", [str(file)]).fetchall()
    return int(rows)


def main() -> None:
    """Maintain the database that the settings name, and print what it took."""
    began_s = time.monotonic()
    outcome = maintain_once(settings.load().database, time.time_ns() // 1_000_000)
    if outcome.state != "Completed":
        raise SystemExit(f"{outcome.state}: {outcome.message}")
    held_s = float(outcome.message.rpartition("was held for ")[2].split()[0])
    print(outcome.message)
    print(json.dumps({"seconds": time.monotonic() - began_s, "held_s": held_s}))


if __name__ == "__main__":
    main()
