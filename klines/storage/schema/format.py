"""The format of a database file: one that says of each row group where its metadata lies.

Of older formats, which DuckDB 1.5 makes unless it is told otherwise, the first checkpoint after each opening looks that
up in the metadata of all klines: once a minute, 2 ms for each million of them. DuckDB 1.4 and newer opens this one.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import duckdb

from klines.storage.journal import close
from klines.storage.literal import literal

FORMAT = "v1.4.0"
CREATED: dict[str, str | bool | int | float | list[str]] = {"storage_compatibility_version": FORMAT}
"""What duckdb.connect takes to make a new file in it: DuckDB 2 would make one that 1.5 can't open."""
_OLDER = {f"v{version}" for version in ("0.10.2", "1.0.0", "1.1.0", "1.2.0", "1.3.0")}


def is_older(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether the file that is open has a format from before FORMAT."""
    [(version,)] = connection.execute(
        "SELECT tags['storage_version'] FROM duckdb_databases() WHERE database_name = current_database()"
    ).fetchall()
    return str(version).rstrip("+") in _OLDER


def reformat(path: Path) -> None:
    """Bring the database at `path`, which nobody has open, to FORMAT.

    Where somebody has it after all, or the disk is full, it stays as it is, which is only slower; a later process tries
    again. A kill loses nothing. DuckDB chooses the format as it attaches a file, and writes it with the next change.
    """
    with contextlib.suppress(duckdb.Error, OSError), duckdb.connect() as connection:
        connection.execute("SET checkpoint_threshold = '1TB'; PRAGMA disable_checkpoint_on_shutdown")
        connection.execute(f"ATTACH {literal(path)} AS reformatted (STORAGE_VERSION '{FORMAT}')")
        connection.execute("CREATE TABLE reformatted.format_changes (n INTEGER); DROP TABLE reformatted.format_changes")
        close(connection, path, "reformatted")
