"""How much of the last 30 days is there, per series and day: what the artifact `coverage` shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from klines.exchange import FRESH_MS
from klines.interval import DAY

DAYS = 30
SQL = (Path(__file__).parent / "last_days.sql").read_text()
NOTHING, COMPLETE, EXPLAINED, MISSING = "nothing", "complete", "explained", "missing"
"""A day: before the series began, or not trading; every kline stored; what lacks is explained; some is not."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """One series, with the kinds of its last 30 days, oldest first; counts are slots of these days."""

    market: str
    interval: str
    symbol: str
    days: Sequence[str]
    expected: int
    stored: int
    explained: int
    next_check: datetime | None

    @property
    def unexplained(self) -> int:
        """Slots that are neither stored nor explained."""
        return max(0, self.expected - self.stored - self.explained)

    @property
    def percent_complete(self) -> float:
        """The share of slots that are stored or explained."""
        return 100 * (1 - self.unexplained / max(1, self.expected))


def coverage(connection: duckdb.DuckDBPyConnection, now_ms: int) -> list[Coverage]:
    """Every series up to a day long, those that lack most first; what closed in the last 5 minutes is left out."""
    until_ms = (now_ms - FRESH_MS) // FRESH_MS * FRESH_MS
    bounds = {"from": _time(until_ms // DAY * DAY - (DAYS - 1) * DAY), "until": _time(until_ms)}
    rows = connection.execute(SQL, bounds).fetchall()
    found = [_coverage(*row) for row in rows]
    return sorted(found, key=lambda it: (-it.unexplained, -it.explained, it.market, it.interval, it.symbol))


def _coverage(
    market: str, interval: str, symbol: str, next_check: datetime | None, days: Sequence[Mapping[str, int]]
) -> Coverage:
    sums = {name: sum(int(day[name]) for day in days) for name in ("expected", "stored", "explained")}
    return Coverage(market, interval, symbol, [_kind(day) for day in days], **sums, next_check=next_check)


def _kind(day: Mapping[str, int]) -> str:
    if day["expected"] <= day["not_trading"]:
        return NOTHING
    if day["stored"] + day["explained"] < day["expected"]:
        return MISSING
    return COMPLETE if day["stored"] + day["not_trading"] >= day["expected"] else EXPLAINED


def said(series: Sequence[Coverage]) -> str:
    """`9 of 10 series are complete in the last 30 days: 432,000 klines stored, 120 explained, 0 unexplained`."""
    complete = sum(not it.unexplained for it in series)
    stored, explained, unexplained = (
        sum(getattr(it, name) for it in series) for name in ("stored", "explained", "unexplained")
    )
    return (
        f"{complete} of {len(series)} series are complete in the last {DAYS} days: {stored:,} klines stored, "
        f"{explained:,} explained, {unexplained:,} unexplained"
    )


def _time(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC).replace(tzinfo=None)
