"""A lake as a place: every opening is a cursor of one DuckDB, which lives as long as this process needs the lake.

A writer has the locks of his scope, and does all of it again where a connection was lost or others were first, until
his deadline. A reader waits for nobody.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any, LiteralString

import duckdb

from klines.checkout import how_to_install
from klines.errors import BadParameter, DatabaseBusy, NotStored
from klines.interval import HOUR
from klines.settings import LakeAddress
from klines.storage.lake.credentials import Login
from klines.storage.lake.instance import attach, attach_as, cursor_of
from klines.storage.lake.lake_errors import Again, busy_unless_done_again, named_lake_errors
from klines.storage.lake.turns import MAKING, Turns, keys_of
from klines.storage.literal import literal
from klines.storage.moved import NOTE, check_not_moved
from klines.storage.place import Done, Scope
from klines.storage.schema.migrations import is_current, lend_views, migrate, schema_state
from klines.tables.sound import FEW, check_rows
from klines.tables.transaction import checked

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 1.0
_READS, _MOVES = "klines reads", "klines moves"
LAYOUT = """
    ALTER TABLE {table} SET PARTITIONED BY (market, kind, interval, year(open_time), month(open_time));
    ALTER TABLE {table} SET SORTED BY (symbol ASC, open_time ASC);
"""
KINDS_FROM = 12
"""The step of the schema from which on klines lie by kind."""
COMMITTED_AFTER_MS = HOUR
"""A kline may be committed so long after the time, by the exchange's clock, at which it was fetched. Where one was
later still, who copies a lake finds other counts at the end."""
_SMALL = (
    *("gaps", "rejects", "restatements", "archive_files", "bans", "symbols", "rules", "audits", "incidents"),
    *("clustered", "ends", "doubtful", "funding", "wanted", "alarms", "schedules", "counted", "hours_to_make", "hours"),
)
"""Tables that stay in the catalog: they change often, and are small."""
_INLINED_ROWS = dict.fromkeys(_SMALL, 1_000_000) | {"daily_counts": 1_000}
"""How many rows of a commit stay in the catalog; counts of a month or of a backfill are more, and go into files."""
_IS_NOTED: LiteralString = (
    f"SELECT count(*) FROM ducklake_table WHERE table_name = '{NOTE}' AND end_snapshot IS NULL"  # 1 ms, DuckDB takes 50
)
_FILLED: LiteralString = (
    "SELECT table_name FROM ducklake_table JOIN ducklake_table_stats USING (table_id) WHERE end_snapshot IS NULL"
)
"""Tables that have ever had a row: of one that has had none, DuckDB takes 25 ms to find that out."""
_BYTES = "SELECT coalesce(sum(file_size_bytes), 0) FROM ducklake_data_file WHERE end_snapshot IS NULL"

_VERSIONS: LiteralString = (
    "SELECT snapshot_id, (extract(epoch FROM snapshot_time) * 1000)::bigint FROM ducklake_snapshot "
)
_VERSION: LiteralString = f"{_VERSIONS} WHERE snapshot_id = %s"
_VERSION_AT: LiteralString = f"{_VERSIONS} WHERE snapshot_time <= %s ORDER BY snapshot_id DESC LIMIT 1"


class Lake:
    """The lake at an address."""

    def __init__(self, address: LakeAddress) -> None:
        if find_spec("psycopg") is None:
            raise BadParameter(
                f"KLINES_DATABASE: a lake needs psycopg, PostgreSQL's client: {how_to_install('[lake]')}"
            )
        self.address = address
        self.login = Login.of(address.catalog)
        self.turns = Turns(self.login)
        self._mutex = threading.Lock()
        self._writes: duckdb.DuckDBPyConnection | None = None
        self._reads: duckdb.DuckDBPyConnection | None = None
        self._is_older = False  # or was when a reader looked: he has to be lent what it lacks

    def __str__(self) -> str:
        return str(self.address)

    @property
    def name(self) -> str:
        """The name of the catalog's database."""
        return self.address.name

    @property
    def beside(self) -> Path:
        """A path in this user's folder for what programs remember, the lake's own."""
        state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
        digest = hashlib.sha256(repr(sorted(self.login.parts)).encode()).hexdigest()
        return state / "klines" / f"{self.name}-{digest[:8]}"

    def close(self) -> None:
        """Let go of what is open; it is opened again when it is needed."""
        self._drop()
        self.turns.close()

    def check(self) -> None:
        """Raises BadParameter where the data can't be written into a folder."""
        data = self.address.data
        if data is None or data.startswith("s3://"):
            return
        there = next(folder for folder in (Path(data), *Path(data).parents) if folder.exists())
        if not there.is_dir() or not os.access(there, os.W_OK):
            raise BadParameter(f"KLINES_DATA_PATH: {there} is no folder that this user can write")

    def exists(self) -> bool:
        """Whether the catalog has a lake."""
        with busy_unless_done_again():
            return bool(self.turns.ask("SELECT to_regclass('ducklake_metadata') IS NOT NULL"))

    def check_readable(self) -> None:
        """Raises NotStored where the catalog has no lake yet, DatabaseBusy where it can't be reached."""
        if not self.exists():
            raise NotStored(f"there is no lake in {self}; `klines run` makes it, KLINES_DATABASE says where")

    @contextlib.contextmanager
    def opened(self, deadline_s: float) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor, on a connection that was alive just now."""
        with busy_unless_done_again(), self._cursor(self._living(self._writer, deadline_s)) as cursor:
            if self.turns.ask(_IS_NOTED):
                check_not_moved(cursor, self)
            yield cursor

    def write(self, deadline_s: float, scope: Scope, do: Callable[[duckdb.DuckDBPyConnection], Done]) -> Done:
        """What `do` returns, with the locks of the scope; done again, until the deadline, where it was taken back."""
        return self._again_and_again(deadline_s, keys_of(scope), do)

    def alone(self, deadline_s: float, do: Callable[[duckdb.DuckDBPyConnection], Done]) -> Done:
        """As `write`, while nobody else writes anything."""
        return self._again_and_again(deadline_s, [], do, alone=True)

    def rows_went(self) -> None:
        """Readers of this process begin anew: one that has read rows which then went from the catalog into files, or
        into another table, fails within DuckDB."""
        with self._mutex:
            self._reads = None

    def apart(self, deadline_s: float, key: str, do: Callable[[duckdb.DuckDBPyConnection], Done]) -> Done:
        """As `write`, with a lock of that name alone: nobody who writes klines waits for it."""
        return self._again_and_again(deadline_s, [key], do)

    @contextlib.contextmanager
    def named(self) -> Iterator[None]:
        """What is raised because of the lake is one of our errors; it is not done again."""
        with busy_unless_done_again(), named_lake_errors(self.login):
            yield

    def attach_to(self, connection: duckdb.DuckDBPyConnection, name: str, *options: str) -> None:
        """Attach the lake, which is there, under a name to a connection that has other databases, too."""
        with self.named():
            attach_as(connection, name, self.login, _MOVES, self.data(), *options)

    def rows(self, sql: LiteralString) -> list[tuple[Any, ...]]:
        """What the catalog's PostgreSQL answers; raises DatabaseBusy."""
        with busy_unless_done_again():
            return self.turns.rows(sql)

    def _again_and_again(
        self,
        deadline_s: float,
        keys: list[str],
        do: Callable[[duckdb.DuckDBPyConnection], Done],
        *,
        alone: bool = False,
    ) -> Done:
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                alive = self._living(self._writer, deadline_s)  # first: making the tables needs all locks
                with (
                    self.turns.taken(keys, deadline_s, alone=alone) as turn,
                    self._cursor(alive) as cursor,
                    checked(cursor, turn.check),
                ):
                    if not alone and turn.ask(_IS_NOTED):
                        check_not_moved(cursor, self)
                    return do(cursor)
            except Again as error:
                if time.monotonic() + pause_s >= deadline_s:
                    raise DatabaseBusy(str(error)) from None
            time.sleep(pause_s * random.uniform(0.5, 1.5))
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def read(self, deadline_s: float) -> duckdb.DuckDBPyConnection:
        """A connection of its own, which sees whatever is committed."""
        return _patiently(self._attached_to_read, deadline_s)

    @contextlib.contextmanager
    def reading(self, deadline_s: float) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor of a connection that only reads."""
        with busy_unless_done_again(), self._cursor(self._living(self._reader, deadline_s)) as cursor:
            if self._is_older:
                self._is_older = lend_views(cursor, self)
            yield cursor

    def version(self, since: datetime, wait_s: float) -> duckdb.DuckDBPyConnection:  # noqa: ARG002 - it is of now
        """The lake as it is now, for as long as the connection is open."""
        return _patiently(self._version_of_now, time.monotonic() + wait_s)

    def _version_of_now(self) -> duckdb.DuckDBPyConnection:
        now_ms = time.time_ns() // 1_000_000
        return self._version(self.turns.ask("SELECT max(snapshot_id) FROM ducklake_snapshot"), now_ms)

    def _version(self, number: int, taken_ms: int) -> duckdb.DuckDBPyConnection:
        connection = self._attached_to_read(f"SNAPSHOT_VERSION {number}")
        connection.execute(f"SET VARIABLE taken_ms = {taken_ms}")
        return connection

    def version_at(self, at: datetime | int, wait_s: float) -> duckdb.DuckDBPyConnection:
        """The version of that number, or the newest of that time, with all that was committed until then."""
        return _patiently(lambda: self._version_at(at), time.monotonic() + wait_s)

    def _version_at(self, at: datetime | int) -> duckdb.DuckDBPyConnection:
        rows = self.turns.rows(_VERSION if isinstance(at, int) else _VERSION_AT, at)
        for number, taken_ms in rows:
            return self._version(number, taken_ms)
        [(oldest,)] = self.turns.rows("SELECT min(snapshot_time) AT TIME ZONE 'UTC' FROM ducklake_snapshot")
        asked = f"version {at}" if isinstance(at, int) else f"{at:%Y-%m-%d %H:%M:%S} UTC"
        raise BadParameter(
            f"at: {self} has nothing of {asked}: its oldest version is of {oldest:%Y-%m-%d %H:%M:%S} UTC, as `klines "
            "maintain` forgets those of over a week ago"
        )

    def time_of(self, version: duckdb.DuckDBPyConnection) -> datetime:
        """When it was opened; of one that was asked for by its time or number, when it was committed."""
        [(taken_ms,)] = version.execute("SELECT getvariable('taken_ms')").fetchall()
        return datetime.fromtimestamp(taken_ms / 1000, UTC)

    def publish(self, since: datetime) -> str:
        """Nothing: who reads has a version of his own at once."""
        return f"nothing to publish of {self.name}: readers have a version of the lake at once, {since:%H:%M:%S} UTC"

    def size(self) -> int:
        """Of the files that the newest version needs; what is in the catalog alone is not counted."""
        with busy_unless_done_again():
            return int(self.turns.ask(_BYTES))

    def upkeep(
        self,
        of_file: Callable[[Path], Done],  # noqa: ARG002 - it is none
        of_lake: Callable[[Lake], Done],
    ) -> Done:
        """That of a lake."""
        return of_lake(self)

    @contextlib.contextmanager
    def _cursor(self, instance: duckdb.DuckDBPyConnection) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor of an instance; one that has lost its catalog is not used again."""
        try:
            with named_lake_errors(self.login), cursor_of(instance) as cursor:
                yield cursor
        except Again:
            self._drop(instance)
            raise

    def _living(
        self, instance: Callable[[], duckdb.DuckDBPyConnection], deadline_s: float
    ) -> duckdb.DuckDBPyConnection:
        """An instance that has just now reached its catalog."""
        return _patiently(lambda: self._alive(instance), deadline_s)

    def _alive(self, instance: Callable[[], duckdb.DuckDBPyConnection]) -> duckdb.DuckDBPyConnection:
        with self._mutex:
            found = instance()
        try:
            with named_lake_errors(self.login), contextlib.closing(found.cursor()) as cursor:
                cursor.execute("FROM lake.current_snapshot()").fetchall()  # which names the lake: no need to use it
        except Again:
            self._drop(found)
            raise
        return found

    def data(self) -> str:
        """Where the files are, as the setting has it, or else the catalog; empty where nobody says."""
        if self.address.data:
            return f"{self.address.data.rstrip('/')}/"
        if not self.exists():
            return ""
        return str(self.turns.ask("SELECT coalesce(max(value), '') FROM ducklake_metadata WHERE key = 'data_path'"))

    @property
    def folder(self) -> Path | None:
        """Where its files are on this machine; None where they are in a bucket, or nobody says."""
        data = self.data()
        return None if not data or data.startswith("s3://") else Path(data)

    def _writer(self) -> duckdb.DuckDBPyConnection:
        if self._writes is None:
            self.turns.begin()
            self._writes = self._made()
        return self._writes

    def _reader(self) -> duckdb.DuckDBPyConnection:
        if self._reads is None:
            self._reads = self._attached_to_read()
        return self._reads

    def _drop(self, instance: duckdb.DuckDBPyConnection | None = None) -> None:
        """Open a new one next time; cursors of the old one may still be in use, and end with their last user."""
        with self._mutex:
            if instance in (None, self._writes):
                self._writes = None
            if instance in (None, self._reads):
                self._reads = None

    def _made(self) -> duckdb.DuckDBPyConnection:
        """The lake for writing, with all its tables as this version has them."""
        data = self.data()
        if not data:
            raise BadParameter("KLINES_DATA_PATH: a new lake needs a folder or s3://bucket/path for its Parquet files")
        connection = attach(self.login, self.turns.application, data, f"DATA_PATH {literal(data)}")
        try:
            with named_lake_errors(self.login):
                if not is_current(connection, self):
                    self._migrate(connection)
                filled = {name for (name,) in self.turns.rows(_FILLED)}
                check_rows(connection, self, {name: sound for name, sound in FEW.items() if name in filled})
        except BaseException:
            connection.close()
            raise
        return connection

    def _migrate(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Make or bring up the tables, which one process does at a time, and nobody writes meanwhile."""
        with self.turns.taken([MAKING], time.monotonic() + 30, alone=True) as turn, checked(connection, turn.check):
            connection.execute("CALL lake.set_option('parquet_compression', 'zstd')")  # snappy takes twice the room
            steps, *_ = schema_state(connection, self)
            migrate(connection, self, LAYOUT)
            if 0 < steps < KINDS_FROM:
                connection.execute(LAYOUT.format(table="klines"))  # what lies in files stays there as it is
            for table, rows in _INLINED_ROWS.items():  # a step may have made one
                connection.execute(f"CALL lake.set_option('data_inlining_row_limit', {rows}, table_name => '{table}')")

    def _attached_to_read(self, *options: str) -> duckdb.DuckDBPyConnection:
        connection = attach(self.login, _READS, self.data(), "READ_ONLY", *options)
        try:
            with named_lake_errors(self.login):
                self._is_older |= lend_views(connection, self)
        except BaseException:
            connection.close()
            raise
        return connection


def _patiently(open_it: Callable[[], duckdb.DuckDBPyConnection], deadline_s: float) -> duckdb.DuckDBPyConnection:
    """What `open_it` returns, as soon as the lake can be reached, or before the deadline."""
    pause_s = _FIRST_PAUSE_S
    while True:
        try:
            return open_it()
        except Again as error:
            if time.monotonic() + pause_s >= deadline_s:
                raise DatabaseBusy(str(error)) from None
        time.sleep(pause_s * random.uniform(0.5, 1.5))
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
