"""The note that `klines move` leaves in a database: it is filled from another one, or it has moved to another one.

Whoever writes is refused by either: what he stored would be where nobody looks for it, or where it is copied over. Who
only reads may go on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import duckdb

from klines.errors import BadDatabase

NOTE = "moves"
"""The table of the note: no migration makes it, and no move copies it."""
Way = Literal["from", "to"]


@dataclass(frozen=True, slots=True)
class MoveNote:
    """Filled from, or moved to, another place; `token` is a word of the move's own."""

    way: Way
    place: str
    token: str


def read_note(connection: duckdb.DuckDBPyConnection, database: str = "") -> MoveNote | None:
    """The note in a database that is attached under a name, or in the connection's own; None where it has none."""
    try:
        rows = connection.execute(f"SELECT way, place, token FROM {_table(database)}").fetchall()
    except (duckdb.CatalogException, duckdb.BinderException):
        return None
    return MoveNote(*rows[-1]) if rows else None


def write_note(connection: duckdb.DuckDBPyConnection, note: MoveNote, database: str = "") -> None:
    """Leave a note, in the place of one that is there."""
    remove_note(connection, database)
    connection.execute(
        f"CREATE TABLE {_table(database)} AS SELECT ?::VARCHAR AS way, ?::VARCHAR AS place, ?::VARCHAR AS token",
        [note.way, note.place, note.token],
    )


def remove_note(connection: duckdb.DuckDBPyConnection, database: str = "") -> None:
    """Let whoever wants to write do so."""
    connection.execute(f"DROP TABLE IF EXISTS {_table(database)}")


def check_not_moved(connection: duckdb.DuckDBPyConnection, place: object) -> None:
    """Raises BadDatabase where there is a note in the connection's own database, which is at `place`."""
    if note := read_note(connection):
        raise BadDatabase(why_refused(note, place))


def why_refused(note: MoveNote, place: object) -> str:
    """Why nobody writes there, and what to do."""
    if note.way == "to":
        return f"KLINES_DATABASE: {place} has moved to {note.place}, and nothing was stored here: set it to that"
    return (
        f"KLINES_DATABASE: {place} is being filled from {note.place} by `klines move`; nothing was stored: let that "
        "come to its end first"
    )


def _table(database: str) -> str:
    return f"{database}.main.{NOTE}" if database else NOTE
