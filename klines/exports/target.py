"""What an export is for: a program, the files that it reads, and beside them what is not in an export, and why."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Protocol

import polars as pl

from klines.exports.stored import Part, Subject
from klines.interval import Interval
from klines.market import KLINES, Market, series_name

ENOUGH = ("open_time", "open", "high", "low", "close", "volume")
"""The columns that every program wants."""


class Damaged(Exception):
    """A file of before is not as it was written, though its size and its time are."""


class OpenFile(Protocol):
    """A file of klines that is being written, in order of time."""

    def take(self, before: Path, rows: int) -> None:
        """Begin with the first rows of the file of before; ValueError, or OSError without a number, where they can't be
        read as they were written."""

    def add(self, klines: pl.DataFrame) -> int:
        """Add klines of one series, each once, in order; how many rows of the file they became."""

    def end(self) -> None:
        """Write what has to be at the end."""

    def drop(self) -> None:
        """Write nothing more: the file is given up."""


class Target(ABC):
    """A program: which klines it can have, in which files, and how those are written."""

    columns: Sequence[str] = ENOUGH
    """Of the table klines; those that are read."""
    kinds: Sequence[str] = (KLINES.name,)
    """Of which it has klines, or rates."""
    bytes_a_kline: int
    """Of its files, about; measured with values of noise, of which real ones take less."""
    is_exact = False
    """Whether amounts and prices are read as decimals."""

    def check(self, market: Market, interval: Interval) -> None:  # noqa: B027 - it can have any
        """Raises BadParameter where the program can't have such klines."""

    def why_not(self, subject: Subject) -> str:  # noqa: ARG002 - it can have any
        """Why the program can't have this series; empty where it can."""
        return ""

    @abstractmethod
    def path(self, subject: Subject, part: Part) -> str:
        """The file for a part, below the folder; parts that follow each other may have the same."""

    def version(self, subject: Subject) -> str:  # noqa: ARG002 - on nothing
        """What the files depend on besides the klines: where that changes, they are written again."""
        return ""

    @abstractmethod
    def open(self, file: BinaryIO, subject: Subject, part: Part) -> OpenFile:
        """A file whose first part this is."""

    def beside(self, subject: Subject) -> dict[str, bytes]:  # noqa: ARG002 - there are none
        """Small files, by path, that belong to the series."""
        return {}


def begin_with(opened: OpenFile, before: Path, rows: int) -> None:
    """Let a file begin with the first rows of the one of before; raises Damaged."""
    try:
        opened.take(before, rows)
    except (ValueError, OSError) as error:
        if isinstance(error, OSError) and error.errno:  # the disk's
            raise
        raise Damaged from error


def series_in_paths(subject: Subject) -> str:
    """`spot-1m`, or `usdm-mark-1m`: a series without its symbol."""
    market, kind = subject.market.key
    return series_name(market, kind, interval_in_paths(subject.interval)).replace(" ", "-")


def interval_in_paths(interval: Interval) -> str:
    """`1mo` for 1M, as in the archive: some disks take 1m and 1M for the same name."""
    return interval.name.replace("M", "mo")


def gaps_file(subject: Subject, gaps: pl.DataFrame) -> tuple[str, bytes]:
    """The path below the folder, and the text: of which interval, from when to before when (UTC), and the reason."""
    path = f"gaps/{series_in_paths(subject)}-{subject.symbol}.csv"
    text = gaps.drop("symbol").write_csv(datetime_format="%Y-%m-%d %H:%M:%S")
    return path, text.encode()


def gaps_in_words(gaps: Sequence[pl.DataFrame]) -> str:
    """`; gaps/ has 3 exchange_outage, 1 due`; nothing where all is stored."""
    reasons = pl.concat([pl.Series("reason", [], pl.String), *(rows["reason"] for rows in gaps)])
    counts = reasons.value_counts(sort=True).sort("count", "reason", descending=[True, False])
    listed = ", ".join(f"{count:,} {reason}" for reason, count in counts.iter_rows())
    return f"; gaps/ names what is not stored: {listed}" if listed else ""
