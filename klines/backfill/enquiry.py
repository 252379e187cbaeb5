"""What is asked about each symbol before its gaps are worked off: when its klines begin and end, and where they are."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

from klines.backfill.chunks import Piece
from klines.backfill.lives import between_lives
from klines.backfill.plan import Missing
from klines.binance.archive import Archive
from klines.binance.exchange import Exchange
from klines.binance.files import Life
from klines.binance.listing import SymbolInfo
from klines.errors import BadAnswer, KlinesError, Retry, Stop, UnknownSymbol
from klines.interval import DAY, FRESH_MS, Interval
from klines.tables.klines import FIRST_MS
from klines.want import Begin
from klines.window import Window, intersect, merge, subtract, window

ENDED = ("BREAK", "CLOSE", "SETTLING", "DELIVERING", "DELIVERED")
"""Statuses of symbols that trade no more; spot's BREAK is also a pause, so collecting goes on for a day."""


class Enquiry:
    """Asks about the symbols of one run, and keeps what it heard: the `errors` of those whose question failed, those
    that the exchange does not know, those that trade without a kline, those that do not trade, and of those that have
    `ended` whether exchangeInfo still lists them.

    `source` is that of the run. Where the exchange can't be asked (`is_asked` is false) all comes from the archive.
    Of those `nowhere` neither has anything.
    """

    def __init__(
        self, exchange: Exchange, archive: Archive, interval: Interval, source: str, pauses_s: Sequence[float]
    ) -> None:
        self.market = exchange.market
        self.interval = interval
        self.is_asked = True
        self.errors: dict[str, Exception] = {}
        self.unknown: list[str] = []
        self.stale: list[str] = []
        self.not_trading: list[str] = []
        self.ended: dict[str, bool] = {}
        self.nowhere: list[str] = []
        self._exchange = exchange
        self._archive = archive
        self._source = source
        self._pauses_s = pauses_s

    async def pieces(self, found: Mapping[str, Missing], listed_ms: Mapping[str, int], now_ms: int) -> list[Piece]:
        """A piece a symbol: its gaps within the time in which the exchange has klines of it."""
        jobs = [
            self._whole_piece(symbol, lacking.gaps, listed_ms.get(symbol), now_ms) for symbol, lacking in found.items()
        ]
        pieces = [piece for piece in await asyncio.gather(*jobs) if piece]
        had = {piece.symbol for piece in pieces}
        self.nowhere = [symbol for symbol in self.unknown if symbol not in had]
        for piece in pieces:
            lives_before = window(0, piece.between.start_ms) if piece.between else []  # of which REST knows nothing
            piece.empty = [*found[piece.symbol].empty, *lives_before]
        known = [piece for piece in pieces if piece.is_known]
        silent = [piece for piece in known if now_ms - self.interval.step(piece.life.end_ms, 1) > FRESH_MS]
        short = [piece for piece in silent if found[piece.symbol].gaps[-1].end_ms > piece.life.end_ms]
        doubtful = silent if self.market.name == "spot" else known
        if doubtful:
            entries = await self._exchange.symbol_infos()
            if not entries:
                nothing = BadAnswer("exchangeInfo lists no symbol, so nobody can say whether it still trades")
                self.errors |= {piece.symbol: nothing for piece in short}
            for piece in doubtful if entries else ():
                is_silent, is_short = piece in silent, piece in short
                await self._end(piece, entries.get(piece.symbol), now_ms, is_silent=is_silent, is_short=is_short)
        return pieces

    async def _end(
        self, piece: Piece, entry: SymbolInfo | None, now_ms: int, *, is_silent: bool, is_short: bool
    ) -> None:
        """Whether a symbol has ended. One that is silent without that trades, and is stale where the range lacks klines
        for it (`is_short`), or pauses; of futures that trade no more empty klines can go on for months."""
        if (entry and entry.status not in ENDED) or not (entry or is_silent):
            if entry and is_short:
                (self.stale if entry.status == "TRADING" else self.not_trading).append(piece.symbol)
            return
        self.not_trading.append(piece.symbol)
        self.ended[piece.symbol] = entry is not None
        if self.market.name != "spot" and piece.last_ms is not None:
            last_ms = await self._exchange.last_trade(piece.symbol, self.interval, piece.last_ms)
            end_ms = self.interval.step(last_ms, 1)
            if entry and entry.delivery_ms and piece.life.start_ms < entry.delivery_ms <= now_ms:
                end_ms = min(end_ms, self.interval.ceil(entry.delivery_ms))
            piece.life = replace(piece.life, end_ms=end_ms)
            piece.gaps = piece.left = intersect(piece.gaps, window(piece.life.start_ms, end_ms))

    async def _whole_piece(self, symbol: str, gaps: list[Window], listed_ms: int | None, now_ms: int) -> Piece | None:
        if not self.is_asked or symbol in self.unknown:
            return await self._from_the_archive(symbol, gaps, listed_ms, now_ms)
        for pause_s in (*self._pauses_s, None):
            try:
                begin, last_ms = await self._exchange.span(symbol, self.interval, listed_ms)
                break
            except UnknownSymbol as error:
                self.unknown.append(symbol)
                self.errors[symbol] = error
                return await self._from_the_archive(symbol, gaps, listed_ms, now_ms)
            except Stop:
                raise
            except KlinesError as error:
                if pause_s is None or not isinstance(error, Retry):
                    self.errors[symbol] = error
                    return None
                await asyncio.sleep(pause_s)
        start_ms = self.interval.floor(max(begin.first_ms or 0, FIRST_MS))
        end_ms = self.interval.floor(now_ms) if last_ms is None else self.interval.step(last_ms, 1)
        life = Life(start_ms, end_ms, now_ms)
        parts = intersect(gaps, window(life.start_ms, life.end_ms))
        between = await self._between(symbol, parts, begin, listed_ms)
        parts = subtract(parts, [between] if between else [])
        return Piece(symbol, parts, life, self._source, last_ms, begin, between=between)

    async def _between(
        self, symbol: str, parts: Sequence[Window], begin: Begin, listed_ms: int | None
    ) -> Window | None:
        """When a name that is used again was not traded, on the grid; looked up where whole days are missing."""
        is_by_rest = self._source == "rest" or not self.market.kind.is_archived
        if is_by_rest or begin.first_ms is None or all(p.end_ms - p.start_ms < DAY for p in parts):
            return None
        try:
            rest_ms = begin.rest_ms if listed_ms is None else await self._exchange.first_ms(symbol)
            if not rest_ms or rest_ms - begin.first_ms < DAY:
                return None
            found = await between_lives(self._archive, self.market, symbol, rest_ms)
        except Stop:
            raise
        except KlinesError:  # then its klines are looked for one by one
            return None
        grid = window(self.interval.ceil(found.start_ms), self.interval.floor(found.end_ms)) if found else []
        return grid[0] if grid else None

    async def _from_the_archive(
        self, symbol: str, gaps: list[Window], listed_ms: int | None, now_ms: int
    ) -> Piece | None:
        """Of a symbol that the exchange does not know (any more), or that it can't be asked about; None where the
        archive lists no file of it: then it never was."""
        if self._source == "rest" or not self.market.kind.is_archived:
            return None
        if symbol in self.unknown:
            with contextlib.suppress(Retry):  # as below
                return self._listed_piece(symbol, gaps, await self._archive.spans(self.market, symbol), now_ms)
        if listed_ms is None:
            with contextlib.suppress(Retry):  # then its files are looked for one by one
                oldest = await self._archive.oldest(self.market, symbol)
                if oldest is None:
                    return None
                listed_ms = oldest.start_ms
        life = Life(listed_ms or FIRST_MS, now_ms, now_ms)
        return Piece(symbol, intersect(gaps, window(life.start_ms, life.end_ms)), life, "archive", is_known=False)

    def _listed_piece(self, symbol: str, gaps: list[Window], days: Sequence[Window], now_ms: int) -> Piece | None:
        """The gaps of which the archive lists files, where it lists any."""
        spans = merge(Window(self.interval.floor(span.start_ms), self.interval.ceil(span.end_ms)) for span in days)
        if not spans:
            return None
        life = Life(spans[0].start_ms, min(spans[-1].end_ms, self.interval.floor(now_ms)), now_ms)
        parts = intersect(intersect(gaps, spans), window(life.start_ms, life.end_ms))
        return Piece(symbol, parts, life, "archive", is_known=False, spans=spans)
