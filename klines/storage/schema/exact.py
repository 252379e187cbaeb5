"""Amounts as decimals. A database of before has them as doubles: it is brought over when it is opened where it has few
klines, else by maintenance, which builds its klines anew; until then it is written and read as it was.

A double becomes its shortest decimal. That is Binance's number unless the double is large and has as many digits as one
can hold: such klines are noted in the table `doubtful`, and leave it when they are written again.
"""

from __future__ import annotations

import duckdb

from klines.columns import AMOUNTS, DECIMAL, HELD_BY_DOUBLES, KEY, as_decimals, in_sql
from klines.errors import BadDatabase

HOW = "`klines maintain` makes decimals of them, while runs go on"
FEW = 250_000
"""So many klines are brought over at an opening, which takes about a second."""
MADE = "klines_exact"
"""The table that klines are brought over into, until it has their name."""
_MANY = 12
_DIGITS = "length(rtrim(replace(split_part({}::VARCHAR, 'e', 1), '.', ''), '0'))"
IS_DOUBTFUL = " OR ".join(f"({name} >= {HELD_BY_DOUBLES} AND {_DIGITS.format(name)} >= {_MANY})" for name in AMOUNTS)
"""Of a kline with doubles: whether an amount may be another than Binance's. What was made of more digits than a double
holds may look as if it had fewer: of 1,619 recorded ones 3 have 13, and none has 12."""
BROUGHT_OVER = ", ".join(as_decimals(name) for name in AMOUNTS)
"""What `SELECT * REPLACE (…)` takes to make decimals of doubles."""


def doubtful_in(table: str, which: str = "true") -> str:
    """A query of the keys of the doubtful klines of a table with doubles, of those of a condition."""
    return f"SELECT {in_sql(KEY)} FROM {table} WHERE {which} AND ({IS_DOUBTFUL})"


def is_exact(connection: duckdb.DuckDBPyConnection, database: str = "") -> bool:
    """Whether the amounts of the table klines, of an attached database, are decimals."""
    table = f"{database}.main.klines" if database else "klines"
    [(kind,)] = connection.execute(f"SELECT typeof(any_value({AMOUNTS[0]})) FROM (FROM {table} LIMIT 0)").fetchall()
    return str(kind).startswith("DECIMAL")


def check_exact(connection: duckdb.DuckDBPyConnection, database: str = "") -> None:
    """Raises BadDatabase, which says what to do, where amounts are doubles still."""
    if not is_exact(connection, database):
        raise BadDatabase(f"the database has amounts as doubles still: {HOW}")


def has_few(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether there are so few klines that they can be brought over while others wait."""
    [(klines,)] = connection.execute("SELECT count(*) FROM klines").fetchall()
    return bool(klines <= FEW)


def make_exact(connection: duckdb.DuckDBPyConnection, database: str) -> None:
    """Let the amounts of an attached file that has no klines yet be decimals."""
    for name in AMOUNTS:
        connection.execute(f"ALTER TABLE {database}.main.klines ALTER {name} TYPE {DECIMAL}")


def make_table(connection: duckdb.DuckDBPyConnection, database: str, name: str, layout: str = "") -> None:
    """An empty table as klines, but with decimals; `layout` is what a lake is told of the table `{table}`."""
    columns = connection.execute(
        """SELECT column_name, data_type, is_nullable, column_default FROM duckdb_columns()
           WHERE database_name = $1 AND schema_name = 'main' AND table_name = 'klines' ORDER BY column_index""",
        [database],
    ).fetchall()
    listed = ", ".join(
        f'"{column}" {DECIMAL if column in AMOUNTS else type_name}{"" if is_nullable else " NOT NULL"}'
        + (f" DEFAULT {default}" if default else "")
        for column, type_name, is_nullable, default in columns
    )
    table = f'"{database}".main.{name}'
    connection.execute(f"CREATE TABLE {table} ({listed})")
    if layout:
        connection.execute(layout.format(table=table))


def exchange_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """Let the table that was made be klines, which it has all of; note that they are decimals."""
    connection.execute(f"DROP TABLE klines; ALTER TABLE {MADE} RENAME TO klines")
    connection.execute("UPDATE schema_version SET exact = true")


def bring_over(connection: duckdb.DuckDBPyConnection, layout: str = "") -> None:
    """All klines at once, as part of the caller's transaction."""
    [(database,)] = connection.execute("SELECT current_database()").fetchall()
    make_table(connection, database, MADE, layout)
    connection.execute(f"INSERT INTO doubtful BY NAME {doubtful_in('klines')}")
    connection.execute(f"INSERT INTO {MADE} SELECT * REPLACE ({BROUGHT_OVER}) FROM klines")
    exchange_tables(connection)
