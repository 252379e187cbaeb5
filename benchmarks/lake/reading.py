"""What klines.read takes of a lake, on this machine and on S3, and of a file with the same klines."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import klines
from benchmarks.lake.ground import Ground, fill
from benchmarks.lake.room import month_in_order
from benchmarks.lake.stock import MEASURED, MONTH
from benchmarks.measure import count
from benchmarks.table import line
from klines.interval import DAY
from klines.settings import Address

TRIES = 5


class Question(NamedTuple):
    """What is asked: symbols from one time to another, in ms."""

    name: str
    symbols: Sequence[str]
    start_ms: int
    end_ms: int


def measure_reading(ground: Ground, rows: int) -> None:
    """A month of a symbol and two days of all, at so many rows in each place; the first answer warms up."""
    parts = [*month_in_order(ground), *ground.stock.others(rows - ground.stock.rows)]
    database = ground.file()
    fill(database, parts)
    stored = count(database)
    asked = questions(ground.stock.symbols)
    beside = [seconds_of(question, database) for question in asked]
    database.unlink()
    for where, in_bucket in (("local", False), ("S3", True)):
        address = ground.lake(parts, in_bucket=in_bucket)
        for question, other in zip(asked, beside, strict=True):
            what = f"{question.name}, at {stored:,} rows, {where}"
            line(what, seconds_of(question, address), peer="the file", other=other, limit="ratio ≤ 3")
        ground.drop(address)


def questions(symbols: int) -> list[Question]:
    """A month of one, and two days of all."""
    start, end = MONTH.start(MEASURED), MONTH.start(MEASURED + 1)
    names = [f"S{number:04}USDT" for number in range(symbols)]
    middle = start + 14 * DAY
    return [
        Question("a month of one symbol", names[len(names) // 2 :][:1], start, end),
        Question(f"two days of {symbols} symbols", names, middle, middle + 2 * DAY),
    ]


def seconds_of(question: Question, database: Address) -> float:
    """The median of TRIES, after one more."""
    start, end = (datetime.fromtimestamp(time_ms / 1000, UTC) for time_ms in (question.start_ms, question.end_ms))
    expected = (question.end_ms - question.start_ms) // 60_000 * len(question.symbols)
    seconds = []
    for _ in range(1 + TRIES):
        began_s = time.perf_counter()
        found = klines.read(question.symbols, start, end, database=database)
        seconds.append(time.perf_counter() - began_s)
        if found.height != expected:
            raise SystemExit(f"{question.name}: {found.height:,} klines of {expected:,}")
    return statistics.median(seconds[1:])
