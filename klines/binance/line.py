"""The line to one market of Binance during one run: its clock, its weight budget, and single questions.

One client, one pool of connections and one weight budget on one event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import replace
from functools import partial
from typing import Any, Protocol, Self, cast

from klines.binance.client import Client
from klines.binance.clocks import DATE, LATEST_MS, SERVER, Readings, Shown, Verdict, header_ms, is_time, judge_clocks
from klines.binance.faults import no_answer
from klines.binance.listing import GONE, Listing, in_parts, stated_limit, symbol_infos
from klines.binance.weight import Budget
from klines.errors import (
    BadAnswer,
    ExchangeDown,
    GiveUp,
    KlinesError,
    Later,
    RateLimited,
    Retry,
    Spent,
    Stop,
    Unreachable,
)
from klines.interval import INTERVALS, MINUTE, Interval
from klines.market import Kind, Market
from klines.outcome import shown
from klines.rows import Rejects, Row, answered, check_shape
from klines.window import Window

_REQUEST: ContextVar[tuple[int, int]] = ContextVar("request")
"""The weight of the request that is under way in this task, and when it was sent, in ms."""
_HEADERS: ContextVar[Mapping[str, str]] = ContextVar("headers")
"""Of the last answer in this task."""
LATE_PAUSES_S = (1.5, 2.5)
MOST_REFUSALS = 5
"""So many answers of 429 in a row, however short the silence is that each asks for, and the run ends."""
WITNESSES = {
    "spot": ("BNBUSDT", "BTCUSDT"),
    "usdm": ("BNBUSDT", "BTCUSDT"),
    "coinm": ("BNBUSD_PERP", "BTCUSD_PERP"),
}
"""Symbols that trade at any time, whose newest kline is a clock."""
MINUTES = INTERVALS["1m"]


class Pool(Protocol):
    """What requests are counted in, as Budget."""

    def pause(self, until_ms: int) -> None:
        """Nobody asks before `until_ms`."""

    def stop(self, reason: Stop) -> None:
        """Nobody asks any more in this run."""

    async def spend(self, weight: int, deadline_ms: int) -> None:
        """Return once a request of `weight` may be sent."""


class Line:
    """One market of Binance during one run; use as `async with`.

    `deadline_s` is of time.monotonic(): no request is begun after it, and none lasts beyond it. `share` is the part of
    the weight limit that this run may use; one that is `yielding` leaves what others need (see Budget). `late_pauses_s`
    are those before a kline that is not published yet is asked for again; `clock` is this machine's, in epoch ms;
    requests leave by the address `egress`, where one is named. Each is sent when `may_ask` has returned.
    """

    may_ask: Callable[[], Awaitable[object]] | None = None

    def __init__(
        self,
        market: Market,
        url: str,
        *,
        deadline_s: float,
        share: float = 0.9,
        yielding: bool = False,
        connections: int = 20,
        request_timeout_s: float,
        late_pauses_s: Sequence[float] = LATE_PAUSES_S,
        clock: Callable[[], int] | None = None,
        egress: str = "",
    ) -> None:
        self.market = market
        self.egress = egress
        self.budget = Budget(market.weight_per_minute, share, self.now_ms, yielding=yielding)
        self.skew_ms = 0
        self.dropped = 0
        self.witnesses: Sequence[str] = market.well_known(WITNESSES[market.name])
        self.before: Shown | None = None
        self.machine_ms = clock or machine_ms
        self._url = url
        self._deadline_s = deadline_s
        self._timeout_s = request_timeout_s
        self._late_pauses_s = late_pauses_s
        self._connections = connections
        self._refusals = 0
        self._readings = Readings(self.machine_ms())
        self._verdict = Verdict(self._readings.machine_ms)
        self._read_s = time.monotonic()

    async def __aenter__(self) -> Self:
        self._turns = asyncio.Semaphore(self._connections)
        self._client = Client(self.market, self._url, self._connections, self._observe, self.now_ms, self.egress)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._client.session.close()

    def now_ms(self) -> int:
        """The exchange's clock, in epoch ms, or, while clocks are in doubt, the earliest of all; this machine's until
        `health` was asked."""
        return self._verdict.now_ms + self._since_ms()

    def closed_ms(self) -> int:
        """The time, in epoch ms, before which a kline must have closed to be closed for sure."""
        return self.now_ms() if self._verdict.closed_ms is None else self._verdict.closed_ms

    @property
    def doubt(self) -> str:
        """A sentence about clocks that differ; empty where they agree."""
        return self._verdict.doubt

    @property
    def shown(self) -> Shown | None:
        """What the clocks show, for a later run's `before`."""
        return self._readings.shown

    @property
    def left_s(self) -> float:
        """How long any request may still take, in seconds."""
        return max(0.0, min(self._timeout_s, self._deadline_s - time.monotonic()))

    def _since_ms(self) -> int:
        return int((time.monotonic() - self._read_s) * 1000)

    async def health(self, *, is_probe: bool = False) -> None:
        """Take over the exchange's clock and weight limit; raises ExchangeDown under maintenance, any Retry or Stop.

        A probe, after a silence that was asked for, begins with one request.
        """
        try:
            if is_probe:
                await self._ask(self._client.alive, weight=1)
            answers = await asyncio.gather(
                self._status(), self._read_clock(), self._read_limit(), return_exceptions=True
            )
            errors = [answer for answer in answers if isinstance(answer, BaseException)]
            for error in sorted(errors, key=lambda error: not isinstance(error, Stop)):
                raise error
            if self._readings.agree:
                self._judge()
            else:
                await self.look_at_newest()
        except Spent:
            raise Unreachable(str(Spent())) from None

    async def look_at_newest(self) -> None:
        """Let the newest kline have its say about the clocks, once a run."""
        if self._readings.newest_ms is None:
            for symbol in self.witnesses:
                newest_ms = await self._newest_minute(symbol)
                if newest_ms is not None:
                    self._readings = replace(self._readings, newest_ms=max(newest_ms, self._readings.newest_ms or 0))
                    self._judge()
                    if self._verdict.closed_ms is None:
                        return
            self._judge()

    async def _newest_minute(self, symbol: str) -> int | None:
        """The open time of the symbol's newest 1m kline, which may be open; None where it can't be had.

        The limit changes from minute to minute, so that no cache has the answer.
        """
        limit = 2 + self.machine_ms() // MINUTE % 60
        try:
            body = await self._answer(symbol, MINUTES, None, None, limit)
            rows, _ = answered(body, MINUTES, Window(0, LATEST_MS), limit, self.market.kind)
        except (Retry, GiveUp, Later):
            return None
        return rows[-1].open_time if rows else None

    def _judge(self) -> None:
        self._verdict = judge_clocks(self._readings)
        self.budget.rebase()

    async def statuses(self, symbols: Sequence[str]) -> dict[str, str | None]:
        """What exchangeInfo says of each: its status, GONE where it is not listed, None where nobody could be asked.

        Spot is asked by name, in parts; where it does not know one of them, for the whole list.
        """
        found: dict[str, str | None] = dict.fromkeys(symbols)
        try:
            for part in in_parts(symbols) if self.market.info_by_name else ():
                listing = symbol_infos(await self._ask(partial(self._client.info, part), self.market.info_weight))
                found |= {symbol: listing[symbol].status for symbol in part if symbol in listing}
            if not self.market.info_by_name:
                found = self._statuses(await self.symbol_infos(), symbols)
        except GiveUp:
            with contextlib.suppress(KlinesError):
                found = self._statuses(await self.symbol_infos(), symbols)
        except KlinesError:
            pass
        return found

    @staticmethod
    def _statuses(listing: Listing, symbols: Sequence[str]) -> dict[str, str | None]:
        """Of a list that has none at all nothing is believed."""
        unlisted = GONE if listing else None
        return {symbol: listing[symbol].status if symbol in listing else unlisted for symbol in symbols}

    async def symbol_infos(self) -> Listing:
        """What exchangeInfo says of the symbol of each series that it lists; raises Retry or Stop."""
        listing = symbol_infos(await self._ask(self._client.all_info, weight=self.market.info_weight))
        self.dropped = listing.dropped
        return listing.of_kind(self.market.kind)

    async def _klines(
        self, symbol: str, interval: Interval, asked: Window, limit: int, *, starts: bool = True, ends: bool = True
    ) -> tuple[list[Row], Rejects]:
        """At most `limit` klines of `asked`, of which only one end is said where the exchange knows the other."""
        start_ms, end_ms = (asked.start_ms if starts else None), (asked.end_ms if ends else None)
        return answered(
            await self._answer(symbol, interval, start_ms, end_ms, limit), interval, asked, limit, self.market.kind
        )

    async def _answer(
        self, symbol: str, interval: Interval, start_ms: int | None, end_ms: int | None, limit: int
    ) -> list[Any]:
        """One klines request for [start_ms, end_ms); raises BadAnswer for what is no list of rows."""
        return await self._answer_of(self.market.kind, symbol, interval, start_ms, end_ms, limit)

    async def _answer_of(
        self, kind: Kind, symbol: str, interval: Interval, start_ms: int | None, end_ms: int | None, limit: int
    ) -> list[Any]:
        """As `_answer`, of any kind that the market has."""
        asked: dict[str, str | int | None] = {**kind.parameters(symbol), "interval": interval.name, "limit": limit}
        asked |= {"startTime": start_ms, "endTime": None if end_ms is None else end_ms - 1}  # Binance's are inclusive
        parameters = {name: value for name, value in asked.items() if value is not None}
        body = await self._ask(lambda: self._client.klines_of(kind)(**parameters), self.market.weight(limit))
        check_shape(body)
        return cast("list[Any]", body)

    async def _ask(self, call: Callable[[], Awaitable[Any]], weight: int, pool: Pool | None = None) -> Any:
        """One request within the budget, or that of another pool, and the deadline; a short 429 is waited out, for
        everybody of the pool."""
        spent = pool or self.budget
        while True:
            async with self._turns:
                if self.may_ask:
                    await self.may_ask()
                await spent.spend(weight, self.now_ms() + int((self._deadline_s - time.monotonic()) * 1000))
                _REQUEST.set((weight if spent is self.budget else 0, self.now_ms()))
                try:
                    answer = await self._once(call)
                    self._refusals = 0
                    return answer
                except RateLimited as error:
                    self._silence(error, spent)
                except Stop as error:
                    self.budget.stop(error)
                    raise

    def _silence(self, error: RateLimited, pool: Pool) -> None:
        """Everybody waits; where that takes longer than the run, or has not helped, everybody stops."""
        self._refusals += 1
        left_ms = (self._deadline_s - time.monotonic()) * 1000
        if error.banned or error.until_ms - self.now_ms() >= left_ms or self._refusals > MOST_REFUSALS:
            pool.stop(error)
            raise error
        pool.pause(error.until_ms)

    async def _once(self, call: Callable[[], Awaitable[Any]]) -> Any:
        """The whole request under one timeout, which one byte a second can't stretch."""
        left_s = self._deadline_s - time.monotonic()
        try:
            async with asyncio.timeout(self.left_s):
                return await call()
        except TimeoutError:
            if left_s < self._timeout_s:
                raise Spent from None
            raise Unreachable(f"no whole answer within {self._timeout_s:g} s") from None
        except KlinesError:
            raise
        except Exception as error:  # whatever a client meets in bytes that are no HTTP
            raise no_answer(error) from None

    def _observe(self, headers: Mapping[str, str]) -> None:
        _HEADERS.set(headers)
        used = headers.get("X-MBX-USED-WEIGHT-1M", "")
        if used.isascii() and used.isdigit() and len(used) < 10 and int(used) <= 2 * self.budget.per_minute:
            self.budget.learn(int(used), *_REQUEST.get())

    async def _status(self) -> None:
        """Raises ExchangeDown under maintenance; where there is no system status, or a fault in it, a ping stands for
        it: futures, and base URLs without /sapi."""
        answer: Any = None
        try:
            answer = await self._ask(self._client.status, weight=1)
        except Stop:
            raise
        except KlinesError:
            pass
        status = answer.get("status") if isinstance(answer, dict) else None
        if status in (1, "1"):
            raise ExchangeDown("Binance's system status says maintenance")
        if status not in (0, "0"):
            await self._ask(self._client.alive, weight=1)

    async def _read_clock(self) -> None:
        """The three clocks at one moment: what the answer says, its Date, and this machine's when it came."""
        answer = await self._ask(self._client.clock, weight=1)
        if not isinstance(answer, dict) or "serverTime" not in answer:
            raise BadAnswer(f"the answer is no server time: {shown(answer)}")
        server_ms, date, age = answer["serverTime"], _HEADERS.get().get("Date"), _HEADERS.get().get("Age", "")
        date_ms = None if date is None else header_ms(date)
        absurd = [] if is_time(server_ms) else [f"{SERVER} says {shown(server_ms)}, which is no time"]
        absurd += [f"{DATE} says {shown(date)}, which is no time"] if date is not None and date_ms is None else []
        self._read_s = time.monotonic()
        self._readings = Readings(
            self.machine_ms(),
            server_ms if is_time(server_ms) else None,
            date_ms,
            absurd=tuple(absurd),
            age_s=int(age) if age.isascii() and age.isdigit() and len(age) < 10 else 0,
            before=self.before,
        )
        self.skew_ms = (self._readings.server_ms or self._readings.machine_ms) - self._readings.machine_ms
        self._judge()

    async def _read_limit(self) -> None:
        """The pool's weight a minute as the exchange states it now; the documented one where it can't be read."""
        try:
            info = await self._ask(lambda: self._client.info(()), weight=self.market.info_weight)
        except Stop:
            raise
        except KlinesError:
            return
        self.budget.per_minute = stated_limit(info, self.market.weight_per_minute)


def machine_ms() -> int:
    """This machine's clock, in epoch ms."""
    return time.time_ns() // 1_000_000
