"""A move: all that a database holds is copied into the other kind of place, month by month, while it is in use.

What is copied of a month is compared by the certificate's hash of each series with what was read; then what was stored
or changed meanwhile follows. In the last step, of seconds, nobody writes: the rest follows, the other tables and counts
are compared, and the old place is closed for writers. A move that was ended early goes on: a month that has as many
klines as its source is not copied again, but compared as the others.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import duckdb

from klines.columns import HASH, KEY, in_sql
from klines.errors import BadDatabase, BadParameter, DatabaseBusy
from klines.maintain.live_rows import COUNT_AND_HASH, state_sql
from klines.maintain.survey import Month
from klines.move.rest import bring_others, look_at_others
from klines.move.sources import AGAIN, FileSource, LakeSource, MoveSource
from klines.move.targets import FileTarget, LakeTarget, MoveTarget, clear, count_of, replace
from klines.outcome import Plan, counted, names
from klines.storage.beside import Beside, logged
from klines.storage.lake.extensions import connect_with
from klines.storage.lake.instance import EXTENSIONS
from klines.storage.lake.lake import Lake
from klines.storage.moved import MoveNote, why_refused
from klines.storage.place import Place
from klines.storage.places import check_place
from klines.storage.room import rooms
from klines.window import within

STAGED_BYTES = 200
"""What a kline takes at most beside the file while its month is put in order."""
ROUNDS = 100
"""How often what came meanwhile is copied."""


@dataclass(frozen=True, slots=True)
class MovePlan:
    """What is to be copied: months by name, and all of it for people and programs."""

    months: list[str]
    whole: Plan


class Move:
    """Use as `with`: plan, begin, copy each month of the plan, verify each, finish. Where `is_over`, an earlier move
    came to its end, and finishing is all there is to do.

    `now_ms` is when it began. Raises BadParameter for two places of one kind, a target that is not empty, and one where
    no database can be; BadDatabase for a source that has moved elsewhere.
    """

    def __init__(self, source: Place, target: Place, now_ms: int) -> None:
        self.source, self.target = source, target
        self.is_over = False
        self._now_ms = now_ms
        self._began_s = time.monotonic()
        self._stack = contextlib.ExitStack()
        self._beside: Beside
        self._source: MoveSource
        self._target: MoveTarget
        self._months: dict[str, Month] = {}
        self._plan = Plan("")
        self._copied = 0
        self._anew: list[str] = []

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self._enter(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def _enter(self, stack: contextlib.ExitStack) -> None:
        here, there = _kind(self.source), _kind(self.target)
        if isinstance(here, Path) and isinstance(there, Lake):
            connection = self._in_folder_of(here, stack)
            self._source, self._target = FileSource(connection, here), LakeTarget(connection, there)
        elif isinstance(here, Lake) and isinstance(there, Path):
            _check_target(there)
            connection = self._in_folder_of(there, stack)
            self._source, self._target = LakeSource(connection, here, self._now_ms), FileTarget(connection, there)
        else:
            raise BadParameter(f"--to: {self.target} is of the same kind as {self.source}; {_OF_ONE_KIND}")
        stack.callback(self._target.close)
        note = self._source.note()
        self.is_over = note is not None and (note.way, note.place) == ("to", str(self.target))
        if self.is_over:
            return
        if note:
            raise BadDatabase(why_refused(note, self.source))
        self._target.check(str(self.source))

    def _in_folder_of(self, file: Path, stack: contextlib.ExitStack) -> duckdb.DuckDBPyConnection:
        """A connection with room for what is half done beside the file, which nobody maintains meanwhile."""
        self._beside = stack.enter_context(Beside(file, lambda: connect_with(*EXTENSIONS)))
        self._beside.connection.execute(
            """CREATE TEMP TABLE digests (
                   month INTEGER, market VARCHAR, kind VARCHAR, interval VARCHAR, symbol VARCHAR, klines BIGINT,
                   hash UHUGEINT)"""
        )
        return self._beside.connection

    def plan(self) -> MovePlan:
        """Look at what there is now, and at what it needs: room for all of it, and for a month that is sorted."""
        self._source.begin()
        self._months = {month.name: month for month in self._source.survey()}
        klines = sum(month.rows for month in self._months.values())
        largest = max((month.rows for month in self._months.values()), default=0)
        staged = largest * STAGED_BYTES + logged(largest)
        needed = klines * self._target.bytes_a_kline
        left = max(0, needed - (self.target.size() if self.target.exists() else 0))
        self._plan = Plan(
            does=_does(klines, list(self._months)),
            counts={"klines": klines, "months": len(self._months)},
            reads=self.source.size(),
            writes=needed,
            rooms=rooms([(self._beside.target.parent, staged), (self._target.folder, left)]),
        )
        return MovePlan(list(self._months), self._plan)

    def begin(self) -> None:
        """Make the target, and bring the other tables there as they are now. Raises NoRoom before anything is made."""
        self._plan.check()
        self._target.begin(str(self.source))
        self._bring_others()

    def copy(self, name: str) -> None:
        """Copy a month of the plan, unless as many klines as it has are there already."""
        with self._target.opened():
            self._copy(self._months[name], anew=False)

    def _copy(self, month: Month, *, anew: bool) -> None:
        with self._beside.staging():
            read = self._source.stage(month)
            if [read] != self._execute(f"SELECT {COUNT_AND_HASH} FROM staging.klines k"):
                raise BadDatabase(f"{month.name} was not read as it is; {AGAIN}")
            self._note_hashes(month)
            there = count_of(self._beside.connection, month)
            if there == read[0] and not anew:
                return
            if there:
                clear(self._beside.connection, month)
            self._target.take(month)
            self._note_order(month, read[0])
        self._copied += read[0]

    def _note_hashes(self, month: Month) -> None:
        self._execute(f"DELETE FROM digests WHERE month = {month.index}")
        self._execute(f"INSERT INTO digests SELECT {month.index}, {_DIGEST} FROM staging.klines GROUP BY ALL")

    def _note_order(self, month: Month, klines: int) -> None:
        """A closed month lies in order there: maintenance need not do it again."""
        start = f"epoch_ms({month.window.start_ms}::BIGINT)"
        self._execute(f"DELETE FROM beside.clustered WHERE month = {start}")
        if month.window.end_ms <= self._now_ms:
            self._execute(f"INSERT INTO beside.clustered VALUES ({start}, {klines}, epoch_ms({self._now_ms}::BIGINT))")

    def verify(self, name: str) -> None:
        """Compare a month's series with what was read of them; one that differs is copied anew, once."""
        month = self._months[name]
        with self._target.opened():
            if not self._differing(month):
                return
            self._anew.append(name)
            self._copy(month, anew=True)
            if odd := self._differing(month):
                raise BadDatabase(f"of {name}, {names(odd)} are not in {self.target} as they are in {self.source}")

    def _differing(self, month: Month) -> list[str]:
        """The series whose hash or number of klines is another than what was read, as `spot BTCUSDT 1m`."""
        rows = self._execute(
            f"""
            WITH here AS (SELECT * EXCLUDE (month) FROM digests WHERE month = {month.index}),
                 there AS (SELECT {_DIGEST} FROM beside.klines WHERE {within(month.window)} GROUP BY ALL)
            SELECT DISTINCT format('{{}} {{}} {{}}', concat_ws(' ', market, nullif(kind, 'klines')), symbol, interval)
            FROM ((FROM here EXCEPT FROM there) UNION ALL (FROM there EXCEPT FROM here)) ORDER BY 1
            """
        )
        return [name for (name,) in rows]

    def finish(self) -> None:
        """Copy what was stored and changed meanwhile, and the rest while nobody writes; then let others write there."""
        if not self.is_over:
            self._follow()
            self._source.close_for(self._last_step, MoveNote("to", str(self.target), ""))
        self._target.release()

    def _follow(self) -> None:
        for _ in range(ROUNDS):
            if self._catch_up():
                return
        raise DatabaseBusy(f"{self.source} is written faster than it is copied; {AGAIN} at another time")

    def _catch_up(self) -> bool:
        """Copy what was stored and changed since, or some of it; whether that was all, and was little."""
        with self._target.opened():
            with self._source.held():
                is_little = self._source.collect()
            for span in replace(self._beside.connection):
                there = f"SELECT b.* FROM beside.klines b SEMI JOIN (FROM fresh WHERE {span}) USING ({in_sql(KEY)})"
                if self._execute(f"SELECT {COUNT_AND_HASH} FROM ({there} WHERE {span}) k") != self._execute(
                    f"SELECT {COUNT_AND_HASH} FROM fresh k WHERE {span}"
                ):
                    raise BadDatabase(f"klines that were stored meanwhile were not copied as they are; {AGAIN}")
        return is_little

    def _bring_others(self) -> None:
        with self._target.opened():
            with self._source.held():
                tables = look_at_others(self._beside.connection)
            if odd := bring_others(self._beside.connection, tables):
                raise BadDatabase(f"the table {odd[0]} was not copied as it is; {AGAIN}")

    def _last_step(self) -> None:
        """Nobody writes the source."""
        while not self._catch_up():
            pass
        self._bring_others()
        with self._target.opened(), self._source.held():
            if self._execute(state_sql("live")) != self._execute(state_sql("beside")):
                raise BadDatabase(
                    f"{self.target} has not as many klines as {self.source}, or others: a slot may have two, as "
                    f"`klines maintain` tells. {self.source} is in use as before; {AGAIN}"
                )

    def said(self) -> str:
        """What was done, in one line."""
        if self.is_over:
            return f"{self.source} had moved to {self.target} already"
        [(series,)] = self._execute("SELECT count(DISTINCT (market, kind, interval, symbol)) FROM digests")
        klines = sum(month.rows for month in self._months.values())
        anew = f", after what differed was copied anew: {names(self._anew)}" if self._anew else ""
        return (
            f"moved {counted(klines, 'kline')} in {counted(len(self._months), 'month')}, {self._copied:,} copied now; "
            f"the hashes of {series:,} series are the same{anew}; took {time.monotonic() - self._began_s:.0f} s, "
            f"others waited {self._source.longest_s:.1f} s at most"
        )

    def _execute(self, sql: str) -> list[tuple[Any, ...]]:
        return self._beside.connection.execute(sql).fetchall()


_DIGEST = f"market, kind, interval, symbol, count(*) AS klines, {HASH} AS hash"
_OF_ONE_KIND = "a move is from a file to a lake or back. A file is moved by copying it, as docs/operating.md says"


def _kind(place: Place) -> Path | Lake:
    def of_file(path: Path) -> Path | Lake:
        return path

    def of_lake(lake: Lake) -> Path | Lake:
        return lake

    return place.upkeep(of_file, of_lake)


def _check_target(file: Path) -> None:
    try:
        check_place(file)
    except (BadParameter, BadDatabase) as error:
        raise type(error)(str(error).replace("KLINES_DATABASE:", "--to:")) from None


def _does(klines: int, months: list[str]) -> str:
    """`planned to move 10,254 klines in 2 months, 2025-12 to 2026-01`."""
    span = f", {months[0]} to {months[-1]}" if months else ""
    return f"planned to move {counted(klines, 'kline')} in {counted(len(months), 'month')}{span}"
