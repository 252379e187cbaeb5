"""The database that settings or a reader name, and its opening by those who only read: never made, never changed."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from os import PathLike
from pathlib import Path
from typing import cast

import duckdb
import polars as pl

from klines import settings
from klines.clock import Time, duration_s, time_ms
from klines.errors import BadDatabase, BadParameter
from klines.outcome import plain
from klines.settings import Address, LakeAddress, Settings, is_lake
from klines.storage.file import LocalFile
from klines.storage.literal import literal
from klines.storage.place import Place
from klines.storage.places import RESTORE
from klines.storage.schema.migrations import lend_views
from klines.storage.snapshot import WAIT_S
from klines.tables.sound import MANY, check_rows

Database = str | PathLike[str] | LakeAddress | None
"""A file, or ducklake:postgres:…; None: that of KLINES_DATABASE."""
_NO_VALUES = (duckdb.ConversionException, duckdb.InvalidInputException, duckdb.OutOfRangeException)
"""What is raised for values such as a time without an end, which no run of ours stores."""


def place_of(address: Address) -> Place:
    """The database that a setting names; a lake, which it costs a second to open, is one for the whole process."""
    return _lake(address, os.getpid()) if isinstance(address, LakeAddress) else LocalFile(address)


def forget_lakes() -> None:
    """Let go of every lake that nobody uses any more."""
    _lake.cache_clear()


@lru_cache(maxsize=4)
def _lake(address: LakeAddress, pid: int) -> Place:  # noqa: ARG001 - a fork can't use what its parent has open
    from klines.storage.lake.lake import Lake

    return Lake(address)


def settings_to_write() -> Settings:
    """The settings in force, the database can be where they say, and requests leave as they say; raises BadParameter
    or BadDatabase."""
    found = settings.load()
    found.check_egress()
    place_of(found.database).check()
    return found


def stored_at(database: Database) -> Place:
    """The place of a database: of `database`, seen from the current folder, or else of KLINES_DATABASE.

    Raises NotStored, naming the place, where there is none, BadParameter where it can't be read.
    """
    address = settings.load().database if database is None else _address(database)
    if isinstance(address, Path):
        address = address.absolute()
    place_of(address).check_readable()
    return place_of(address.resolve() if isinstance(address, Path) else address)


def place_to_fill(to: str, data: str | None) -> Place:
    """The place of a database that may not be there yet: a file, seen from the current folder, or a lake with its data.

    Raises BadParameter.
    """
    try:
        address = LakeAddress.of(to) if is_lake(to) else _path(to).absolute()
    except ValueError as error:
        raise BadParameter(f"--to: {error}") from None
    if data and isinstance(address, Path):
        raise BadParameter("--data: a DuckDB file needs none; it is for a lake, --to ducklake:postgres:…")
    if data and isinstance(address, LakeAddress):
        if "://" in data and not data.startswith("s3://"):
            raise BadParameter(f"--data: {data} is neither a folder nor s3://bucket/path")
        address = replace(address, data=data if "://" in data else str(_path(data).absolute()))
    return place_of(address)


def _address(database: str | PathLike[str] | LakeAddress) -> Address:
    if isinstance(database, LakeAddress):
        return database
    try:
        return LakeAddress.of(database) if is_lake(database) else _path(database)
    except ValueError as error:
        raise BadParameter(f"database: {error}") from None


def _path(database: str | PathLike[str]) -> Path:
    try:
        return Path(database).expanduser()
    except (TypeError, RuntimeError) as error:
        raise BadParameter(f"database: {database!r:.200} is no path of a file: {error}") from None


@contextlib.contextmanager
def reading(database: Database) -> Iterator[duckdb.DuckDBPyConnection]:
    """The database, for reading: whoever wants to write waits meanwhile. Raises DatabaseBusy and as `stored_at`."""
    with reading_at(stored_at(database)) as connection:
        yield connection


@contextlib.contextmanager
def reading_at(place: Place) -> Iterator[duckdb.DuckDBPyConnection]:
    """As `reading`, of a place."""
    with place.reading(time.monotonic() + WAIT_S) as connection:
        connection.execute("SET enable_progress_bar = false")
        with named_values(connection, place):
            yield connection


@contextlib.contextmanager
def named_values(connection: duckdb.DuckDBPyConnection, place: Place) -> Iterator[None]:
    """What becomes of a question by values that no run of ours stores, as BadDatabase, with the row if it is found."""
    try:
        yield
    except (*_NO_VALUES, pl.exceptions.PanicException) as error:
        check_rows(connection, place)
        check_rows(connection, place, MANY)
        raise BadDatabase(
            f"{place} holds values that no klines database has: {plain(str(error))}; {RESTORE}"
        ) from error


def connect(
    *, max_age: timedelta | str = "PT1H", live: bool = False, at: Time | int | None = None, database: Database = None
) -> duckdb.DuckDBPyConnection:
    """A read-only DuckDB connection whose session is in UTC; also a context manager, which closes it at the end.

    It is to a snapshot: one consistent state of everything, at most `max_age` old (ISO 8601 or a timedelta), made first
    where there is none so young. It keeps nobody out and may stay open for days; it does not change meanwhile.

    With `live` it is to the file in use: while it is open no run can write, and after 45 s they fail as DatabaseBusy
    (nothing is lost: the next one catches up). Use it as `with klines.connect(live=True) as connection:`, and briefly.

    With `at` it is to a lake as it was then: a time of the last week (UTC where it names no zone), or the number of a
    version. A file has no past.

    Raises NotStored where there is no database; DatabaseBusy, BadDatabase, BadParameter, and NoRoom where the disk has
    no room for a snapshot.
    """
    place = stored_at(database)
    if at is not None:
        return place.version_at(_moment(at, live=live), WAIT_S)
    if live:
        return place.read(time.monotonic() + WAIT_S)
    return place.version(datetime.now(UTC) - timedelta(seconds=duration_s("max_age", max_age)), WAIT_S)


def _moment(at: Time | int, *, live: bool) -> datetime | int:
    """What is asked for by `at`; raises BadParameter."""
    if live:
        raise BadParameter("at: with live=True it is the database as it is now; leave one of the two out")
    if isinstance(at, int):
        return at
    moment = datetime.fromtimestamp((time_ms("at", at) or 0) / 1000, UTC)
    if moment > datetime.now(UTC):
        raise BadParameter(f"at: {moment:%Y-%m-%d %H:%M:%S} UTC is yet to come")
    return moment


def cursor_to_read(connection: duckdb.DuckDBPyConnection, place: object) -> duckdb.DuckDBPyConnection:
    """Another cursor of a connection of `connect` to a file, with the views of this version, as that has them."""
    cursor = connection.cursor()
    lend_views(cursor, place)
    return cursor


def fetch_frame(connection: duckdb.DuckDBPyConnection, sql: str, parameters: Mapping[str, str | int]) -> pl.DataFrame:
    """The answer of a query. Its parameters are written out: with those of a relation it takes 30 times as long (DuckDB
    1.5.5), and what `execute` gives is copied once more (2.0).
    """
    return frame_of(connection, written_out(sql, parameters))


def frame_of(connection: duckdb.DuckDBPyConnection, statement: str) -> pl.DataFrame:
    """The answer of a statement without parameters."""
    return cast(pl.DataFrame, pl.from_arrow(connection.sql(statement).to_arrow_table(), rechunk=False))


_PARAMETER = re.compile(r"""'(?:[^']|'')*' | "(?:[^"]|"")*" | --[^\n]* | \$([a-z]+)""", re.VERBOSE)
"""A parameter, but for what looks like one in a literal, a quoted name or a comment."""


def written_out(sql: str, parameters: Mapping[str, str | int]) -> str:
    """The statement with the values of its $parameters, in one pass: a value stays as it is, whatever it holds."""
    return _PARAMETER.sub(lambda found: _literal(parameters[found[1]]) if found[1] else found[0], sql)


def _literal(value: str | int) -> str:
    return str(value) if isinstance(value, int) else literal(value)
