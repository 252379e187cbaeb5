"""Connections that read, for the threads of the page's server: a snapshot for the pictures, the live file for moments.

While somebody looks, a newer snapshot takes the place of one that lacks what was stored since. So pictures are at most
a minute old, or RATIO times as old as it takes to take them. Meanwhile questions are answered from the one before.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb

import klines
from klines.clock import epoch_ms
from klines.errors import BadDatabase
from klines.explorer.pictures import Series, all_series
from klines.explorer.queue import Question
from klines.interval import FRESH_MS
from klines.settings import Address
from klines.storage.access import place_of
from klines.storage.duckdb_errors import unusable
from klines.storage.snapshot import changed_ms, share_copied

FIRST_AGE = timedelta(hours=1)
"""How old a snapshot may be that the page begins with."""
LEAST_AGE_S, RATIO = 60.0, 20
"""How old pictures may grow; those of a large file so many times as long as it takes to copy it, as copies cost others
some of the disk."""
MEMORY, MEMORY_LIVE = "700MB", "300MB"
"""What DuckDB may take for the questions to a snapshot, and to the file itself; Python and the answers of a full queue
have room beside it in 1.5 GB.
"""
LOOK_S = 0.2
"""How often one who waits for a snapshot that is being made looks whether anybody still awaits him."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A state of the database as of `taken_ms`, with the series that it has; `until_ms` is up to when klines should be
    in it, `took_s` how long it took to take. Each thread reads by a cursor of its own."""

    connection: duckdb.DuckDBPyConnection
    series: list[Series]
    taken_ms: int
    until_ms: int
    took_s: float


class Source:
    """The database at a path, for reading by several threads."""

    def __init__(self, database: Address) -> None:
        self.database = database
        self._lock = threading.Lock()
        self._snapshot: Snapshot | None = None
        self._taking: Future[Snapshot] | None = None
        self._failed = ""
        self._tried_s = -LEAST_AGE_S

    def snapshot(self, question: Question) -> Snapshot:
        """The newest one; the first is waited for. Raises what `klines.connect` does, and Gone."""
        found = self._snapshot
        taking = None if found else self._begin(FIRST_AGE)
        while taking:
            try:
                return taking.result(LOOK_S)
            except TimeoutError:
                question.check()
        assert found is not None
        return found

    def renew(self) -> None:
        """Take a newer snapshot, unless one is being taken."""
        self._begin(timedelta(0))

    def look(self) -> None:
        """Somebody looks at the pictures: take a newer snapshot where it is time for one."""
        last = self._snapshot
        if last and not self._is_taking() and self._lacks(last):
            least_s = max(LEAST_AGE_S, RATIO * last.took_s)
            if time.time() - last.taken_ms / 1000 > least_s and time.monotonic() - self._tried_s > LEAST_AGE_S:
                self._tried_s = time.monotonic()
                self.renew()

    def state(self) -> dict[str, Any]:
        """As of when the pictures are, whether more is stored by now, how far a newer snapshot is, and why the last one
        was not taken."""
        last, is_taking = self._snapshot, self._is_taking()
        return {
            "database": str(self.database),
            "taken_ms": last and last.taken_ms,
            "lacks": bool(last and self._lacks(last)),
            "is_taking": is_taking,
            "share": share_copied(self.database) if is_taking and isinstance(self.database, Path) else None,
            "failed": "" if is_taking else self._failed,
        }

    def live(self) -> duckdb.DuckDBPyConnection:
        """The file in use, which nobody can write until it is closed. Raises what `klines.connect` does."""
        connection = klines.connect(live=True, database=self.database)
        connection.execute(f"SET memory_limit = '{MEMORY_LIVE}'; SET enable_progress_bar = false")
        return connection

    def named(self, error: Exception) -> Exception:
        """An error of DuckDB's as ours, where the file is the cause: the next question opens a snapshot again."""
        if not isinstance(error, duckdb.Error | BadDatabase) or not isinstance(self.database, Path):
            return error
        self._snapshot = None
        return unusable(error, self.database) or error if isinstance(error, duckdb.Error) else error

    def _is_taking(self) -> bool:
        return self._taking is not None and not self._taking.done()

    def _lacks(self, snapshot: Snapshot) -> bool:
        """Whether more was stored since; of a lake nobody knows without asking it."""
        return not isinstance(self.database, Path) or changed_ms(self.database) > snapshot.taken_ms

    def _begin(self, max_age: timedelta) -> Future[Snapshot]:
        """The snapshot that is being taken by now, in a thread of its own."""
        with self._lock:
            if self._taking is None or self._taking.done():
                self._taking = Future()
                threading.Thread(target=self._take, args=(self._taking, max_age), daemon=True).start()
            return self._taking

    def _take(self, taking: Future[Snapshot], max_age: timedelta) -> None:
        try:
            self._snapshot, self._failed = _opened(self.database, max_age), ""
            taking.set_result(self._snapshot)
        except Exception as error:  # whoever waits gets it
            self._failed = str(self.named(error))
            taking.set_exception(error)


def _opened(database: Address, max_age: timedelta) -> Snapshot:
    began_s = time.monotonic()
    connection = klines.connect(max_age=max_age, database=database)
    connection.execute(f"SET memory_limit = '{MEMORY}'; SET enable_progress_bar = false")
    taken_ms = epoch_ms(place_of(database).time_of(connection))
    until_ms = (taken_ms - FRESH_MS) // FRESH_MS * FRESH_MS
    return Snapshot(connection, all_series(connection), taken_ms, until_ms, time.monotonic() - began_s)
