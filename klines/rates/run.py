"""One run of funding rates: symbols in batches, each asked for at once and written in one transaction.

The steps are called from outside, in order; here is only what they do. What a run did not come to is found again by the
next one: all that is to be asked for follows from what is stored.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import duckdb

from klines.binance.archive import PAUSES_S, Archive
from klines.binance.funding.exchange import FundingExchange
from klines.binance.funding.files import LONGEST_FUNDING_FILE, FundingFile, months_named, months_to_load, rates_folder
from klines.binance.funding.pool import FUNDING_POOL, RequestPool
from klines.binance.funding.rate import rates_in_file
from klines.clock import clock as time_of
from klines.collect.incidents import Seen
from klines.errors import BadParameter, DatabaseBusy, GiveUp, Later, Retry, Spent, Stop
from klines.interval import DAY
from klines.outcome import Outcome, Plan, Stored, doubted
from klines.rates.asked import AskedRates, LoadedMonth
from klines.rates.job import FundingJob, is_delivered
from klines.rates.ledger import Funded, RatesSum, summed
from klines.rates.message import FundingFacts, funding_outcome
from klines.rates.plan import funding_plan
from klines.rates.store import HOURS_OF_RATES, Wanted, rates_to_ask, store_rates, work_to_plan
from klines.session import Session
from klines.settings import Settings
from klines.storage.access import place_of
from klines.storage.room import rooms
from klines.tables.funding import of_rates

RUN_S, ASKING = 3000.0, 0.9
"""A run's whole time, in seconds, as one begins every hour; and the part of it in which requests are made."""
REQUEST_OF_RATES_S = 10.0
"""How long a whole request may take."""
BATCH_OF_RATES = 25
"""Symbols that are asked for at the same time, and written in one transaction; five years of 8 hours are 5,500 rates of
each, of an hour 44,000, and a rate takes 400 bytes while it is on its way."""


@dataclass(slots=True)
class RatesAccount:
    """What has come of the batches so far."""

    stored: Stored = field(default_factory=Stored)
    files: int = 0
    unkept: int = 0
    sums: dict[str, RatesSum] = field(default_factory=dict)
    errors: dict[str, Exception] = field(default_factory=dict)
    empty: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    unasked: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    @property
    def seen(self) -> set[str]:
        """The symbols of batches that were written."""
        return {*self.sums, *self.errors, *self.empty, *self.unasked}

    def add(self, one: AskedRates, there: Funded) -> None:
        """One symbol of a batch that was written."""
        self.files += len(one.months)
        self.unkept += one.rest.rejects.unkept + sum(month.rejects.unkept for month in one.months)
        self.troubles += one.troubles
        if one.error:
            self.errors[one.symbol] = one.error
        elif one.left():
            self.unasked.append(one.symbol)
        if one.is_gone:
            self.gone.append(one.symbol)
        if there.slots:
            self.sums[one.symbol] = summed(there, one.now_ms)
        elif not one.error:
            self.empty.append(one.symbol)


class FundingRun(Session):
    """Use as `with`, then call health and plan; begin, fetch and store for each batch, while `goes_on`; and outcome."""

    exchange: FundingExchange

    def __init__(
        self,
        settings: Settings,
        job: FundingJob,
        *,
        deadline_s: float = RUN_S,
        request_timeout_s: float = REQUEST_OF_RATES_S,
        pauses_s: Sequence[float] = PAUSES_S,
        clock: Callable[[], int] | None = None,
    ) -> None:
        self.job = job
        self._began_s = time.monotonic()
        self._asks_until_s = self._began_s + deadline_s * ASKING
        self._wanted = Wanted(job.since_ms, None)
        self._symbols: list[str] = []
        self._batch: dict[str, AskedRates] = {}
        self._account = RatesAccount()
        self._archive = Archive(settings.archive_url, connections=16, pauses_s=pauses_s, egress=settings.egress)
        exchange = FundingExchange(
            *(job.market, settings.url(job.market.name)),
            deadline_s=self._asks_until_s,
            request_timeout_s=request_timeout_s,
            clock=clock,
            egress=settings.egress,
        )
        super().__init__(
            *(place_of(settings.database), HOURS_OF_RATES, exchange),
            wait_s=deadline_s * (1 - ASKING),
            until_s=self._began_s + deadline_s,
            entries=job.symbols,
        )
        self._rates = of_rates(self.market)

    @property
    def _pools(self) -> Sequence[str]:
        return [self.market.pool, *([FUNDING_POOL] if self.market.name == "usdm" else [])]

    def _pool_of(self, error: Stop) -> str:
        """Silence that only the pool of rates asked for is its own."""
        is_own = isinstance(self.exchange.pool, RequestPool) and self.exchange.budget.stopped is not error
        return FUNDING_POOL if is_own and self.exchange.pool.stopped is error else self.market.pool

    def _enter_all(self, stack: contextlib.ExitStack) -> None:
        super()._enter_all(stack)
        stack.enter_context(self._portal.wrap_async_context_manager(self._archive))

    @property
    def stopped(self) -> Stop | None:
        """What ended the asking."""
        return self.exchange.budget.stopped or self.exchange.pool.stopped

    @property
    def goes_on(self) -> bool:
        """Whether there is time, and nothing that forbids to ask."""
        return self.stopped is None and time.monotonic() < self._asks_until_s

    def plan(self) -> list[list[str]]:
        """The symbols, in batches; raises BadParameter, and Unreachable where nobody can say what patterns take."""
        if self.job.since_ms > self.exchange.now_ms() and not self.exchange.doubt:
            raise BadParameter(f"since: {time_of(self.job.since_ms)} is yet to come; nothing would be asked for")
        named = set(self.job.symbols)
        matched = self._chosen()
        self._symbols = [symbol for symbol in matched if symbol in named or not is_delivered(symbol)]
        with contextlib.suppress(Retry, GiveUp, Later):
            self._wanted = Wanted(self.job.since_ms, self._call(self.exchange.intervals) or None)
        starts = range(0, len(self._symbols), BATCH_OF_RATES)
        return [self._symbols[start : start + BATCH_OF_RATES] for start in starts]

    def _chosen(self) -> list[str]:
        if not self.job.all_symbols:
            return self._matched(self.job.symbols)
        return self._matched_of_all(self.job.symbols, self._archive, self._rates)

    def told(self) -> Plan:
        """What is to be asked for at most, by what is stored; raises NoRoom where that has no room on the disk."""
        with self._opened() as connection:
            works = work_to_plan(connection, self._rates, self._symbols, self._wanted, self.exchange.now_ms())
        folder = self.place.folder
        told = funding_plan(works, BATCH_OF_RATES, self.exchange.pace, lambda size: rooms([(folder, size)]))
        told.check()
        return told

    @property
    def wanted(self) -> int:
        """Symbols to ask for."""
        return len(self._symbols)

    @property
    def left(self) -> int:
        """Those whose batch was not written yet."""
        return len(self._symbols) - len(self._account.seen)

    def begin(self, batch: Sequence[str]) -> None:
        """Look up what is stored of the symbols of a batch."""
        with self._opened() as connection:
            self._batch = rates_to_ask(connection, self._rates, batch, self._wanted, self.exchange.now_ms())

    def fetch(self) -> list[Exception]:
        """Ask for what lacks of the batch, and hold it for `store`; the errors of those that failed. Called again it
        asks for the rest only."""
        self._portal.call(self._fetch_all, list(self._batch.values()))
        return [one.error for one in self._batch.values() if one.error]

    async def _fetch_all(self, asked: Sequence[AskedRates]) -> None:
        await asyncio.gather(*map(self._fetch, asked))
        silent = [one for one in asked if one.is_silent()]
        if silent:
            statuses = await self.exchange.statuses([one.symbol for one in silent])
            for one in silent:
                status = statuses[one.symbol]
                one.is_trading = None if status is None else status == "TRADING"
                one.leave_to_the_archive()

    async def _fetch(self, one: AskedRates) -> None:
        """The archive first, then REST for what lacks still; any error ends up in `one.error`."""
        one.error = None
        try:
            await self._from_archive(one)
            for window in one.left():
                await self.exchange.rates(one.symbol, window, one.rest)
        except Spent:  # the next run finds what is left
            pass
        except Exception as error:  # a bug that one symbol's answer brings out spoils that symbol only
            one.error = error

    async def _from_archive(self, one: AskedRates) -> None:
        """Load the months that have to do with what lacks; what can't be had is named, and left to REST."""
        if one.listed is not None or one.troubles or not one.wants_listing():
            return
        try:
            keys = await self._archive.all_keys(rates_folder(self.market.name, one.symbol))
        except Retry as error:
            one.troubles.append(f"{one.symbol}'s listing: {str(error).rstrip('.')}")
            return
        one.listed = months_named(keys, self.market.name, one.symbol)
        wanted = [part for part in one.before.to_ask(one.now_ms) if part.end_ms - part.start_ms >= DAY]
        months = months_to_load(one.listed, one.loaded, wanted)
        await asyncio.gather(*(self._load(one, file) for file in months if file.window.end_ms > self.job.since_ms))

    async def _load(self, one: AskedRates, file: FundingFile) -> None:
        """One month's file, while there is time."""
        if time.monotonic() >= self._asks_until_s:
            return
        try:
            found = await self._archive.fetch_csv(file, LONGEST_FUNDING_FILE)
            if found is not None:
                one.months.append(LoadedMonth(file, found[1], *rates_in_file(found[0], file.window)))
        except Retry as error:
            one.troubles.append(f"{file.name}.zip: {str(error).rstrip('.')}")

    def store(self) -> None:
        """Write all that was fetched of the batch, in one transaction."""
        stopped = self.stopped
        try:
            stored, after = self._change(self.scope(list(self._batch)), self._put)
        except DatabaseBusy:
            if stopped:
                self._keep(stopped)
                raise stopped from None
            raise
        if stopped:
            self._remember(stopped)
        self._account.stored += stored
        for symbol, one in self._batch.items():
            self._account.add(one, after[symbol])
        self._batch = {}

    def _put(self, connection: duckdb.DuckDBPyConnection) -> tuple[Stored, dict[str, Funded]]:
        asked = list(self._batch.values())
        return store_rates(connection, self._rates, asked, self._wanted, self.exchange.now_ms())

    def seen(self, outcome: Outcome) -> Seen:
        """What its end says of incidents; of what is stale only where all symbols were come to."""
        known = self._account
        is_whole = bool(self._symbols) and not self.left and not self.stopped
        stale = [symbol for symbol, found in known.sums.items() if found.is_stale]
        return Seen(outcome.state, outcome.message, stale if is_whole else None, [*known.errors])

    def outcome(self) -> Outcome:
        """The final state, with its message."""
        known = self._account
        outcome = funding_outcome(
            FundingFacts(
                symbols=len(self._symbols),
                seconds=time.monotonic() - self._began_s,
                stored=known.stored,
                files=known.files,
                sums=known.sums,
                errors=known.errors,
                empty=known.empty,
                gone=known.gone,
                unasked=[*known.unasked, *(symbol for symbol in self._symbols if symbol not in known.seen)],
                troubles=known.troubles,
                unkept=known.unkept,
                stopped=self.stopped,
            )
        )
        return doubted(outcome, self.exchange.doubt)
