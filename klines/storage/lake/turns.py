"""Who changes what of a lake: locks of PostgreSQL's, which keep two writers of one symbol apart, wherever they run.

DuckLake sees conflicts between transactions that delete, not between two that insert: two writers of one key would both
commit it. So whoever writes has the lock of all that he writes, from before his transaction to after its end.

A lock is of a session. PostgreSQL ends one that does not speak for SILENT_S, as of a machine that is gone or a process
that was stopped; its owner speaks every SPEAK_S while he lives. Whoever takes a lock next ends, before his own
transaction, the sessions of DuckDB's that such an owner has left: what they had not committed is gone, whenever they
wake.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import threading
import time
import uuid
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, LiteralString

from klines.errors import DatabaseBusy
from klines.shard import lane
from klines.storage.lake.credentials import Login
from klines.storage.lake.lake_errors import named_lake_errors
from klines.storage.place import Scope

if TYPE_CHECKING:
    from psycopg import Connection

SILENT_S, SPEAK_S = 30, 5.0
UPKEEP = "upkeep"
"""What maintenance has alone, and every writer with all others."""
MAKING = "making"
"""What he has who makes or migrates the tables."""
_APPLICATION = "klines"


def keys_of(scope: Scope) -> list[str]:
    """The names of the locks for a scope: one for each lane of its market, kind and interval, which shards
    have whole."""
    lanes = sorted({lane(symbol) for symbol in scope.symbols})
    keys = [f"{scope.market} {scope.kind} {scope.interval} {number}" for number in lanes]
    return [*keys, scope.market] if scope.notes else keys


def number_of(key: str) -> int:
    """PostgreSQL's number of a lock, of 64 bits."""
    return int.from_bytes(hashlib.sha256(f"klines {key}".encode()).digest()[:8], "big", signed=True)


class Turn:
    """Locks that are held."""

    def __init__(self, session: Connection, login: Login) -> None:
        self._session = session
        self._login = login

    def check(self) -> None:
        """Raises Again unless they are held still: whoever slept for too long has lost them."""
        with named_lake_errors(self._login):
            self._session.execute("SELECT 1")

    def ask(self, sql: LiteralString) -> Any:
        """The one value that PostgreSQL answers, on the session that has the locks."""
        with named_lake_errors(self._login):
            [(value,)] = self._session.execute(sql).fetchall()
        return value


class Turns:
    """The locks of one process: a session for each turn that is taken at once, kept for the next."""

    def __init__(self, login: Login) -> None:
        self._login = login
        self._token = uuid.uuid4().hex[:12]
        self._free: list[Connection] = []
        self._all: list[Connection] = []
        self._mutex = threading.Lock()
        self._over = threading.Event()
        self._close = weakref.finalize(self, _close, self._all, self._over)
        self._speaker: threading.Thread | None = None

    @property
    def application(self) -> str:
        """The name under which DuckDB's sessions of this process are known to PostgreSQL."""
        return f"{_APPLICATION} data {self._token}"

    def close(self) -> None:
        """End all sessions."""
        self._close()

    def begin(self) -> None:
        """See to it that this process has a session, without which those of DuckDB's would be taken for left ones."""
        with named_lake_errors(self._login):
            self._give_back(self._session())

    def ask(self, sql: LiteralString) -> Any:
        """The one value that PostgreSQL answers. Raises Again."""
        [(value,)] = self.rows(sql)
        return value

    def rows(self, sql: LiteralString, *parameters: object) -> list[tuple[Any, ...]]:
        """What PostgreSQL answers. Raises Again."""
        with named_lake_errors(self._login):
            session = self._session()
            try:
                return session.execute(sql, parameters or None).fetchall()
            finally:
                self._give_back(session)

    @contextlib.contextmanager
    def taken(self, keys: list[str], deadline_s: float, *, alone: bool = False) -> Iterator[Turn]:
        """The locks of the keys, taken together in one order; with `alone` nobody else writes at all.

        Waits until `deadline_s` of time.monotonic(); raises DatabaseBusy, which names who has one, and Again.
        """
        with named_lake_errors(self._login):
            session = self._session()
        try:
            with named_lake_errors(self._login):
                self._lock(session, keys, deadline_s, alone=alone)
                _end_left(session)
            yield Turn(session, self._login)
        finally:
            self._unlock(session)

    def _lock(self, session: Connection, keys: list[str], deadline_s: float, *, alone: bool) -> None:
        from psycopg import errors

        wait_ms = max(1, int((deadline_s - time.monotonic()) * 1000))
        shared = "" if alone else "_shared"
        numbers = sorted(map(number_of, keys))
        try:
            session.execute(f"SET lock_timeout = {wait_ms}")
            session.execute(f"SELECT pg_advisory_lock{shared}(%s)", [number_of(UPKEEP)])
            session.execute(
                "SELECT pg_advisory_lock(key) FROM (SELECT unnest(%s::bigint[]) AS key ORDER BY 1) k", [numbers]
            )
        except errors.LockNotAvailable:
            who = _holders(session, [number_of(UPKEEP), *numbers])
        else:
            return
        raise DatabaseBusy(f"{who} writes what this one would, in the lake {self._login}; nothing is lost")

    def _unlock(self, session: Connection) -> None:
        from psycopg import Error

        try:
            session.execute("SELECT pg_advisory_unlock_all()")
        except Error:
            self._forget(session)
        else:
            self._give_back(session)

    def _session(self) -> Connection:
        with self._mutex:
            while self._free:
                session = self._free.pop()
                if not session.closed:
                    return session
                self._all.remove(session)
        session = self._connect()
        with self._mutex:
            self._all.append(session)
            if self._speaker is None:
                arguments = (weakref.ref(self), self._over)
                self._speaker = threading.Thread(target=_speak, args=arguments, name="klines turns", daemon=True)
                self._speaker.start()
        return session

    def _connect(self) -> Connection:
        import psycopg

        session = psycopg.connect(
            self._login.conninfo(self._name()), password=self._login.password or None, autocommit=True
        )
        session.execute(f"SET idle_session_timeout = '{SILENT_S}s'")
        return session

    def _name(self) -> str:
        return f"{_APPLICATION} lock {self._token} {socket.gethostname()[:20]} {os.getpid()}"

    def _give_back(self, session: Connection) -> None:
        with self._mutex:
            self._free.append(session)

    def _forget(self, session: Connection) -> None:
        with self._mutex:
            self._all.remove(session)
        session.close()

    def speak(self) -> None:
        """Say something on every session, so that PostgreSQL keeps it; one that is dead is found by whoever uses it."""
        from psycopg import Error

        with self._mutex:
            sessions = list(self._all)
        for session in sessions:
            with contextlib.suppress(Error):
                if not session.lock.locked():  # whoever waits for a lock on it is heard already
                    session.execute("SELECT 1")
        for session in sessions[:1]:
            with contextlib.suppress(Error):
                _end_left(session)


def _speak(turns: weakref.ref[Turns], over: threading.Event) -> None:
    while not over.wait(SPEAK_S):
        living = turns()
        if living is None:
            return
        living.speak()
        del living


def _close(sessions: list[Connection], over: threading.Event) -> None:
    over.set()
    while sessions:
        sessions.pop().close()


def _end_left(session: Connection) -> None:
    """End DuckDB's sessions of processes that have lost their locks, and wait until each is gone.

    A process that stands still loses one of several sessions first, and the rest here: it has no lock to rely on.
    """
    session.execute(
        f"""
        SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name LIKE '{_APPLICATION} lock %' AND state = 'idle'
          AND state_change < clock_timestamp() - INTERVAL '{SILENT_S - 2 * SPEAK_S} s'
        """
    )
    session.execute(
        f"""
        SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity data
        WHERE datname = current_database() AND application_name LIKE '{_APPLICATION} data %'
          AND NOT EXISTS (SELECT FROM pg_stat_activity AS held WHERE held.datname = data.datname AND
                          held.application_name LIKE '{_APPLICATION} lock ' || right(data.application_name, 12) || '%')
        """
    )


def _holders(session: Connection, numbers: list[int]) -> str:
    """Who has one of the locks, as `host, pid 123,`."""
    rows = session.execute(
        """
        SELECT DISTINCT split_part(application_name, ' ', 4), split_part(application_name, ' ', 5)
        FROM pg_locks JOIN pg_stat_activity USING (pid)
        WHERE locktype = 'advisory' AND granted AND pid != pg_backend_pid()
          AND (classid::bigint << 32 | objid::bigint) = ANY(%s)
        """,
        [numbers],
    ).fetchall()
    named = [f"a run on {host}, pid {pid}," for host, pid in rows if host]
    return named[0] if named else "another run"
