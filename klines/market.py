"""Binance's markets, one frozen row each: what a page costs and how long it may be.

Sources: Binance REST docs (spot `GET /api/v3/klines`: weight 2, at most 1,000 rows; USDⓈ-M and COIN-M klines: weight by
`limit`). USDⓈ-M and COIN-M share one pool of 2,400 weight a minute since 2026-06-30.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Market:
    """A market; `page_slots` is the longest page asked for, `weights` the (from this limit on, weight) steps."""

    name: str
    pool: str
    page_slots: int
    weight_per_minute: int
    weights: tuple[tuple[int, int], ...]

    def weight(self, limit: int) -> int:
        """What one klines request with this `limit` costs of the pool's minute."""
        return self.weights[bisect_right(self.weights, limit, key=lambda step: step[0]) - 1][1]


MARKETS: dict[str, Market] = {
    "spot": Market("spot", pool="spot", page_slots=1000, weight_per_minute=6000, weights=((0, 2),)),
}
