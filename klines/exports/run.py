"""An export: the series that are asked for, each into those files of a program that are others since the last one. A
file begins with what it had before, up to the first month that is another one now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain, groupby, islice
from os import PathLike
from typing import Self

import polars as pl

from klines.clock import Time
from klines.errors import BadParameter, GiveUp
from klines.exports.folder import Folder, Notes
from klines.exports.job import ExportJob
from klines.exports.stored import Found, Part, Subject, find
from klines.exports.target import Damaged, begin_with, gaps_file, gaps_in_words, series_in_paths
from klines.exports.turns import read_parts
from klines.outcome import Outcome, Plan, counted, names
from klines.storage.access import Database, reading
from klines.storage.room import rooms
from klines.symbol import is_pattern


class _Empty(Exception):
    """There is no kline for a file."""


@dataclass(frozen=True, slots=True)
class _File:
    """A file of a series: its path below the folder, its parts, and what tells their states."""

    path: str
    parts: Sequence[Part]
    digests: Sequence[str]
    kept: Sequence[int]
    """The rows of each of the first parts that it has as they are now."""
    is_new: bool
    """Whether it is another one now."""

    @property
    def klines(self) -> int:
        """No fewer than it is to have."""
        return sum(part.klines for part in self.parts)


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
        noted = ((found, self._folder.notes(self._name(found.subject))) for found in planned)
        files = [file for found, notes in noted for file in self._files(found, notes)]
        new = [file.klines for file in files if file.is_new]
        symbols, size = counted(len(planned), "symbol"), sum(new) * self.job.target.bytes_a_kline
        return Plan(
            does=f"planned to write {len(new):,} of {counted(len(files), 'file')} of {symbols} for {self.job.to}, with "
            f"{counted(sum(new), 'kline')}",
            counts={"symbols": len(planned), "files": len(files), "to_write": len(new), "klines": sum(new)},
            writes=size,
            rooms=rooms([(self.job.folder, size)]),
        )

    def _files(self, found: Found, notes: Notes) -> Iterator[_File]:
        """Of a series; what the notes have of a file that somebody else has changed is forgotten."""
        subject, target = found.subject, self.job.target
        for path, its in groupby(found.parts, lambda part: target.path(subject, part)):
            parts = list(its)
            digests = [f"{part.digest} {target.version(subject)}".rstrip() for part in parts]
            kept = self._folder.kept_rows(path, digests, notes)
            written = notes.files.get(path)
            is_new = written is None or len(kept) < max(len(digests), len(written.digests))
            yield _File(path, parts, digests, kept, is_new)

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
        subject, name = found.subject, self._name(found.subject)
        notes = self._folder.notes(name)
        files = list(self._files(found, notes))
        lacking = [part for file in files if file.is_new for part in file.parts[len(file.kept) :]]
        klines = read_parts(self.job, subject, lacking)
        try:
            for file in files:
                self._write_file(subject, file, notes, klines)
        except GiveUp as error:
            self.failed[subject.symbol] = error
        finally:
            self._folder.note(name, notes)
        for path, body in [*self.job.target.beside(subject).items(), gaps_file(subject, found.gaps)]:
            self._folder.put(path, body)
        self.lacking.append(found.gaps)

    def _write_file(self, subject: Subject, file: _File, notes: Notes, klines: Iterator[pl.DataFrame]) -> None:
        """Write the file unless it is as it should be already; `klines` are those of the parts that it lacks."""
        if file.is_new:
            try:
                rows = self._write_anew(subject, file, klines)
            except _Empty:
                self._folder.remove(file.path, notes)
                return
            notes.files[file.path] = self._folder.written(file.path, file.digests, rows)
        self.files.append((subject.symbol, file.path, sum(notes.files[file.path].rows), file.is_new))

    def _write_anew(self, subject: Subject, file: _File, klines: Iterator[pl.DataFrame]) -> list[int]:
        """Write the file, beginning with what it had, if that can be read still; the rows of each part."""
        lacking = islice(klines, len(file.parts) - len(file.kept))
        with suppress(Damaged):
            return self._write_rows(subject, file, file.kept, lacking)
        before = read_parts(self.job, subject, file.parts[: len(file.kept)])
        return self._write_rows(subject, file, [], chain(before, lacking))

    def _write_rows(
        self, subject: Subject, file: _File, kept: Sequence[int], klines: Iterator[pl.DataFrame]
    ) -> list[int]:
        """Write the file, beginning with the rows of it that are kept; the rows of each part. Raises Damaged, before it
        takes any klines, and _Empty."""
        rows = list(kept)
        with self._folder.writing(file.path) as half:
            opened = self.job.target.open(half, subject, file.parts[0])
            try:
                if sum(kept):
                    begin_with(opened, self._folder.root / file.path, sum(kept))
                rows += [opened.add(part) if part.height else 0 for part in klines]
                if not sum(rows):
                    raise _Empty
                opened.end()
            except BaseException:
                opened.drop()
                raise
        return rows

    def outcome(self) -> Outcome:
        """Completed, or Degraded where a series could not be written."""
        klines, written = sum(file[2] for file in self.files), sum(file[3] for file in self.files)
        symbols = counted(len({file[0] for file in self.files}), "symbol")
        said = f"exported {symbols} for {self.job.to} to {self.job.folder}: {counted(klines, 'kline')} in "
        said += f"{counted(len(self.files), 'file')}, {written:,} of them written"
        said += gaps_in_words(self.lacking)
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
