"""Klines from the database in use, `live`, into the new one, `beside`: month by month in order, then what came since.

Months that are in order already are sorted, too. Without that, each of DuckDB's threads leaves half-full row groups,
which it merges later, when somebody waits for the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from klines.columns import KEY, VALUES, in_sql
from klines.errors import BadDatabase
from klines.maintain.live_rows import COUNT_AND_HASH, LiveRows, state_sql
from klines.maintain.staging import sort_staged
from klines.maintain.survey import PART_ROWS, Month, RowRange, ranges
from klines.storage.beside import Beside

_KEY = in_sql(KEY)
_SAME = " AND ".join(f"k.{name} = f.{name}" for name in KEY)
_GROWING = [("main", "klines"), ("main", "restatements"), ("main", "clustered")]
_MADE_ANEW = [("main", "hours"), ("main", "hours_to_make")]
UNTOUCHED = "the database is as it was; run maintain again"


@dataclass(slots=True)
class Copy:
    """The copy so far of `rows`."""

    beside: Beside
    rows: LiveRows

    def history(self) -> None:
        """Copy the restatements there were."""
        parts = ranges(0, self.rows.notes, PART_ROWS)
        self.rows.live.in_turns(parts, self._append_notes)

    def month(self, month: Month) -> None:
        """Copy a month, by market, kind, interval, symbol and open time."""
        [(first,)] = self._execute("SELECT coalesce(max(rowid) + 1, 0) FROM beside.klines")
        with self.beside.staging():
            read = self.rows.stage(month)
            sort_staged(self.beside.connection, "beside.klines", self.rows.live.patience.wait)
        if self._execute(f"SELECT {COUNT_AND_HASH} FROM beside.klines k WHERE rowid >= {first}") != [read] or (
            read[0] != month.rows
        ):
            raise BadDatabase(f"{month.name} was not copied as it is; {UNTOUCHED}")

    def catch_up(self) -> bool:
        """As `LiveRows.catch_up`."""
        return self.rows.catch_up(self._append, self._restate)

    def _append(self, part: RowRange) -> None:
        self._execute(f"INSERT INTO beside.klines SELECT {self.rows.columns} {part.sql}")
        self.rows.note_doubts(part)

    def _append_notes(self, part: RowRange) -> None:
        self._execute(f"INSERT INTO beside.restatements {part.notes_sql}")

    def _restate(self, part: RowRange) -> None:
        """Give the klines of some restatements the values that they have now."""
        keys = f"SELECT DISTINCT {_KEY} {part.notes_sql}"
        columns = ", ".join(f"{name} = f.{name}" for name in (*VALUES, "source"))
        self._execute(
            f"""CREATE OR REPLACE TEMP TABLE fresh AS
                SELECT {self.rows.columns} FROM live.klines k SEMI JOIN ({keys}) USING ({_KEY})"""
        )
        [(changed,)] = self._execute(
            f"""UPDATE beside.klines k SET {columns} FROM fresh f
                WHERE {_SAME}"""
        )
        if [(changed,)] != self._execute("SELECT count(*) FROM fresh"):
            raise BadDatabase(f"klines that were restated meanwhile were not found in the copy; {UNTOUCHED}")
        self._append_notes(part)

    def finish(self) -> int:
        """Copy all other tables; returns how many klines there are. The database is held, and caught up with.

        Raises BadDatabase where anything is not in the copy that is in the database.
        """
        if self._schema("live") != self._schema("beside"):
            raise BadDatabase(f"the schema was changed meanwhile; {UNTOUCHED}")
        tables = "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = 'live'"
        for schema, table in self._execute(tables):
            if (schema, table) not in (*_GROWING, *_MADE_ANEW):
                self._execute(f'INSERT INTO beside."{schema}"."{table}" FROM live."{schema}"."{table}"')
        self._execute(
            "INSERT INTO beside.clustered FROM live.clustered WHERE month NOT IN (SELECT month FROM beside.clustered)"
        )
        self._execute("UPDATE beside.counted SET hours_until = NULL")
        if self.rows.brings_over:
            self._execute("UPDATE beside.schema_version SET exact = true")
        if self._execute(state_sql("live")) != self._execute(state_sql("beside")):
            raise BadDatabase(f"klines were moved or deleted meanwhile; {UNTOUCHED}")
        [(rows,)] = self._execute("SELECT count(*) FROM beside.klines")
        return int(rows)

    def _schema(self, database: str) -> list[tuple[Any, ...]]:
        """Schema, name and definition of the tables, views and macros; of klines that are brought over, none."""
        others = "AND table_name <> 'klines'" if self.rows.brings_over else ""
        return self._execute(
            f"""
            SELECT schema_name, table_name AS name, sql FROM duckdb_tables() WHERE database_name = $1 {others}
            UNION ALL SELECT schema_name, view_name, sql FROM duckdb_views() WHERE database_name = $1 AND NOT internal
            UNION ALL SELECT schema_name, function_name, macro_definition FROM duckdb_functions()
                      WHERE database_name = $1 AND NOT internal
            ORDER BY ALL
            """,
            database,
        )

    def _execute(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        return self.beside.connection.execute(sql, list(parameters)).fetchall()
