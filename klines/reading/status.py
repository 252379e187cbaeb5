"""How everything is just now, in one look at the file: what is fresh, what is behind and why, what the ledger says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import duckdb

from klines.columns import KEY
from klines.market import MARKETS
from klines.reading.funded import FundingNow, funding_now
from klines.storage.access import Database, reading_at, stored_at
from klines.storage.schema.exact import is_exact
from klines.tables.alarms import Alarm, waiting
from klines.tables.bans import holding, whose
from klines.tables.doubtful import Doubt, doubts
from klines.tables.incidents import Incident, going_on
from klines.tables.sound import FEW, check_rows

NAMED = 20
"""How many series that are behind are named."""
_FRESH = "CREATE TEMP TABLE now AS FROM freshness"
_SERIES = """
    SELECT market, kind, interval, count(*), count(*) FILTER (state = 'fresh'), count(*) FILTER (state = 'late'),
           count(*) FILTER (state = 'stale'), max(last)
    FROM now WHERE state != 'not trading' GROUP BY ALL ORDER BY market, kind, any_value(slot_length(interval))
"""
_SAME = " AND ".join(f"gaps.{name} = now.{name}" for name in KEY[:-1])
_BEHIND = f"""
    SELECT now.market, now.kind, now.interval, now.symbol, state, lacking, last, reason, next_check
    FROM now LEFT JOIN gaps ON {_SAME} AND start_time <= lacks_from AND end_time > lacks_from
    WHERE state IN ('late', 'stale') ORDER BY lacking DESC, now.market, now.kind, now.interval, now.symbol LIMIT {NAMED}
"""
_LEDGER = """
    SELECT reason, count(*), count(DISTINCT (market, kind, interval, symbol)),
           coalesce(sum(slots_between(interval, start_time, least(end_time, utc_now()))), 0)::BIGINT
    FROM gaps WHERE start_time < utc_now() AND kind <> 'funding' GROUP BY reason ORDER BY reason
"""


@dataclass(frozen=True, slots=True)
class SeriesNow:
    """The symbols of a market, kind and interval that trade, by how far they are; `newest` is the newest open time
    (UTC)."""

    market: str
    kind: str
    interval: str
    symbols: int
    fresh: int
    late: int
    stale: int
    newest: datetime


@dataclass(frozen=True, slots=True)
class Behind:
    """A symbol that lacks klines after its last one, and what the ledger says of that: nothing, or a reason."""

    market: str
    kind: str
    interval: str
    symbol: str
    state: str
    lacking: int
    last: datetime
    reason: str | None
    next_check: datetime | None


@dataclass(frozen=True, slots=True)
class Explained:
    """What of the ledger has one reason: rows, series that have such rows, slots up to now."""

    reason: str
    rows: int
    series: int
    slots: int


@dataclass(frozen=True, slots=True)
class Silence:
    """A ban that holds: of a pool, for requests that leave by the address `egress`, empty where none was named."""

    pool: str
    egress: str
    state: str
    until: datetime
    message: str

    @property
    def said(self) -> str:
        """`spot of 203.0.113.7 is RateLimited until 12:05:00`."""
        return f"{whose(self.pool, self.egress)} is {self.state} until {self.until:%Y-%m-%d %H:%M:%S}"


@dataclass(frozen=True, slots=True)
class Status:
    """All of it, as of `time` (UTC); `bytes` is the size of the file, `behind` the series that lack most. `doubtful`
    klines may have an amount that is not Binance's to the last digit; `doubts` are the series with most of them."""

    database: str
    bytes: int
    time: datetime
    series: Sequence[SeriesNow]
    behind: Sequence[Behind]
    ledger: Sequence[Explained]
    incidents: Sequence[Incident]
    alarms: Sequence[Alarm]
    bans: Sequence[Silence]
    is_exact: bool
    doubtful: int
    doubts: Sequence[Doubt]
    funding: Sequence[FundingNow]


def status(database: Database = None) -> Status:
    """Look into the file, which nobody writes meanwhile; raises as `read` does."""
    place = stored_at(database)
    now = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
    with reading_at(place) as connection:
        connection.execute(_FRESH)
        return Status(
            str(place),
            place.size(),
            now,
            [SeriesNow(*row) for row in connection.execute(_SERIES).fetchall()],
            [Behind(*row) for row in connection.execute(_BEHIND).fetchall()],
            [Explained(*row) for row in connection.execute(_LEDGER).fetchall()],
            [incident for market in MARKETS.values() for incident in going_on(connection, market)],
            [alarm for market in MARKETS.values() for alarm in waiting(connection, market)],
            _silences(connection, place, now),
            is_exact(connection),
            *doubts(connection, NAMED),
            funding_now(connection),
        )


def _silences(connection: duckdb.DuckDBPyConnection, path: object, now: datetime) -> list[Silence]:
    """The bans that hold; raises BadDatabase for rows that are none."""
    check_rows(connection, path, {"bans": FEW["bans"]})
    found = holding(connection, int(now.replace(tzinfo=UTC).timestamp() * 1000))
    return [Silence(ban.pool, ban.egress, ban.state, _utc(ban.until_ms), ban.message) for ban in found]


def _utc(time_ms: int) -> datetime:
    return datetime.fromtimestamp(time_ms / 1000, UTC).replace(tzinfo=None, microsecond=0)
