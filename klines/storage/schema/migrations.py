"""The schema of a file: numbered steps, which are frozen, and views and macros, which follow their text.

A step is a file with a number; the table `schema_version` says how many a file has taken, and which text of `views.sql`
was applied to it last.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections import defaultdict
from importlib.resources import files
from typing import NamedTuple

import duckdb

from klines.columns import COLUMNS, HASH, OF_PARTS, OF_TEXTS, in_sql
from klines.errors import BadDatabase
from klines.storage.schema.exact import bring_over, has_few
from klines.tables.transaction import transaction

_HERE = files("klines.storage.schema")
STEPS = tuple(
    path.read_text(encoding="utf-8")
    for path in sorted(_HERE.iterdir(), key=lambda path: path.name)
    if path.name[:4].isdigit()
)
"""The steps that lead to the schema of today."""
_TABLE = re.compile(r"^CREATE TABLE (\w+) (\(.*?^\));$", re.MULTILINE | re.DOTALL)
_ROWS = re.compile(r"^INSERT INTO .*?;$", re.MULTILINE | re.DOTALL)
_COLUMN = re.compile(r"^ALTER TABLE (\w+) ADD COLUMN (\w+) (\w+)(?: DEFAULT (\S+))?;", re.MULTILINE)
MANY_KLINES, SECONDS_A_MILLION = 10_000_000, 0.3
"""With more klines steps take some seconds: what a core takes for a million of them, at most."""
READABLE = 6
"""With so many steps a file can be read as it is."""


def _views() -> str:
    of_parts = ", ".join(f"{made} AS {name}" for name, made in OF_PARTS.items())
    text = (_HERE / "views.sql").read_text(encoding="utf-8")
    for name, value in (("hash", HASH), ("of_parts", of_parts), ("of_texts", OF_TEXTS), ("columns", in_sql(COLUMNS))):
        text = text.replace(f"@{name}@", value)
    return text


VIEWS = _views()
VIEWS_SHA256 = hashlib.sha256(VIEWS.encode()).hexdigest()


class State(NamedTuple):
    """How many steps a database has taken, 0 for an empty one, the SHA-256 of its views, and whether its amounts are
    decimals: see klines/storage/schema/exact.py."""

    steps: int
    views: str | None
    is_exact: bool


_TABLES = "SELECT table_name FROM duckdb_tables() WHERE database_name = current_database()"


def migrate(connection: duckdb.DuckDBPyConnection, path: object, layout: str = "") -> None:
    """Bring schema and views of an open database to this version; amounts become decimals where there are few klines.
    `layout` is what a lake is told of its klines, as `exact.make_table` has it.

    Each step is a transaction of its own, so that one that is ended, as a run is after a minute, goes on with the next:
    steps that look at 100 million klines take half a minute. An empty database takes all of them in one.

    Raises BadDatabase for the file of a newer version, and for somebody else's.
    """
    if is_current(connection, path):
        return
    steps, _, is_exact = schema_state(connection, path)
    if steps:
        _say_how_long(connection, path, steps)
        for number, step in enumerate(STEPS[steps:], steps + 1):
            with transaction(connection):
                connection.execute(step)
                connection.execute("UPDATE schema_version SET version = ?", [number])
    with transaction(connection):
        if not steps:
            connection.execute("CREATE TABLE schema_version (version INTEGER NOT NULL)")
            connection.execute("INSERT INTO schema_version VALUES (0)")
            for step in STEPS:
                connection.execute(step)
        if not is_exact and has_few(connection):
            bring_over(connection, layout)
        connection.execute(VIEWS)
        connection.execute("UPDATE schema_version SET version = ?, views = ?", [len(STEPS), VIEWS_SHA256])


def _say_how_long(connection: duckdb.DuckDBPyConnection, path: object, steps: int) -> None:
    """A line of the log, where it will take some seconds."""
    [(klines,)] = connection.execute("SELECT count(*) FROM klines").fetchall()
    if steps < len(STEPS) and klines > MANY_KLINES:
        logging.getLogger("klines").warning(
            "%s is brought from schema %d to %d, once; with %s klines that takes about %d s, while others wait. A run "
            "that is ended meanwhile leaves the rest to the next one",
            *(path, steps, len(STEPS), f"{klines:,}", klines * SECONDS_A_MILLION / 1e6),
        )


def is_current(connection: duckdb.DuckDBPyConnection, path: object) -> bool:
    """Whether there is nothing that `migrate` would do; raises as it does."""
    steps, views, is_exact = schema_state(connection, path)
    return (steps, views) == (len(STEPS), VIEWS_SHA256) and (is_exact or not has_few(connection))


def lend_views(connection: duckdb.DuckDBPyConnection, path: object) -> bool:
    """Give a connection that only reads the views of this version, where the file has others, and the tables and
    columns that it has not yet; whether there were others. What is lent ends with the connection, and is not its
    cursors'.

    Raises BadDatabase for a file that this version can't read.
    """
    steps, views, _ = schema_state(connection, path)
    if not steps:
        raise BadDatabase(f"{path} has no klines")
    if steps < READABLE:
        raise BadDatabase(
            f"{path} has schema {steps}, and this klines reads {READABLE} and newer: any run that writes it, such as "
            "a collect, brings it up"
        )
    is_other = views != VIEWS_SHA256
    if is_other:
        _lend_tables(connection, "".join(STEPS[steps:]))
        connection.execute(VIEWS.replace("CREATE OR REPLACE", "CREATE OR REPLACE TEMP"))
    return is_other


def _lend_tables(connection: duckdb.DuckDBPyConnection, steps: str) -> None:
    """Tables that the text of some steps makes, with the rows that it gives them; and those that it adds columns to,
    with what these have by default. They hide those of the file."""
    [(database,)] = connection.execute("SELECT current_database()").fetchall()
    made = dict(_TABLE.findall(steps))
    for name, columns in made.items():
        connection.execute(f"CREATE TEMP TABLE {name} {columns}")
    added: dict[str, list[str]] = defaultdict(list)
    for table, column, type_name, default in _COLUMN.findall(steps):
        if table in made:
            connection.execute(f"ALTER TABLE temp.{table} ADD COLUMN {column} {type_name} DEFAULT {default or 'NULL'}")
        else:
            added[table].append(f"{default or 'NULL'}::{type_name} AS {column}")
    for table, columns in added.items():
        connection.execute(f'CREATE TEMP VIEW {table} AS SELECT *, {", ".join(columns)} FROM "{database}".main.{table}')
    for rows in _ROWS.findall(steps):
        connection.execute(rows)


def schema_state(connection: duckdb.DuckDBPyConnection, path: object) -> State:
    """What a database is, whoever made it.

    Raises BadDatabase for a newer one than is known here, and for a foreign one.
    """
    try:
        rows = connection.execute("FROM schema_version").fetchall()
    except duckdb.CatalogException:
        if {name for (name,) in connection.execute(_TABLES).fetchall()} & {"klines", "gaps"}:
            raise BadDatabase(
                f"{path} has a table named klines that is not ours; KLINES_DATABASE must name another file"
            ) from None
        return State(0, None, is_exact=False)
    if len(rows) != 1 or not isinstance(rows[0][0], int):
        raise BadDatabase(f"{path} is damaged: its table schema_version has {len(rows)} rows; restore a backup")
    [(version, *more)] = rows
    if version > len(STEPS):
        raise BadDatabase(f"{path} has schema {version}, this klines knows {len(STEPS)}: upgrade klines")
    views, is_exact = (*more, None, None)[:2]
    return State(version, views, is_exact=bool(is_exact))
