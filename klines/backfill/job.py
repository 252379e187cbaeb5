"""What a backfill is asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Self

from klines.clock import epoch_ms, utc
from klines.errors import BadParameter
from klines.interval import INTERVALS, Interval
from klines.market import KLINES, Market, check_interval, market_of
from klines.settings import Settings


@dataclass(frozen=True, slots=True)
class BackfillJob:
    """What a backfill is asked to do, already validated; times in epoch ms. With `all_symbols` patterns take whatever
    was ever traded."""

    symbols: list[str]
    start_ms: int
    end_ms: int
    market: Market
    interval: Interval
    source: str = "auto"
    refresh: bool = False
    dry_run: bool = False
    all_symbols: bool = False

    @classmethod
    def of(
        cls,
        settings: Settings,  # noqa: ARG003 - every flow's job is made of the settings and its parameters
        symbols: list[str],
        start: datetime,
        end: datetime,
        market: str = "spot",
        interval: str = "1m",
        source: str = "auto",
        refresh: bool = False,
        dry_run: bool = False,
        all_symbols: bool = False,
        kind: str = KLINES.name,
    ) -> Self:
        """The job that the flow's parameters describe; raises BadParameter for one that can't be."""
        its_market = market_of(market, kind)
        check_interval(market, interval)
        its_market.check_entries(symbols)
        if not its_market.kind.is_archived and (source == "archive" or all_symbols):
            raise BadParameter(f"kind: the archive has no {kind} klines; leave source and all_symbols as they are")
        start_ms, end_ms = epoch_ms(start), epoch_ms(end)
        if start_ms >= end_ms:
            raise backward(start, end)
        its_interval = INTERVALS[interval]
        names = list(dict.fromkeys(symbols))
        how = (source, refresh, dry_run, all_symbols)
        return cls(names, start_ms, end_ms, its_market, its_interval, *how)


def backward(start: datetime, end: datetime) -> BadParameter:
    """The error that a range which ends before it starts is."""
    first, last = (f"{utc(time):%Y-%m-%d %H:%M}" for time in (start, end))
    return BadParameter(f"start: {first} is not before the end, {last}; the end is not included")
