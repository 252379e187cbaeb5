"""One symbol of a run of funding rates: what is asked for, and, filled in while asking, what came. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from klines.binance.funding.files import FundingFile
from klines.binance.funding.grid import FundedHour, hour_of
from klines.binance.funding.rate import FundingRate, RatesOf
from klines.errors import UnknownSymbol
from klines.interval import DAY, INTERVALS
from klines.rates.ledger import Funded, Heard
from klines.rows import Rejects
from klines.window import Window, subtract, window

A_MONTH_MS = 28 * DAY
"""A hole that long is looked for in the archive first."""
_MONTHS, _HOURS = INTERVALS["1M"], INTERVALS["1h"]


@dataclass(frozen=True, slots=True)
class LoadedMonth:
    """A file of the archive, its SHA-256, which is right, its good rates, and the rows that were refused."""

    file: FundingFile
    sha256: str
    rates: Sequence[FundingRate]
    rejects: Rejects


@dataclass(slots=True)
class AskedRates:
    """A symbol: what was stored before; the exchange's time when the run came to it; the paths of its files that were
    loaded before; the months that the archive lists (None: it was not asked, or did not answer), and what came.
    `is_trading` is None where nobody was asked, or could say; of one that is gone the archive alone knows."""

    market: str
    symbol: str
    before: Funded
    now_ms: int
    loaded: Sequence[str] = ()
    listed: Sequence[FundingFile] | None = None
    months: list[LoadedMonth] = field(default_factory=list)
    rest: RatesOf = field(default_factory=RatesOf)
    troubles: list[str] = field(default_factory=list)
    error: Exception | None = None
    is_trading: bool | None = None
    is_gone: bool = False

    @property
    def known(self) -> Funded:
        """What will be stored: what was, and what came."""
        came = [rate for month in self.months for rate in month.rates] + self.rest.rates
        if not came:
            return self.before
        hours = {slot.time_ms: slot.hours for slot in self.before.slots}
        for rate in came:
            slot_ms = hour_of(rate.time_ms)
            hours[slot_ms] = rate.hours or hours.get(slot_ms)
        return replace(self.before, slots=[FundedHour(*slot) for slot in sorted(hours.items())])

    def wants_listing(self) -> bool:
        """Whether the archive may have what is asked for, or a month to compare with what was had by REST."""
        parts, slots = self.before.to_ask(self.now_ms), self.before.slots
        newest = FundingFile(self.market, self.symbol, _MONTHS.step(self.now_ms, -1))
        return (
            (bool(slots) and slots[0].time_ms < newest.window.end_ms and newest.path not in self.loaded)
            or any(part.end_ms - part.start_ms >= A_MONTH_MS for part in parts)
            or any(not slots or part.start_ms < slots[0].time_ms for part in parts)
        )

    def left(self) -> list[Window]:
        """The windows that REST is to be asked for still."""
        if self.is_gone:
            return []
        known = self.known
        parts = [part for part in known.to_ask(self.now_ms) if subtract([part], self.rest.answered)]
        return subtract(known.with_neighbours(parts, self.now_ms), self.rest.answered)

    def is_silent(self) -> bool:
        """Whether it was asked for the newest rate and has none, or has none at all, or had ended; or there are rates
        of it, and REST does not know it."""
        known = self.known
        if self.error:
            return isinstance(self.error, UnknownSymbol) and bool(known.slots)
        was_asked = not subtract(window(known.after_ms, self.now_ms + 1), self.rest.answered)
        return was_asked and (bool(known.tail(self.now_ms)) or not known.slots or known.ended is not None)

    def leave_to_the_archive(self) -> None:
        """Of a symbol that neither REST nor exchangeInfo knows any more the archive's files are all that there is, once
        all of them could be used."""
        if isinstance(self.error, UnknownSymbol) and self.is_trading is False and not self.troubles:
            self.is_gone, self.error = True, None

    @property
    def heard(self) -> Heard:
        """What the ledger goes by: of an hour that has begun, its beginning was answered, where its rate is."""
        slots = self.known.slots
        oldest_ms = min((file.start_ms for file in self.listed or ()), default=None)
        answered = [Window(0, self.now_ms)] if self.is_gone else self.rest.answered
        rates = slots if self.is_gone else self.rest.rates
        return Heard(
            answered=[Window(part.start_ms, _HOURS.ceil(part.end_ms)) for part in answered],
            hours=frozenset(hour_of(rate.time_ms) for rate in rates),
            refused=[hour_of(time_ms) for time_ms in self._refused()],
            archive_agrees=bool(slots) and oldest_ms is not None and oldest_ms >= _MONTHS.floor(slots[0].time_ms),
            is_trading=self.is_trading,
        )

    def _refused(self) -> Iterable[int]:
        yield from self.rest.rejects.times_ms
        for month in self.months:
            yield from month.rejects.times_ms
