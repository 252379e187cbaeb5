"""One transaction: all of it, or nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import duckdb


@contextlib.contextmanager
def transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """What is executed until the end is committed then; an error takes all of it back, and is raised."""
    connection.begin()
    try:
        yield
        connection.commit()
    except BaseException:
        with contextlib.suppress(duckdb.Error):  # a full disk has ended the transaction already
            connection.rollback()
        raise
