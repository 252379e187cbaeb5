"""What a run of collect finds noted of its market: incidents that go on, alarms that wait, and when runs are due."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import duckdb

from klines.interval import Interval
from klines.market import Market
from klines.tables.alarms import waiting
from klines.tables.incidents import Incident, going_on
from klines.tables.schedules import noted_ms


@dataclass(frozen=True, slots=True)
class Noted:
    """Incidents of the market that go on, whether alarms wait to be delivered, and when, in epoch ms, the schedule of
    the run's deployment was entered; None for never."""

    incidents: Sequence[Incident]
    alarms_wait: bool
    schedule_ms: int | None

    @classmethod
    def of(cls, connection: duckdb.DuckDBPyConnection, market: Market, interval: Interval, shard: str, by: str) -> Self:
        """As the database has it, for runs `by` a deployment."""
        return cls(
            going_on(connection, market),
            bool(waiting(connection, market)),
            noted_ms(connection, market, interval, shard, by),
        )
