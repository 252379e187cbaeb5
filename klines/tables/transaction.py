"""One transaction: all of it, or nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from weakref import WeakKeyDictionary

import duckdb

_checks: WeakKeyDictionary[duckdb.DuckDBPyConnection, Callable[[], None]] = WeakKeyDictionary()
"""Of each connection that has one; it ends with the connection, whose address another may have later."""


@contextlib.contextmanager
def checked(connection: duckdb.DuckDBPyConnection, check: Callable[[], None]) -> Iterator[None]:
    """Until this ends no transaction of the connection is committed unless `check` returns, which raises else."""
    _checks[connection] = check
    try:
        yield
    finally:
        del _checks[connection]


@contextlib.contextmanager
def transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """What is executed until the end is committed then; an error takes all of it back, and is raised."""
    connection.begin()
    try:
        yield
        if check := _checks.get(connection):
            check()
        connection.commit()
    except BaseException:
        with contextlib.suppress(duckdb.Error):  # a full disk has ended the transaction already
            connection.rollback()
        raise
