"""After a run: what it means for the incidents of its market, and the alarms that are told of them.

All of it raises DatabaseBusy where others hold the file for a second, unless it says otherwise: it is news alone, and
the next run tells it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import duckdb

from klines.collect.incidents import Followed, Seen, follow
from klines.errors import DatabaseBusy
from klines.session import Session
from klines.tables.alarms import Alarm, add_alarms, claim, note_attempt, waiting
from klines.tables.incidents import going_on, write_incidents
from klines.tables.transaction import transaction


class Following:
    """Of a run that has ended, however that was, and was about a `part` of its market: `1m`, `funding`."""

    def __init__(self, session: Session, part: str) -> None:
        self._session, self._part = session, part

    def enter(self, seen: Seen) -> Followed:
        """Enter what the run means; nothing while others hold the file."""
        try:
            return self._session.change_afterwards(self._session.scope(notes=True), partial(self._follow, seen))
        except DatabaseBusy:
            return Followed()

    def _follow(self, seen: Seen, connection: duckdb.DuckDBPyConnection) -> Followed:
        market, now_ms = self._session.market, self._session.exchange.now_ms()
        followed = follow(going_on(connection, market), market.name, self._part, seen, now_ms)
        with transaction(connection):
            write_incidents(connection, followed.changed)
            add_alarms(connection, followed.alarms(now_ms))
        followed.waiting = bool(waiting(connection, market))
        return followed

    def claim_alarms(self, url: str) -> list[Alarm]:
        """The alarms that are to be told `url`, a webhook by its name, now; empty: there is none."""
        session = self._session

        def take(connection: duckdb.DuckDBPyConnection) -> list[Alarm]:
            with transaction(connection):
                return claim(connection, session.market, url, session.exchange.now_ms())

        return session.change_afterwards(session.scope(notes=True), take)

    def note_alarms(self, tried: Sequence[tuple[Alarm, str]]) -> None:
        """Enter what became of alarms: why each was not taken, empty where it was."""
        session = self._session

        def note(connection: duckdb.DuckDBPyConnection) -> None:
            with transaction(connection):
                for alarm, error in tried:
                    note_attempt(connection, alarm, error, session.exchange.now_ms())

        session.change_afterwards(session.scope(notes=True), note)
