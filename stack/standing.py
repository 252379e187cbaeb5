"""The artifact `freshness` while no run ends: whoever opens it sees what has become of the klines meanwhile."""

from __future__ import annotations

import contextlib
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import ArtifactUpdate
from prefect.client.schemas.filters import ArtifactCollectionFilter, ArtifactCollectionFilterKey
from prefect.exceptions import PrefectHTTPStatusError

from klines.clock import epoch_ms
from klines.errors import KlinesError
from klines.storage.place import Place

if TYPE_CHECKING:
    import duckdb

    from klines.tables.schedules import Collected

EVERY_S = 60
"""So often is looked for an artifact that is old; and runs are taken to come so often where nobody knows better."""
LATEST_S = 45
"""A run has ended so long after it was due, or it has not ended."""
WAIT_S = 1.0
"""How long the database is waited for: who runs goes first."""


class Rewriter:
    """Writes the artifacts of what a database collects anew, where runs do not."""

    def __init__(self, client: SyncPrefectClient, place: Place, late_s: float = LATEST_S) -> None:
        self._client = client
        self._place = place
        self._late_s = late_s
        self._every_s: dict[str, int | None] = {}
        self._look_s = time.monotonic() + EVERY_S

    def look(self) -> None:
        """Once a minute; nothing happens while the server or the database can't be had."""
        if time.monotonic() < self._look_s:
            return
        self._look_s = time.monotonic() + EVERY_S
        with contextlib.suppress(httpx.HTTPError, PrefectHTTPStatusError, KlinesError):
            if self.old():
                self.rewrite()

    def old(self) -> dict[str, UUID]:
        """Those that are older than their schedule allows, by key."""
        asked = ArtifactCollectionFilter(key=ArtifactCollectionFilterKey(like_="freshness"))
        there = self._client.read_latest_artifacts(artifact_filter=asked)
        return {one.key: one.latest_id for one in there if one.updated and self._is_old(one.key, one.updated)}

    def _is_old(self, key: str, written: datetime) -> bool:
        age_s = (datetime.now(UTC) - written).total_seconds()
        return age_s > (self._every_s.get(key) or EVERY_S) + self._late_s

    def rewrite(self) -> None:
        """Write those anew that are old. Raises as the server's client, and KlinesError."""
        from klines.tables.schedules import collected
        from tasks.freshness import key_of  # with what runs need, which takes seconds, and is not needed before

        with self._place.reading(time.monotonic() + WAIT_S) as connection:
            listed = {key_of(one.market, one.kind, one.interval, one.shard): one for one in collected(connection)}
            self._every_s = {key: one.every_s for key, one in listed.items()}
            written = {of: artifact_of(connection, listed[key]) for key, of in self.old().items() if key in listed}
        for artifact_id, artifact in written.items():  # in the place of themselves: there may be no run for days
            self._client.update_artifact(artifact_id, artifact)


def artifact_of(connection: duckdb.DuckDBPyConnection, one: Collected) -> ArtifactUpdate:
    """What a run would say now."""
    from klines.collect.freshness import freshness
    from klines.collect.standings import all_standings
    from klines.collect.timeliness import timeliness
    from klines.interval import INTERVALS
    from klines.market import market_of
    from klines.shard import Shard
    from tasks.freshness import text

    market, interval, now_ms = market_of(one.market, one.kind), INTERVALS[one.interval], epoch_ms(datetime.now(UTC))
    shard = Shard.parse(one.shard) if one.shard else None
    standings = all_standings(connection, market, interval, now_ms, shard)
    names = [standing.symbol for standing in standings] if shard else None
    hour = timeliness(connection, market, interval, now_ms, names, one.shard)
    found = freshness(*market.key, interval, standings, now_ms, one.shard)
    return ArtifactUpdate(description=found.told, data=text(found, hour))
