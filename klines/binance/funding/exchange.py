"""The funding rates of one market of futures, asked by REST: pages, and the intervals of today."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Self

from klines.binance.exchange import Exchange
from klines.binance.funding.grid import hour_of
from klines.binance.funding.pool import MOST_REQUESTS, PERIOD_MS, SHARE, RequestPool
from klines.binance.funding.rate import LONGEST_PAGE, FundingRate, RatesOf, rates_answered
from klines.binance.weight import Budget
from klines.errors import BadAnswer, RateLimited
from klines.interval import HOUR, MINUTE
from klines.outcome import shown
from klines.rows import Rejects
from klines.symbol import LONGEST_SYMBOL
from klines.window import Window

MOST_PAGES_OF_RATES = 100
"""Of one window; a rate an hour for ten years takes 88."""
OWN_POOL = "usdm"
"""The market whose rates have a pool of their own; coinm's are weighed with all else, one each."""


class FundingExchange(Exchange):
    """One market of futures during one run; use as `async with`."""

    async def __aenter__(self) -> Self:
        own = RequestPool(*self.pace, self.now_ms) if self.market.name == OWN_POOL else None
        self.pool: RequestPool | Budget = own or self.budget
        return await super().__aenter__()

    @property
    def pace(self) -> tuple[int, int]:
        """How many requests a run makes in how many ms."""
        is_own = self.market.name == OWN_POOL
        return (int(MOST_REQUESTS * SHARE), PERIOD_MS) if is_own else (int(self.budget.ceiling), MINUTE)

    async def rates(self, symbol: str, asked: Window, into: RatesOf) -> None:
        """Fill `into` with the rates of a window, oldest page first; what came before an error stays there.

        An answer says what there is up to its last rate; so what is after that is asked for until nothing comes.
        Raises any of our errors.
        """
        start_ms = asked.start_ms
        for _ in range(MOST_PAGES_OF_RATES):
            page = Window(start_ms, asked.end_ms)
            rates, rejects = await self._rates(symbol, page)
            into.rates += rates
            into.rejects.add(rejects)
            last_ms = max([rate.time_ms for rate in rates] + rejects.times_ms, default=asked.end_ms)
            start_ms = min(hour_of(last_ms) + HOUR, asked.end_ms)
            into.answered.append(Window(page.start_ms, start_ms))
            if start_ms >= asked.end_ms:
                return
        raise BadAnswer(f"a window of rates comes in over {MOST_PAGES_OF_RATES} answers")

    async def _rates(self, symbol: str, asked: Window) -> tuple[list[FundingRate], Rejects]:
        parameters = {"symbol": symbol, "startTime": asked.start_ms, "endTime": asked.end_ms - 1, "limit": LONGEST_PAGE}
        body = await self._ask_pool(lambda: self._client.funding(**parameters))  # Binance's ends are inclusive
        return rates_answered(body, symbol, asked, LONGEST_PAGE, self.now_ms())

    async def intervals(self) -> dict[str, int]:
        """The interval, in hours, of each symbol of which fundingInfo says one: of those that have not the usual one.

        Raises BadAnswer for what is no list.
        """
        body = await self._ask_pool(self._client.funding_info)
        if not isinstance(body, list):
            raise BadAnswer(f"the answer is no fundingInfo: {shown(body)}")
        entries = [
            (entry.get("symbol"), entry.get("fundingIntervalHours")) for entry in body if isinstance(entry, dict)
        ]
        return {
            str(name): hours for name, hours in entries if _is_name(name) and type(hours) is int and 0 < hours <= 24
        }

    async def _ask_pool(self, call: Callable[[], Awaitable[Any]]) -> Any:
        """One request of the pool of rates. A ban is of the address, and so of every pool."""
        try:
            return await self._ask(call, 1, self.pool)
        except RateLimited as error:
            if error.banned:
                self.budget.stop(error)
            raise


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= LONGEST_SYMBOL
