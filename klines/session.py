"""What every run has: one exchange on one event loop, the file, and the memory of bans."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError
from functools import partial
from typing import Any, NamedTuple, Self

import duckdb
from anyio.from_thread import BlockingPortal, start_blocking_portal

from klines.binance import pace, silence
from klines.binance.archive import Archive
from klines.binance.exchange import Exchange
from klines.binance.line import machine_ms as machine_ms
from klines.binance.listing import SymbolInfo
from klines.errors import (
    BadParameter,
    DatabaseBusy,
    Interrupted,
    KlinesError,
    Retry,
    Spent,
    Stop,
    UnknownSymbol,
    Unreachable,
)
from klines.interval import DAY, Interval
from klines.market import Market
from klines.reading.coverage import Coverage, last_days
from klines.storage.live import FREE_S
from klines.storage.place import Done, Place, Scope
from klines.symbol import choose, is_pattern
from klines.tables.bans import Ban, active_ban, holding, lift, remember_ban, was_banned
from klines.tables.counts import count_month, counted_until_ms
from klines.tables.klines import a_stored_time
from klines.tables.symbols import EVERY_MS, SOONEST_MS, Known, known, note_listing
from klines.tables.transaction import transaction

AFTERWARDS_S = 1.0
"""How long a run waits for the file for what is only news, when everything is stored."""
LIFT_WAIT_S = 30.0
"""How long the file is waited for to lift a ban."""
STOPPED = "the run was stopped"
MORE = 3
"""So many of its own symbols have a say about the clock, where those that usually have are not known."""


BANS = Scope("bans", "", "", notes=True)
"""What whoever enters or ends a ban changes."""


def enter_kept(place: Place, deadline_s: float) -> None:
    """Enter the bans that were left beside the database."""
    bans = silence.kept(place.beside)

    def enter(connection: duckdb.DuckDBPyConnection) -> None:
        with transaction(connection):
            for pool, egress, error, met_ms in bans:
                remember_ban(connection, pool, egress, error, now_ms=met_ms, exchange_now_ms=met_ms)

    if bans:
        place.write(deadline_s, BANS, enter)
        silence.forget(place.beside)


def count_days(
    place: Place, now_ms: int, wait_s: float, until_s: float = float("inf"), wait: Callable[[], None] | None = None
) -> None:
    """Count the klines of all days that are over and not counted yet, a month at a time; each step begins when `wait`
    has returned, waits `wait_s` for others, and none begins after `until_s`, of time.monotonic().

    Raises as `place.opened`; the months that were counted before are.
    """
    with place.opened(time.monotonic() + wait_s) as connection:
        is_left = counted_until_ms(connection) < now_ms // DAY * DAY
    while is_left and time.monotonic() < until_s:
        if wait:
            wait()
        is_left = place.alone(time.monotonic() + wait_s, partial(count_month, now_ms=now_ms))
        time.sleep(FREE_S if is_left else 0)


class Lifted(NamedTuple):
    """Until when, in ms, each pool was silent whose silence has ended; and the bans of other addresses, that hold."""

    pools: Mapping[str, int]
    others: Sequence[Ban]


def lift_bans(place: Place, pools: Sequence[str], egress: str) -> Lifted:
    """End the silence of these pools for requests that leave by an address, in the database and beside it.

    Raises DatabaseBusy, BadDatabase, BadParameter.
    """

    def end(connection: duckdb.DuckDBPyConnection) -> Lifted:
        now_ms = machine_ms()
        lifted = lift(connection, pools, egress, now_ms)
        return Lifted(lifted, [ban for ban in holding(connection, now_ms) if ban.pool in pools])

    deadline_s = time.monotonic() + LIFT_WAIT_S
    enter_kept(place, deadline_s)
    return place.write(deadline_s, BANS, end)


class Session:
    """Use as `with`: entering checks the database and the bans, so that bad input, and a ban that holds, end the run
    before any request.

    `wait_s` is how long it waits for the file while another process holds it; `until_s`, of time.monotonic(), ends
    that early. `entries` are the names and patterns that it is about.
    """

    def __init__(
        self,
        place: Place,
        interval: Interval,
        exchange: Exchange,
        *,
        wait_s: float,
        until_s: float = float("inf"),
        entries: Sequence[str] = (),
    ) -> None:
        exchange.witnesses = [*exchange.witnesses, *[entry for entry in entries if not is_pattern(entry)][:MORE]]
        self.place = place
        self.market = exchange.market
        self.interval = interval
        self.exchange = exchange
        self._wait_s = wait_s
        self._until_s = until_s
        self._is_ending = False
        self._is_probe = False
        self._unlisted = ""
        self._portal: BlockingPortal

    def __enter__(self) -> Self:
        enter_kept(self.place, self._deadline_s())
        with self._opened() as connection:
            egress, now_ms = self.exchange.egress, machine_ms()
            bans = [active_ban(connection, pool, egress, now_ms) for pool in self._pools]
            ban = next(filter(None, bans), None)
            self._is_probe = was_banned(connection, self.market.pool, egress, now_ms)
        if ban:
            raise ban
        with contextlib.ExitStack() as stack:
            self._portal = stack.enter_context(start_blocking_portal())
            self._enter_all(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._is_ending = True
        self._stack.close()

    @property
    def _pools(self) -> Sequence[str]:
        """Whose bans end the run before any request."""
        return [self.market.pool]

    def _pool_of(self, error: Stop) -> str:  # noqa: ARG002 - where there is one pool alone
        """Whose ban an error is."""
        return self.market.pool

    def _enter_all(self, stack: contextlib.ExitStack) -> None:
        """Enter what lives on the event loop."""
        stack.enter_context(self._portal.wrap_async_context_manager(self.exchange))

    def _opened(self) -> contextlib.AbstractContextManager[duckdb.DuckDBPyConnection]:
        return self.place.opened(self._deadline_s())

    def opened_afterwards(self) -> contextlib.AbstractContextManager[duckdb.DuckDBPyConnection]:
        """A connection to read by what is only news; raises DatabaseBusy after AFTERWARDS_S."""
        return self.place.opened(time.monotonic() + AFTERWARDS_S)

    def _change(self, scope: Scope, do: Callable[[duckdb.DuckDBPyConnection], Done]) -> Done:
        """What `do` returns; nobody else changes the scope meanwhile."""
        return self.place.write(self._deadline_s(), scope, do)

    def change_afterwards(self, scope: Scope, do: Callable[[duckdb.DuckDBPyConnection], Done]) -> Done:
        """What `do` returns, which writes what is only news; raises DatabaseBusy after AFTERWARDS_S."""
        return self.place.write(time.monotonic() + AFTERWARDS_S, scope, do)

    def scope(self, symbols: Sequence[str] = (), *, notes: bool = False) -> Scope:
        """Some of its series, or what is noted of their market, as what is changed."""
        return Scope(*self.market.key, self.interval.name, symbols, notes)

    def _deadline_s(self) -> float:
        return min(time.monotonic() + self._wait_s, self._until_s)

    def health(self) -> int:
        """Ask whether the exchange serves, and for its clock; returns its difference to this machine's, in ms.

        After a ban that ended within the last hour one question is asked first.
        """
        self.exchange.before = pace.shown_before(self.place.beside, self.market.name)
        self._call(partial(self.exchange.health, is_probe=self._is_probe))
        pace.keep_shown(self.place.beside, self.market.name, self.exchange.shown)
        return self.exchange.skew_ms

    def last_days(self) -> list[Coverage]:
        """How much of the last 30 days is in the file, of every series, once the days that are over are counted, as far
        as the run has time for that; raises DatabaseBusy."""
        count_days(self.place, self.exchange.now_ms(), AFTERWARDS_S, self._until_s)
        with self.opened_afterwards() as connection:
            return last_days(connection, self.exchange.now_ms())

    def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """The result of a coroutine function on the event loop; what stops everybody is remembered.

        Raises Interrupted in threads that the end of the run cuts short.
        """
        try:
            return self._portal.call(function, *arguments)
        except (CancelledError, RuntimeError, AssertionError):
            if self._is_ending:
                raise Interrupted(STOPPED) from None
            raise
        except Stop as error:
            self._remember(error)
            raise

    def _remember(self, error: Stop) -> None:
        """Enter a ban, or, where the file is held, leave it beside that for the next run: it is not forgotten."""
        try:
            self._change(BANS, partial(self._enter_ban, error))
        except DatabaseBusy:
            self._keep(error)

    def _keep(self, error: Stop) -> None:
        whose = self._pool_of(error), self.exchange.egress
        silence.keep(self.place.beside, *whose, error, machine_ms(), self.exchange.now_ms())

    def _enter_ban(self, error: Stop, connection: duckdb.DuckDBPyConnection) -> None:
        times = {"now_ms": machine_ms(), "exchange_now_ms": self.exchange.now_ms()}
        remember_ban(connection, self._pool_of(error), self.exchange.egress, error, **times)

    def _matched(self, entries: Sequence[str]) -> list[str]:
        """The symbols that names and patterns take. What exchangeInfo said is good for an hour, and for longer where it
        can't be had now, but for a minute only where a pattern matches nothing."""
        if not any(map(is_pattern, entries)):
            return list(entries)
        try:
            return choose(entries, self._trading(EVERY_MS), self.market.name)
        except BadParameter:
            return choose(entries, self._trading(SOONEST_MS), self.market.name)

    def _matched_of_all(
        self, entries: Sequence[str], archive: Archive, market: Market, *, is_rest_asked: bool = True
    ) -> list[str]:
        """The symbols that names and patterns take of all that trade, or that the archive ever had of the market.

        Raises BadParameter, and Unreachable where nobody can say which there are.
        """
        if not any(map(is_pattern, entries)):
            return list(entries)
        try:
            ever = self._call(archive.symbols, market)
        except Retry as error:
            raise Unreachable(f"which symbols there ever were is not known: {error}") from None
        trading = self._known(EVERY_MS).trading if is_rest_asked else []
        return choose(entries, sorted({*ever, *trading}), market.name, which="that there ever was")

    def _trading(self, age_ms: int) -> Sequence[str]:
        """The symbols that trade; raises Unreachable where nobody can say."""
        symbols = self._known(age_ms)
        if not symbols.checked_ms:
            raise Unreachable(
                f"which symbols there are is not known yet, and exchangeInfo can't be had{self._unlisted}"
            )
        return symbols.trading

    def _known(self, age_ms: int) -> Known:
        """What is known of the market's symbols; asked of exchangeInfo again where that is `age_ms` old."""
        with self._opened() as connection:
            symbols = known(connection, self.market, self.exchange.now_ms())
        is_old = self.exchange.now_ms() - symbols.checked_ms >= age_ms
        return self._look_up_symbols(symbols) or symbols if is_old else symbols

    def _look_up_symbols(self, before: Known) -> Known | None:
        """Enter what exchangeInfo says into the table `symbols`, which stays as it is where nothing can be had."""
        try:
            entries = self._call(self.exchange.symbol_infos)
            if self._many_vanished(before, entries):
                entries = self._call(self.exchange.symbol_infos)
        except (Retry, Spent) as error:
            self._unlisted = f": {error}"
            return None
        if not entries:
            return None
        now_ms = self.exchange.now_ms()

        def enter(connection: duckdb.DuckDBPyConnection) -> Known:
            noted = known(connection, self.market, now_ms)
            if noted.checked_ms > before.checked_ms:  # a run of another shard has been here meanwhile
                return noted
            note_listing(connection, self.market, entries, now_ms)
            return known(connection, self.market, now_ms)

        return self._change(self.scope(notes=True), enter)

    @staticmethod
    def _many_vanished(before: Known, entries: Mapping[str, SymbolInfo]) -> bool:
        """Whether a third of the symbols that traded are listed no more: that is worth asking twice."""
        vanished = sum(symbol not in entries for symbol in before.trading)
        return vanished * 3 > len(before.trading)

    def _learn_phase(self, symbols: Sequence[str]) -> list[str]:
        """Take the interval's phase from a stored kline, else from the exchange's newest of one of the symbols.

        Returns the symbols that it does not know, and leaves `interval` as it is where none has a kline.
        """
        if self.interval.is_phase_known:
            return []
        with self._opened() as connection:
            stored_ms = a_stored_time(connection, self.market, self.interval)
        phase_ms = None if stored_ms is None else stored_ms % self.interval.length_ms
        failed: dict[str, KlinesError] = {}
        for symbol in symbols:
            if phase_ms is not None:
                break
            try:
                phase_ms = self._call(self.exchange.phase_ms, symbol, self.interval)
            except Stop:
                raise
            except KlinesError as error:
                failed[symbol] = error
        if phase_ms is not None:
            self.interval = self.interval.shifted(phase_ms)
            return []
        unknown = [symbol for symbol, error in failed.items() if isinstance(error, UnknownSymbol)]
        for symbol in failed.keys() - unknown:
            raise failed[symbol]
        return unknown
