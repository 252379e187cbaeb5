"""A rollback journal for DuckDB's checkpoints: the blocks that one may write over, kept until it is done.

A checkpoint puts new metadata into free places of blocks that are in use. A block has one checksum, so a process that
is killed in the middle of such a write leaves a file that does not open (DuckDB 1.5.5; tests/storage/test_journal.py
makes one). Whoever opens the file next puts the old blocks back. The file is then as it was before the checkpoint,
and DuckDB's log has what was written since.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import duckdb

_WHAT_IT_IS, _HEADER = 4096, 3 * 4096
"""Bytes at the start of a database file: what it is, which a checkpoint that changes its format writes first; then two
headers, of which each checkpoint writes the older, at last."""
_OFFSET, _DIGEST = 8, 32
_ONE_AT_A_TIME = threading.Lock()


def journal_of(database: Path) -> Path:
    """Where the journal of a database is, while there is one."""
    target = database.resolve()
    return target.with_name(f"{target.name}.journal")


def close(connection: duckdb.DuckDBPyConnection, database: Path, name: str = "") -> None:
    """Bring the log into the database, so that a kill loses nothing; then close `connection`, which writes it, or
    detach the database from it, where it is attached under a name.

    Raises OSError or duckdb.Error, as on a full disk: the log then stays, and the next writer brings it in.
    """
    with _ONE_AT_A_TIME, database.open("rb", buffering=0) as file:
        try:
            _checkpoint(connection, database, file.fileno(), name)
        finally:  # first: closing the file gives up the locks that a connection has on it
            connection.execute(f"DETACH {name}") if name else connection.close()


def mend(database: Path) -> None:
    """Put back what a checkpoint that was killed has half overwritten.

    Does nothing while a living process has the file open, or where this one may not write it.
    """
    journal = journal_of(database)
    if not journal.is_file():
        return
    if not database.exists():  # it was moved away, and the journal says nothing of the next one
        journal.unlink()
        return
    with _ONE_AT_A_TIME, _locked(database) as file:
        if file is not None and journal.exists():
            _restore(file, journal.read_bytes())
            journal.unlink()


def _checkpoint(connection: duckdb.DuckDBPyConnection, database: Path, file: int, name: str) -> None:
    journal = journal_of(database)
    is_written = any(
        Path(f"{path}.wal").exists() for path in {database, database.resolve()}
    )  # a link's is beside the file
    if journal.exists() or not is_written:  # to be mended first; nothing was written
        return
    _write(journal, _blocks(connection, file, name))
    connection.execute(f"CHECKPOINT {name}")
    journal.unlink()


def _blocks(connection: duckdb.DuckDBPyConnection, file: int, name: str) -> bytes:
    """The header; then, for each block that the next checkpoint may write over, its offset and its bytes."""
    which, argument = (f"WHERE database_name = '{name}'", f"'{name}'") if name else ("", "")
    [(size,)] = connection.execute(f"SELECT block_size FROM pragma_database_size() {which}").fetchall()
    shared = connection.execute(
        f"SELECT block_id FROM pragma_metadata_info({argument}) WHERE free_blocks > 0"
    ).fetchall()
    kept = [os.pread(file, _HEADER, 0), size.to_bytes(_OFFSET, "little")]
    for (block,) in shared:
        offset = _HEADER + block * size
        kept += [offset.to_bytes(_OFFSET, "little"), os.pread(file, size, offset)]
    return b"".join(kept)


def _write(journal: Path, content: bytes) -> None:
    """Write the journal and its digest to disk. One that is not whole says that the checkpoint had not begun."""
    with journal.open("wb") as file:
        file.write(hashlib.sha256(content).digest() + content)
        file.flush()
        os.fsync(file.fileno())
    folder = os.open(journal.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextlib.contextmanager
def _locked(database: Path) -> Iterator[int | None]:
    """The open file, locked as DuckDB locks it; None where somebody has it, or it can't be opened."""
    with contextlib.ExitStack() as stack:
        try:
            file = os.open(database, os.O_RDWR | os.O_CLOEXEC)
            stack.callback(os.close, file)
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield None
        else:
            yield file


def _restore(file: int, journal: bytes) -> None:
    """Write the blocks back, unless the checkpoint was completed (the header has changed) or had not begun."""
    content = journal[_DIGEST:]
    whole = hashlib.sha256(content).digest() == journal[:_DIGEST]
    if not whole or os.pread(file, _HEADER, 0)[_WHAT_IT_IS:] != content[_WHAT_IT_IS:_HEADER]:
        return
    os.pwrite(file, content[:_WHAT_IT_IS], 0)
    size = int.from_bytes(content[_HEADER : _HEADER + _OFFSET], "little")
    for at in range(_HEADER + _OFFSET, len(content), _OFFSET + size):
        offset = int.from_bytes(content[at : at + _OFFSET], "little")
        os.pwrite(file, content[at + _OFFSET : at + _OFFSET + size], offset)
    os.fsync(file)
