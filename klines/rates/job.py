"""What a run of funding rates is asked to do."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Self, get_args

from klines.clock import epoch_ms
from klines.errors import BadParameter
from klines.market import MARKETS, FuturesName, Market
from klines.rates.ledger import FIRST_RATE_MS
from klines.settings import Settings

_DELIVERED = re.compile(r"_[0-9]{6}$")
"""How the name of a contract ends that is delivered on a day: it has no funding."""


@dataclass(frozen=True, slots=True)
class FundingJob:
    """Symbols and patterns of a market, and since when their rates are wanted, in epoch ms; already validated. With
    `all_symbols` patterns take whatever ever had rates."""

    symbols: Sequence[str]
    market: Market
    since_ms: int = FIRST_RATE_MS
    all_symbols: bool = False

    @classmethod
    def of(
        cls,
        settings: Settings,
        symbols: list[str] | None = None,
        market: str = "usdm",
        since: datetime | None = None,
        all_symbols: bool = False,
    ) -> Self:
        """The job that the flow's parameters and the settings describe; raises BadParameter for one that can't be."""
        if market not in get_args(FuturesName):
            raise BadParameter(f"market: {market!r:.100} has no funding rates; usdm and coinm have them")
        chosen = list(dict.fromkeys(settings.symbols if symbols is None else symbols))
        for symbol in filter(is_delivered, chosen):
            raise BadParameter(f"symbols: {symbol} is delivered on a day; only perpetual contracts have funding rates")
        since_ms = settings.since_ms if since is None else epoch_ms(since)
        since_ms = FIRST_RATE_MS if since_ms is None else max(since_ms, FIRST_RATE_MS)
        return cls(chosen, MARKETS[market], since_ms, all_symbols)


def is_delivered(symbol: str) -> bool:
    """Whether a contract is delivered on a day, as its name says, and so has no funding rates."""
    return _DELIVERED.search(symbol) is not None
