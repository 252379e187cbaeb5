"""A file of an older format is brought to that of today by whoever first writes it, and loses nothing."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import duckdb
import pytest

from klines.storage.database import opened
from klines.storage.journal import journal_of
from klines.storage.schema.format import FORMAT, is_older
from tests.drive import query

BAN = "INSERT INTO bans VALUES ('spot', now()::TIMESTAMP, 'a row', 'RateLimited', now()::TIMESTAMP, '')"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """An empty file as DuckDB 1.0 made it."""
    path = tmp_path / "klines.duckdb"
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{path}' AS old (STORAGE_VERSION 'v1.0.0')")
    return path


def soon() -> float:
    """A deadline for a file that nobody holds: far away, as a slow machine needs it."""
    return time.monotonic() + 60


def format_of(path: Path) -> str:
    """The version of DuckDB that a file says it needs."""
    sql = "SELECT tags['storage_version'] FROM duckdb_databases() WHERE database_name = current_database()"
    [(version,)] = query(path, sql)
    return str(version).rstrip("+")


def test_a_new_file_has_the_format(tmp_path: Path) -> None:
    """Whichever DuckDB makes it: by itself 1.5 makes one of 1.0, and 2.0 one that 1.5 can't open."""
    with opened(tmp_path / "new.duckdb", soon()) as connection:
        assert not is_older(connection)
    assert FORMAT == format_of(tmp_path / "new.duckdb")


def test_an_older_file_is_renewed_when_it_is_first_written(old: Path) -> None:
    """What was written is there, and the next opening finds nothing to renew: a minute would pay for it each time."""
    with opened(old, soon()) as connection:
        assert is_older(connection)
        connection.execute(BAN)
    assert FORMAT == format_of(old)
    with opened(old, soon()) as connection:
        assert not is_older(connection)
        assert [("a row",)] == connection.execute("SELECT message FROM bans").fetchall()


def test_a_file_that_somebody_has_stays_in_its_format(old: Path) -> None:
    """Another connection of the process keeps the file from being renewed; what was written is there all the same."""
    with duckdb.connect(str(old)) as other:
        with opened(old, soon()) as connection:
            connection.execute(BAN)
        assert [("a row",)] == other.execute("SELECT message FROM bans").fetchall()
    assert "v1.0.0" == format_of(old)


def test_a_newer_file_keeps_its_format(tmp_path: Path) -> None:
    """DuckDB can't lower a format, and a file that has FORMAT or more is not written for it."""
    path = tmp_path / "klines.duckdb"
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{path}' AS newer (STORAGE_VERSION 'v1.5.0')")
    with opened(path, soon()) as connection:
        assert not is_older(connection)
    assert "v1.5.0" == format_of(path)


def test_a_kill_while_the_format_is_written(old: Path) -> None:
    """The page that says what the file is is written before the checkpoint is complete: a journal puts it back."""
    with opened(old, soon()) as connection:
        connection.execute(BAN)
    content = old.read_bytes()[: 3 * 4096] + (2**18).to_bytes(8, "little")
    journal_of(old).write_bytes(hashlib.sha256(content).digest() + content)
    with old.open("r+b") as file:
        file.seek(16)  # the rest of the page is not there yet
        file.write(bytes(4096 - 16))
    with opened(old, soon()) as connection:
        assert [("a row",)] == connection.execute("SELECT message FROM bans").fetchall()
