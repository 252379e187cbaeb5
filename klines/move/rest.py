"""All tables but klines, brought from `live` to `beside`: of each what differs, so that the last time takes little.

Which tables there are is read from the schema: those of this version, and a user's own.
"""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from klines.errors import BadDatabase
from klines.maintain.live_rows import COUNT_AND_HASH
from klines.move.note import KEPT_APART, tables_of
from klines.storage.literal import literal
from klines.storage.moved import NOTE
from klines.tables.transaction import transaction

APART = ("klines", "clustered", "daily_counts", "counted", "hours", "hours_to_make", NOTE, *KEPT_APART)
"""Tables that are not brought: klines are copied by month, are counted and summed there anew, and which months lie in
order is another matter there."""


def look_at_others(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Take what all other tables of `live` hold now; their names. A user's own are made in `beside`.

    Raises BadDatabase where a table has other columns there.
    """
    tables = [table for table in tables_of(connection, "live") if table not in APART]
    for table in tables:
        connection.execute(f"CREATE OR REPLACE TEMP TABLE {_seen(table)} AS FROM live.main.{_quoted(table)}")
    for table in set(tables) - set(tables_of(connection, "beside")):
        connection.execute(f"CREATE TABLE {_there(table)} AS FROM {_seen(table)} LIMIT 0")
    columns = """SELECT table_name, column_index, column_name, data_type FROM duckdb_columns()
                 WHERE schema_name = 'main' AND database_name = """
    odd = connection.execute(f"({columns} 'live') EXCEPT ({columns} 'beside') ORDER BY 1").fetchall()
    if odd := [name for name, *_ in odd if name in (*tables, "klines")]:
        raise BadDatabase(f"the table {odd[0]} has other columns in the new place; remove that place, and move again")
    return tables


def bring_others(connection: duckdb.DuckDBPyConnection, tables: Sequence[str]) -> list[str]:
    """Make tables of `beside` hold what was seen; those that do not even so."""
    with transaction(connection):
        changed = _differing(connection, tables)
        for table in changed:
            _bring(connection, _seen(table), _there(table))
    return _differing(connection, changed)


def _bring(connection: duckdb.DuckDBPyConnection, seen: str, there: str) -> None:
    """Make a table of `beside` hold what was seen of it."""
    connection.execute(f"CREATE OR REPLACE TEMP TABLE found AS FROM {there}")
    connection.execute("CREATE OR REPLACE TEMP TABLE gone AS FROM found EXCEPT ALL FROM " + seen)
    gone = "IN (SELECT g FROM gone g)"
    connection.execute(f"DELETE FROM {there} t WHERE t {gone}")  # all that are equal to one
    kept = f"SELECT f.* FROM found f WHERE NOT f {gone}"
    connection.execute(f"INSERT INTO {there} FROM {seen} EXCEPT ALL ({kept})")


def _differing(connection: duckdb.DuckDBPyConnection, tables: Sequence[str]) -> list[str]:
    """The tables that hold other rows than were seen, by their number and a hash of them; in one query, as each costs a
    lake more than its rows do."""
    if not tables:
        return []
    seen, there = (
        connection.execute(
            " UNION ALL ".join(f"SELECT {literal(table)}, {COUNT_AND_HASH} FROM {named(table)} k" for table in tables)
        ).fetchall()
        for named in (_seen, _there)
    )
    return sorted({table for table, *_ in {*seen} - {*there}})


def _seen(table: str) -> str:
    return _quoted(f"seen {table}")


def _there(table: str) -> str:
    return f"beside.main.{_quoted(table)}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
