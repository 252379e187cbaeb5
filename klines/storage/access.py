"""The database opened by those who only read: never made, never changed, and let go soon."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import cast

import duckdb
import polars as pl

from klines import settings
from klines.errors import BadDatabase, BadParameter
from klines.outcome import plain
from klines.storage.database import opened_to_read
from klines.storage.duckdb_errors import named_errors
from klines.storage.places import RESTORE, check_readable

Database = str | PathLike[str] | None
"""A file; None: that of KLINES_DATABASE."""
_NO_VALUES = (duckdb.ConversionException, duckdb.InvalidInputException, duckdb.OutOfRangeException)
"""What is raised for values such as a time without an end, which no run of ours stores."""
WAIT_S = 30.0
"""How long a reader waits for the file: a minute has it for a fraction of a second, a backfill for a second or so."""


def place(database: Database) -> Path:
    """The absolute path of the database: of `database`, seen from the current folder, or else of KLINES_DATABASE.

    Raises NotStored, naming the path, where there is none, BadParameter where it can't be read.
    """
    path = (settings.load().database if database is None else _path(database)).absolute()
    check_readable(path)
    return path.resolve()


def _path(database: str | PathLike[str]) -> Path:
    try:
        return Path(database).expanduser()
    except (TypeError, RuntimeError) as error:
        raise BadParameter(f"database: {database!r:.200} is no path of a file: {error}") from None


@contextlib.contextmanager
def reading(database: Database) -> Iterator[duckdb.DuckDBPyConnection]:
    """The database, for reading: whoever wants to write waits until this ends. Raises DatabaseBusy and as `place`."""
    path = place(database)
    connection = opened_to_read(path, time.monotonic() + WAIT_S)
    try:
        with named_errors(path):
            connection.execute("SET enable_progress_bar = false")
            yield connection
    except (*_NO_VALUES, pl.exceptions.PanicException) as error:
        raise BadDatabase(f"{path} holds values that no klines database has: {plain(str(error))}; {RESTORE}") from error
    finally:
        connection.close()


def fetch_frame(connection: duckdb.DuckDBPyConnection, sql: str, parameters: Mapping[str, str | int]) -> pl.DataFrame:
    """The answer of a query. Its parameters are written out: with those of a relation it takes 30 times as long (DuckDB
    1.5.5), and what `execute` gives is copied once more (2.0).
    """
    return frame_of(connection, written_out(sql, parameters))


def frame_of(connection: duckdb.DuckDBPyConnection, statement: str) -> pl.DataFrame:
    """The answer of a statement without parameters."""
    return cast(pl.DataFrame, pl.from_arrow(connection.sql(statement).to_arrow_table()))


_PARAMETER = re.compile(r"""'(?:[^']|'')*' | "(?:[^"]|"")*" | --[^\n]* | \$([a-z]+)""", re.VERBOSE)
"""A parameter, but for what looks like one in a literal, a quoted name or a comment."""


def written_out(sql: str, parameters: Mapping[str, str | int]) -> str:
    """The statement with the values of its $parameters, in one pass: a value stays as it is, whatever it holds."""
    return _PARAMETER.sub(lambda found: _literal(parameters[found[1]]) if found[1] else found[0], sql)


def _literal(value: str | int) -> str:
    return str(value) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"
