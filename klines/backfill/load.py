"""Working off gaps in bulk: the archive's months, then its days, then REST for whatever is still missing.

Every whole day of a file is compared with the exchange's own 1d kline before it is stored; one that disagrees is left
to the next source.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, TypeVar, cast

from klines.backfill.chunks import Chunk, Piece, days_of, pick
from klines.backfill.message import Account
from klines.backfill.writer import Writer
from klines.binance.archive import Archive, Content
from klines.binance.exchange import Exchange
from klines.binance.files import File
from klines.binance.totals import Totals, disagreeing, of_days
from klines.errors import KlinesError, Retry
from klines.interval import DAY, INTERVALS, Interval
from klines.ledger import FOREVER_MS
from klines.reasons import islands
from klines.rows import rows_within
from klines.tables.archive_files import Loaded
from klines.want import Want, pages
from klines.window import Window, intersect, merge, subtract

ROOM = 900_000
"""Klines that are in memory at most, from the download to the commit; one of a file takes about 150 bytes."""
REST_COST = 5
"""A kline of an answer takes so many times the memory of one of a file."""
PAGES_A_WANT = 10
LATE_MONTH_MS = 45 * DAY
"""A month's file has appeared up to the 13th of the next month; one that is missing for longer stays so."""

Result = TypeVar("Result")


class Stated(NamedTuple):
    """The totals of days as the exchange's 1d klines state them, which speak of what opens from `from_ms` on."""

    days: Mapping[int, Totals]
    from_ms: int


class Loader:
    """Loads the pieces of one run, many at a time, on one event loop."""

    def __init__(
        self,
        exchange: Exchange,
        archive: Archive,
        writer: Writer,
        interval: Interval,
        symbols: Sequence[Piece],
        pauses_s: Sequence[float],
        account: Account,
    ) -> None:
        self.account = account
        self._exchange = exchange
        self._archive = archive
        self._writer = writer
        self._interval = interval
        self._pauses_s = pauses_s
        self._whole = {piece.symbol: piece for piece in symbols}
        self._stated: dict[str, asyncio.Task[Stated | None]] = {}
        self._room = _Room(ROOM)
        self._running: set[asyncio.Future[Any]] = set()

    async def load(self, chunk: Chunk) -> None:
        """Work off a chunk; returns when all that could be had is committed. Called again it asks for the rest only."""
        loading = asyncio.gather(*(self._load(piece) for piece in chunk.pieces))
        self._running.add(loading)
        loading.add_done_callback(self._running.discard)
        await loading

    async def stop(self) -> None:
        """End what is being loaded; whoever waits for it gets a CancelledError."""
        running = [*self._running, *self._stated.values()]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _load(self, piece: Piece) -> None:
        piece.error = None
        try:
            if piece.source != "rest":
                await self._files(piece)
            if piece.source != "archive":
                await _all(self._ask(piece, want) for want in self._wants(piece))
        except Exception as error:  # spoils this piece only
            piece.error = error

    async def _files(self, piece: Piece) -> None:
        """The months, then the days that no month had; of a symbol that the exchange does not know, no days of months
        that are missing for long: it may never have been."""
        market, interval, left = self._exchange.market, self._interval, piece.left
        months = pick(left, piece, market, interval, is_month=True)
        was_there = await _all(self._file(piece, file) for file in months)
        left = piece.left
        if not piece.is_known and not piece.is_listed:
            absent = [file.window for file, was in zip(months, was_there, strict=True) if not was]
            left = subtract(left, [month for month in absent if month.end_ms < piece.life.now_ms - LATE_MONTH_MS])
        await _all(self._file(piece, file) for file in pick(left, piece, market, interval, is_month=False))
        if piece.is_listed:
            piece.void = intersect(piece.left, piece.void)
            piece.left = subtract(piece.left, piece.void)

    async def _file(self, piece: Piece, file: File) -> bool:
        """Store what is wanted of a file; whether there was one."""
        async with self._room.taken(self._slots([file.window])):
            with self._writer.working():
                content = await self._fetch(piece, file)
                if content is None:
                    return False
                loaded = await self._check(piece, file, content)
            stored = islands(loaded.rows, self._interval)
            if not content.rejects:
                piece.void = merge([*piece.void, *file.trusted])
            del content
            await self._writer.put(loaded, loaded.rows.height)
        piece.left = subtract(piece.left, stored)
        return True

    async def _fetch(self, piece: Piece, file: File) -> Content | None:
        try:
            content = await self._archive.fetch(file, self._interval)
        except Retry as error:
            await self._refuse(piece, file, str(error))
            return None
        if content and content.rejects and content.rows.is_empty():
            reason = content.rejects[0].reason
            await self._refuse(piece, file, f"not one of its {content.rejects.total:,} rows is a kline: {reason}")
        elif content:
            self.account.monthly += file.is_month
            self.account.daily += not file.is_month
        self.account.unkept += content.rejects.unkept if content else 0
        return content

    async def _refuse(self, piece: Piece, file: File, why: str) -> None:
        """A file that can't be used may have klines all the same: its days are known by the 1d klines."""
        self.account.claim(piece.symbol, intersect(piece.left, [file.window]))
        await self._day_totals(piece.symbol)
        self.account.troubles.append(f"{file.name}.zip ({file.source}): {why.rstrip('.')}")

    async def _check(self, piece: Piece, file: File, content: Content) -> Loaded:
        """What may be stored of a file: what is wanted of the days that agree with the exchange's 1d klines, or of what
        is older than REST's first kline: the archive has klines of names that are used again."""
        trusted = rows_within(content.rows, file.trusted)
        stated = await self._day_totals(piece.symbol)
        judged = rows_within(trusted, [Window(stated.from_ms, FOREVER_MS)]) if stated else trusted.clear()
        wrong = disagreeing(judged, stated.days) if stated else []
        if wrong:
            days = ", ".join(map(days_of, wrong[:3])) + (" …" if len(wrong) > 3 else "")
            self.account.partly.append(f"{file.name}.zip ({file.source}): not {days}, against the 1d klines")
        self.account.doubt(piece.symbol, wrong, islands(rows_within(judged, wrong), self._interval))
        is_verified = stated is not None and judged.height == trusted.height and not wrong
        self.account.unverified += judged.height < trusted.height
        wanted = rows_within(trusted, subtract(intersect(piece.left, [file.window]), wrong))
        return Loaded(file, content.sha256, wanted, content.rejects, content.rows.height, is_verified)

    async def _day_totals(self, symbol: str) -> Stated | None:
        """What the exchange's 1d klines state for the symbol's days in this run, asked for once; None if it can't be
        asked, or the interval is longer than a day."""
        if not 0 < self._interval.length_ms <= DAY:
            return None
        if symbol not in self._stated:
            self._stated[symbol] = asyncio.create_task(self._ask_days(self._whole[symbol]))
        return await asyncio.shield(self._stated[symbol])

    async def _ask_days(self, piece: Piece) -> Stated | None:
        month, now_ms = INTERVALS["1M"], piece.life.now_ms
        end_ms = min(month.ceil(piece.gaps[-1].end_ms), INTERVALS["1d"].floor(now_ms))
        days = Window(month.floor(piece.gaps[0].start_ms), end_ms)
        for pause_s in (*self._pauses_s, None):
            try:
                stated = of_days((await self._exchange.whole(piece.symbol, INTERVALS["1d"], days)).rows)
                begins_later = not stated or min(stated) > INTERVALS["1d"].floor(
                    max(days.start_ms, piece.life.start_ms)
                )
                first_ms = await self._exchange.first_ms(piece.symbol) if begins_later else 0
                return Stated(stated, first_ms or 0)
            except Retry as error:
                if pause_s is None:
                    self.account.troubles.append(f"1d klines of {piece.symbol}: {str(error).rstrip('.')}")
                    return None
                await asyncio.sleep(pause_s)
            except KlinesError:
                return None
        return None

    def stated(self, symbol: str) -> Mapping[int, Totals]:
        """The totals of the days that the exchange's 1d klines state, as far as they were asked for."""
        task = self._stated.get(symbol)
        stated = task.result() if task and task.done() and not task.cancelled() else None
        return stated.days if stated else {}

    def _wants(self, piece: Piece) -> list[Want]:
        """What is left of a piece as questions of a few pages each, newest first."""
        market = self._exchange.market
        asked = list(pages(piece.left, self._interval, market.page_slots(self._interval)))
        groups = [asked[start : start + PAGES_A_WANT] for start in range(0, len(asked), PAGES_A_WANT)]
        begins_ms = piece.begin.first_ms or 0
        wants = [Want(piece.symbol, merge(group), piece.last_ms, piece.begin.listed_ms, begins_ms) for group in groups]
        for want in wants:
            want.most_pages = PAGES_A_WANT * 2
        return wants

    async def _ask(self, piece: Piece, want: Want) -> None:
        async with self._room.taken(self._slots(want.gaps) * REST_COST):
            with self._writer.working():
                await self._exchange.fetch(want, self._interval)
            await self._writer.put(want, len(want.rows))
            self.account.unkept += want.rejects.unkept
        piece.left = subtract(piece.left, want.answered)
        if want.error:
            raise want.error

    def _slots(self, windows: Sequence[Window]) -> int:
        return sum(self._interval.index(w.end_ms - 1) - self._interval.index(w.start_ms) + 1 for w in windows)


async def _all(jobs: Iterable[Coroutine[Any, Any, Result]]) -> list[Result]:
    """The results of all, when all have ended; then raises the first error."""
    results = await asyncio.gather(*jobs, return_exceptions=True)
    for error in results:
        if isinstance(error, BaseException):
            raise error
    return cast(list[Result], results)


class _Room:
    """So many klines may be in memory at a time."""

    def __init__(self, klines: int) -> None:
        self._free = self._size = klines
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def taken(self, klines: int) -> AsyncIterator[None]:
        """Wait until there is room, and take it until the end; what is larger than all of it waits for all of it."""
        klines = min(klines, self._size)
        async with self._changed:
            await self._changed.wait_for(lambda: self._free >= klines)
            self._free -= klines
        try:
            yield
        finally:
            async with self._changed:
                self._free += klines
                self._changed.notify_all()
