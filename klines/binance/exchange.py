"""One market of Binance during one run: its clock, its weight budget, and its klines as rows or our errors.

One client, one pool of connections and one weight budget on one event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from functools import partial
from itertools import islice
from typing import Any, Self, cast

import aiohttp

from klines.binance.client import Client
from klines.binance.faults import no_answer
from klines.binance.listing import GONE, Listing, in_parts, stated_limit, symbol_infos
from klines.binance.weight import Budget, Spent
from klines.errors import BadAnswer, ExchangeDown, GiveUp, KlinesError, RateLimited, Stop, Unreachable
from klines.interval import FRESH_MS, INTERVALS, Interval
from klines.market import Market
from klines.rows import Reject, Row, sift
from klines.want import Want, overlapped, pages
from klines.window import Window

_REQUEST: ContextVar[tuple[int, int]] = ContextVar("request")
"""The weight of the request that is under way in this task, and when it was sent, in ms."""
LATE_PAUSES_S = (1.5, 2.5)
"""How long to wait before a kline that is not published yet is asked for again."""
BETWEEN = 3
"""Klines of the request that looks into a gap: both neighbours, and one too many if there is any in it."""
NO_TIME = "the exchange did not answer within the run's time"


class Exchange:
    """One market of Binance during one run; use as `async with`.

    `deadline_s` is of time.monotonic(): no request is begun after it, and none lasts beyond it. `share` is the part of
    the weight limit that this run may use; one that is `yielding` leaves what others need (see Budget).
    """

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
    ) -> None:
        self.market = market
        self.budget = Budget(market.weight_per_minute, share, self.now_ms, yielding=yielding)
        self.skew_ms = 0
        self.dropped = 0
        self._url = url
        self._deadline_s = deadline_s
        self._timeout_s = request_timeout_s
        self._late_pauses_s = late_pauses_s
        self._clock = (time.time() * 1000, time.monotonic())
        self._connections = connections

    async def __aenter__(self) -> Self:
        self._turns = asyncio.Semaphore(self._connections)
        self._client = Client(self.market.name, self._url, self._connections, self._observe, self.now_ms)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._client.session.close()

    def now_ms(self) -> int:
        """The exchange's clock, in epoch ms; this machine's until `health` was asked."""
        at_ms, read_s = self._clock
        return int(at_ms + (time.monotonic() - read_s) * 1000)

    async def health(self) -> None:
        """Take over the exchange's clock and weight limit; raises ExchangeDown under maintenance, any Retry or Stop."""
        answers = await asyncio.gather(self._status(), self._read_clock(), self._read_limit(), return_exceptions=True)
        errors = [answer for answer in answers if isinstance(answer, BaseException)]
        for error in sorted(errors, key=lambda error: not isinstance(error, Stop)):
            raise Unreachable(NO_TIME) if isinstance(error, Spent) else error

    async def fetch(self, want: Want, interval: Interval) -> None:
        """Ask for `want.gaps`, newest page first, and fill in `want`; any error ends up in `want.error`.

        What was answered before the error stays, so calling again asks for the rest only.
        """
        poison: BadAnswer | None = None
        try:
            for page in islice(pages(want.left, interval, self.market.page_slots(interval)), want.most_pages):
                if await self._is_before_listing(want, page):
                    break
                poison = await self._try_page(want, page, interval) or poison
            await self._is_before_listing(want, want.gaps[0])
            await self._late(want, interval)
            want.error = poison
        except Spent:  # the rest stays for the next run
            pass
        except Exception as error:  # a bug that one symbol's answer brings out spoils that symbol only
            want.error = error

    async def fetch_all(self, wants: Sequence[Want], interval: Interval) -> None:
        """`fetch` for every one of `wants`, at the same time."""
        await asyncio.gather(*(self.fetch(want, interval) for want in wants))

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
            with contextlib.suppress(KlinesError, Spent):
                found = self._statuses(await self.symbol_infos(), symbols)
        except (KlinesError, Spent):
            pass
        return found

    @staticmethod
    def _statuses(listing: Listing, symbols: Sequence[str]) -> dict[str, str | None]:
        """Of a list that has none at all nothing is believed."""
        unlisted = GONE if listing else None
        return {symbol: listing[symbol].status if symbol in listing else unlisted for symbol in symbols}

    async def symbol_infos(self) -> Listing:
        """What exchangeInfo says of each symbol that it lists; raises Retry or Stop."""
        listing = symbol_infos(await self._ask(self._client.all_info, weight=self.market.info_weight))
        self.dropped = listing.dropped
        return listing

    async def last_trade(self, symbol: str, interval: Interval, last_ms: int) -> int:
        """The open time, in ms, of the last kline up to `last_ms` in which anything was traded; `last_ms` for none.

        Futures that trade no more go on with empty klines for months: where a page has nothing else, the day, then the
        hour is looked up in longer klines.
        """
        end_ms = last_ms
        for step in (interval, INTERVALS["1d"], INTERVALS["1h"], interval):
            traded = [row for row in await self._newest(symbol, step, end_ms) if row.trades]
            if traded and step is interval:
                return traded[-1].open_time
            if traded:
                end_ms = traded[-1].close_time
        return last_ms

    async def _newest(self, symbol: str, interval: Interval, end_ms: int) -> list[Row]:
        """The last page of klines that open until `end_ms`, which is included."""
        limit = self.market.most_rows
        parameters = {"symbol": symbol, "interval": interval.name, "endTime": end_ms, "limit": limit}
        body = await self._ask(lambda: self._client.klines(**parameters), self.market.weight(limit))
        return sift(body, interval, Window(0, end_ms + 1))[0]

    async def between(self, symbol: str, interval: Interval, gap: Window) -> list[int] | None:
        """The slots, as open times in ms, that have a kline within `gap`: at most the first or last few of them.

        One small request for the gap with the slot before and the one after it; None when the answer lacks either of
        these, as it then says nothing. COIN-M looks at the last 200 days of a longer gap.
        """
        before_ms, after_ms = interval.step(gap.start_ms, -1), gap.end_ms
        start_ms, end_ms = before_ms, interval.step(after_ms, 1)
        if self.market.widest_ms is not None:
            start_ms = max(start_ms, end_ms - self.market.widest_ms)
        body = await self._klines(symbol, interval, Window(start_ms, end_ms), BETWEEN)
        rows, rejects = sift(body, interval, Window(start_ms, end_ms))
        slots = sorted({interval.floor(time) for time in _times(rows, rejects, Window(start_ms, end_ms))})
        inside = [slot for slot in slots if before_ms < slot < after_ms]
        has_neighbours = len(slots) == BETWEEN or {before_ms, after_ms} <= set(slots)
        return inside if has_neighbours else None

    async def _try_page(self, want: Want, page: Window, interval: Interval) -> BadAnswer | None:
        """`_page`; that an older page can't be read is returned, so that those before it are asked for all the same."""
        try:
            await self._page(want, page, interval)
        except BadAnswer as error:
            if page.end_ms == want.gaps[-1].end_ms:
                raise
            return error
        return None

    async def _page(self, want: Want, page: Window, interval: Interval) -> None:
        """One page and, where its answer ends early, what comes after the last row: advance by what was answered.

        Only the newest page may end early: its last klines may not be published yet.
        """
        is_newest = page.end_ms == want.gaps[-1].end_ms
        follows_stored = want.last_ms is not None and page.start_ms > want.last_ms
        asked = overlapped(page, interval, self.market.page_slots(interval)) if follows_stored else page
        while True:
            limit = interval.slots(asked.start_ms, asked.end_ms)
            body = await self._klines(want.symbol, interval, asked, limit)
            rows, rejects = sift(body, interval, asked)
            want.rows += rows
            want.rejects += rejects
            done_ms = interval.step(max([asked.start_ms - 1, *_times(rows, rejects, asked)]), 1)
            if not body or done_ms >= asked.end_ms or (is_newest and len(body) < limit):
                break
            asked = Window(done_ms, asked.end_ms)
        want.answered.append(page)

    async def _is_before_listing(self, want: Want, page: Window) -> bool:
        """Whether `page` is older than the symbol's first kline: asked once ever, when the newest page is here and
        something older is missing."""
        oldest_ms = min((row.open_time for row in want.rows), default=page.end_ms)
        if not want.answered or oldest_ms <= page.start_ms:
            return False
        if want.listed_ms is None:
            want.listed_ms = await self._first(want.symbol)
        return want.newest_ms < 0 if want.listed_ms is None else page.end_ms <= want.listed_ms

    async def _late(self, want: Want, interval: Interval) -> None:
        """Ask again, twice, for a newest kline that the exchange has not published yet."""
        for pause_s in self._late_pauses_s:
            due = self._due(want, interval)
            if due is None or time.monotonic() + pause_s >= self._deadline_s:
                return
            await asyncio.sleep(pause_s)
            await self._page(want, due, interval)

    def _due(self, want: Want, interval: Interval) -> Window | None:
        """The late slots of a symbol that has klines before them, while they are fresh."""
        tail = want.tail(interval)
        return None if tail is None or want.newest_ms < 0 or self.is_stale(want, interval) else tail

    def is_stale(self, want: Want, interval: Interval) -> bool:
        """Whether the first kline after the symbol's newest good one closed over FRESH_MS ago."""
        return self.now_ms() - interval.step(want.unstored_from(interval), 1) > FRESH_MS

    async def _first(self, symbol: str) -> int | None:
        """When the symbol's klines begin, in ms: its first 1m kline, good or refused; None while it has none.

        COIN-M answers with the last rows of a window, so there it is the onboard date that the exchange states, or the
        epoch for a symbol that it lists no more.
        """
        if self.market.widest_ms is not None:
            entry = (await self.symbol_infos()).get(symbol)
            return (entry.onboard_ms if entry else None) or 0
        parameters = {"symbol": symbol, "interval": "1m", "startTime": 0, "limit": 1}
        body = await self._ask(lambda: self._client.klines(**parameters), self.market.weight(1))
        whole = Window(0, self.now_ms())
        rows, rejects = sift(body, INTERVALS["1m"], whole)
        return min(_times(rows, rejects, whole), default=0 if body else None)

    async def span(self, symbol: str, interval: Interval, listed_ms: int | None) -> tuple[int | None, int | None]:
        """The open times, in ms, of the symbol's first kline (`listed_ms` if it is known) and of its last closed one.

        Each is None while there is none; of COIN-M the last one is looked for in the last 200 days.
        """
        end_ms = interval.floor(self.now_ms())
        parameters = {"symbol": symbol, "interval": interval.name, "endTime": end_ms - 1, "limit": 1}
        body = await self._ask(lambda: self._client.klines(**parameters), self.market.weight(1))
        whole = Window(0, end_ms)
        last_ms = max(_times(*sift(body, interval, whole), whole), default=None)
        if listed_ms is None and last_ms is not None:
            listed_ms = await self._first(symbol)
        return listed_ms, last_ms

    async def whole(self, symbol: str, interval: Interval, asked: Window) -> Want:
        """All that the exchange has of a window, however many pages it takes; raises Retry, Stop or GiveUp."""
        want = Want(symbol, [asked], listed_ms=0)
        want.most_pages = 10**6
        await self.fetch(want, interval)
        if want.error:
            raise want.error
        return want

    async def phase_ms(self, symbol: str, interval: Interval) -> int | None:
        """How far the interval's grid is shifted against the epoch, as the symbol's newest kline shows; None while it
        has none."""
        parameters = {"symbol": symbol, "interval": interval.name, "limit": 1}
        try:
            body = await self._ask(lambda: self._client.klines(**parameters), self.market.weight(1))
            return int(body[-1][0]) % interval.length_ms if body else None
        except Spent:
            raise Unreachable(NO_TIME) from None
        except (TypeError, ValueError, IndexError, KeyError):
            raise BadAnswer(f"the answer is no list of klines: {body!r:.200}") from None

    async def _klines(self, symbol: str, interval: Interval, asked: Window, limit: int) -> list[Any]:
        parameters = {
            "symbol": symbol,
            "interval": interval.name,
            "startTime": asked.start_ms,
            "endTime": asked.end_ms - 1,  # Binance's ends are inclusive
            "limit": limit,
        }
        body = await self._ask(lambda: self._client.klines(**parameters), self.market.weight(limit))
        if isinstance(body, list) and len(times := {str(raw[:1]) for raw in body if isinstance(raw, list)}) > limit:
            raise BadAnswer(f"{len(times)} klines where at most {limit} were asked for: not the answer to our request")
        return cast("list[Any]", body)

    async def _ask(self, call: Callable[[], Awaitable[Any]], weight: int) -> Any:
        """One request within the budget and the deadline; a short 429 is waited out, for everybody."""
        while True:
            async with self._turns:
                await self.budget.spend(weight, self.now_ms() + int((self._deadline_s - time.monotonic()) * 1000))
                _REQUEST.set((weight, self.now_ms()))
                try:
                    return await self._once(call)
                except RateLimited as error:
                    self._silence(error)
                except Stop as error:
                    self.budget.stop(error)
                    raise

    def _silence(self, error: RateLimited) -> None:
        """Everybody waits; where that takes longer than the run, everybody stops."""
        left_ms = (self._deadline_s - time.monotonic()) * 1000
        if error.banned or error.until_ms - self.now_ms() >= left_ms:
            self.budget.stop(error)
            raise error
        self.budget.pause(error.until_ms)

    async def _once(self, call: Callable[[], Awaitable[Any]]) -> Any:
        """The whole request under one timeout, which one byte a second can't stretch."""
        left_s = self._deadline_s - time.monotonic()
        try:
            async with asyncio.timeout(max(0.0, min(self._timeout_s, left_s))):
                return await call()
        except TimeoutError:
            if left_s < self._timeout_s:
                raise Spent from None
            raise Unreachable(f"no whole answer within {self._timeout_s:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise no_answer(error) from None

    def _observe(self, headers: Mapping[str, str]) -> None:
        used = headers.get("X-MBX-USED-WEIGHT-1M", "")
        if used.isascii() and used.isdigit() and len(used) < 10:
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
        answer = await self._ask(self._client.clock, weight=1)
        try:
            server_ms = int(answer["serverTime"])
        except (TypeError, KeyError, ValueError):
            raise BadAnswer(f"the answer is no server time: {answer!r:.200}") from None
        self._clock = (server_ms, time.monotonic())
        self.budget.rebase()
        self.skew_ms = server_ms - int(time.time() * 1000)

    async def _read_limit(self) -> None:
        """The pool's weight a minute as the exchange states it now; the documented one where it can't be read."""
        try:
            info = await self._ask(lambda: self._client.info(()), weight=self.market.info_weight)
        except Stop:
            raise
        except (KlinesError, Spent):
            return
        self.budget.per_minute = stated_limit(info, self.market.weight_per_minute)


def _times(rows: Sequence[Row], rejects: Sequence[Reject], within: Window) -> list[int]:
    """The open times of both, as far as they are in the window."""
    times = [row.open_time for row in rows] + [r.open_time_ms for r in rejects if r.open_time_ms is not None]
    return [time for time in times if within.start_ms <= time < within.end_ms]
