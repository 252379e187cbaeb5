"""One run of collect: what it is to collect, what the exchange gave, and what became of it.

The steps are called from outside, in order, so that a scheduler can show each of them; here is only what they do.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Self

import duckdb

from klines.binance.archive import Archive
from klines.binance.exchange import Exchange
from klines.binance.line import LATE_PAUSES_S
from klines.clock import clock as time_of
from klines.collect.choosing import Choice, Chosen, note_choice
from klines.collect.message import CollectFacts, collect_outcome
from klines.collect.missing import beginnings, wants
from klines.collect.noted import Noted
from klines.errors import BadParameter, DatabaseBusy, Retry, Stop, UnknownSymbol
from klines.interval import INTERVALS, MINUTE, Interval
from klines.market import KLINES, Market, check_interval, market_of, series_name
from klines.outcome import Outcome, Stored, doubted
from klines.session import Session
from klines.settings import Settings
from klines.shard import Shard
from klines.storage.access import place_of
from klines.storage.store import scope_of, store
from klines.storage.turn import minute_at_work
from klines.tables.promise import SHELL
from klines.tables.schedules import AskedFor
from klines.tables.symbols import joined, quarantined
from klines.want import Want, share_out

DEADLINE_S, FETCH_SHARE = 45.0, 2 / 3
"""A run's whole time, and the share of it in which requests are made; what is left is for waiting for the file."""
REQUEST_S = 6.0
"""How long a whole request may take."""
PAGES_A_RUN = 500
"""Pages of a catch-up that one run asks for: half a million klines in memory."""


@dataclass(frozen=True, slots=True)
class CollectJob:
    """What a run is asked to do, already validated, and `by` whom: a deployment, or the shell; with a shard it is about
    the symbols of that alone."""

    symbols: list[str]
    market: Market
    interval: Interval
    lookback: timedelta
    shard: Shard | None = None
    by: str = SHELL

    @classmethod
    def of(
        cls,
        settings: Settings,
        symbols: list[str] | None,
        market: str,
        interval: str,
        lookback: timedelta,
        shard: str | None = None,
        kind: str = KLINES.name,
        by: str = SHELL,
    ) -> Self:
        """The job that the flow's parameters and the settings describe; raises BadParameter for one that can't be."""
        its_market = market_of(market, kind)
        check_interval(market, interval)
        chosen = list(dict.fromkeys(settings.symbols if symbols is None else symbols))
        its_market.check_entries(chosen)
        try:
            part = None if shard is None else Shard.parse(shard)
        except ValueError as error:
            raise BadParameter(f"shard: {error}") from None
        return cls(chosen, its_market, INTERVALS[interval], lookback, part, by)

    def takes(self, symbol: str) -> bool:
        """Whether a symbol is among those of the shard."""
        return self.shard is None or self.shard.takes(symbol)

    @property
    def part(self) -> str:
        """What of the market it is about: `1m`, `mark 1m`, and of a shard `1m 3/10`."""
        series = series_name("", self.market.kind.name, self.interval.name)
        return series if self.shard is None else f"{series} {self.shard}"


class Collect(Session):
    """Use as `with`, while it is `at_work`, then call health, plan, fetch, store and outcome in this order."""

    def __init__(
        self,
        settings: Settings,
        job: CollectJob,
        *,
        deadline_s: float = DEADLINE_S,
        request_timeout_s: float = REQUEST_S,
        late_pauses_s: Sequence[float] = LATE_PAUSES_S,
        pages: int = PAGES_A_RUN,
        clock: Callable[[], int] | None = None,
    ) -> None:
        self.job = job
        self.wants: dict[str, Want] = {}
        self._since_ms = settings.since_ms
        self._pages = pages
        self._began_s = time.monotonic()
        self.quarantined: list[str] = []
        self._left_out: Sequence[str] = ()
        self._stale: list[str] = []
        self._unclear: list[str] = []
        self._not_trading: list[str] = []
        self._is_silent = False
        self.stored = Stored()
        self._last_ms: dict[str, int] = {}
        self._due_ms = -1
        self.noted: Noted | None = None
        self._is_written = False
        self.is_done = False
        exchange = Exchange(
            job.market,
            settings.url(job.market.name),
            deadline_s=self._began_s + deadline_s * FETCH_SHARE,
            request_timeout_s=request_timeout_s,
            late_pauses_s=late_pauses_s,
            clock=clock,
            egress=settings.egress,
        )
        self._archive = Archive(settings.archive_url, connections=16, pauses_s=(), egress=settings.egress)
        exchange.archive = self._archive
        super().__init__(
            place_of(settings.database),
            job.interval,
            exchange,
            wait_s=deadline_s * FETCH_SHARE,
            until_s=self._began_s + deadline_s,
            entries=job.symbols,
        )

    def at_work(self) -> contextlib.AbstractContextManager[None]:
        """Bulk work on this machine makes way for the run, and for what is written after it, until this ends."""
        return minute_at_work(self.place.beside)

    def _enter_all(self, stack: contextlib.ExitStack) -> None:
        super()._enter_all(stack)
        stack.enter_context(self._portal.wrap_async_context_manager(self._archive))

    def plan(self) -> list[str]:
        """The symbols of which klines are missing."""
        self._check_since()
        self.job = replace(self.job, symbols=[*filter(self.job.takes, self._matched(self.job.symbols))])
        self.quarantined = self._learn_phase(self.job.symbols)
        if not self.interval.is_phase_known:
            return []
        now_ms = self.exchange.now_ms()
        found = self._change(self.scope(self.job.symbols), partial(self._look_up, now_ms=now_ms))
        self._due_ms = self.interval.step(self.interval.floor(now_ms), -1)
        share_out(found, self.interval, self.job.market.page_slots(self.interval), self._pages)
        self.wants = {want.symbol: want for want in found}
        if found and self.interval.length_ms > MINUTE:  # of shorter ones the answers show how new the newest is
            self._call(self.exchange.look_at_newest)
        return list(self.wants)

    def _check_since(self) -> None:
        """Raises BadParameter for a day that is yet to come: nothing would be due until then. While clocks are in doubt
        nobody can say."""
        if self._since_ms is not None and self._since_ms > self.exchange.now_ms() and not self.exchange.doubt:
            raise BadParameter(f"KLINES_SINCE: {time_of(self._since_ms)} is yet to come; nothing would be collected")

    def _look_up(self, connection: duckdb.DuckDBPyConnection, now_ms: int) -> list[Want]:
        """What is missing, and what is noted."""
        self.noted = Noted.of(connection, self.market, self.interval, str(self.job.shard or ""), self.job.by)
        self.quarantined = quarantined(connection, self.job.market, self.job.symbols, now_ms)
        lookback_ms = int(self.job.lookback.total_seconds() * 1000)
        chosen = self._choose(connection, now_ms, lookback_ms)
        self._left_out = chosen.left_out
        found, self._last_ms = wants(
            connection,
            self.job.market,
            self.interval,
            list(chosen.since_ms),
            now_ms=now_ms,
            lookback_ms=lookback_ms,
            since_ms=chosen.since_ms,
        )
        return found

    def _choose(self, connection: duckdb.DuckDBPyConnection, now_ms: int, lookback_ms: int) -> Chosen:
        joined_ms = joined(connection, self.job.market, self.job.symbols)
        begins_ms = beginnings(
            self.interval, self.job.symbols, now_ms=now_ms, lookback_ms=lookback_ms, joined_ms=joined_ms
        )
        choice = Choice(self.job.by, self.job.symbols, self.job.takes, self._since_ms, self.quarantined)
        return note_choice(connection, self.job.market, self.interval, choice, begins_ms, now_ms)

    def fetch(self, symbols: Sequence[str]) -> dict[str, Exception]:
        """Ask for what is missing of `symbols`; returns the errors of those that failed. Safe to call from threads."""
        self._portal.call(self.exchange.fetch_all, [self.wants[symbol] for symbol in symbols], self.interval)
        return {symbol: error for symbol in symbols if (error := self.wants[symbol].error)}

    def worth_retrying(self) -> list[str]:
        """Symbols whose error may pass; none when more than half failed, as then it is the exchange's."""
        failed = [symbol for symbol, want in self.wants.items() if isinstance(want.error, Retry)]
        return failed if len(failed) * 2 <= len(self.wants) and self.exchange.budget.stopped is None else []

    def store(self) -> Stored:
        """Write all that was fetched, in one transaction."""
        self.exchange.take_back(self.wants.values())
        self._stale = [symbol for symbol, want in self.wants.items() if want.error is None and self._is_stale(want)]
        self._leave_open_ones()
        self._look_up_trading()
        stopped = self.exchange.budget.stopped
        try:
            self._write()
        except DatabaseBusy:
            if stopped:
                self._keep(stopped)
                raise stopped from None
            raise
        if stopped:
            self._remember(stopped)
        return self.stored

    def _leave_open_ones(self) -> None:
        """Where no symbol has its kline, the newest klines may be those of a clock that is behind, and still open."""
        if not self._stale or any(not want.error and want.symbol not in self._stale for want in self.wants.values()):
            return
        with contextlib.suppress(Stop):  # what was fetched is stored all the same
            self._portal.call(self.exchange.look_at_newest)
        for want in self.wants.values():
            want.keep_closed(self.exchange.closed_ms())

    def _write(self) -> None:
        wants = list(self.wants.values())
        self.stored = self._change(scope_of(self.job.market, self.interval, wants), partial(self._put, wants))
        self._is_written = True

    def _put(self, wants: Sequence[Want], connection: duckdb.DuckDBPyConnection) -> Stored:
        return store(
            connection,
            self.job.market,
            self.interval,
            wants,
            now_ms=self.exchange.now_ms(),
            not_trading=self._not_trading,
            asked=self.asked,
            by=self.job.by,
        )

    def outcome(self) -> Outcome:
        """The final state, with its message."""
        self.is_done = True
        errors = self.errors
        outcome = collect_outcome(
            CollectFacts(
                symbols=len(self.job.symbols),
                seconds=time.monotonic() - self._began_s,
                stored=self.stored,
                errors=errors,
                late=self._late(errors),
                stale=self._stale,
                unclear=self._unclear,
                not_trading=self._not_trading,
                quarantined=self.quarantined,
                klines_left=sum(self._slots_left(want) for want in self.wants.values() if not want.error),
                unasked=[s for s, want in self.wants.items() if s not in errors and not want.answered],
                dropped=self.exchange.dropped,
                unkept=sum(want.rejects.unkept for want in self.wants.values()),
                stopped=self.exchange.budget.stopped,
                is_silent=self._is_silent,
                shard=str(self.job.shard or ""),
                left_out=self._left_out,
            )
        )
        return doubted(outcome, self.exchange.doubt)

    def _late(self, errors: Mapping[str, Exception]) -> list[str]:
        """The symbols whose newest kline is published late, and of which nothing else is wrong."""
        others = {*errors, *self._stale, *self._unclear, *self._not_trading}
        return [s for s, want in self.wants.items() if s not in others and want.tail(self.interval) is not None]

    def _is_stale(self, want: Want) -> bool:
        has_newest = want.unstored_from(self.interval) >= want.gaps[-1].end_ms
        return bool(want.answered) and not has_newest and self.exchange.is_stale(want, self.interval)

    def _look_up_trading(self) -> None:
        """Sort the stale symbols: those that trade, those that do not, and those of which nobody could say; where no
        symbol at all has its kline although some trade, or nobody can say, it is the exchange."""
        if not self._stale:
            return
        statuses = self._portal.call(self.exchange.statuses, self._stale)
        trading = [symbol for symbol, status in statuses.items() if status == "TRADING"]
        unclear = [symbol for symbol, status in statuses.items() if status is None]
        answered = [want for want in self.wants.values() if want.error is None]
        unknown = [want for want in self.wants.values() if isinstance(want.error, UnknownSymbol)]
        known = len(self.job.symbols) - len(self.quarantined) - len(unknown)
        everybody = len(self._stale) == len(answered) == known
        self._is_silent = everybody and bool(trading or unclear)
        if not self._is_silent:
            others = {*trading, *unclear}
            self._not_trading = [symbol for symbol in self._stale if symbol not in others]
            self._stale, self._unclear = trading, unclear

    def _slots_left(self, want: Want) -> int:
        """Slots of a catch-up that this run did not get to."""
        return sum(self.interval.slots(gap.start_ms, gap.end_ms) for gap in want.owed(self.interval))

    def collected(self) -> list[str]:
        """The symbols of which it stored klines that were missing."""
        return [want.symbol for want in self.wants.values() if want.was_filled]

    def newest_ms(self) -> dict[str, int | None]:
        """The open time of each symbol's newest stored kline, None for none."""
        found = {symbol: self._last_ms.get(symbol) for symbol in self.job.symbols}
        if self._is_written:
            wanted = self.wants.values()
            found |= {want.symbol: self.interval.step(want.unstored_from(self.interval), -1) for want in wanted}
        return found

    @property
    def errors(self) -> dict[str, Exception]:
        """The symbols that failed, and why."""
        return {symbol: want.error for symbol, want in self.wants.items() if want.error}

    @property
    def has_plan(self) -> bool:
        """Whether it came so far as to know what is due."""
        return self._due_ms >= 0

    @property
    def asked(self) -> AskedFor:
        """Up to when it asked."""
        return AskedFor(str(self.job.shard or ""), self.interval.step(self._due_ms, 1), self.job.by)
