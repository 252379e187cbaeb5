"""What a move finds at its two ends before it changes anything: nothing, rows, or the note of an earlier move."""

from __future__ import annotations

import uuid

import duckdb

from klines.errors import BadParameter
from klines.outcome import counted
from klines.storage.literal import literal
from klines.storage.moved import MoveNote, read_note, why_refused

KEPT_APART = ("schema_version",)
"""Tables of a database that are not what is stored in it."""


def tables_of(connection: duckdb.DuckDBPyConnection, database: str) -> list[str]:
    """The names of an attached database's tables. They are not asked of duckdb_tables(): that counts a lake's rows, and
    then waits now and then for ever (DuckDB 1.5.5)."""
    found = connection.execute(
        """SELECT table_name FROM duckdb_columns() WHERE database_name = $1 AND schema_name = 'main'
           EXCEPT SELECT view_name FROM duckdb_views() WHERE database_name = $1 ORDER BY 1""",
        [database],
    )
    return [name for (name,) in found.fetchall()]


def note_to_fill(connection: duckdb.DuckDBPyConnection, database: str, name: str, source: str) -> MoveNote | None:
    """The note of a move from `source` that was begun into the attached database; None where that is empty.

    Raises BadParameter where it holds anything else; `name` is what messages call it.
    """
    note = read_note(connection, database)
    if note and (note.way, note.place) == ("from", source):
        return note
    if note:
        raise BadParameter(f"--to: {why_refused(note, name).removeprefix('KLINES_DATABASE: ')}")
    tables = [table for table in tables_of(connection, database) if table not in KEPT_APART]
    counts = [f'SELECT {literal(table)}, count(*) FROM {database}.main."{table}"' for table in tables]
    for table, rows in connection.execute(" UNION ALL ".join(counts)).fetchall() if counts else ():
        if rows:
            raise BadParameter(
                f"--to: {name} is not empty, it has {counted(rows, 'row')} in its table {table}; nothing was copied. "
                "Name a place where nothing is yet"
            )
    return None


def note_of_source(source: str) -> MoveNote:
    """What is noted in a target before anything is copied there."""
    return MoveNote("from", source, uuid.uuid4().hex[:12])
