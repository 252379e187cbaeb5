"""Binance's markets, one frozen row each: what a page costs and how long it may be.

Sources: Binance REST docs (spot `GET /api/v3/klines`: weight 2, at most 1,000 rows; USDS-M and COIN-M klines: weight by
`limit`, at most 1,500 rows; COIN-M: the last `limit` rows of at most 200 days). USDS-M and COIN-M share one pool of
2,400 weight a minute since 2026-06-30.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import Literal

from klines.errors import BadParameter
from klines.interval import DAY, Interval

MarketName = Literal["spot", "usdm", "coinm"]
SourceName = Literal["auto", "archive", "rest"]
"""Where a backfill has klines from; auto: from both."""
_BY_LIMIT = ((0, 1), (100, 2), (500, 5), (1001, 10))


@dataclass(frozen=True, slots=True)
class Market:
    """A market; `weights` are the (from this limit on, weight) steps, `info_weight` is what exchangeInfo costs,
    `info_by_name` whether it can be asked for some symbols, `widest_ms` the longest window of a request, `gives_newest`
    whether of more klines than `limit` the last ones are answered."""

    name: str
    pool: str
    most_rows: int
    weight_per_minute: int
    weights: tuple[tuple[int, int], ...]
    info_weight: int = 1
    info_by_name: bool = False
    widest_ms: int | None = None
    gives_newest: bool = False

    def weight(self, limit: int) -> int:
        """What one klines request with this `limit` costs of the pool's minute."""
        return self.weights[bisect_right(self.weights, limit, key=lambda step: step[0]) - 1][1]

    def page_slots(self, interval: Interval) -> int:
        """How many slots a page covers: as many as the answer has room for, so its direction does not matter."""
        if self.widest_ms is None:
            return self.most_rows
        return min(self.most_rows, self.widest_ms // (interval.length_ms or 31 * DAY))


def check_interval(market: str, interval: str) -> None:
    """Raises BadParameter for an interval that the market does not have."""
    if interval == "1s" and market != "spot":
        raise BadParameter(f"interval: 1s exists on spot only, not on {market}")


MARKETS: dict[str, Market] = {
    market.name: market
    for market in (
        Market(
            *("spot", "spot"),
            most_rows=1000,
            weight_per_minute=6000,
            weights=((0, 2),),
            info_weight=20,
            info_by_name=True,
        ),
        # 499 rows cost 2: of all limits the most rows for their weight
        Market("usdm", pool="futures", most_rows=499, weight_per_minute=2400, weights=_BY_LIMIT),
        Market(
            *("coinm", "futures"),
            most_rows=499,
            weight_per_minute=2400,
            weights=_BY_LIMIT,
            widest_ms=200 * DAY,
            gives_newest=True,
        ),
    )
}
