"""One transaction: all of it, or nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import duckdb

_CHECKS: dict[int, Callable[[], None]] = {}


@contextlib.contextmanager
def checked(connection: duckdb.DuckDBPyConnection, check: Callable[[], None]) -> Iterator[None]:
    """Until this ends no transaction of the connection is committed unless `check` returns, which raises else."""
    _CHECKS[id(connection)] = check
    try:
        yield
    finally:
        del _CHECKS[id(connection)]


@contextlib.contextmanager
def transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """What is executed until the end is committed then; an error takes all of it back, and is raised."""
    connection.begin()
    try:
        yield
        if check := _CHECKS.get(id(connection)):
            check()
        connection.commit()
    except BaseException:
        with contextlib.suppress(duckdb.Error):  # a full disk has ended the transaction already
            connection.rollback()
        raise
