"""The klines of one market of Binance: pages, edges and single looks, as rows or our errors."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Self

from klines.binance.archive import Archive
from klines.binance.line import MINUTES, Line
from klines.clock import clock
from klines.errors import BadAnswer, BadArchive, Retry, Spent, Unreachable
from klines.interval import DAY, FRESH_MS, INTERVALS, Interval
from klines.outcome import shown
from klines.rows import NOT_OURS, Rejects, Row, answered
from klines.want import NO_BEGIN, Begin, Want, overlapped, pages
from klines.window import Window, window

BETWEEN = 3
"""Klines of the request that looks into a gap: both neighbours, and one too many if there is any in it."""
MOST_ANSWERS = 5
"""Requests for one page at most: an answer that holds only part of it is gone on from."""
MOST_BAD_PAGES = 3
"""So many pages of a symbol that can't be read, and no older one is asked for in this run."""
LISTINGS_AT_ONCE = 8
"""So many symbols are looked up in the archive at a time; where it does not answer, no other is."""
BEGINNINGS_AT_ONCE = 20
"""So many symbols' beginnings are asked for at a time, as many as a run has connections: that takes two requests each,
and one alone says nothing. All at once would spend what weight a minute has left on first requests, and so in the next
minute again."""
TELLING = 10
"""A kline of so many trades or more is no other symbol's."""


class Exchange(Line):
    """One market of Binance during one run; use as `async with`. `archive` has a say about what is before REST's first
    kline."""

    archive: Archive | None = None

    async def __aenter__(self) -> Self:
        self._told: dict[int, str] = {}
        self._mistaken: dict[str, BadAnswer] = {}
        self._has_listing, self._listing_turns = True, asyncio.Semaphore(LISTINGS_AT_ONCE)
        self._beginning_turns = asyncio.Semaphore(BEGINNINGS_AT_ONCE)
        return await super().__aenter__()

    async def fetch(self, want: Want, interval: Interval) -> None:
        """Ask for `want.gaps`, newest page first, and fill in `want`; any error ends up in `want.error`.

        What was answered before the error stays, so calling again asks for the rest only.
        """
        poison: list[BadAnswer] = []
        try:
            for page in islice(pages(want.left, interval, self.market.page_slots(interval)), want.most_pages):
                if len(poison) >= MOST_BAD_PAGES or await self._is_before_listing(want, page):
                    break
                poison += await self._try_page(want, page, interval)
            await self._is_before_listing(want, want.gaps[0])
            await self._late(want, interval)
            want.error = poison[-1] if poison else None
        except Spent:  # the rest stays for the next run
            pass
        except Exception as error:  # a bug that one symbol's answer brings out spoils that symbol only
            want.error = _bare(error)
        self.take_back([want])

    def take_back(self, wants: Iterable[Want]) -> None:
        """Nothing was answered of symbols whose klines turned out to be another's, too."""
        for want in wants:
            if want.symbol in self._mistaken:
                want.take_back(self._mistaken[want.symbol])

    async def fetch_all(self, wants: Sequence[Want], interval: Interval) -> None:
        """`fetch` for every one of `wants`, at the same time."""
        await asyncio.gather(*(self.fetch(want, interval) for want in wants))

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
        rows, _ = await self._klines(symbol, interval, Window(0, end_ms + 1), self.market.most_rows, starts=False)
        return rows

    async def between(self, symbol: str, interval: Interval, gap: Window) -> list[int] | None:
        """The slots, as open times in ms, that have a kline within `gap`: at most the first or last few of them.

        One small request for the gap with the slot before and the one after it; None when the answer lacks either of
        these, as it then says nothing. COIN-M looks at the last 200 days of a longer gap.
        """
        before_ms, after_ms = interval.step(gap.start_ms, -1), gap.end_ms
        start_ms, end_ms = before_ms, interval.step(after_ms, 1)
        if self.market.widest_ms is not None:
            start_ms = max(start_ms, end_ms - self.market.widest_ms)
        answer = await self._klines(symbol, interval, Window(start_ms, end_ms), BETWEEN)
        slots = sorted({interval.floor(time) for time in _times(*answer)})
        inside = [slot for slot in slots if before_ms < slot < after_ms]
        has_neighbours = len(slots) == BETWEEN or {before_ms, after_ms} <= set(slots)
        return inside if has_neighbours else None

    async def _try_page(self, want: Want, page: Window, interval: Interval) -> list[BadAnswer]:
        """`_page`; that an older page can't be read is returned, so that those before it are asked for all the same."""
        try:
            await self._page(want, page, interval)
        except BadAnswer as error:
            if page.end_ms == want.gaps[-1].end_ms:
                raise
            return [error]
        return []

    async def _page(self, want: Want, page: Window, interval: Interval) -> None:
        """One page, and what its answer left of it: advance by what was answered, until nothing more comes.

        Only the newest page may end early: its last klines may not be published yet. Raises BadAnswer where it takes
        over MOST_ANSWERS.
        """
        is_newest = page.end_ms == want.gaps[-1].end_ms
        follows_stored = want.last_ms is not None and page.start_ms > want.last_ms
        asked = overlapped(page, interval, self.market.page_slots(interval)) if follows_stored else page
        for _ in range(MOST_ANSWERS):
            limit = interval.slots(asked.start_ms, asked.end_ms)
            rows, rejects = await self._klines(want.symbol, interval, asked, limit)
            self._compare(want.symbol, rows)
            closed_ms = self.closed_ms()
            want.rows += [row for row in rows if row.close_time < closed_ms]
            want.rejects.add(rejects)
            rest = self._rest(asked, _times(rows, rejects), interval)
            is_late = is_newest and bool(rest) and rest[0].end_ms == asked.end_ms
            if not rest or is_late:
                want.answered.append(page)
                return
            [asked] = rest
        raise BadAnswer(f"a page of {limit:,} klines comes in over {MOST_ANSWERS} answers")

    def _compare(self, symbol: str, rows: Sequence[Row]) -> None:
        """Raises BadAnswer where two symbols have the very same klines: then nobody knows whose they are."""
        telling = [row for row in rows if row.trades is not None and row.trades >= TELLING]
        other = self._told.setdefault(hash(tuple(telling)), symbol) if telling else symbol
        if other != symbol:
            mistake = BadAnswer(f"{symbol} and {other} have the very same klines: {NOT_OURS}")
            self._mistaken |= {symbol: mistake, other: mistake}
        if symbol in self._mistaken:
            raise self._mistaken[symbol]

    def _rest(self, asked: Window, times_ms: Sequence[int], interval: Interval) -> list[Window]:
        """What an answer left of what was asked: after its last kline, or before its first one where the newest come
        first; nothing where it had none."""
        if not times_ms:
            return []
        if self.market.gives_newest:
            return window(asked.start_ms, interval.floor(min(times_ms)))
        return window(interval.step(max(times_ms), 1), asked.end_ms)

    async def _is_before_listing(self, want: Want, page: Window) -> bool:
        """Whether `page` is older than the symbol's first kline: asked once ever, when the newest page is here and
        something older is missing."""
        oldest_ms = min((row.open_time for row in want.rows), default=page.end_ms)
        if not want.answered or oldest_ms <= page.start_ms:
            return False
        if want.first_ms is None:
            begin = await self._begin(want.symbol)
            want.listed_ms, want.begins_ms = begin.listed_ms, begin.first_ms
        return want.newest_ms < 0 if want.first_ms is None else page.end_ms <= want.first_ms

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

    async def _begin(self, symbol: str) -> Begin:
        """When the symbol's klines begin, by REST and by the archive: a name that is used again has older files."""
        async with self._beginning_turns:
            first_ms = await self.first_ms(symbol)
        if not first_ms or not self.market.kind.is_archived:
            return Begin(first_ms, is_settled=first_ms is not None, rest_ms=first_ms)
        try:
            older_ms = await self._older(symbol, first_ms)
        except Retry:
            return Begin(first_ms, is_settled=False)
        return Begin(first_ms if older_ms is None else min(first_ms, older_ms), rest_ms=first_ms)

    async def _older(self, symbol: str, first_ms: int) -> int | None:
        """The open time, in ms, of the archive's first kline of the symbol, where that has a file that ends before
        `first_ms`; raises Retry where it can't be had."""
        try:
            async with self._listing_turns, asyncio.timeout(self.left_s):
                if self.archive is None or not self._has_listing:
                    raise Unreachable("the archive's listing can't be had")
                file = await self.archive.oldest(self.market, symbol)
                if file is None or file.window.end_ms > first_ms:
                    return None
                content = await self.archive.fetch(file, MINUTES)
        except Retry:
            self._has_listing = False
            raise
        except TimeoutError:
            self._has_listing = False
            raise Unreachable("the archive did not answer within the run's time") from None
        if content is None or content.rows.is_empty():
            raise BadArchive(f"{file.name}.zip has no klines")
        return int(content.rows["open_time"][0])

    async def first_ms(self, symbol: str) -> int | None:
        """When the symbol's klines begin at REST, in ms: its first 1m kline, good or refused; None while it has none.

        COIN-M answers with the last rows of a window, so there it is the onboard date that the exchange states, or the
        epoch for a symbol that it lists no more, or has klines of from before. Raises BadAnswer where a kline is
        answered that is older than the first one.
        """
        if self.market.widest_ms is not None:
            entry = (await self.symbol_infos()).get(symbol)
            onboard_ms = entry.onboard_ms if entry else None
            return onboard_ms if onboard_ms and not await self._before(symbol, onboard_ms) else 0
        answer = await self._klines(symbol, MINUTES, Window(0, self.now_ms() + DAY), 1, ends=False)
        first_ms = min(_times(*answer), default=None)
        if first_ms and await self._before(symbol, first_ms):
            raise BadAnswer(f"the first kline of all is said to be of {clock(first_ms)}, and there is one before that")
        return first_ms

    async def _before(self, symbol: str, time_ms: int) -> bool:
        """Whether the symbol has a kline that opens before."""
        asked = Window(max(0, time_ms - (self.market.widest_ms or time_ms)), time_ms)
        return bool(_times(*await self._klines(symbol, MINUTES, asked, 1, starts=False)))

    async def span(self, symbol: str, interval: Interval, listed_ms: int | None) -> tuple[Begin, int | None]:
        """When the symbol's klines begin (`listed_ms` if that is known), and the open time, in ms, of its last closed
        one, None while there is none.

        Of COIN-M the last one is looked for in the last 200 days. Raises BadAnswer where one of them is there alone.
        """
        end_ms = interval.floor(self.now_ms())
        rows, rejects = await self._klines(symbol, interval, Window(0, end_ms), 1, starts=False)
        self._compare(symbol, rows)
        last_ms = max(_times(rows, rejects), default=None)
        begin = Begin(listed_ms)
        if listed_ms is None:
            can_begin = last_ms is not None or self.market.widest_ms is None
            begin = await self._begin(symbol) if can_begin else NO_BEGIN
        is_begun = begin.first_ms is not None and interval.floor(begin.first_ms) < end_ms
        if self.market.widest_ms is None and is_begun != (last_ms is not None):
            raise BadAnswer(_contradiction(begin.first_ms, last_ms))
        return begin, last_ms

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
        body = await self._answer(symbol, interval, None, None, 2)
        found = {raw[0] % interval.length_ms for raw in body if raw and type(raw[0]) is int}
        for phase_ms in found:
            wanted = Window(0, self.now_ms() + interval.length_ms)
            rows, rejects = answered(body, interval.shifted(phase_ms), wanted, 2, self.market.kind)
            if len(found) == 1 and rows and not rejects and phase_ms % DAY == 0:
                return phase_ms
        if body:
            raise BadAnswer(f"the newest klines of {interval.name} open at no time of its grid: {shown(body)}")
        return None


def _bare(error: Exception) -> Exception:
    """The error without where it was raised: that would keep the answer in memory as long as the error."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


def _times(rows: Sequence[Row], rejects: Rejects) -> list[int]:
    """The open times of both, as far as they can be read."""
    return [row.open_time for row in rows] + rejects.times_ms


def _contradiction(first_ms: int | None, last_ms: int | None) -> str:
    there, lacking = ("first", "last") if last_ms is None else ("last", "first")
    time_ms = first_ms if last_ms is None else last_ms
    return f"the exchange has a {there} kline, of {clock(time_ms or 0)}, but no {lacking} one: its answers contradict"
