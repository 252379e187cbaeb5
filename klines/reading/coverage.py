"""How much there is: of any series and day, and of the last 30 days of every series."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb
import polars as pl

from klines.clock import Time
from klines.errors import BadParameter
from klines.interval import DAY, FRESH_MS
from klines.market import series_name
from klines.reading.inventory import answer, asked_window, check_known
from klines.reading.parameters import interval_named, market_named, symbols_named
from klines.storage.access import Database, reading
from klines.tables.schedules import due_until_ms

DAYS = 30
_LAST_DAYS = (Path(__file__).parent / "last_days.sql").read_text()
NOTHING, COMPLETE, EXPLAINED, MISSING = "nothing", "complete", "explained", "missing"
"""A day: before the series began, or not trading; every kline stored; what lacks is explained; some is not."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """One series, with what its last 30 days are, oldest first; counts are slots of these days."""

    market: str
    kind: str
    interval: str
    symbol: str
    days: Sequence[str]
    expected: int
    stored: int
    explained: int
    next_check: datetime | None

    @property
    def name(self) -> str:
        """`spot 1m`, without the symbol."""
        return series_name(self.market, self.kind, self.interval)

    @property
    def unexplained(self) -> int:
        """Slots that are neither stored nor explained."""
        return max(0, self.expected - self.stored - self.explained)

    @property
    def percent_complete(self) -> float:
        """The share of slots that are stored or explained."""
        return 100 * (1 - self.unexplained / max(1, self.expected))


def last_days(connection: duckdb.DuckDBPyConnection, now_ms: int) -> list[Coverage]:
    """Every series up to a day long, those that lack most first; what closed in the last 5 minutes is left out."""
    until_ms = (now_ms - FRESH_MS) // FRESH_MS * FRESH_MS
    bounds = {"start": until_ms // DAY * DAY - (DAYS - 1) * DAY, "end": until_ms}
    rows = connection.execute(_LAST_DAYS, bounds).fetchall()
    found = [_coverage(*row) for row in rows]
    return sorted(found, key=lambda one: (-one.unexplained, -one.explained, one.name, one.symbol))


def _coverage(
    market: str,
    kind: str,
    interval: str,
    symbol: str,
    next_check: datetime | None,
    days: Sequence[Mapping[str, int]],
) -> Coverage:
    sums = {name: sum(int(day[name]) for day in days) for name in ("expected", "stored", "explained")}
    said_of = [_state_of(day) for day in days]
    before = [NOTHING] * (DAYS - len(said_of))
    return Coverage(market, kind, interval, symbol, before + said_of, **sums, next_check=next_check)


def _state_of(day: Mapping[str, int]) -> str:
    if day["expected"] <= day["not_trading"]:
        return NOTHING
    if day["stored"] + day["explained"] < day["expected"]:
        return MISSING
    return COMPLETE if day["stored"] + day["not_trading"] >= day["expected"] else EXPLAINED


def said(series: Sequence[Coverage]) -> str:
    """`9 of 10 series are complete in the last 30 days: 432,000 klines stored, 120 explained, 0 unexplained`."""
    complete = sum(not series_coverage.unexplained for series_coverage in series)
    stored, explained, unexplained = (
        sum(getattr(one, name) for one in series) for name in ("stored", "explained", "unexplained")
    )
    return (
        f"{complete} of {len(series)} series are complete in the last {DAYS} days: {stored:,} klines stored, "
        f"{explained:,} explained, {unexplained:,} unexplained"
    )


_COVERAGE = (Path(__file__).parent / "coverage.sql").read_text()


def coverage(
    symbols: str | Sequence[str] | None = None,
    start: Time | None = None,
    end: Time | None = None,
    *,
    market: str = "spot",
    kind: str = "klines",
    interval: str = "1m",
    database: Database = None,
) -> pl.DataFrame:
    """How much there is, a row per symbol and day (UTC): how many klines are `expected`, `stored`, `explained` by the
    ledger, and `unexplained`: to be collected, or not yet looked into.

    Of [start, end), as far as klines are due, and of `symbols`, or all; a symbol begins with the first that is known of
    it. For stored intervals up to 1d. Raises as `read` does.
    """
    now_ms = int(time.time() * 1000)
    wanted, asked = interval_named(interval), asked_window(start, end, now_ms)
    names = None if symbols is None else symbols_named(symbols)
    if not 0 < wanted.length_ms <= DAY:
        raise BadParameter(f"interval: days are counted in klines of up to 1d, not of {interval}")
    where = market_named(market, kind)
    with reading(database) as connection:
        due_ms = due_until_ms(connection, where, wanted, now_ms)
        bounds = wanted.floor(asked.start_ms), min(asked.end_ms, due_ms)
        days = answer(connection, _COVERAGE, where, wanted, names, *bounds)
        if names and days["symbol"].n_unique() < len(names):
            check_known(connection, where, names)
    return days
