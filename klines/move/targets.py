"""Where it moves to, `beside` while it is open: a lake takes Parquet files as they are, a file takes rows in order."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Protocol

import duckdb

from klines.columns import KEY
from klines.errors import BadParameter
from klines.maintain.staging import sort_staged
from klines.maintain.survey import Month
from klines.move.note import note_of_source, note_to_fill
from klines.storage.database import attached, attached_to_write, opened
from klines.storage.lake.lake import Lake
from klines.storage.literal import literal
from klines.storage.live import WAIT_S
from klines.storage.moved import MoveNote, remove_note, write_note
from klines.storage.places import check_place
from klines.tables.transaction import transaction
from klines.window import within

PARQUET_BYTES, FILE_BYTES = 45, 50
"""What a kline takes at most in either place, but for values of noise."""
FILLING = "filling"
"""The lock of who fills a lake."""


class MoveTarget(Protocol):
    """A database that nobody else writes; `source` is what its note says where it is filled from."""

    bytes_a_kline: int

    @property
    def folder(self) -> Path | None:
        """Whose disk it needs; None where it needs none of this machine."""

    def check(self, source: str) -> None:
        """Raises BadParameter or BadDatabase where anything is that no move from `source` has put there."""

    def begin(self, source: str) -> None:
        """Make it, and note that it is being filled."""

    def opened(self) -> contextlib.AbstractContextManager[None]:
        """It is `beside` until this ends, and what was written is there to stay then."""

    def take(self, month: Month) -> None:
        """All of staging.klines, in the order of symbols. It is open, as below."""

    def release(self) -> None:
        """Let others write it."""

    def close(self) -> None:
        """Let go of what is held from the beginning on."""


class LakeTarget:
    """A lake, whose files are written into its own data path, and then added."""

    bytes_a_kline = PARQUET_BYTES

    def __init__(self, connection: duckdb.DuckDBPyConnection, lake: Lake) -> None:
        self._connection = connection
        self._lake = lake
        self._note: MoveNote
        self._stack = contextlib.ExitStack()

    @property
    def folder(self) -> Path | None:
        """Of its data, unless that is a bucket."""
        if not self._lake.data():
            raise BadParameter("--data: a new lake needs a folder or s3://bucket/path for its Parquet files")
        return self._lake.folder

    def check(self, source: str) -> None:
        """As MoveTarget."""
        self._lake.check()
        if self._lake.exists():
            with self._lake.reading(time.monotonic() + WAIT_S) as cursor:
                note_to_fill(cursor, "lake", str(self._lake), source)

    def begin(self, source: str) -> None:
        """As MoveTarget; maintenance has to wait until it is filled."""

        def noted(cursor: duckdb.DuckDBPyConnection) -> MoveNote:
            note = note_to_fill(cursor, "lake", str(self._lake), source)
            if note is None:
                note = note_of_source(source)
                write_note(cursor, note)
            return note

        self._note = self._lake.alone(time.monotonic() + WAIT_S, noted)
        with self._lake.named():
            self._stack.enter_context(self._lake.turns.taken([FILLING], time.monotonic() + WAIT_S))
        self._lake.attach_to(self._connection, "beside", f"DATA_PATH {literal(self._lake.data())}")

    def opened(self) -> contextlib.AbstractContextManager[None]:
        """It is attached all the time: nobody else is kept out by that."""
        return self._lake.named()

    def take(self, month: Month) -> None:
        """A Parquet file for each market, kind and interval."""
        parts = self._connection.execute(
            "SELECT DISTINCT market, kind, interval FROM staging.klines ORDER BY ALL"
        ).fetchall()
        years, months = divmod(month.index, 12)
        for market, kind, interval in parts:
            folder = f"market={market}/kind={kind}/interval={interval}/year={1970 + years}/month={months + 1}"
            path = literal(self._new_file(folder))
            self._connection.execute(
                f"""COPY (FROM staging.klines WHERE market = '{market}' AND kind = '{kind}' AND interval = '{interval}'
                          ORDER BY symbol, open_time)
                    TO {path} (FORMAT parquet, COMPRESSION zstd)"""
            )
            self._connection.execute(
                f"CALL ducklake_add_data_files('beside', 'klines', {path}, hive_partitioning => true)"
            )

    def _new_file(self, folder: str) -> str:
        """The path of a file that the catalog has not: what a killed move has left under it is written over."""
        known = {path.lower() for (path,) in self._lake.rows(_MOVED_FILES)}
        number = 1
        while any(path.endswith(f"{folder}/{self._name(number)}".lower()) for path in known):
            number += 1
        path = f"{self._lake.data()}main/klines/{folder}/{self._name(number)}"
        if not path.startswith("s3://"):
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        return path

    def _name(self, number: int) -> str:
        return f"move-{self._note.token}-{number}.parquet"

    def release(self) -> None:
        """As MoveTarget."""
        self.close()
        self._lake.alone(time.monotonic() + WAIT_S, remove_note)

    def close(self) -> None:
        """Let go of the lock."""
        self._stack.close()


_MOVED_FILES = """
    SELECT path FROM ducklake_data_file WHERE path LIKE '%move-%'
    UNION ALL SELECT path FROM ducklake_files_scheduled_for_deletion WHERE path LIKE '%move-%'
"""


class FileTarget:
    """A DuckDB file."""

    bytes_a_kline = FILE_BYTES

    def __init__(self, connection: duckdb.DuckDBPyConnection, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._is_begun = False

    @property
    def folder(self) -> Path | None:
        """In which it lies."""
        return self._path.parent

    def check(self, source: str) -> None:
        """As MoveTarget."""
        check_place(self._path)
        if self._path.exists():
            with attached(self._connection, self._path, time.monotonic() + WAIT_S, "beside"):
                note = note_to_fill(self._connection, "beside", str(self._path), source)
            self._is_begun = note is not None

    def begin(self, source: str) -> None:
        """As MoveTarget."""
        if not self._is_begun:
            with opened(self._path, time.monotonic() + WAIT_S) as connection:
                write_note(connection, note_of_source(source))

    def opened(self) -> contextlib.AbstractContextManager[None]:
        """It is this process's alone, and closed as after every write."""
        return attached_to_write(self._connection, self._path, time.monotonic() + WAIT_S, "beside")

    def take(self, month: Month) -> None:  # noqa: ARG002 - it has no folders
        """Rows, as `maintain` lays them."""
        sort_staged(self._connection, "beside.klines")

    def release(self) -> None:
        """As MoveTarget."""
        with self.opened():
            remove_note(self._connection, "beside")

    def close(self) -> None:
        """It is closed after each step."""


def count_of(connection: duckdb.DuckDBPyConnection, month: Month) -> int:
    """How many klines of a month are in `beside`."""
    [(rows,)] = connection.execute(f"SELECT count(*) FROM beside.klines WHERE {within(month.window)}").fetchall()
    return int(rows)


def clear(connection: duckdb.DuckDBPyConnection, month: Month) -> None:
    """Remove a month from `beside`: it is copied anew."""
    connection.execute(f"DELETE FROM beside.klines WHERE {within(month.window)}")


def replace(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Put the klines of `fresh` into `beside`, in the place of those of the same keys; the months they are of."""
    found = connection.execute(
        "SELECT min(open_time)::VARCHAR, max(open_time)::VARCHAR FROM fresh GROUP BY date_trunc('month', open_time)"
    ).fetchall()
    same = " AND ".join(f"k.{name} = f.{name}" for name in KEY)
    spans = [f"open_time BETWEEN TIMESTAMP '{first}' AND TIMESTAMP '{last}'" for first, last in found]
    with transaction(connection):
        for span in spans:
            connection.execute(f"DELETE FROM beside.klines k USING fresh f WHERE {same} AND k.{span} AND f.{span}")
        connection.execute("INSERT INTO beside.klines FROM fresh")
    return spans
