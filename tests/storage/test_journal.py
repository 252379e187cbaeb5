"""A process killed in the middle of writing a block of the database leaves a file that can be opened again."""

from __future__ import annotations

import resource
import shutil
import signal
import time
from multiprocessing.connection import Connection
from pathlib import Path

import duckdb
import pytest

from klines.errors import BadDatabase
from klines.storage.database import opened, opened_to_read
from klines.storage.journal import journal_of, mend
from klines.storage.places import note_of
from tests.children import child
from tests.drive import query

IS_FRAGILE = duckdb.__version__.startswith("1.")
REJECTS = """
    INSERT INTO rejects
    SELECT 'spot', 'BTCUSDT', '1m', NULL, 'rest', 'ohlc', uuid(), TIMESTAMP '2024-01-01', TIMESTAMP '2024-01-01', 1,
           'klines'
    FROM range(100_000)
"""


def soon() -> float:
    """A deadline for a file that nobody holds: far away, as a slow machine needs it."""
    return time.monotonic() + 60


def torn_at(_: Connection, database: Path, block: int) -> None:
    """In a child: write, and be killed at the second page of a block."""
    with opened(database, soon()) as connection:
        connection.execute("CREATE VIEW late AS SELECT 'written before the kill' AS text")
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # which kills, as SIGKILL does
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (block + 4096, block + 4096))


def mending(pipe: Connection, database: Path) -> None:
    """In a child: whether mending left the file as it was."""
    before = database.read_bytes()
    mend(database)
    pipe.send(before == database.read_bytes())


@pytest.fixture
def torn(tmp_path: Path) -> Path:
    """A database whose writer was killed when it had written the first page of a block that was in use.

    The limit on the size of files kills it there. For that, all that it writes before lies lower in its file, hence the
    block is the last. Whether DuckDB 1.5 is left with a file that it can't open depends on what else is in the block:
    it is tried with more and more views, until it is.
    """
    for views in range(18, 40, 2):
        database = _torn(tmp_path / str(views) / "klines.duckdb", views)
        if not IS_FRAGILE or _is_damaged(copied(database, tmp_path / f"copy of {views}")):
            return database
    raise AssertionError("no kill left a file that DuckDB can't open")


def _torn(database: Path, views: int) -> Path:
    database.parent.mkdir()
    with opened(database, soon()) as connection:
        connection.execute(REJECTS)
    for some in range(3):
        with opened(database, soon()) as connection:
            for view in range(views):
                connection.execute(f"CREATE VIEW v{some}_{view} AS SELECT '{'x' * 3000}' AS text")
    [(last,)] = query(database, "SELECT max(block_id) FROM pragma_metadata_info() WHERE free_blocks > 0")
    with child(torn_at, database, 3 * 4096 + last * 2**18) as writer:
        assert -signal.SIGXFSZ == writer.exit_code()
    return database


def _is_damaged(database: Path) -> bool:
    try:
        duckdb.connect(str(database)).close()
    except duckdb.IOException as error:
        return "Corrupt database file" in str(error)
    return False


def copied(database: Path, folder: Path) -> Path:
    """What a killed writer left, in another folder, without the journal."""
    folder.mkdir()
    for name in ("klines.duckdb", "klines.duckdb.wal"):
        shutil.copy(database.with_name(name), folder)
    return folder / "klines.duckdb"


def test_a_torn_block_is_put_back(torn: Path, tmp_path: Path) -> None:
    """DuckDB 1.5 alone can't open what a kill in the middle of a block has left; the next one to open it here puts the
    block back, and finds what was committed before and after the last checkpoint."""
    assert _is_damaged(copied(torn, tmp_path / "copy")) == IS_FRAGILE

    with opened(torn, soon()) as connection:
        assert [("written before the kill",)] == connection.execute("FROM late").fetchall()
    assert [(100_000,)] == query(torn, "SELECT count(*) FROM rejects")
    assert {torn, note_of(torn)} == set(torn.parent.glob("klines.duckdb*"))


def test_a_reader_puts_it_back_too(torn: Path) -> None:
    """Who comes to read is not sent away until somebody writes."""
    with opened_to_read(torn, soon()) as connection:
        assert [("written before the kill",)] == connection.execute("FROM late").fetchall()
    assert not journal_of(torn).exists()


@pytest.mark.skipif(not IS_FRAGILE, reason="DuckDB 2.0 opens such a file as it is")
def test_without_its_journal_it_is_damaged(torn: Path) -> None:
    """A database that can't be put back is named as damaged, in one line."""
    journal_of(torn).unlink()
    with pytest.raises(BadDatabase, match=r"is damaged: .*checksum"), opened(torn, soon()):
        pass


@pytest.mark.parametrize("kept", [0, 40, -1])
def test_a_journal_that_is_not_whole_says_that_nothing_has_begun(database: Path, kept: int) -> None:
    """A kill within writing the journal was before the checkpoint: there is nothing to put back, and nothing is."""
    with opened(database, soon()) as connection:
        connection.execute(REJECTS)
    content = bytes(32) + database.read_bytes()[: 3 * 4096] + bytes(2**18)
    journal_of(database).write_bytes(content[:kept])

    with opened(database, soon()):
        assert not journal_of(database).exists()
    assert [(100_000,)] == query(database, "SELECT count(*) FROM rejects")


def test_a_checkpoint_that_was_completed_stays(torn: Path) -> None:
    """A kill between the end of the checkpoint and that of its journal puts nothing back."""
    journal = journal_of(torn).read_bytes()
    with opened(torn, soon()) as connection:
        connection.execute("CREATE TABLE later AS SELECT 42 AS answer")
    content = torn.read_bytes()
    journal_of(torn).write_bytes(journal)

    with opened(torn, soon()) as connection:
        assert [(42,)] == connection.execute("FROM later").fetchall()
    assert content == torn.read_bytes()


def test_who_is_alive_is_left_alone(torn: Path) -> None:
    """The journal of a writer that lives is not ours to use: it goes on, and we wait."""
    journal = journal_of(torn).read_bytes()
    with opened(torn, soon()):
        journal_of(torn).write_bytes(journal)
        with child(mending, torn) as other:
            assert other.hear()
        assert journal_of(torn).exists()
        journal_of(torn).unlink()


def test_a_journal_of_a_file_that_is_gone(database: Path) -> None:
    """A journal whose database was moved away says nothing about the one that is made in its place."""
    with opened(database, soon()):
        pass
    journal_of(database).write_bytes(bytes(1000))
    database.unlink()
    note_of(database).unlink()
    with opened(database, soon()):
        pass
    assert {database, note_of(database)} == set(database.parent.glob("klines.duckdb*"))
