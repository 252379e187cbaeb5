"""The klines of a series, read in turns of a few months, so that who writes the database waits for moments only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import polars as pl

from klines.errors import NotStored
from klines.exports.job import ExportJob
from klines.exports.stored import Part, Subject
from klines.market import FUNDING
from klines.reading.funded import funding
from klines.reading.read import read
from klines.storage.access import stored_at
from klines.storage.turn import Patience
from klines.window import Window

ROWS = 600_000
"""Klines that are read in one turn, or a month of a series where that has more."""
_NOTHING = pl.DataFrame(schema={"open_time": pl.Datetime("us")})


def read_parts(job: ExportJob, subject: Subject, parts: Sequence[Part]) -> Iterator[pl.DataFrame]:
    """The klines of each part, with the columns that the program wants, by time."""
    patience = Patience(stored_at(job.database).beside)
    for turn in turns(parts):
        patience.wait()
        klines = _klines(job, subject, Window(turn[0].window.start_ms, turn[-1].window.end_ms))
        for part in turn:
            start, end = (_utc(ms).replace(tzinfo=None) for ms in (part.window.start_ms, part.window.end_ms))
            yield klines.filter(pl.col("open_time").is_between(start, end, closed="left"))


def turns(parts: Sequence[Part]) -> Iterator[list[Part]]:
    """The parts, in as many as are read at once: those that follow each other, of ROWS klines at most."""
    turn: list[Part] = []
    for part in parts:
        is_next = turn and turn[-1].window.end_ms == part.window.start_ms
        if turn and (not is_next or sum(each.klines for each in turn) + part.klines > ROWS):
            yield turn
            turn = []
        turn.append(part)
    if turn:
        yield turn


def _klines(job: ExportJob, subject: Subject, within: Window) -> pl.DataFrame:
    """Of a derived interval there may be none."""
    if subject.market.kind == FUNDING:
        return _rates(job, subject, within)
    try:
        return read(
            *(subject.symbol, _utc(within.start_ms), _utc(within.end_ms)),
            market=subject.market.name,
            kind=subject.market.kind.name,
            interval=subject.interval.name,
            columns=job.target.columns,
            exact=job.target.is_exact,
            database=job.database,
        )
    except NotStored:
        stored_at(job.database)
        return _NOTHING


def _rates(job: ExportJob, subject: Subject, within: Window) -> pl.DataFrame:
    """Funding rates, each at the hour that is its slot."""
    market, times = subject.market.name, (_utc(within.start_ms), _utc(within.end_ms))
    rates = funding(subject.symbol, *times, market=market, database=job.database)
    hour = pl.col("funding_time").dt.truncate("1h")
    return rates.select(open_time=hour, funding_rate=pl.col("rate").cast(pl.Float64))


def _utc(time_ms: int) -> datetime:
    return datetime.fromtimestamp(time_ms / 1000, UTC)
