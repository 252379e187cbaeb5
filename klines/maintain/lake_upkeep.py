"""Maintenance of a lake: what lies in the catalog goes into files, those of a closed month become one, in order, and
what no version needs any more goes.

Writers are kept out while files are exchanged: DuckLake can miss that a row which a writer changes has moved meanwhile.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Self

import duckdb

from klines.interval import DAY
from klines.maintain.lake_exact import BringOver
from klines.maintain.message import MaintainFacts, maintain_outcome
from klines.maintain.plan import Upkept, maintain_plan
from klines.maintain.survey import MONTH, Month, months
from klines.maintain.unique import Doubles, find_doubles_in
from klines.outcome import Outcome, Plan
from klines.session import count_days
from klines.storage.lake.lake import Lake
from klines.storage.place import Done, Place
from klines.storage.room import rooms
from klines.storage.schema.exact import is_exact
from klines.storage.turn import Patience
from klines.tables.counts import count_again, odd_days
from klines.tables.ends import newest, note_ends
from klines.tables.rejects import forget_rejects, old_rejects
from klines.tables.transaction import transaction

VERSIONS_KEPT_MS, FILES_KEPT_MS = 7 * DAY, DAY
"""How long a version can be read after the next one, and a file stays that none needs; a reader has so long."""
MERGED_AT_ONCE = 64
"""So many new files are made while writers wait; then they have their turn."""
WAIT_S, FREE_S = 300.0, 1.0
"""For how long others may write before a step gives up, and how long they may between two steps."""
_OF_MONTHS = """
    WITH file AS (
        SELECT s.min_value::timestamp AS first, f.record_count - coalesce(d.deleted, 0) AS rows, f.file_size_bytes
        FROM ducklake_data_file f
        JOIN ducklake_table t ON t.table_id = f.table_id AND t.table_name = 'klines' AND t.end_snapshot IS NULL
        JOIN ducklake_column c ON c.table_id = t.table_id AND c.column_name = 'open_time' AND c.end_snapshot IS NULL
        JOIN ducklake_file_column_stats s ON s.data_file_id = f.data_file_id AND s.column_id = c.column_id
        LEFT JOIN (SELECT data_file_id, sum(delete_count) AS deleted FROM ducklake_delete_file
                   WHERE end_snapshot IS NULL GROUP BY 1) d ON d.data_file_id = f.data_file_id
        WHERE f.end_snapshot IS NULL
    )
    SELECT ((extract(year FROM first) - 1970) * 12 + extract(month FROM first) - 1)::int AS month, sum(rows)::bigint,
           sum(file_size_bytes)::bigint
    FROM file GROUP BY 1 ORDER BY 1
"""
"""How many klines and bytes each month has, by what the catalog knows of its files, each of one month: no file is read.

The values of partitions would not do: of a file that was added as it was, DuckLake notes year and month as one and the
same key.
"""
_INLINED_TABLES = """
    SELECT i.table_name FROM ducklake_inlined_data_tables i
    JOIN ducklake_table t ON t.table_id = i.table_id AND t.table_name = 'klines' AND t.end_snapshot IS NULL
"""
_INLINED = """
    SELECT ((extract(year FROM opened) - 1970) * 12 + extract(month FROM opened) - 1)::int, count(*)
    FROM (SELECT open_time::timestamp AS opened FROM {table} WHERE end_snapshot IS NULL) k GROUP BY 1
"""
"""The same of the klines in one of the catalog's tables, which go into files at the beginning."""
_OF_INTERVALS = f"""
    SELECT {MONTH.sql_index("open_time")} AS month, 0 AS chunk, interval, count(*), epoch_ms(min(open_time)),
           epoch_ms(max(open_time))
    FROM klines WHERE open_time >= epoch_ms(?::BIGINT) AND open_time < epoch_ms(?::BIGINT) GROUP BY ALL
"""


class LakeMaintenance:
    """Use as `with`: survey and plan; prune, begin, prove, then cluster each month, and swap if there were any.

    `now_ms` is when it began; a month that ended before is closed.
    """

    def __init__(self, lake: Lake, now_ms: int) -> None:
        self.place: Place = lake
        self._lake = lake
        self._patience = Patience(lake.beside)
        self._began_s = time.monotonic()
        self._now_ms = now_ms
        self._rows: dict[int, int] = {}
        self._bytes: dict[int, int] = {}
        self._clustered: dict[int, int] = {}
        self._inlined: dict[int, int] = {}
        self._loose: list[int] = []
        self._old_rejects = self._copied = 0
        self._doubles = Doubles()
        self._pruned = self._bytes_before = self._proved = 0
        self._held_s = 0.0
        self._bringing: BringOver | None = None
        self._doubtful = self._miscounted = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        """Nothing is held between the steps."""

    def survey(self) -> None:
        """Find the months that have changed since they were in order, what lies in the catalog, and what is old."""
        with self._lake.opened(time.monotonic() + WAIT_S) as connection:  # which brings it up to this version
            self._old_rejects = old_rejects(connection, self._now_ms)
        self._bytes_before = self._lake.size()
        self._look()
        self._inlined = self._in_catalog()

    def _in_catalog(self) -> dict[int, int]:
        """How many klines of each month are in no file yet."""
        found: Counter[int] = Counter()
        for (table,) in self._lake.rows(_INLINED_TABLES):
            found.update(dict(self._lake.rows(_INLINED.format(table=table))))
        return found

    def _look(self) -> None:
        """Find how many klines each month has, and which of the closed ones have changed."""
        found = self._lake.rows(_OF_MONTHS)
        self._rows, self._bytes = ({month: sizes[which] for month, *sizes in found} for which in (0, 1))
        with self._lake.reading(time.monotonic() + WAIT_S) as connection:
            sql = f"SELECT {MONTH.sql_index('month')}, max(rows) FROM clustered GROUP BY ALL"
            self._clustered = dict(connection.execute(sql).fetchall())
            self._bringing = None if is_exact(connection) else BringOver(self._lake, self._now_ms)
        self._loose = self._changed(self._rows)

    def _changed(self, rows: Mapping[int, int]) -> list[int]:
        """The closed months that have another number of klines than when they were put in order."""
        return [
            month for month, count in rows.items() if self._is_closed(month) and self._clustered.get(month) != count
        ]

    def plan(self) -> Plan:
        """What is to be done, about: klines that were changed count twice. What lies in the catalog goes into files
        first; files of before stay for a day."""
        rows = dict(sorted((Counter(self._rows) + Counter(self._inlined)).items()))
        loose = self._changed(rows)
        work = list(rows) if self._bringing else loose
        size = sum(self._bytes.get(month, 0) for month in work)
        return maintain_plan(
            Upkept(
                sum(rows[month] for month in rows if month in loose or not self._is_closed(month)),
                self._old_rejects,
                months={_name(month): rows[month] for month in work},
                loose=[] if self._bringing else [_name(month) for month in loose],
                reads=size,
                writes=size,
                rooms=rooms([(self._lake.folder, size * 21 // 20)]),
                brings_over=bool(self._bringing),
            )
        )

    def prune(self) -> int:
        """Delete the rejects that were last seen over 90 days ago, versions over a week old, and files that no version
        has needed for a day; how many rejects there were."""
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

    def begin(self) -> list[str]:
        """Bring what lies in the catalog into files; the months to be put in order, or all of them, which are copied,
        where amounts are doubles still."""
        try:
            self._alone(_flush)
        finally:
            self._lake.rows_went()
        self._look()
        self._note_ends(any(month <= max(self._clustered, default=-1) for month in self._loose))
        if self._bringing:
            self._bringing.begin(time.monotonic() + WAIT_S)
        return self._work()

    def _work(self) -> list[str]:
        return [_name(month) for month in (self._rows if self._bringing else self._loose)]

    def _to_prove(self) -> list[int]:
        return [month for month in self._rows if month in self._loose or not self._is_closed(month)]

    @property
    def wanted(self) -> int:
        """Klines of months that have changed are proved unique, and those of the months to work on copied."""
        return sum(self._rows[month] for month in [*self._to_prove(), *(self._rows if self._bringing else self._loose)])

    @property
    def left(self) -> int:
        """Those that are not yet."""
        return self.wanted - self._proved - self._copied

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
            for index in self._to_prove():
                self._patience.wait()
                bounds = [MONTH.start(index), MONTH.start(index + 1)]
                found = months(connection.execute(_OF_INTERVALS, bounds).fetchall())
                find_doubles_in(connection, "klines", found, self._doubles)
                self._proved += sum(month.rows for month in found)
        self._prove_counts()
        return self._doubles.slots

    def _prove_counts(self) -> None:
        """Count all days that are over, and those anew that have another count than klines."""
        count_days(self._lake, self._now_ms, WAIT_S, wait=self._patience.wait)
        for index in self._rows:
            month = Month(index, 0, 0).window
            with self._lake.reading(time.monotonic() + WAIT_S) as connection:
                odd = odd_days(connection, month)
            if odd:
                self._miscounted += odd
                self._alone(partial(count_again, month=month))

    def cluster(self, name: str) -> None:
        """Put a month in order; what is in order already is not touched. Or copy it."""
        [month] = [month for month in self._rows if _name(month) == name]
        if self._bringing:
            self._patience.wait()
            self._bringing.copy(Month(month, 0, 0), time.monotonic() + WAIT_S)
        else:
            self._put_in_order(month)
        self._copied += self._rows[month]

    def _put_in_order(self, month: int) -> None:
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
                reclustered=[] if self._bringing else self._work(),
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

        self._patience.wait()
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
