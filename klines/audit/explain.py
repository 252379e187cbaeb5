"""Why a gap is one: what the exchange shows around it, and what it shows of other symbols at that time.

A gap is explained only when the exchange answers for it with the kline before and the one after it. It is an outage of
the exchange when at least four of five witnesses, large symbols with klines on both sides, lack at least half of it;
otherwise, or with fewer than three witnesses, it is a hole of that symbol alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from klines.binance.exchange import Exchange
from klines.errors import KlinesError, Stop
from klines.interval import INTERVALS, Interval
from klines.ledger import HOLE, OUTAGE
from klines.window import Window, merge

WITNESSES, AGREEING, FEWEST = 5, 0.8, 3
CANDIDATES = 8
MARGIN = 5
"""Slots on both sides of a gap in which a witness must have a kline: edges differ by a minute or so."""
SLOTS = 900
"""A gap of more slots is looked at in klines of a longer interval, so that one answer holds a witness's."""
LARGE = {
    "spot": ("BTCUSDT", "ETHUSDT", "BNBUSDT", "XRPUSDT", "LTCUSDT", "ETHBTC", "LTCBTC", "BNBBTC", "ADAUSDT", "SOLUSDT"),
    "usdm": ("BTCUSDT", "ETHUSDT", "BCHUSDT", "XRPUSDT", "LTCUSDT", "TRXUSDT", "BNBUSDT", "SOLUSDT", "DOGEUSDT"),
    "coinm": ("BTCUSD_PERP", "ETHUSD_PERP", "LINKUSD_PERP", "BNBUSD_PERP", "TRXUSD_PERP", "DOTUSD_PERP", "ADAUSD_PERP"),
}
"""Symbols that have been large for long, as witnesses where fewer are stored."""


Verdicts = dict[str, list[tuple[Window, str]]]


@dataclass(frozen=True, slots=True)
class Testimony:
    """The open times, in ms, of one witness around a gap, in klines of `interval`."""

    interval: Interval
    times: frozenset[int]

    def is_of(self, gap: Window) -> bool:
        """Whether it has klines on both sides, near the gap."""
        interval = self.interval
        first, last = interval.floor(gap.start_ms), interval.floor(gap.end_ms - 1)
        return any(interval.step(first, -n) in self.times for n in range(1, MARGIN + 1)) and any(
            interval.step(last, n) in self.times for n in range(1, MARGIN + 1)
        )

    def lacks(self, gap: Window) -> bool:
        """Whether at least half of the gap's slots have no kline."""
        interval = self.interval
        first, after = interval.index(interval.ceil(gap.start_ms)), interval.index(interval.floor(gap.end_ms))
        slots = [interval.start(index) for index in range(first, after)] or [interval.floor(gap.start_ms)]
        return 2 * sum(slot in self.times for slot in slots) <= len(slots)


def judge(gap: Window, witnesses: Iterable[Testimony]) -> str:
    """`exchange_outage` or `exchange_hole`, by the first five witnesses that were there before and after the gap."""
    valid = [witness for witness in witnesses if witness.is_of(gap)][:WITNESSES]
    lacking = sum(witness.lacks(gap) for witness in valid)
    return OUTAGE if len(valid) >= FEWEST and lacking >= AGREEING * len(valid) else HOLE


def seen_in(gap: Window, interval: Interval) -> Interval:
    """The interval in which a gap is looked at: its own, or the first that has few enough slots in it."""
    longer = [
        candidate
        for candidate in INTERVALS.values()
        if candidate.length_ms >= interval.length_ms and candidate.is_phase_known
    ]
    fitting = [
        candidate
        for candidate in longer
        if candidate.length_ms and (gap.end_ms - gap.start_ms) // candidate.length_ms <= SLOTS
    ]
    return interval if not interval.length_ms or not fitting else fitting[0]


class Court:
    """Explains gaps of one market and interval; `candidates` are the witnesses in the order in which they are heard."""

    def __init__(self, exchange: Exchange, interval: Interval, candidates: Sequence[str]) -> None:
        self._exchange = exchange
        self._interval = interval
        self._candidates = list(dict.fromkeys(candidates))[:CANDIDATES]

    async def explain(self, gaps: Mapping[str, Sequence[Window]]) -> tuple[Verdicts, dict[str, list[Window]]]:
        """Of each symbol the gaps that are empty, with their reason, and those that are not empty any more.

        A gap about which the exchange did not answer, or not with both neighbours, is in neither.
        """
        asked = [(symbol, gap) for symbol, windows in gaps.items() for gap in windows]
        answers = await asyncio.gather(*(self._look(symbol, gap) for symbol, gap in asked))
        empty = [question for question, inside in zip(asked, answers, strict=True) if inside == []]
        filled: dict[str, list[Window]] = {}
        for (symbol, gap), inside in zip(asked, answers, strict=True):
            if inside:
                filled.setdefault(symbol, []).append(gap)
        heard = await self._hear([gap for _, gap in empty])
        verdicts: Verdicts = {}
        for symbol, gap in empty:
            others = [testimony for name, testimony in heard[seen_in(gap, self._interval).name] if name != symbol]
            verdicts.setdefault(symbol, []).append((gap, judge(gap, others)))
        return verdicts, filled

    async def _look(self, symbol: str, gap: Window) -> list[int] | None:
        try:
            return await self._exchange.between(symbol, self._interval, gap)
        except Stop:
            raise
        except KlinesError:
            return None

    async def _hear(self, gaps: Sequence[Window]) -> dict[str, list[tuple[str, Testimony]]]:
        """By interval, what each candidate has around the gaps that are looked at in it."""
        by_interval: dict[str, list[Window]] = {}
        for gap in gaps:
            seen = seen_in(gap, self._interval)
            around = Window(seen.step(gap.start_ms, -MARGIN), seen.step(gap.end_ms, MARGIN + 1))
            by_interval.setdefault(seen.name, []).append(around)
        heard = {}
        for name, windows in by_interval.items():
            testimonies = await asyncio.gather(
                *(self._testify(candidate, name, windows) for candidate in self._candidates)
            )
            heard[name] = [
                (candidate, found) for candidate, found in zip(self._candidates, testimonies, strict=True) if found
            ]
        return heard

    async def _testify(self, symbol: str, name: str, windows: Sequence[Window]) -> Testimony | None:
        interval = self._interval if name == self._interval.name else INTERVALS[name]
        times: set[int] = set()
        try:
            for asked in merge(windows):
                want = await self._exchange.whole(symbol, interval, asked)
                times |= {interval.floor(time) for time in (*(row.open_time for row in want.rows), *want.refused_ms)}
        except Stop:
            raise
        except KlinesError:
            return None
        return Testimony(interval, frozenset(times))
