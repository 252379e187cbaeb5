"""Whether runs collect, and whether alarms arrive, watched by the process of `klines run`: it lives where a worker does
not, and goes on for a while without a server.

The database is opened for moments only, and an address that does not answer keeps nothing waiting.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

import duckdb
import httpx
from prefect.client.orchestration import SyncPrefectClient
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError

from klines.clock import epoch_ms
from klines.collect.incidents import Followed
from klines.collect.overdue import NOT_COLLECTED, Overdue, follow_overdue, overdue
from klines.errors import KlinesError
from klines.market import MARKETS
from klines.storage.place import Place, Scope
from klines.tables.alarms import Alarm, add_alarms, claim, note_attempt, waiting
from klines.tables.incidents import Incident, going_on, write_incidents
from klines.tables.promise import NO_DEPLOYMENTS
from klines.tables.schedules import collected
from klines.tables.transaction import transaction
from klines.tables.wanted import wanted_on_by
from stack.deployed import Deployed, deployed
from tasks.outgoing import WEBHOOK, name_of, tell

EVERY_S = 60
"""So often is looked."""
WAIT_S = 1.0
"""How long the database is waited for: who runs goes first."""
SEEN_S = 3 * EVERY_S
"""Runs that have seen an incident so lately live, and have told of it."""
_NOTES = Scope("incidents", "", "", notes=True)


class Watch:
    """Call `look` each second; what is to be said on the terminal goes to `say`."""

    def __init__(self, client: SyncPrefectClient, place: Place, say: Callable[[str], None]) -> None:
        self._client = client
        self._place = place
        self._say = say
        self._look_s = time.monotonic()
        self._deployed: Deployed | None = None
        self._url: str | None = None
        self._gone: set[str] = set()
        self._runs: dict[str, int] = {}
        self._seen_s: dict[str, float] = {}
        self._sending: threading.Thread | None = None
        self._tried: list[tuple[Alarm, str]] = []

    def look(self) -> None:
        """Once a minute, and enter what has become of alarms; where the database is busy, later."""
        if self._sending and self._sending.is_alive():
            return
        with contextlib.suppress(KlinesError):
            self._enter_tried()
            if time.monotonic() >= self._look_s:
                self._look_s = time.monotonic() + EVERY_S
                self.watch(epoch_ms(datetime.now(UTC)))

    def watch(self, now_ms: int) -> None:
        """See what is to be told at a time, in epoch ms, and begin to tell it. Raises KlinesError."""
        self._ask_server()
        if not self._place.exists():
            return
        with self._place.reading(time.monotonic() + WAIT_S) as connection:
            self._say_who_is_gone(connection)
            late = self._overdue(connection, now_ms)
            is_news = any(
                self._follow(connection, market, late, now_ms).changed or waiting(connection, MARKETS[market])
                for market in MARKETS
            )
        if is_news:
            claimed = self._place.write(time.monotonic() + WAIT_S, _NOTES, lambda it: self._enter(it, late, now_ms))
            self._begin_to_tell(claimed)

    def _ask_server(self) -> None:
        """Which deployments there are, and the webhook; as it was said last, while the server does not answer."""
        with contextlib.suppress(httpx.HTTPError, PrefectHTTPStatusError):
            self._deployed = deployed(self._client)
            try:
                block = self._client.read_block_document_by_name(WEBHOOK, "webhook", include_secrets=True)
                self._url = str(block.data["url"])
            except ObjectNotFound:
                self._url = ""

    def _say_who_is_gone(self, connection: duckdb.DuckDBPyConnection) -> None:
        if self._deployed is None:
            return
        wanted = wanted_on_by(connection)
        gone = {by for by in wanted if by not in NO_DEPLOYMENTS} - self._deployed.all
        for by in sorted(gone - self._gone):
            count = sum(symbols for *_, symbols in wanted[by])
            self._say(
                f"no deployment of collect is called {by} any more, and what it collected is wanted still "
                f"({count:,} series): `klines wanted --let-go {by}` ends that, and keeps what is stored"
            )
        self._gone = gone

    def _overdue(self, connection: duckdb.DuckDBPyConnection, now_ms: int) -> Mapping[str, Overdue]:
        """What is overdue of deployments that are on, as far as that is known."""
        names = None if self._deployed is None else {*self._deployed.active, ""}
        return overdue((one for one in collected(connection) if names is None or one.by in names), now_ms)

    def _follow(
        self, connection: duckdb.DuckDBPyConnection, market: str, late: Mapping[str, Overdue], now_ms: int
    ) -> Followed:
        before = going_on(connection, MARKETS[market])
        return follow_overdue(before, market, late.get(market), now_ms, is_told=self._is_told(market, before))

    def _is_told(self, market: str, before: Sequence[Incident]) -> bool:
        """Whether runs have seen an incident lately that was told: their number has grown."""
        runs = sum(one.runs for one in before if one.loud and one.kind != NOT_COLLECTED)
        if runs > self._runs.get(market, 0):
            self._seen_s[market] = time.monotonic()
        self._runs[market] = runs
        return market in self._seen_s and time.monotonic() - self._seen_s[market] < SEEN_S

    def _enter(self, connection: duckdb.DuckDBPyConnection, late: Mapping[str, Overdue], now_ms: int) -> list[Alarm]:
        """What has begun and ended; the alarms that are to be told now."""
        claimed: list[Alarm] = []
        with transaction(connection):
            for name, market in MARKETS.items():
                followed = self._follow(connection, name, late, now_ms)
                write_incidents(connection, followed.changed)
                add_alarms(connection, followed.alarms(now_ms))
                if self._url is not None:  # else nobody knows whether there is anybody to hear
                    claimed += claim(connection, market, name_of(self._url) if self._url else "", now_ms)
        return claimed

    def _begin_to_tell(self, alarms: Sequence[Alarm]) -> None:
        url = self._url
        if alarms and url:
            self._sending = threading.Thread(target=lambda: self._tried.extend(tell(url, alarms)), daemon=True)
            self._sending.start()

    def _enter_tried(self) -> None:
        if not self._tried:
            return
        now_ms, tried = epoch_ms(datetime.now(UTC)), list(self._tried)

        def note(connection: duckdb.DuckDBPyConnection) -> None:
            with transaction(connection):
                for alarm, error in tried:
                    note_attempt(connection, alarm, error, now_ms)

        self._place.write(time.monotonic() + WAIT_S, _NOTES, note)
        self._tried.clear()
