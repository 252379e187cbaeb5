"""Klines from the database in use, `live`, into the new one, `beside`: month by month in order, then what came since.

Months that are in order already are sorted, too. Without that, each of DuckDB's threads leaves half-full row groups,
which it merges later, when somebody waits for the file.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from klines.columns import KEY, VALUES, in_sql
from klines.errors import BadDatabase
from klines.maintain.survey import PART_ROWS, Month, RowRange, ranges
from klines.rows import OFF_GRID_ERA
from klines.storage.beside import Beside
from klines.storage.live import Live

SORTED_AT_ONCE = 2_000_000
"""Klines that are sorted in memory together; a symbol's month always is, however many klines it has."""
NOTED_AT_ONCE = 20_000
"""Restatements whose klines are looked up together."""
LITTLE = 50_000
"""Klines that may be new in the last turn."""
_KEY = in_sql(KEY)
_GROWING = [("main", "klines"), ("main", "restatements"), ("main", "clustered")]
_UNTOUCHED = "the database is as it was; run maintain again"


@dataclass(slots=True)
class Copy:
    """The copy so far: of klines the rows before `klines`, of restatements those before `notes`.

    Both tables only grow, and every change of a kline's values adds a restatement.
    """

    live: Live
    beside: Beside
    klines: int = 0
    notes: int = 0
    _last: list[tuple[Any, ...]] = field(default_factory=list)
    _count: int = 0
    _hash: int = 0

    def begin(self) -> None:
        """Note what there is to copy: all klines and restatements of now. The database is held."""
        self.klines, self.notes = self._end("live.klines"), self._end("live.restatements")
        self._last = self._last_rows()

    def history(self) -> None:
        """Copy the restatements there were."""
        self.live.in_turns(ranges(0, self.notes, PART_ROWS), self._append_notes)

    def month(self, month: Month) -> None:
        """Copy a month, by market, interval, symbol and open time."""
        first = self._end("beside.klines")
        self._count = self._hash = 0
        with self.beside.staging():
            self.live.in_turns(month.parts(self.klines), self._stage)
            self._sort()
        self._compare(first, month)

    def _stage(self, part: RowRange) -> None:
        self._execute(f"INSERT INTO staging.klines SELECT k.* {part.sql}")
        [(count, total)] = self._execute(f"SELECT count(*), coalesce(sum(hash(k)), 0) {part.sql}")
        self._count, self._hash = self._count + count, self._hash + total

    def _sort(self) -> None:
        for market, interval, first, last in self._slices():
            self._execute(
                """INSERT INTO beside.klines FROM staging.klines
                   WHERE market = ? AND interval = ? AND symbol BETWEEN ? AND ? ORDER BY symbol, open_time""",
                market, interval, first, last,
            )  # fmt: skip

    def _slices(self) -> Iterator[tuple[str, str, str, str]]:
        """Market, interval, first and last symbol of what can be sorted at once; in order."""
        series = self._execute(
            "SELECT market, interval, symbol, count(*) FROM staging.klines GROUP BY ALL ORDER BY ALL"
        )
        while series:
            market, interval, first, rows = series.pop(0)
            last = first
            while series and series[0][:2] == (market, interval) and rows + series[0][3] <= SORTED_AT_ONCE:
                last, rows = series[0][2], rows + series.pop(0)[3]
            yield market, interval, first, last

    def _compare(self, first: int, month: Month) -> None:
        """Raises BadDatabase unless the rows from `first` on are those that were read."""
        found = self._execute(f"SELECT count(*), coalesce(sum(hash(k)), 0) FROM beside.klines k WHERE rowid >= {first}")
        if found != [(self._count, self._hash)] or self._count != month.rows:
            raise BadDatabase(f"{month.name} was not copied as it is; {_UNTOUCHED}")

    def catch_up(self) -> bool:
        """Copy what was stored or changed since, for one turn; whether that was all, and was little.

        The database is held. Raises BadDatabase where rows have gone, so that others have other places now.
        """
        if self._last != self._last_rows():
            raise BadDatabase(f"rows were deleted meanwhile; {_UNTOUCHED}")
        end = self._end("live.klines", self.klines)
        is_little = end - self.klines <= LITTLE
        stored = deque(ranges(self.klines, end, PART_ROWS))
        self.live.some(stored, self._append)
        noted = deque(ranges(self.notes, self._end("live.restatements", self.notes), NOTED_AT_ONCE))
        if not stored:
            self.live.some(noted, self._restate)
        self._last = self._last_rows()
        return is_little and not stored and not noted

    def _last_rows(self) -> list[tuple[Any, ...]]:
        """The keys of the last kline and the last restatement that are copied."""
        return self._execute(
            f"""SELECT 'kline', {_KEY} FROM live.klines WHERE rowid = {self.klines - 1}
                UNION ALL SELECT 'note', {_KEY} FROM live.restatements WHERE rowid = {self.notes - 1}"""
        )

    def _append(self, part: RowRange) -> None:
        self._execute(f"INSERT INTO beside.klines SELECT k.* {part.sql}")
        self.klines = part.end

    def _append_notes(self, part: RowRange) -> None:
        rows = f"FROM live.restatements WHERE rowid >= {part.first} AND rowid < {part.end}"
        self._execute(f"INSERT INTO beside.restatements {rows}")

    def _restate(self, part: RowRange) -> None:
        """Give the klines of some restatements the values that they have now."""
        keys = f"SELECT DISTINCT {_KEY} FROM live.restatements WHERE rowid >= {part.first} AND rowid < {part.end}"
        columns = ", ".join(f"{name} = f.{name}" for name in (*VALUES, "source"))
        self._execute(f"CREATE OR REPLACE TEMP TABLE fresh AS FROM live.klines SEMI JOIN ({keys}) USING ({_KEY})")
        [(changed,)] = self._execute(
            f"""UPDATE beside.klines k SET {columns} FROM fresh f
                WHERE k.market = f.market AND k.symbol = f.symbol AND k.interval = f.interval
                  AND k.open_time = f.open_time"""
        )
        if [(changed,)] != self._execute("SELECT count(*) FROM fresh"):
            raise BadDatabase(f"klines that were restated meanwhile were not found in the copy; {_UNTOUCHED}")
        self._append_notes(part)
        self.notes = part.end

    def finish(self) -> int:
        """Copy all other tables; returns how many klines there are. The database is held, and caught up with.

        Raises BadDatabase where anything is not in the copy that is in the database.
        """
        if self._schema("live") != self._schema("beside"):
            raise BadDatabase(f"the schema was changed meanwhile; {_UNTOUCHED}")
        tables = "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = 'live'"
        for schema, table in self._execute(tables):
            if (schema, table) not in _GROWING:
                self._execute(f'INSERT INTO beside."{schema}"."{table}" FROM live."{schema}"."{table}"')
        self._execute(
            "INSERT INTO beside.clustered FROM live.clustered WHERE month NOT IN (SELECT month FROM beside.clustered)"
        )
        if self._state("live") != self._state("beside"):
            raise BadDatabase(f"klines were moved or deleted meanwhile; {_UNTOUCHED}")
        [(rows,)] = self._execute("SELECT count(*) FROM beside.klines")
        return int(rows)

    def _schema(self, database: str) -> list[tuple[Any, ...]]:
        """Schema, name and definition of the tables, views and macros."""
        return self._execute(
            """
            SELECT schema_name, table_name AS name, sql FROM duckdb_tables() WHERE database_name = $1
            UNION ALL SELECT schema_name, view_name, sql FROM duckdb_views() WHERE database_name = $1 AND NOT internal
            UNION ALL SELECT schema_name, function_name, macro_definition FROM duckdb_functions()
                      WHERE database_name = $1 AND NOT internal
            ORDER BY ALL
            """,
            database,
        )

    def _state(self, database: str) -> list[tuple[Any, ...]]:
        """How many klines and restatements there are, and a hash of the keys of the days on which they can move."""
        eras = " OR ".join(
            f"(open_time >= epoch_ms({era.start_ms}::BIGINT) AND open_time < epoch_ms({era.end_ms}::BIGINT))"
            for era in OFF_GRID_ERA
        )
        return self._execute(
            f"""SELECT count(*), (SELECT count(*) FROM {database}.restatements),
                       (SELECT sum(hash({_KEY})) FROM {database}.klines WHERE {eras})
                FROM {database}.klines"""
        )

    def _end(self, table: str, from_row: int = 0) -> int:
        """The row after the last one."""
        [(end,)] = self._execute(f"SELECT coalesce(max(rowid) + 1, {from_row}) FROM {table} WHERE rowid >= {from_row}")
        return int(end)

    def _execute(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        return self.live.connection.execute(sql, list(parameters)).fetchall()
