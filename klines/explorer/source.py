"""Connections that read, for the threads of the page's server: a snapshot for an hour, the live file for moments."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

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

MAX_AGE = timedelta(hours=1)
"""How old a snapshot may be."""
MEMORY, MEMORY_LIVE = "700MB", "300MB"
"""What DuckDB may take for the questions to a snapshot, and to the file itself; Python and the answers of a full queue
have room beside it in 1.5 GB.
"""
LOOK_S = 0.2
"""How often one who waits for a snapshot that is being made looks whether anybody still awaits him."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A copy of the file, with the series that it has; `until_ms` is up to when klines should be in it. Each thread
    reads by a cursor of its own."""

    connection: duckdb.DuckDBPyConnection
    series: list[Series]
    until_ms: int
    opened_s: float


class Source:
    """The database at a path, for reading by several threads."""

    def __init__(self, database: Address) -> None:
        self.database = database
        self._lock = threading.Lock()
        self._snapshot: Snapshot | None = None

    def snapshot(self, question: Question) -> Snapshot:
        """The one that was opened within the hour, or a new one. Raises what `klines.connect` does, and Gone."""
        while not self._lock.acquire(timeout=LOOK_S):
            question.check()
        try:
            last = self._snapshot
            if last is None or time.monotonic() - last.opened_s > MAX_AGE.total_seconds():
                self._snapshot = last = _opened(self.database)
            return last
        finally:
            self._lock.release()

    def live(self) -> duckdb.DuckDBPyConnection:
        """The file in use, which nobody can write until it is closed. Raises what `klines.connect` does."""
        connection = klines.connect(live=True, database=self.database)
        connection.execute(f"SET memory_limit = '{MEMORY_LIVE}'; SET enable_progress_bar = false")
        return connection

    def named(self, error: Exception) -> Exception:
        """An error of DuckDB's as ours, where the file is the cause: the next question opens a snapshot again."""
        if not isinstance(error, duckdb.Error | BadDatabase) or not isinstance(self.database, Path):
            return error
        with self._lock:
            self._snapshot = None
        return unusable(error, self.database) or error if isinstance(error, duckdb.Error) else error


def _opened(database: Address) -> Snapshot:
    connection = klines.connect(max_age=MAX_AGE, database=database)
    connection.execute(f"SET memory_limit = '{MEMORY}'; SET enable_progress_bar = false")
    until_ms = (epoch_ms(place_of(database).time_of(connection)) - FRESH_MS) // FRESH_MS * FRESH_MS
    return Snapshot(connection, all_series(connection), until_ms, time.monotonic())
