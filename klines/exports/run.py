"""An export: the series that are asked for, each into those files of a program that are others since the last one.

Klines are read in turns of a few months, so that who writes the database waits for moments only. A file begins with
what it had before, up to the first month that is another one now.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from os import PathLike
from typing import Self

import polars as pl

from klines.clock import Time
from klines.errors import BadParameter, GiveUp, NotStored
from klines.exports.folder import Folder, Notes
from klines.exports.gaps import gaps_file, in_words
from klines.exports.job import ExportJob
from klines.exports.stored import Found, Part, Subject, find
from klines.exports.target import Damaged, begin_with, series_in_paths
from klines.market import FUNDING
from klines.outcome import Outcome, Plan, counted, names
from klines.reading.funded import funding
from klines.reading.read import read
from klines.storage.access import Database, reading, stored_at
from klines.storage.room import rooms
from klines.storage.turn import Patience
from klines.symbol import is_pattern
from klines.window import Window

ROWS = 600_000
"""Klines that are read in one turn, or a month of a series where that has more."""
_NOTHING = pl.DataFrame(schema={"open_time": pl.Datetime("us")})


class _Empty(Exception):
    """There is no kline for a file."""


@dataclass(slots=True)
class Export:
    """Use as `with`: `plan`, then `write` each series. What is written stays, whatever comes after."""

    job: ExportJob
    files: list[tuple[str, str, int, bool]] = field(default_factory=list)
    """Symbol, path below the folder, klines, and whether it was written."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Symbols that the program can't have, and why."""
    failed: dict[str, GiveUp] = field(default_factory=dict)
    """Symbols that could not be written."""
    lacking: list[pl.DataFrame] = field(default_factory=list)
    """The ledger of what was exported."""
    _series: int = field(default=0, init=False)
    _folder: Folder = field(init=False)

    def __post_init__(self) -> None:
        self._folder = Folder(self.job.folder)

    def __enter__(self) -> Self:
        self._folder.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self._folder.__exit__(*exc)

    def plan(self) -> list[Found]:
        """The series that are stored, and that the program can have.

        Raises BadParameter where it can't have one that is named, or any; NotStored; DatabaseBusy.
        """
        job = self.job
        with reading(job.database) as connection:
            found = find(connection, job.market, job.interval, job.entries, job.asked)
        reasons = {one.subject.symbol: job.target.why_not(one.subject) for one in found}
        self.left_out = {symbol: why for symbol, why in reasons.items() if why}
        named = [symbol for symbol in self.left_out if symbol in job.entries and not is_pattern(symbol)]
        if named or len(self.left_out) == len(found):
            symbol = [*named, *self.left_out][0]
            raise BadParameter(f"symbols: {job.to} can't have {symbol}: {self.left_out[symbol]}")
        return [one for one in found if one.subject.symbol not in self.left_out]

    def told(self, planned: Sequence[Found]) -> Plan:
        """What is to be written of the series: no file that is as it should be."""
        self._series = len(planned)
        files = [file for found in planned for file in self._files_of(found)]
        new = [klines for is_new, klines in files if is_new]
        symbols, size = counted(len(planned), "symbol"), sum(new) * self.job.target.bytes_a_kline
        return Plan(
            does=f"planned to write {len(new):,} of {counted(len(files), 'file')} of {symbols} for {self.job.to}, with "
            f"{counted(sum(new), 'kline')}",
            counts={"symbols": len(planned), "files": len(files), "to_write": len(new), "klines": sum(new)},
            writes=size,
            rooms=rooms([(self.job.folder, size)]),
        )

    def _files_of(self, found: Found) -> Iterator[tuple[bool, int]]:
        """Of each file whether it is another one now, and about how many klines it has."""
        notes = self._folder.notes(self._name(found.subject))
        for path, parts in groupby(found.parts, lambda part: self.job.target.path(found.subject, part)):
            its = list(parts)
            yield self._is_new(found.subject, path, its, notes), sum(part.klines for part in its)

    def _is_new(self, subject: Subject, path: str, parts: Sequence[Part], notes: Notes) -> bool:
        digests = self._digests(subject, parts)
        kept = self._folder.kept_rows(path, digests, notes)
        return path not in notes.files or len(kept) < max(len(digests), len(notes.files[path].digests))

    def _digests(self, subject: Subject, parts: Sequence[Part]) -> list[str]:
        return [f"{part.digest} {self.job.target.version(subject)}".rstrip() for part in parts]

    def _name(self, subject: Subject) -> str:
        """Of the notes about a series."""
        return f"{self.job.to}-{series_in_paths(subject)}-{subject.symbol}"

    @property
    def wanted(self) -> int:
        """Symbols of the plan."""
        return self._series

    @property
    def left(self) -> int:
        """Those that are not written yet."""
        return self._series - len(self.lacking) - len(self.failed)

    def write(self, found: Found) -> None:
        """Write those files of a series that are others now; one that can't be written is noted in `failed`."""
        subject, job = found.subject, self.job
        name = self._name(subject)
        notes = self._folder.notes(name)
        try:
            for path, parts in groupby(found.parts, lambda part: job.target.path(subject, part)):
                self._write_file(subject, path, list(parts), notes)
        except GiveUp as error:
            self.failed[subject.symbol] = error
        finally:
            self._folder.note(name, notes)
        for path, body in [*job.target.beside(subject).items(), gaps_file(subject, found.gaps)]:
            self._folder.put(path, body)
        self.lacking.append(found.gaps)

    def _write_file(self, subject: Subject, path: str, parts: Sequence[Part], notes: Notes) -> None:
        """Write the file unless it is as it should be already."""
        digests = self._digests(subject, parts)
        kept = self._folder.kept_rows(path, digests, notes)
        is_new = self._is_new(subject, path, parts, notes)
        if is_new:
            try:
                rows = self._write_anew(subject, path, parts, kept)
            except _Empty:
                return
            notes.files[path] = self._folder.written(path, digests, rows)
        self.files.append((subject.symbol, path, sum(notes.files[path].rows), is_new))

    def _write_anew(self, subject: Subject, path: str, parts: Sequence[Part], kept: Sequence[int]) -> list[int]:
        """Write the file, beginning with what it had, if that can be read still; the rows of each part."""
        with suppress(Damaged):
            return self._write_rows(subject, path, parts, kept)
        return self._write_rows(subject, path, parts, [])

    def _write_rows(self, subject: Subject, path: str, parts: Sequence[Part], kept: Sequence[int]) -> list[int]:
        """Write the file, beginning with what it had; the rows of each part. Raises Damaged, _Empty."""
        rows = list(kept)
        with self._folder.writing(path) as file:
            opened = self.job.target.open(file, subject, parts[0])
            try:
                if sum(kept):
                    begin_with(opened, self._folder.root / path, sum(kept))
                for klines in self._read(subject, parts[len(kept) :]):
                    rows.append(opened.add(klines) if klines.height else 0)
                if not sum(rows):
                    raise _Empty
                opened.end()
            except BaseException:
                opened.drop()
                raise
        return rows

    def _read(self, subject: Subject, parts: Sequence[Part]) -> Iterator[pl.DataFrame]:
        """The klines of each part."""
        patience = Patience(stored_at(self.job.database).beside)
        for turn in turns(parts):
            patience.wait()
            klines = self._klines(subject, Window(turn[0].window.start_ms, turn[-1].window.end_ms))
            for part in turn:
                start, end = (_utc(ms).replace(tzinfo=None) for ms in (part.window.start_ms, part.window.end_ms))
                yield klines.filter(pl.col("open_time").is_between(start, end, closed="left"))

    def _klines(self, subject: Subject, within: Window) -> pl.DataFrame:
        """The columns that the program wants, by time; of a derived interval there may be no kline."""
        if subject.market.kind == FUNDING:
            return self._rates(subject, within)
        try:
            return read(
                *(subject.symbol, _utc(within.start_ms), _utc(within.end_ms)),
                market=subject.market.name,
                kind=subject.market.kind.name,
                interval=subject.interval.name,
                columns=self.job.target.columns,
                exact=self.job.target.is_exact,
                database=self.job.database,
            )
        except NotStored:
            stored_at(self.job.database)
            return _NOTHING

    def _rates(self, subject: Subject, within: Window) -> pl.DataFrame:
        """Funding rates, each at the hour that is its slot."""
        rates = funding(
            *(subject.symbol, _utc(within.start_ms), _utc(within.end_ms)),
            market=subject.market.name,
            database=self.job.database,
        )
        hour = pl.col("funding_time").dt.truncate("1h")
        return rates.select(open_time=hour, funding_rate=pl.col("rate").cast(pl.Float64))

    def outcome(self) -> Outcome:
        """Completed, or Degraded where a series could not be written."""
        klines, written = sum(file[2] for file in self.files), sum(file[3] for file in self.files)
        symbols = counted(len({file[0] for file in self.files}), "symbol")
        said = f"exported {symbols} for {self.job.to} to {self.job.folder}: {counted(klines, 'kline')} in "
        said += f"{counted(len(self.files), 'file')}, {written:,} of them written"
        said += in_words(self.lacking)
        if self.left_out:
            said += f"; left out {names(self.left_out)}: {next(iter(self.left_out.values()))}"
        if self.failed:
            said += f"; not exported {names(self.failed)}: {next(iter(self.failed.values()))}"
        numbers = {"klines": klines, "files": len(self.files), "written": written}
        return Outcome("Degraded" if self.failed else "Completed", said, numbers)

    def frame(self) -> pl.DataFrame:
        """A row for each file: `symbol`, `file` (its path), `klines`, and whether it was `written`."""
        schema = {"symbol": pl.String, "file": pl.String, "klines": pl.Int64, "written": pl.Boolean}
        rows = [(symbol, str(self.job.folder / path), *others) for symbol, path, *others in self.files]
        return pl.DataFrame(rows, schema=schema, orient="row")


def export(
    to: str,
    folder: str | PathLike[str],
    symbols: str | Sequence[str] | None = None,
    start: Time | None = None,
    end: Time | None = None,
    *,
    market: str = "spot",
    kind: str = "klines",
    interval: str = "1m",
    database: Database = None,
) -> pl.DataFrame:
    """Write what is stored into the files of another program.

    Returns a row for each of its files: `symbol`, `file`, `klines`, and whether it was `written` now.

    `to` is freqtrade, nautilus, jesse, pandas, parquet or csv (Binance's own archive); docs/export.md says what each of
    them gets. `symbols` are names and patterns such as *USDT, or none for all that are stored. The others are as those
    of `read`: an interval that is not stored is derived. `kind` may also be funding, of which freqtrade has files.

    Files that are as they should be stay as they are, so that a second call writes what is new, or was corrected. What
    is not stored, and why, is in `gaps/` below the folder.

    Raises BadParameter, also where the program can't have a symbol that is named, or the folder can't be written;
    NotStored, DatabaseBusy, BadDatabase, NoRoom; and GiveUp, when all others are written, where a symbol can't be.
    """
    job = ExportJob.of(database, to, folder, symbols, start, end, market, interval, kind)
    with Export(job) as run:
        for found in run.plan():
            run.write(found)
        for error in run.failed.values():
            raise error
        return run.frame()


def turns(parts: Sequence[Part]) -> Iterator[list[Part]]:
    """The parts, in as many as are read at once."""
    turn: list[Part] = []
    for part in parts:
        if turn and sum(each.klines for each in turn) + part.klines > ROWS:
            yield turn
            turn = []
        turn.append(part)
    if turn:
        yield turn


def _utc(time_ms: int) -> datetime:
    return datetime.fromtimestamp(time_ms / 1000, UTC)
