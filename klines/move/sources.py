"""What is moved, attached as `live`: a file is read in short turns, a lake in versions.

Both tell which klines were stored or changed since, so that what is copied follows them.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import duckdb

from klines.columns import COLUMNS, KEY, in_sql
from klines.maintain.live_rows import COUNT_AND_HASH, LiveRows
from klines.maintain.survey import MONTH, Month, RowRange, months
from klines.storage.database import attached_to_write, opened
from klines.storage.lake.lake import COMMITTED_AFTER_MS, Lake
from klines.storage.live import WAIT_S, Live
from klines.storage.moved import MoveNote, read_note, write_note
from klines.storage.schema.exact import check_exact
from klines.window import within

AGAIN = "nothing is lost, move again"
SOON_S = 60.0
"""What was stored since so long ago is little."""
_KEY = in_sql(KEY)


class MoveSource(Protocol):
    """A database that is read while others write it."""

    @property
    def longest_s(self) -> float:
        """For how long others had to wait at most."""

    def note(self) -> MoveNote | None:
        """What an earlier move has noted there."""

    def begin(self) -> None:
        """Note what there is to copy: what is there now. Raises BadDatabase where it has moved, or is being filled."""

    def survey(self) -> list[Month]:
        """The months of what there is to copy."""

    def stage(self, month: Month) -> tuple[int, int]:
        """Copy a month into staging.klines; how many klines were read, and the sum of their hashes."""

    def held(self) -> contextlib.AbstractContextManager[None]:
        """It can be read as `live` until this ends."""

    def collect(self) -> bool:
        """Put into the table `fresh` what was stored or changed since, as it is now, all of it or for one turn; whether
        that was all, and was little. It is held."""

    def close_for(self, last_step: Callable[[], None], note: MoveNote) -> None:
        """Do the last step while nobody writes, and leave the note, after which nobody does."""


class FileSource:
    """A DuckDB file; see LiveRows."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._live = Live(connection, path)
        self._rows = LiveRows(self._live, AGAIN)
        self._is_closed = False

    @property
    def longest_s(self) -> float:
        """The longest turn."""
        return self._live.longest_s

    def note(self) -> MoveNote | None:
        """As MoveSource."""
        with self._live.held():
            return read_note(self._connection, "live")

    def begin(self) -> None:
        """Its schema is brought up first."""
        with opened(self._path, time.monotonic() + WAIT_S) as connection:
            check_exact(connection)
        with self._live.held():
            self._rows.begin()

    def survey(self) -> list[Month]:
        """As LiveRows."""
        return self._rows.survey()

    def stage(self, month: Month) -> tuple[int, int]:
        """As LiveRows."""
        return self._rows.stage(month)

    def held(self) -> contextlib.AbstractContextManager[None]:
        """A turn, unless it is the last one already."""
        return contextlib.nullcontext() if self._is_closed else self._live.held()

    def collect(self) -> bool:
        """Rows that are new, and those that new restatements name."""
        self._connection.execute("CREATE OR REPLACE TEMP TABLE fresh AS FROM live.klines LIMIT 0")
        return self._rows.catch_up(self._append, self._restate)

    def _append(self, part: RowRange) -> None:
        self._connection.execute(f"INSERT INTO fresh SELECT k.* {part.sql}")

    def _restate(self, part: RowRange) -> None:
        keys = f"(SELECT DISTINCT {_KEY} {part.notes_sql})"
        self._connection.execute(f"DELETE FROM fresh WHERE ({_KEY}) IN {keys}")
        self._connection.execute(f"INSERT INTO fresh SELECT {_ALL} FROM live.klines SEMI JOIN {keys} USING ({_KEY})")

    def close_for(self, last_step: Callable[[], None], note: MoveNote) -> None:
        """The file is this process's alone meanwhile."""
        with attached_to_write(self._connection, self._path, time.monotonic() + WAIT_S, "live"):
            began_s = time.monotonic()
            self._is_closed = True
            last_step()
            write_note(self._connection, note, "live")
        self._live.longest_s = max(self._live.longest_s, time.monotonic() - began_s)


_ALL = in_sql(COLUMNS)


class LakeSource:
    """A lake. Nobody waits for who reads it but in the last step. It is attached anew for each step: a connection that
    was there before maintenance flushes rows looks for them in vain.

    `now_ms` is the time of the beginning.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, lake: Lake, now_ms: int) -> None:
        self._connection = connection
        self._lake = lake
        self._now_ms = now_ms
        self._began_s = self._since_s = time.monotonic()
        self._is_closed = False
        self.longest_s = 0.0

    def note(self) -> MoveNote | None:
        """As MoveSource."""
        with self.held():
            return read_note(self._connection, "live")

    def begin(self) -> None:
        """Its schema is brought up first."""
        with self._lake.opened(time.monotonic() + WAIT_S) as connection:
            check_exact(connection)
            self._since_s = time.monotonic()

    def survey(self) -> list[Month]:
        """Of all files."""
        with self.held():
            counted = self._execute(
                f"""SELECT {MONTH.sql_index("open_time")} AS month, 0, interval, count(*), epoch_ms(min(open_time)),
                           epoch_ms(max(open_time)) FROM live.klines GROUP BY ALL"""
            )
        return months(counted)

    def stage(self, month: Month) -> tuple[int, int]:
        """The month as it is in the newest version, read twice."""
        with self.held():
            [(version,)] = self._execute("SELECT id FROM live.current_snapshot()")
            rows = f"FROM live.klines AT (VERSION => {version}) WHERE {within(month.window)}"
            self._execute(f"INSERT INTO staging.klines SELECT {_ALL} {rows}")
            [(count, total)] = self._execute(f"SELECT {COUNT_AND_HASH} FROM (SELECT {_ALL} {rows}) k")
        return count, total

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Attached, unless it is already."""
        if self._is_closed:
            yield
            return
        with self._lake.named():
            self._lake.attach_to(self._connection, "live", "READ_ONLY")
            try:
                yield
            finally:
                self._connection.execute("DETACH live")

    def collect(self) -> bool:
        """What was fetched since an hour before, and what restatements name that were not brought yet."""
        since_s, self._since_s = self._since_s, time.monotonic()
        since_ms = self._now_ms + int((since_s - self._began_s) * 1000) - COMMITTED_AFTER_MS
        self._execute(
            f"""CREATE OR REPLACE TEMP TABLE fresh AS
                SELECT {_ALL} FROM live.klines WHERE fetched_at >= epoch_ms({since_ms}::BIGINT)"""
        )
        noted = f"SELECT DISTINCT {_KEY} FROM (FROM live.restatements EXCEPT ALL FROM beside.restatements)"
        self._execute(f"CREATE OR REPLACE TEMP TABLE noted AS {noted}")
        self._execute(f"DELETE FROM fresh WHERE ({_KEY}) IN (FROM noted)")
        for (month,) in self._execute("SELECT DISTINCT date_trunc('month', open_time)::VARCHAR FROM noted"):
            times = f"open_time >= TIMESTAMP '{month}' AND open_time < TIMESTAMP '{month}' + INTERVAL 1 MONTH"
            self._execute(
                f"INSERT INTO fresh SELECT {_ALL} FROM live.klines SEMI JOIN noted USING ({_KEY}) WHERE {times}"
            )
        return self._since_s - since_s < SOON_S

    def close_for(self, last_step: Callable[[], None], note: MoveNote) -> None:
        """All writers' locks are this process's meanwhile."""

        def alone(cursor: duckdb.DuckDBPyConnection) -> None:
            began_s = time.monotonic()
            with self.held():
                self._is_closed = True
                try:
                    last_step()
                finally:
                    self._is_closed = False
            write_note(cursor, note)
            self.longest_s = time.monotonic() - began_s

        self._lake.alone(time.monotonic() + WAIT_S, alone)

    def _execute(self, sql: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql).fetchall()
