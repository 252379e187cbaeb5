"""A DuckDB file as a place: one process at a time has it, so that a scope is always the whole file."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from klines.errors import BadParameter, DatabaseBusy, KlinesError
from klines.storage.database import opened, opened_to_read, read_only
from klines.storage.duckdb_errors import named_errors
from klines.storage.place import Done, Scope
from klines.storage.places import check_place, check_readable
from klines.storage.snapshot import NAME, take

if TYPE_CHECKING:
    from klines.storage.lake.lake import Lake

_TRIES = 5


@dataclass(frozen=True, slots=True)
class LocalFile:
    """The DuckDB file at a path."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    @property
    def name(self) -> str:
        """`klines.duckdb`."""
        return self.path.name

    @property
    def beside(self) -> Path:
        """The file itself."""
        return self.path

    @property
    def folder(self) -> Path:
        """That of the file, whatever links lead to it."""
        return self.path.resolve().parent

    def check(self) -> None:
        """As `places.check_place`."""
        check_place(self.path)

    def check_readable(self) -> None:
        """As `places.check_readable`."""
        check_readable(self.path)

    def exists(self) -> bool:
        """Whether there is a file."""
        return self.path.exists()

    @contextlib.contextmanager
    def opened(self, deadline_s: float) -> Iterator[duckdb.DuckDBPyConnection]:
        """As `database.opened`."""
        with opened(self.path, deadline_s) as connection:
            yield connection

    def write(
        self,
        deadline_s: float,
        scope: Scope,  # noqa: ARG002 - whoever has the file has all of it
        do: Callable[[duckdb.DuckDBPyConnection], Done],
    ) -> Done:
        """As `alone`."""
        return self.alone(deadline_s, do)

    def alone(self, deadline_s: float, do: Callable[[duckdb.DuckDBPyConnection], Done]) -> Done:
        """Open, do, close."""
        with opened(self.path, deadline_s) as connection:
            return do(connection)

    def read(self, deadline_s: float) -> duckdb.DuckDBPyConnection:
        """As `database.opened_to_read`."""
        return opened_to_read(self.path, deadline_s)

    @contextlib.contextmanager
    def reading(self, deadline_s: float) -> Iterator[duckdb.DuckDBPyConnection]:
        """Whoever wants to write waits until this ends."""
        with contextlib.closing(self.read(deadline_s)) as connection, named_errors(self.path):
            yield connection

    def version(self, since: datetime, wait_s: float) -> duckdb.DuckDBPyConnection:
        """A snapshot, made where there is none so young."""
        for _ in range(_TRIES):
            snapshot = take(self.path, since)
            try:
                return read_only(snapshot, time.monotonic() + wait_s)
            except KlinesError:
                if snapshot.exists():
                    raise
        raise DatabaseBusy(f"snapshots of {self} are replaced faster than they can be opened; ask for older ones")

    def version_at(self, at: datetime | int, wait_s: float) -> duckdb.DuckDBPyConnection:  # noqa: ARG002
        """None: a file is only as it is now."""
        raise BadParameter(
            f"at: {self} is a file, which is only as it is now; a lake can be read as it was in the last week. "
            "Of a file, keep a backup of the day that you want"
        )

    def time_of(self, version: duckdb.DuckDBPyConnection) -> datetime:
        """A snapshot's file is named by that, as 20261124T200500123456."""
        [(path,)] = version.execute("SELECT path FROM duckdb_databases() WHERE NOT internal").fetchall()
        return datetime.strptime(Path(path).stem, NAME).replace(tzinfo=UTC)

    def publish(self, since: datetime) -> str:
        """Make a snapshot; `published klines.duckdb as of 20:05:00 UTC, 3.1 MB`."""
        size = take(self.path, since).stat().st_size / 1e6
        return f"published {self.name} as of {since:%H:%M:%S} UTC, {size:,.1f} MB"

    def size(self) -> int:
        """Of the file."""
        return self.path.stat().st_size

    def upkeep(
        self,
        of_file: Callable[[Path], Done],
        of_lake: Callable[[Lake], Done],  # noqa: ARG002 - it is none
    ) -> Done:
        """That of a file."""
        return of_file(self.path)
