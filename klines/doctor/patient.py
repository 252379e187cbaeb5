"""A market of the exchange that is examined: it is asked one thing after the other, and what each costs is noted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from klines.binance.clocks import Readings
from klines.binance.exchange import Exchange
from klines.binance.funding.exchange import OWN_POOL
from klines.binance.funding.rate import LONGEST_PAGE
from klines.binance.line import Pool
from klines.doctor.diagnosis import Clockwork, NotAsked
from klines.errors import Blocked, RateLimited, Stop
from klines.interval import MINUTE, Interval
from klines.market import Kind, Market
from klines.window import Window

PATIENCE_S = 6.0
"""How long one answer may take."""


class Purse:
    """The request weight that all checks together may use."""

    def __init__(self, weight: int) -> None:
        self._weight = weight
        self.spent = 0

    def pay(self, weight: int) -> None:
        """Raises NotAsked where so much is not left."""
        if self.spent + weight > self._weight:
            raise NotAsked(f"it would take more than {self._weight} weight in all")
        self.spent += weight


@dataclass(frozen=True, slots=True)
class Cost:
    """What a request should cost, the sum that its answer stated (None: none), and the exchange's minute before and
    after it."""

    weight: int
    used: int | None
    minutes: tuple[int, int]


class Patient(Exchange):
    """One market under examination; use as `async with`. `silence` is a ban that holds, in which nothing is asked."""

    def __init__(
        self,
        market: Market,
        url: str,
        purse: Purse,
        time: Clockwork,
        *,
        silence: Stop | None = None,
        open_pause_s: float,
        clock: Callable[[], int] | None = None,
        egress: str = "",
    ) -> None:
        super().__init__(
            *(market, url),
            deadline_s=time.until_s,
            request_timeout_s=PATIENCE_S * time.patience,
            connections=2,
            clock=clock,
            egress=egress,
        )
        self.url = url
        self.time = time
        self.symbol = self.witnesses[-1]
        self.silence = silence
        self.open_pause_s = open_pause_s
        self.costs: list[Cost] = []
        self.unreached = ""
        self.unreadable = ""
        self.stated: Any = None
        self.page: list[Any] = []
        self.days: list[Any] = []
        self.neighbour: Patient | None = None
        self._purse = purse
        self._headers: Mapping[str, str] = {}

    @property
    def refused(self) -> Blocked | None:
        """The answer that refuses this place or address."""
        return self.budget.stopped if isinstance(self.budget.stopped, Blocked) else None

    @property
    def over(self) -> str:
        """Why nothing more is asked of this market; empty while it is."""
        if self.refused:
            return "this place or address is refused"
        others = self.neighbour.budget.stopped if self.neighbour else None
        wants_silence = self.silence or self.budget.stopped or isinstance(others, RateLimited)
        return self.unreached or ("Binance wants silence" if wants_silence else "")

    @property
    def readings(self) -> Readings:
        """What the clocks say."""
        return self._readings

    @property
    def used(self) -> int | None:
        """The weight that the last answer stated."""
        return self.costs[-1].used if self.costs else None

    async def ping(self) -> None:
        """The least that can be asked."""
        await self._ask(self._client.alive, weight=1)

    async def status(self) -> Any:
        """The system status of spot."""
        return await self._ask(self._client.status, weight=1)

    async def read_clocks(self) -> None:
        """All clocks at one moment, and the newest kline where they differ."""
        await self._read_clock()
        if not self._readings.agree:
            await self.look_at_newest()

    async def info(self) -> Any:
        """exchangeInfo, on spot of this one symbol."""
        return await self._ask(partial(self._client.info, (self.symbol,)), self.market.info_weight)

    async def klines(
        self,
        interval: Interval,
        start_ms: int | None,
        end_ms: int | None,
        limit: int,
        symbol: str = "",
    ) -> list[Any]:
        """The rows of [start_ms, end_ms) as they are."""
        return await self._answer(symbol or self.symbol, interval, start_ms, end_ms, limit)

    async def klines_of(self, kind: Kind, interval: Interval, asked: Window, limit: int) -> list[Any]:
        """The rows of a window of another kind, as they are."""
        [symbol] = replace(self.market, kind=kind).well_known([self.symbol])
        return await self._answer_of(kind, symbol, interval, asked.start_ms, asked.end_ms, limit)

    async def rates(self, asked: Window) -> Any:
        """Funding rates of a window as they are; of usdm they cost none of what klines cost."""
        ends = {"startTime": asked.start_ms, "endTime": asked.end_ms - 1}
        parameters = {"symbol": self.symbol, "limit": LONGEST_PAGE} | ends
        weight = 0 if self.market.name == OWN_POOL else 1
        return await self._ask(lambda: self._client.funding(**parameters), weight)

    async def _ask(self, call: Callable[[], Awaitable[Any]], weight: int, pool: Pool | None = None) -> Any:
        """One request, paid for; what its answer says of weight is noted."""
        self._purse.pay(weight)
        self._headers, before = {}, self.now_ms() // MINUTE
        try:
            return await super()._ask(call, weight, pool)
        finally:
            used = self._headers.get("X-MBX-USED-WEIGHT-1M", "")
            stated = int(used) if used.isascii() and used.isdigit() and len(used) < 10 else None
            if self._headers:
                self.costs.append(Cost(weight, stated, (before, self.now_ms() // MINUTE)))

    def _observe(self, headers: Mapping[str, str]) -> None:
        self._headers = headers
        super()._observe(headers)

    def _silence(self, error: RateLimited, pool: Pool) -> None:  # noqa: ARG002 - whichever it is of
        """Silence that is asked for is what was found: it is not waited for."""
        self.budget.stop(error)
        raise error
