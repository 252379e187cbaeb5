"""Maintenance of a lake: what lies in the catalog goes into files, those of a closed month become one, in order, and
what no version needs any more goes.

Writers are kept out while files are exchanged: DuckLake can miss that a row which a writer changes has moved meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any, Self

import duckdb

from klines.interval import DAY
from klines.maintain.lake_exact import BringOver
from klines.maintain.message import MaintainFacts, maintain_outcome
from klines.maintain.survey import MONTH, Month, months
from klines.maintain.unique import Doubles, find_doubles_in
from klines.outcome import Outcome
from klines.session import count_days
from klines.storage.lake.lake import Lake
from klines.storage.place import Done, Place
from klines.storage.schema.exact import is_exact
from klines.tables.counts import count_again, odd_days
from klines.tables.ends import newest, note_ends
from klines.tables.rejects import forget_rejects
from klines.tables.transaction import transaction

VERSIONS_KEPT_MS, FILES_KEPT_MS = 7 * DAY, DAY
"""How long a version can be read after the next one, and a file stays that none needs; a reader has so long."""
MERGED_AT_ONCE = 64
"""So many new files are made while writers wait; then they have their turn."""
WAIT_S, FREE_S = 300.0, 1.0
"""For how long others may write before a step gives up, and how long they may between two steps."""
_OF_MONTHS = """
    WITH file AS (
        SELECT s.min_value::timestamp AS first, f.record_count - coalesce(d.deleted, 0) AS rows
        FROM ducklake_data_file f
        JOIN ducklake_table t ON t.table_id = f.table_id AND t.table_name = 'klines' AND t.end_snapshot IS NULL
        JOIN ducklake_column c ON c.table_id = t.table_id AND c.column_name = 'open_time' AND c.end_snapshot IS NULL
        JOIN ducklake_file_column_stats s ON s.data_file_id = f.data_file_id AND s.column_id = c.column_id
        LEFT JOIN (SELECT data_file_id, sum(delete_count) AS deleted FROM ducklake_delete_file
                   WHERE end_snapshot IS NULL GROUP BY 1) d ON d.data_file_id = f.data_file_id
        WHERE f.end_snapshot IS NULL
    )
    SELECT ((extract(year FROM first) - 1970) * 12 + extract(month FROM first) - 1)::int AS month, sum(rows)::bigint
    FROM file GROUP BY 1 ORDER BY 1
"""
"""How many klines each month has, by what the catalog knows of its files, each of one month: no file is read.

The values of partitions would not do: of a file that was added as it was, DuckLake notes year and month as one and the
same key.
"""
_OF_INTERVALS = f"""
    SELECT {MONTH.sql_index("open_time")} AS month, 0 AS chunk, interval, count(*), epoch_ms(min(open_time)),
           epoch_ms(max(open_time))
    FROM klines WHERE open_time >= epoch_ms(?::BIGINT) AND open_time < epoch_ms(?::BIGINT) GROUP BY ALL
"""


class LakeMaintenance:
    """Use as `with`: prune, survey, prove, then cluster each month of the plan, and swap if there were any.

    `now_ms` is when it began; a month that ended before is closed.
    """

    def __init__(self, lake: Lake, now_ms: int) -> None:
        self.place: Place = lake
        self._lake = lake
        self._began_s = time.monotonic()
        self._now_ms = now_ms
        self._rows: dict[int, int] = {}
        self._loose: list[int] = []
        self._doubles = Doubles()
        self._pruned = self._bytes_before = self._proved = 0
        self._held_s = 0.0
        self._bringing: BringOver | None = None
        self._doubtful = self._miscounted = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        """Nothing is held between the steps."""

    def prune(self) -> int:
        """Delete the rejects that were last seen over 90 days ago, versions over a week old, and files that no version
        has needed for a day; how many rejects there were."""
        self._bytes_before = self._lake.size()
        self._pruned = self._alone(lambda connection: forget_rejects(connection, self._now_ms))
        self._alone(self._forget)
        return self._pruned

    def _forget(self, connection: duckdb.DuckDBPyConnection) -> None:
        versions, files = (f"epoch_ms({time_ms}::BIGINT)::TIMESTAMPTZ" for time_ms in self._kept_ms())
        connection.execute(f"CALL ducklake_expire_snapshots('lake', older_than => {versions})")
        connection.execute(f"CALL ducklake_cleanup_old_files('lake', older_than => {files})")
        connection.execute(f"CALL ducklake_delete_orphaned_files('lake', older_than => {files})")

    @staticmethod
    def _kept_ms() -> tuple[int, int]:
        """The times, by this machine's clock, from which on versions and files are kept."""
        now_ms = time.time_ns() // 1_000_000
        return now_ms - VERSIONS_KEPT_MS, now_ms - FILES_KEPT_MS

    def survey(self) -> None:
        """Bring what lies in the catalog into files, and find the months that have changed since they were in order."""
        try:
            self._alone(_flush)
        finally:
            self._lake.rows_went()
        self._rows = dict(self._lake.rows(_OF_MONTHS))
        with self._lake.reading(time.monotonic() + WAIT_S) as connection:
            sql = f"SELECT {MONTH.sql_index('month')}, max(rows) FROM clustered GROUP BY ALL"
            clustered = dict(connection.execute(sql).fetchall())
            self._bringing = None if is_exact(connection) else BringOver(self._lake, self._now_ms)
        self._loose = [
            month for month, rows in self._rows.items() if self._is_closed(month) and clustered.get(month) != rows
        ]
        self._note_ends(any(month <= max(clustered, default=-1) for month in self._loose))

    def _note_ends(self, has_changed: bool) -> None:
        """Note the newest kline of every series: looked for among all where a month has changed that was in order."""
        with self._lake.reading(time.monotonic() + WAIT_S) as connection:
            found = newest(connection, whole=has_changed)
        self._alone(partial(note_ends, found=found, now_ms=self._now_ms))

    def _is_closed(self, month: int) -> bool:
        return MONTH.start(month + 1) <= self._now_ms

    def prove(self) -> int:
        """Look for slots with more than one kline, in months that have changed; how many there are."""
        with self._lake.reading(time.monotonic() + WAIT_S) as connection:
            for index in self._rows:
                if index in self._loose or not self._is_closed(index):
                    bounds = [MONTH.start(index), MONTH.start(index + 1)]
                    found = months(connection.execute(_OF_INTERVALS, bounds).fetchall())
                    self._proved += sum(month.rows for month in found)
                    find_doubles_in(connection, "klines", found, self._doubles)
        self._prove_counts()
        return self._doubles.slots

    def _prove_counts(self) -> None:
        """Count all days that are over, and those anew that have another count than klines."""
        count_days(self._lake, self._now_ms, WAIT_S)
        for index in self._rows:
            month = Month(index, 0, 0).window
            with self._lake.reading(time.monotonic() + WAIT_S) as connection:
                odd = odd_days(connection, month)
            if odd:
                self._miscounted += odd
                self._alone(partial(count_again, month=month))

    def plan(self) -> list[str]:
        """The months to be put in order; or all of them, which are copied, where amounts are doubles still."""
        if self._bringing:
            self._bringing.begin(time.monotonic() + WAIT_S)
        return [_name(month) for month in (self._rows if self._bringing else self._loose)]

    def cluster(self, name: str) -> None:
        """Put a month in order; what is in order already is not touched. Or copy it."""
        if self._bringing:
            [index] = [month for month in self._rows if _name(month) == name]
            self._bringing.copy(Month(index, 0, 0), time.monotonic() + WAIT_S)
            return
        [month] = [month for month in self._loose if _name(month) == name]
        try:
            self._alone(_take_deletes_in)
            while self._alone(_merge):
                time.sleep(FREE_S)
        finally:
            self._lake.rows_went()
        self._alone(partial(_note, month=month, rows=self._rows[month], now_ms=self._now_ms))

    def swap(self) -> None:
        """Exchange the tables where amounts were doubles; else each step was a version of its own."""
        if self._bringing:
            began_s = time.monotonic()
            try:
                self._bringing.finish(began_s + WAIT_S)
            finally:
                self._lake.rows_went()
            self._held_s = max(self._held_s, time.monotonic() - began_s)
            with self._lake.reading(time.monotonic() + WAIT_S) as connection:
                [(self._doubtful,)] = connection.execute("SELECT count(*) FROM doubtful").fetchall()

    def outcome(self) -> Outcome:
        """The final state, with counts."""
        rows = sum(self._rows.values())
        return maintain_outcome(
            MaintainFacts(
                reclustered=[] if self._bringing else self.plan(),
                is_replaced=bool(self._bringing or self._loose),
                klines=rows,
                proved=self._proved - self._doubles.surplus - self._doubles.slots,
                bytes_before=self._bytes_before,
                bytes_after=self._lake.size(),
                pruned=self._pruned,
                doubles=self._doubles.slots,
                examples=self._doubles.examples,
                seconds=time.monotonic() - self._began_s,
                held_s=self._held_s,
                brought_over=bool(self._bringing),
                doubtful=self._doubtful,
                miscounted=self._miscounted,
            )
        )

    def _alone(self, do: Callable[[duckdb.DuckDBPyConnection], Done]) -> Done:
        """What `do` returns, while nobody writes."""

        def timed(connection: duckdb.DuckDBPyConnection) -> Done:
            began_s = time.monotonic()
            try:
                return do(connection)
            finally:
                self._held_s = max(self._held_s, time.monotonic() - began_s)

        return self._lake.alone(time.monotonic() + WAIT_S, timed)


def _merge(connection: duckdb.DuckDBPyConnection) -> bool:
    """Merge some files of the same month; whether there may be more."""
    rows: list[tuple[Any, ...]] = connection.execute(
        f"CALL ducklake_merge_adjacent_files('lake', 'klines', max_compacted_files => {MERGED_AT_ONCE})"
    ).fetchall()
    return sum(int(row[-1]) for row in rows) >= MERGED_AT_ONCE


def _take_deletes_in(connection: duckdb.DuckDBPyConnection) -> None:
    """Write files anew without the rows that were deleted from them, as an update does."""
    connection.execute("CALL ducklake_rewrite_data_files('lake', 'klines', delete_threshold => 0)").fetchall()


def _flush(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("CALL ducklake_flush_inlined_data('lake', table_name => 'klines')").fetchall()


def _note(connection: duckdb.DuckDBPyConnection, month: int, rows: int, now_ms: int) -> None:
    start = f"epoch_ms({MONTH.start(month)}::BIGINT)"
    with transaction(connection):
        connection.execute(f"DELETE FROM clustered WHERE month = {start}")
        connection.execute(f"INSERT INTO clustered VALUES ({start}, {rows}, epoch_ms({now_ms}::BIGINT))")


def _name(month: int) -> str:
    return Month(month, 0, 0).name
