"""Where klines lie, as whoever uses it sees it: opened, written, read, copied, whatever kind of database it is."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import duckdb

if TYPE_CHECKING:
    from klines.storage.lake.lake import Lake

Done = TypeVar("Done")


@dataclass(frozen=True, slots=True)
class Scope:
    """What somebody changes: some symbols' klines and ledger, of one kind and interval of a market; with `notes` also
    what is known of the market itself, such as its listings and incidents."""

    market: str
    kind: str
    interval: str
    symbols: Sequence[str] = ()
    notes: bool = False


class Place(Protocol):
    """A database that can be there or not yet; as text it is what messages call it, without any secret."""

    @property
    def name(self) -> str:
        """What runs are called by: `klines.duckdb`."""

    @property
    def beside(self) -> Path:
        """A path on this machine: what can't be entered into the database now waits beside it."""

    @property
    def folder(self) -> Path | None:
        """The folder of this machine whose disk fills with what is stored; None where that is elsewhere."""

    def check(self) -> None:
        """Raises BadParameter or BadDatabase where nothing can be written; makes and locks nothing."""

    def check_readable(self) -> None:
        """Raises NotStored where nothing is stored yet, BadParameter where it can't be read."""

    def exists(self) -> bool:
        """Whether it was made."""

    def opened(self, deadline_s: float) -> contextlib.AbstractContextManager[duckdb.DuckDBPyConnection]:
        """The database, made and migrated if need be, for whoever looks, or adds rows that nobody else has.

        Waits for others until `deadline_s` of time.monotonic(). Raises DatabaseBusy, BadDatabase, BadParameter, NoRoom.
        """

    def write(self, deadline_s: float, scope: Scope, do: Callable[[duckdb.DuckDBPyConnection], Done]) -> Done:
        """What `do` returns, which nobody else changes the scope of meanwhile; raises as `opened`.

        `do` may be called again after what it did was taken back: twice is as once.
        """

    def alone(self, deadline_s: float, do: Callable[[duckdb.DuckDBPyConnection], Done]) -> Done:
        """As `write`, while nobody else writes anything."""

    def read(self, deadline_s: float) -> duckdb.DuckDBPyConnection:
        """The database as it is, for reading; who writes may have to wait until it is closed. Raises as `opened`."""

    def reading(self, deadline_s: float) -> contextlib.AbstractContextManager[duckdb.DuckDBPyConnection]:
        """As `read`, until the block ends; what is executed raises as `opened`, where the database is the cause."""

    def version(self, since: datetime, wait_s: float) -> duckdb.DuckDBPyConnection:
        """One state of everything, of `since` or later, for reading as long as one likes; raises as `opened`."""

    def version_at(self, at: datetime | int, wait_s: float) -> duckdb.DuckDBPyConnection:
        """The state of a time, or that of a number, as `version`; raises BadParameter where there is none any more."""

    def time_of(self, version: duckdb.DuckDBPyConnection) -> datetime:
        """When that state was (UTC)."""

    def publish(self, since: datetime) -> str:
        """See to it that a state of `since` or later can be read at once; says what was done. Raises as `opened`."""

    def size(self) -> int:
        """Bytes that are stored."""

    def upkeep(self, of_file: Callable[[Path], Done], of_lake: Callable[[Lake], Done]) -> Done:
        """What of the two is called, as maintenance of one has nothing in common with that of the other."""
