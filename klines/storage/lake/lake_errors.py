"""What DuckDB and PostgreSQL say of a lake, as errors of ours without a secret: lost, in the way, full, or unusable."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import duckdb

from klines.errors import BadDatabase, BadParameter, DatabaseBusy, KlinesError, NoRoom
from klines.storage.duckdb_errors import by_signal
from klines.storage.lake.credentials import Login, without_secrets


class Again(Exception):
    """What was done was taken back whole, and may be done again at once: a connection was lost, somebody else was
    first. To whoever does not do it again the lake is busy."""


@contextlib.contextmanager
def busy_unless_done_again() -> Iterator[None]:
    """Raises Again as DatabaseBusy."""
    try:
        yield
    except Again as error:
        raise DatabaseBusy(str(error)) from None


_LOST = (
    *("Unable to connect", "could not connect", "Connection refused", "Connection already closed", "timeout expired"),
    *("server closed the connection", "terminating connection", "starting up", "shutting down"),
    *("no connection to the server", "SSL connection has been closed", "Failed to execute query", "recovery mode"),
    *("Could not connect", "Could not establish connection", "Connection error", "Connection reset", "timed out"),
    *("HTTP code 5", "too many clients", "remaining connection slots"),
    *("no transaction is active", "Could not resolve", "Failed to read connection", "SSL SYSCALL", "the connection is"),
)
"""The catalog or the bucket can't be reached, or the connection was."""
_IN_THE_WAY = (
    "ransaction conflict",
    "transaction is aborted",
    "could not serialize",
    "deadlock detected",
    "concurrent",
    "Conflict",
)
_FULL = (
    "No space left on device",
    "Disk quota exceeded",
    "could not extend file",
    "not enough space",
    "InsufficientStor",
)
_REFUSED = (
    *("password authentication failed", "no password supplied", "no pg_hba.conf entry", "permission denied"),
    *("does not exist", "HTTP code 403", "HTTP code 401", "AccessDenied", "InvalidAccessKeyId"),
    *("SignatureDoesNotMatch", "NoSuchBucket", "Permission denied", "data_path is not set", "could not translate host"),
)
_OTHER_VERSION = "catalog version mismatch"


@contextlib.contextmanager
def named_lake_errors(login: Login) -> Iterator[None]:
    """What DuckDB or PostgreSQL raises because of the lake is raised as ours; a mistake in SQL stays what it is."""
    said: BaseException | None = None
    try:
        yield
    except duckdb.Error as error:
        said = lake_error(error, login)
        if said is None:
            raise
    except RuntimeError as error:
        said = by_signal(error)
        if said is None:
            raise
    except Exception as error:
        if not type(error).__module__.startswith("psycopg"):
            raise
        said = lake_error(error, login) or _lost(_short(_plain(error, login)), login)
    if said is not None:  # outside of the handler, so that what it says does not lead to what was said to us
        raise said


def lake_error(error: Exception, login: Login) -> KlinesError | Again | None:
    """The error as one of ours, where the lake is the cause."""
    whole = _plain(error, login)
    said = _short(whole)
    if any(sign in whole for sign in _FULL):
        return NoRoom(f"a disk of the lake {login} is full ({said}): nothing stored is lost; make room")
    if _OTHER_VERSION in whole:
        return BadDatabase(
            f"the lake {login} was made by another version of DuckLake ({said.split(': ')[-1]}): use the klines and "
            "DuckDB that the others use, or let its owner upgrade it when all writers have stopped"
        )
    if "DATA_PATH parameter" in whole:
        return BadParameter(f"KLINES_DATA_PATH: the lake {login} has its data elsewhere: {said}")
    if any(sign in whole for sign in _IN_THE_WAY):
        return Again(f"others write the lake {login} all the time ({said}); nothing is lost")
    if any(sign in whole for sign in _REFUSED) and not isinstance(error, duckdb.CatalogException):
        return BadParameter(f"the lake {login} can't be used: {said}")
    if any(sign in whole for sign in _LOST):
        return _lost(said, login)
    if isinstance(error, duckdb.OutOfMemoryException):
        return NoRoom(f"DuckDB has too little memory for the lake {login}: {said}; nothing stored is lost")
    if isinstance(error, duckdb.CatalogException) and "Table with name" in whole:
        return BadDatabase(f"KLINES_DATABASE: {login} has not the tables of a klines database: {said}")
    if isinstance(error, duckdb.IOException | duckdb.HTTPException | duckdb.FatalException):
        return _lost(said, login)
    if isinstance(error, duckdb.InternalException):  # such as of who had read before rows went into files
        return Again(f"DuckDB failed within itself on the lake {login} ({said}); nothing is lost: do it again")
    return None


def _lost(said: str, login: Login) -> Again:
    return Again(
        f"the lake {login} can't be reached ({said}); nothing is lost; if it stays so, see "
        "whether PostgreSQL and the bucket run, and whether this machine reaches them"
    )


def _plain(error: Exception, login: Login) -> str:
    """What was said in one line, without secrets."""
    said = " ".join(without_secrets(str(error), login).split())
    return said or f"{type(error).__name__}, and no word why: a connection that was cut"


def _short(text: str) -> str:
    """What matters of it: PostgreSQL's own words, or the beginning and the end."""
    start = max(text.rfind('": connection'), text.rfind("FATAL: "))
    text = text[start:].removeprefix('": ') if start > 0 else text
    return text if len(text) <= 300 else f"{text[:120]} … {text[-170:]}"
