"""The klines of the database in use, `live`, up to the last one that was copied: read in short turns.

Its tables klines and restatements only grow, and every change of a kline's values adds a restatement. So what is new is
in the rows after those that were copied.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from klines.columns import KEY, in_sql
from klines.errors import BadDatabase
from klines.maintain.survey import CHUNK, MONTH, PART_ROWS, Month, RowRange, months, ranges
from klines.rows import OFF_GRID_ERA
from klines.storage.live import Live
from klines.storage.schema.exact import BROUGHT_OVER, IS_DOUBTFUL
from klines.window import within

NOTED_AT_ONCE = 20_000
"""Restatements whose klines are looked up together."""
LITTLE = 50_000
"""Klines that may be new in the last turn."""
SURVEYED_AT_ONCE = 8 * CHUNK
_KEY = in_sql(KEY)


@dataclass(slots=True)
class LiveRows:
    """What is copied: of klines the rows before `klines`, of restatements those before `notes`. `advice` ends what is
    said where it can't go on. Klines are read as `columns`: with `brings_over` those of a file that has amounts as
    doubles, which become decimals; those that are doubtful are noted in `beside`."""

    live: Live
    advice: str
    klines: int = 0
    notes: int = 0
    brings_over: bool = False
    _last: list[tuple[Any, ...]] = field(default_factory=list)

    def begin(self) -> None:
        """Note what there is to copy: all klines and restatements of now. The database is held."""
        self.klines, self.notes = self._end("klines"), self._end("restatements")
        self._last = self._last_rows()

    @property
    def columns(self) -> str:
        """All columns of a row `k`."""
        return f"k.* REPLACE ({BROUGHT_OVER})" if self.brings_over else "k.*"

    def note_doubts(self, part: RowRange) -> None:
        """Note which of the klines may have an amount that is not Binance's, each once."""
        if self.brings_over:
            doubtful = f"SELECT {_KEY} {part.sql} AND ({IS_DOUBTFUL})"
            self._execute(
                f"INSERT INTO beside.doubtful BY NAME FROM ({doubtful}) ANTI JOIN beside.doubtful USING ({_KEY})"
            )

    def survey(self) -> list[Month]:
        """Where the klines of each month are."""
        counted: list[tuple[Any, ...]] = []
        parts = ranges(0, self.klines, SURVEYED_AT_ONCE)
        self.live.in_turns(parts, lambda part: counted.extend(self._counted(part)))
        return months(counted)

    def _counted(self, part: RowRange) -> list[tuple[Any, ...]]:
        return self._execute(
            f"""SELECT {MONTH.sql_index("open_time")} AS month, rowid // {CHUNK} AS chunk, interval, count(*),
                       epoch_ms(min(open_time)), epoch_ms(max(open_time))
                {part.sql} GROUP BY ALL"""
        )

    def stage(self, month: Month) -> tuple[int, int]:
        """Copy a month to the table staging.klines; how many klines were read, and the sum of their hashes."""
        read = [0, 0]

        def take(part: RowRange) -> None:
            self._execute(f"INSERT INTO staging.klines SELECT {self.columns} {part.sql}")
            [found] = self._execute(f"SELECT {COUNT_AND_HASH} FROM (SELECT {self.columns} {part.sql}) k")
            self.note_doubts(part)
            read[:] = [before + now for before, now in zip(read, found, strict=True)]

        self.live.in_turns(month.parts(self.klines), take)
        return read[0], read[1]

    def catch_up(self, append: Callable[[RowRange], None], restate: Callable[[RowRange], None]) -> bool:
        """Call `append` with the klines that were stored since, then `restate` with the restatements, for one turn;
        whether that was all, and was little.

        The database is held. Raises BadDatabase where rows have gone, so that others have other places now.
        """
        if self._last != self._last_rows():
            raise BadDatabase(f"rows were deleted meanwhile; {self.advice}")
        end = self._end("klines", self.klines)
        is_little = end - self.klines <= LITTLE

        def take(part: RowRange) -> None:
            append(part)
            self.klines = part.end

        def take_note(part: RowRange) -> None:
            restate(part)
            self.notes = part.end

        stored = deque(ranges(self.klines, end, PART_ROWS))
        self.live.some(stored, take)
        noted = deque(ranges(self.notes, self._end("restatements", self.notes), NOTED_AT_ONCE))
        if not stored:
            self.live.some(noted, take_note)
        self._last = self._last_rows()
        return is_little and not stored and not noted

    def _last_rows(self) -> list[tuple[Any, ...]]:
        """The keys of the last kline and the last restatement that are copied."""
        return self._execute(
            f"""SELECT 'kline', {_KEY} FROM live.klines WHERE rowid = {self.klines - 1}
                UNION ALL SELECT 'note', {_KEY} FROM live.restatements WHERE rowid = {self.notes - 1}"""
        )

    def _end(self, table: str, from_row: int = 0) -> int:
        """The row after the last one."""
        [(end,)] = self._execute(
            f"SELECT coalesce(max(rowid) + 1, {from_row}) FROM live.{table} WHERE rowid >= {from_row}"
        )
        return int(end)

    def _execute(self, sql: str) -> list[tuple[Any, ...]]:
        return self.live.connection.execute(sql).fetchall()


COUNT_AND_HASH = "count(*), coalesce(sum(hash(k)), 0)"
"""What two equal sets of klines `k` have in common."""


def state_sql(database: str) -> str:
    """A query of how many klines and restatements an attached database has, and of a hash of the keys of the days on
    which klines can move."""
    eras = " OR ".join(f"({within(era)})" for era in OFF_GRID_ERA)
    return f"""SELECT count(*), (SELECT count(*) FROM {database}.restatements),
                      (SELECT sum(hash({_KEY})) FROM {database}.klines WHERE {eras})
               FROM {database}.klines"""
