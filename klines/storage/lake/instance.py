"""DuckDB with a lake attached as `lake`: opening one costs a second, a cursor of it next to nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import duckdb

from klines.storage.lake.credentials import CATALOG, Login, bucket_secret, catalog_secret
from klines.storage.lake.extensions import connect_with, load_extensions
from klines.storage.lake.lake_errors import named_lake_errors
from klines.storage.literal import literal

MEMORY = "1400MB"
"""What DuckDB may take: a process that merges a month of 600 symbols then has 1,900 MB, and 2,145 with 1500MB."""
INLINED = 5_000
"""Rows of a commit that go into the catalog, so that a minute needs no bucket and makes no object."""
EXTENSIONS = ("ducklake", "postgres")
"""Of DuckDB, that every lake needs; one in a bucket needs httpfs, too."""
_TRIES = 30
"""How often DuckLake commits anew by itself where others, of other rows, were first."""


def attach(login: Login, application: str, data: str, *options: str) -> duckdb.DuckDBPyConnection:
    """A connection whose database is the lake, with its files in `data`; raises the errors of `named_lake_errors`."""
    with contextlib.ExitStack() as stack, named_lake_errors(login):
        connection = connect_with(*EXTENSIONS, *(["httpfs"] if _is_bucket(data) else []))
        stack.callback(connection.close)
        connection.execute(f"SET memory_limit = '{MEMORY}'")
        attach_as(connection, "lake", login, application, data, *options)
        in_lake(connection)
        stack.pop_all()
    return connection


def attach_as(
    connection: duckdb.DuckDBPyConnection, name: str, login: Login, application: str, data: str, *options: str
) -> None:
    """Attach the lake to a connection under a name."""
    load_extensions(connection, *EXTENSIONS)
    connection.execute(f"SET ducklake_max_retry_count = {_TRIES}")
    if _is_bucket(data):
        load_extensions(connection, "httpfs")
        if secret := bucket_secret(data):
            connection.execute(secret)
    connection.execute(catalog_secret(login))
    conninfo = literal(f"ducklake:postgres:{login.conninfo(application)}")
    chosen = ", ".join([f"META_SECRET '{CATALOG}'", f"DATA_INLINING_ROW_LIMIT {INLINED}", *options])
    connection.execute(f"ATTACH {conninfo} AS {name} ({chosen})")


def _is_bucket(data: str) -> bool:
    return data.startswith("s3://")


def in_lake(connection: duckdb.DuckDBPyConnection) -> None:
    """Set what a connection has of its own: names are the lake's, times UTC."""
    connection.execute("USE lake; SET TimeZone = 'UTC'; SET enable_progress_bar = false")


@contextlib.contextmanager
def cursor_of(instance: duckdb.DuckDBPyConnection) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection of its own, with a transaction of its own."""
    cursor = instance.cursor()
    try:
        in_lake(cursor)
        yield cursor
    finally:
        cursor.close()
