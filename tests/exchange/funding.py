"""The funding rates of the stand-in's perpetual contracts: made by arithmetic, as its klines."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Any

from tests.exchange.market import HOUR_MS, Market

Rate = dict[str, Any]
"""A row of REST."""
HEADER_OF_RATES = "calc_time,funding_interval_hours,last_funding_rate"
MARK_PRICES_FROM_MS = 1_698_796_800_000
"""2023-11-01: the mark price of a rate before is empty."""
USUAL = 8


class Fundings(Market):
    """Which rates exist, and what they are."""

    def __init__(self, markets: Iterable[str], any_symbol: bool) -> None:
        super().__init__(markets, any_symbol)
        self._hours: dict[str, list[tuple[int, int]]] = {}
        self._unfunded: list[tuple[str | None, int, int]] = []
        self._other_rates: dict[tuple[str, int], dict[str, Any]] = {}

    def fund(self, symbol: str, hours: int, from_ms: int = 0) -> None:
        """Let a symbol have a rate every so many hours from a time on; every 8 where nothing is said."""
        self._hours.setdefault(symbol, []).append((from_ms, hours))

    def unfund(self, start_ms: int, end_ms: int, symbol: str | None = None) -> None:
        """There are no rates of [start, end)."""
        self._unfunded.append((symbol, start_ms, end_ms))

    def refill(self) -> None:
        """There are rates again where there were none."""
        self._unfunded = []
        self._zips = {}

    def refund(self, symbol: str, hour_ms: int, **fields: Any) -> None:
        """REST gives other values of an hour from now on; the archive does not."""
        self._other_rates[symbol, hour_ms] = fields

    def hours_at(self, symbol: str, time_ms: int) -> int:
        """The symbol's interval at a time."""
        return next((hours for since, hours in reversed(self._hours.get(symbol, [])) if since <= time_ms), USUAL)

    def rates(self, market: str, symbol: str, start_ms: int, end_ms: int, now_ms: int) -> list[Rate]:
        """What REST has of [start, end], both included, ascending."""
        listing = self.listing(market, symbol)
        if listing is None or re.search(r"_\d{6}$", symbol):
            return []
        until_ms = min(now_ms, listing.until_ms or now_ms, end_ms)
        since_ms = max(start_ms, listing.since_ms + 1)
        made = (self._rate(symbol, hour * HOUR_MS) for hour in range(since_ms // HOUR_MS, until_ms // HOUR_MS + 1))
        return [rate for rate in made if rate and since_ms <= rate["fundingTime"] <= until_ms]

    def _rate(self, symbol: str, hour_ms: int) -> Rate | None:
        is_out = any(whose in (None, symbol) and a <= hour_ms < b for whose, a, b in self._unfunded)
        if is_out or hour_ms // HOUR_MS % self.hours_at(symbol, hour_ms):
            return None
        bits = int.from_bytes(hashlib.blake2b(f"{symbol} {hour_ms}".encode(), digest_size=8).digest(), "big")
        price = f"{bits % 90_000 + 10_000}.{bits % 10**8:08d}" if hour_ms >= MARK_PRICES_FROM_MS else ""
        rate = {
            "symbol": symbol,
            "fundingTime": hour_ms + bits % 16,
            "fundingRate": f"{'-' if bits & 1 else ''}0.{bits % 75_000:08d}",
            "markPrice": price,
        }
        return rate | self._other_rates.get((symbol, hour_ms), {})

    def lines_of_rates(self, market: str, symbol: str, start_ms: int, end_ms: int, now_ms: int) -> list[list[Any]]:
        """What the archive has of [start, end): time, interval and rate."""
        others, self._other_rates = self._other_rates, {}
        found = self.rates(market, symbol, start_ms, end_ms - 1, now_ms)
        self._other_rates = others
        return [
            [rate["fundingTime"], self.hours_at(symbol, rate["fundingTime"]), rate["fundingRate"]] for rate in found
        ]
