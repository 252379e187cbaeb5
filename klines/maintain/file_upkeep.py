"""Maintenance of the file: old rejects go, slots are proved unique, closed months are put in order and free space goes.

DuckDB reads a symbol's month from a few row groups when its klines lie together, and from all of them as the minutes
wrote it. Where most klines lie so, or much of the file is free, a new file is built beside the one in use, which is
read in short turns, and takes its place when it has everything. A month that closes later is put in order in the file.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any, Self

import duckdb

from klines.errors import DatabaseBusy
from klines.maintain.between import Between
from klines.maintain.copying import UNTOUCHED, Copy
from klines.maintain.hours import HOURS_BYTES, Hours, klines_without_hours
from klines.maintain.live_rows import LiveRows
from klines.maintain.message import MaintainFacts, maintain_outcome
from klines.maintain.mixed import mixed
from klines.maintain.plan import Upkept, maintain_plan, span
from klines.maintain.slices import MOST_SERIES, Slices, most_chunks
from klines.maintain.survey import CHUNK, MONTH, Month
from klines.maintain.unique import Doubles, find_doubles
from klines.outcome import Outcome, Plan
from klines.session import count_days
from klines.storage.beside import Beside, logged
from klines.storage.database import opened
from klines.storage.duckdb_errors import named_errors
from klines.storage.file import LocalFile
from klines.storage.live import WAIT_S, Live
from klines.storage.place import Place
from klines.storage.places import check_place
from klines.storage.room import rooms
from klines.storage.schema.exact import is_exact, make_exact
from klines.tables.counts import count_again, noted_by_month, odd_days
from klines.tables.ends import newest, note_ends
from klines.tables.rejects import forget_rejects, old_rejects
from klines.tables.schedules import collected
from klines.tables.transaction import transaction

FREE_SHARE, FREE_BYTES = 0.2, 2**24
"""A file is compacted when it has both this share and so many bytes of free space, beside what a month takes."""
MINUTES_BYTES = 50
"""What a kline takes as minutes write it, about: so much room a month leaves that is put in order, for the next one."""
STAGED_BYTES, BROUGHT_OVER_BYTES = 120, 16
"""What a kline takes at most while its month waits to be sorted, of which values of noise take 104 bytes, and what it
takes more, at most, once its amounts are decimals."""
_INDEXES = """
    SELECT index_name FROM duckdb_indexes()
    WHERE database_name = 'live' AND schema_name = 'main' AND table_name = 'klines'
    UNION ALL SELECT constraint_name FROM duckdb_constraints()
    WHERE database_name = 'live' AND schema_name = 'main' AND table_name = 'klines'
      AND constraint_type IN ('PRIMARY KEY', 'UNIQUE', 'FOREIGN KEY')
"""
"""Those that a user has added."""
ROUNDS = 100
"""How often what came meanwhile is copied; one or two are enough unless somebody writes more than can be copied."""


class FileMaintenance:
    """Use as `with`: survey and plan; prune, begin, prove, then cluster what begin named, and swap if it named any.

    `now_ms` is when it began; a month that ended before is closed. Raises BadParameter or BadDatabase for a place where
    no database can be.
    """

    def __init__(self, database: Path, now_ms: int) -> None:
        self.database = database
        self.place: Place = LocalFile(database)
        self._began_s = time.monotonic()
        self._now_ms = now_ms
        check_place(database)
        self._beside = Beside(database)
        self._live: Live
        self._between: Between
        self._rows: LiveRows
        self._copy: Copy
        self._slices: Slices
        self._mixed: dict[int, int] = {}
        self._is_indexed = False
        self._months: dict[str, Month] = {}
        self._loose: list[str] = []
        self._has_changed = False
        self._used = self._free = 0
        self._old_rejects = self._pruned = self._copied = 0
        self._is_copied = False
        self._doubles = Doubles()
        self._bytes_before = 0
        self._klines: int | None = None
        self._doubtful = self._miscounted = 0
        self._hours: Hours
        self._without_hours = 0

    def __enter__(self) -> Self:
        self._live = Live(self._beside.__enter__().connection, self.database)
        self._between = Between(self._live.patience)
        self._slices = Slices(self.database, self._beside.folder / "temporary", self._between.wait)
        self._hours = Hours(self.place, self._now_ms, self._between.wait)
        self._rows = LiveRows(self._live, UNTOUCHED)
        self._copy = Copy(self._beside, self._rows)
        return self

    def __exit__(self, *exc: object) -> None:
        self._beside.__exit__(*exc)

    def _opened(self) -> contextlib.AbstractContextManager[duckdb.DuckDBPyConnection]:
        return opened(self.database, time.monotonic() + WAIT_S)

    def survey(self) -> None:
        """Find where the klines of each month are, which closed ones have changed, what lies as minutes wrote it, and
        what is old."""
        with self._opened() as connection:  # which brings it up to this version
            self._old_rejects = old_rejects(connection, self._now_ms)
            self._between.schedules = collected(connection)
        self._bytes_before = self.database.stat().st_size
        with self._live.held():
            self._rows.begin()
            self._rows.brings_over = not is_exact(self._live.connection, "live")
            self._is_indexed = bool(self._execute(_INDEXES))
            clustered = dict(self._execute(f"SELECT {MONTH.sql_index('month')}, rows FROM live.clustered"))
            [(block, used, free)] = self._execute(
                """SELECT block_size, used_blocks, free_blocks FROM pragma_database_size()
                   WHERE database_name = 'live'"""
            )
        self._used, self._free = block * used, block * free
        self._months = {month.name: month for month in self._rows.survey()}
        closed = [month for month in self._months.values() if self._is_closed(month)]
        self._loose = [month.name for month in closed if clustered.get(month.index) != month.rows]
        self._has_changed = any(self._months[name].index <= max(clustered, default=-1) for name in self._loose)
        self._mixed = mixed(self._live, sorted({chunk for name in self._loose for chunk in self._months[name].chunks}))
        self._is_copied = self._is_copy_worth_it()
        changed = self._months if self._is_copied else self._loose
        with self._live.held():
            self._without_hours = klines_without_hours(self._live.connection, closed, changed)

    def plan(self) -> Plan:
        """What is to be done. A copy has each month twice, the first time to be sorted."""
        klines = self._klines_surveyed()
        if not self._is_copied:
            moved = sum(self._moved().values())
            size = moved * self._used // max(1, klines)
            room = min(moved, most_chunks(self._most_series()) * CHUNK) * STAGED_BYTES
            room += self._without_hours * HOURS_BYTES
            return maintain_plan(
                Upkept(
                    *(_rows(self._to_prove()), self._old_rejects),
                    months=self._moved(),
                    reads=size,
                    writes=size,
                    rooms=rooms([(self._beside.folder.parent, room)] if room else []),
                    within=True,
                    without_hours=self._without_hours,
                )
            )
        staged = max(month.rows for month in self._months.values()) * STAGED_BYTES
        more = klines * BROUGHT_OVER_BYTES if self._rows.brings_over else 0
        more += self._without_hours * HOURS_BYTES
        return maintain_plan(
            Upkept(
                *(klines, self._old_rejects),
                months={name: month.rows for name, month in self._months.items()},
                loose=self._loose,
                reads=2 * self._used,
                writes=2 * self._used + more,
                rooms=rooms([(self._beside.folder.parent, (self._used + staged + logged(klines) + more) * 21 // 20)]),
                brings_over=self._rows.brings_over,
                without_hours=self._without_hours,
            )
        )

    def _is_copy_worth_it(self) -> bool:
        """Whether a new file would be better than the old one with its last months put in order within.

        It would not be for the room that the next month takes. Nothing is put in order within where there is an index,
        as DuckDB then keeps the place of what is deleted; nor of too many series.
        """
        lying_loose = sum(self._months[name].chunks[chunk] for name in self._loose for chunk in self._mixed)
        spare = max((month.rows for month in self._months.values()), default=0) * MINUTES_BYTES
        has_holes = self._free - spare > max(FREE_BYTES, FREE_SHARE * (self._used + self._free))
        is_most = lying_loose * 2 > self._klines_surveyed()
        series = self._most_series()
        must_be = (self._is_indexed and bool(self._to_move())) or series > MOST_SERIES or self._rows.brings_over
        return bool(self._months and (is_most or has_holes or must_be))

    def _most_series(self) -> int:
        """Of a chunk that lies as minutes wrote it; 1 where none does."""
        return max((self._mixed[chunk] for chunk in self._to_move()), default=1)

    def _to_move(self) -> list[int]:
        """Chunks that lie as minutes wrote them, all of whose klines are of closed months."""
        is_open = {chunk for month in self._months.values() if not self._is_closed(month) for chunk in month.chunks}
        return [] if self._is_copied else sorted(self._mixed.keys() - is_open)

    def _moved(self) -> dict[str, int]:
        """How many klines of each month are to be moved within the file."""
        chunks = self._to_move()
        found = {name: sum(month.chunks[chunk] for chunk in chunks) for name, month in self._months.items()}
        return {name: rows for name, rows in found.items() if rows}

    def _to_prove(self) -> list[Month]:
        """The months that have changed since they were proved; all where all are copied."""
        months = self._months.values()
        return [each for each in months if self._is_copied or each.name in self._loose or not self._is_closed(each)]

    @property
    def wanted(self) -> int:
        """Months that have changed are proved unique; all klines are copied, or some moved."""
        worked_on = self._klines_surveyed() if self._is_copied else sum(self._moved().values())
        return _rows(self._to_prove()) + worked_on

    @property
    def left(self) -> int:
        """Those that are not looked through, and not copied or moved, yet."""
        return max(0, self.wanted - int(_rows(self._to_prove()) * self._doubles.share) - self._copied)

    def prune(self) -> int:
        """Delete the rejects that were last seen over 90 days ago; how many there were."""
        with self._opened() as connection:
            self._pruned = forget_rejects(connection, self._now_ms)
        return self._pruned

    def begin(self) -> list[str]:
        """Make the new file, and copy the restatements; its months. Or the span of months that are put in order within
        the file; none where all are."""
        if not self._is_copied and not self._to_move():
            self._settle()
            return []
        if not self._is_copied:
            return [span(list(self._moved()))]
        with self._live.held():
            self._beside.create()
        if self._rows.brings_over:
            make_exact(self._beside.connection, "beside")
        self._copy.history()
        return list(self._months)

    def prove(self) -> int:
        """Look for slots with more than one kline; how many there are."""
        find_doubles(self._live, self._to_prove(), self._doubles)
        if not self._is_copied and not self._to_move():
            self._note_months()
        return self._doubles.slots

    def _prove_counts(self) -> None:
        """Count all days that are over, and those anew that have another count than klines: of months that have changed
        each day is looked at, of others how many klines it adds up to."""
        count_days(self.place, self._now_ms, WAIT_S, wait=self._live.patience.wait)
        with self._live.held():
            noted = noted_by_month(self._live.connection, "live.")
        changed = {month.name for month in self._to_prove()}
        for month in self._months.values():
            if month.name not in changed and noted.get(month.index) == month.rows:
                continue
            with self._live.held():
                odd = odd_days(self._live.connection, month.window, "live.")
            if odd:
                self._miscounted += odd
                self._live.patience.wait()
                self.place.alone(time.monotonic() + WAIT_S, partial(count_again, month=month.window))

    def cluster(self, name: str) -> None:
        """Copy a month of the plan, in order; or put in order what lies within the file as minutes wrote it. Closed
        months are noted."""
        if not self._is_copied:
            self._slices.order({chunk: self._mixed[chunk] for chunk in self._to_move()}, self._note_moved)
            self._note_months()
            return
        month = self._months[name]
        with named_errors(self.database):
            self._copy.month(month)
        self._copied += month.rows
        if self._is_closed(month) and not self._doubles.slots:
            self._execute(f"INSERT INTO beside.clustered VALUES ({self._note_of(month)})")

    def _note_moved(self, klines: int) -> None:
        self._copied += klines

    def _note_months(self) -> None:
        """Note that the closed months that had changed are in order, and proved: none where slots have two klines."""
        changed = [self._months[name] for name in self._loose]
        if not changed or self._doubles.slots:
            return
        with self._opened() as connection, transaction(connection):
            for month in changed:
                connection.execute(
                    f"DELETE FROM clustered WHERE month = epoch_ms({month.window.start_ms}::BIGINT);"
                    f"INSERT INTO clustered VALUES ({self._note_of(month)})"
                )

    def _note_of(self, month: Month) -> str:
        return f"epoch_ms({month.window.start_ms}::BIGINT), {month.rows}, epoch_ms({self._now_ms}::BIGINT)"

    def _klines_surveyed(self) -> int:
        return _rows(self._months.values())

    def _is_closed(self, month: Month) -> bool:
        return month.window.end_ms <= self._now_ms

    def _settle(self) -> None:
        """Note what others need not look for, once there is room for it: the file may have been too full before."""
        self._note_ends()
        self._prove_counts()
        self._hours.make()

    def _note_ends(self) -> None:
        """Note the newest kline of every series: looked for among all where a month has changed that was in order."""
        with self._opened() as connection:
            note_ends(connection, newest(connection, whole=self._has_changed), self._now_ms)

    def swap(self) -> None:
        """Put the new file in the place of the old one, where one was made."""
        if self._is_copied:
            self._exchange()
        self._settle()

    def _exchange(self) -> None:
        """Copy what came since, and put the new file in the place of the old one: in one turn, when it fits."""
        for _ in range(ROUNDS):
            with named_errors(self.database):
                self._beside.settle()
            self._fold()
            with self._live.held():
                if self._copy.catch_up() and not self._wal.exists():
                    self._klines = self._copy.finish()
                    [(self._doubtful,)] = self._execute("SELECT count(*) FROM beside.doubtful")
                    self._beside.replace()
                    return
        raise DatabaseBusy(f"{self.database} is written faster than it is copied; run maintain at another time")

    @property
    def _wal(self) -> Path:
        """What a writer that was killed has left behind: it belongs to the old file."""
        return Path(f"{self._beside.target}.wal")

    def _fold(self) -> None:
        """Bring into the file what a killed writer has left behind."""
        if self._wal.exists():
            with self._opened():
                pass

    def outcome(self) -> Outcome:
        """The final state, with counts."""
        rows, moved = self._klines_surveyed(), 0 if self._is_copied else self._copied
        return maintain_outcome(
            MaintainFacts(
                reclustered=self._loose if self._is_copied else list(self._moved()),
                is_replaced=self._klines is not None,
                klines=rows if self._klines is None else self._klines,
                moved=moved,
                proved=_rows(self._to_prove()) - self._doubles.surplus - self._doubles.slots,
                bytes_before=self._bytes_before,
                bytes_after=self.database.stat().st_size,
                pruned=self._pruned,
                doubles=self._doubles.slots,
                examples=self._doubles.examples,
                seconds=time.monotonic() - self._began_s,
                held_s=max(self._live.longest_s, self._slices.longest_s, self._hours.longest_s),
                brought_over=self._rows.brings_over and self._klines is not None,
                doubtful=self._doubtful,
                miscounted=self._miscounted,
                hours=self._hours.made,
            )
        )

    def _execute(self, sql: str) -> list[tuple[Any, ...]]:
        return self._live.connection.execute(sql).fetchall()


def _rows(months: Iterable[Month]) -> int:
    """Klines of all of them."""
    return sum(month.rows for month in months)
