"""One run of backfill: what is missing of a range is planned, noted in the ledger, and worked off in bulk.

The steps are called from outside, in order, as those of `run`.
"""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from functools import partial

import duckdb

from klines.backfill.chunks import Chunk, Piece, Work, chunks, days_of, slots_of, work
from klines.backfill.enquiry import Enquiry
from klines.backfill.job import BackfillJob
from klines.backfill.lives import known_by_files
from klines.backfill.load import Loader
from klines.backfill.looking import stored_in_turns
from klines.backfill.message import Account, BackfillFacts, backfill_outcome
from klines.backfill.noting import note_known, note_left, note_missing
from klines.backfill.plan import BackfillPlan, Missing, backfill_plan
from klines.backfill.writer import Item, Writer
from klines.binance.archive import PAUSES_S, Archive
from klines.binance.clocks import archive_doubt
from klines.binance.exchange import Exchange
from klines.errors import DatabaseBusy, Interrupted, KlinesError
from klines.interval import DAY, HOUR
from klines.ledger import DUE, UNRESOLVED, Gap
from klines.outcome import NAMED, NOTHING_DONE, Outcome, Plan, Stored, doubted, names, reason
from klines.session import STOPPED, Session
from klines.settings import Settings
from klines.storage.access import place_of
from klines.storage.database import in_memory
from klines.storage.place import Done, Scope
from klines.storage.room import rooms
from klines.storage.store import Ready, scope_of, store
from klines.storage.turn import Patience
from klines.tables.archive_files import Loaded
from klines.tables.gaps import read_gaps
from klines.tables.klines import FIRST_MS, StoredWindows, daily_totals, stored_windows
from klines.tables.promise import BACKFILL
from klines.tables.symbols import EVERY_MS, listings
from klines.tables.wanted import note_range
from klines.want import Want
from klines.window import Window, intersect, merge, missing, subtract

REQUEST_S, FILE_S, LONGEST_S = 10.0, 300.0, 30 * 86_400.0
"""How long a request may take, how long the run waits for the file, and how long it may last; in seconds."""
RELEASE_S = 5.0


class Backfill(Session):
    """Use as `with`, then call health, plan, load (for each chunk, from threads) and then ask for what it was."""

    def __init__(
        self,
        settings: Settings,
        job: BackfillJob,
        *,
        request_timeout_s: float = REQUEST_S,
        pauses_s: Sequence[float] = PAUSES_S,
        wait_s: float = FILE_S,
        clock: Callable[[], int] | None = None,
    ) -> None:
        self.job = job
        self.stored = Stored()
        self.pieces: list[Piece] = []
        self.unhealthy: KlinesError | None = None
        self.loader: Loader | None = None
        self.loaders: list[Loader] = []
        self.account = Account()
        self._broken: Exception | None = None
        self._listed: dict[Piece, list[Window]] = {}
        self.nearest: list[str] = []
        self._began_s = time.monotonic()
        exchange = Exchange(
            job.market,
            settings.url(job.market.name),
            deadline_s=self._began_s + LONGEST_S,
            request_timeout_s=request_timeout_s,
            yielding=True,
            clock=clock,
            egress=settings.egress,
        )
        super().__init__(place_of(settings.database), job.interval, exchange, wait_s=wait_s, entries=job.symbols)
        self._pauses_s = pauses_s
        self._patience = Patience(self.place.beside)
        self._writer = Writer(self._write)
        self._archive = exchange.archive = Archive(
            settings.archive_url, pauses_s=pauses_s, may_open=self._may_open, egress=settings.egress
        )
        exchange.may_ask = self._patience.waited
        self.heard = Enquiry(exchange, self._archive, job.interval, job.source, pauses_s)

    def _enter_all(self, stack: contextlib.ExitStack) -> None:
        super()._enter_all(stack)
        stack.enter_context(self._portal.wrap_async_context_manager(self._archive))
        stack.enter_context(self._portal.wrap_async_context_manager(self._writer))

    def __exit__(self, *exc: object) -> None:
        self._is_ending = True
        self._patience.end()
        try:
            if self.loader:
                self._portal.call(self.loader.stop)
            super().__exit__(*exc)
        finally:
            self._release()

    def _opened(self) -> contextlib.AbstractContextManager[duckdb.DuckDBPyConnection]:
        if self._makes_nothing():
            return in_memory()
        self._patience.wait()
        return super()._opened()

    async def _may_open(self) -> None:
        """Return when neither the minute nor a transaction would wait for the cores that a file takes."""
        await self._writer.is_free.wait()
        await self._patience.waited()

    def _change(self, scope: Scope, do: Callable[[duckdb.DuckDBPyConnection], Done]) -> Done:
        if not self._makes_nothing():
            self._patience.wait()
            return super()._change(scope, do)
        with in_memory() as connection:
            return do(connection)

    def _makes_nothing(self) -> bool:
        """Whether there is no database, and this run must not make one."""
        return self.job.dry_run and not self.place.exists()

    @property
    def seconds(self) -> float:
        """How long the run has lasted."""
        return time.monotonic() - self._began_s

    @property
    def wanted(self) -> int:
        """How many klines the plan has to work off."""
        return sum(slots_of(piece.gaps, self.interval) for piece in self.pieces)

    @property
    def left(self) -> int:
        """How many of them are not worked off yet."""
        return sum(slots_of(piece.left, self.interval) for piece in self.pieces)

    def _owed(self) -> dict[str, list[Window]]:
        """What is neither stored nor explained, by symbol: what was not answered, and what the ledger calls due."""
        if not self.pieces:
            return {}
        with self._opened() as connection:
            ledger = read_gaps(connection, self.market, self.interval, list({piece.symbol for piece in self.pieces}))
        owed: dict[str, list[Window]] = defaultdict(list)
        for piece in self.pieces:
            still_due = [gap.window for gap in ledger[piece.symbol] if gap.reason == DUE]
            owed[piece.symbol] += [*piece.left, *intersect(piece.gaps, still_due)]
        return {symbol: merge(windows) for symbol, windows in owed.items()}

    def health(self) -> int:
        """As of every run; from the archive alone a backfill goes on without the exchange."""
        try:
            return super().health()
        except KlinesError as error:
            if self.job.source != "archive":
                raise
            self.unhealthy = error
            self.heard.is_asked = False
            return 0

    def plan(self) -> BackfillPlan:
        """What is missing of the range, as work; noted in the ledger unless this is a dry run."""
        self.job = replace(self.job, symbols=self._chosen())
        if not self.unhealthy:
            self.heard.unknown = self._learn_phase(self.job.symbols)
            self.heard.interval = self.interval
        now_ms = self.exchange.now_ms()
        end_ms = self.interval.floor(min(now_ms, self.interval.ceil(self.job.end_ms)))
        start_ms = self.interval.ceil(max(self.job.start_ms, FIRST_MS))
        if not self.interval.is_phase_known or start_ms >= end_ms:
            return BackfillPlan([], self._told({}))
        if not self.unhealthy and end_ms + DAY > now_ms:
            self._call(self.exchange.look_at_newest)
        asked = Window(start_ms, end_ms)
        stored = stored_in_turns(self._opened, self.market, self.interval, self.job.symbols, asked)
        with self._opened() as connection:
            found = self._missing(connection, stored, asked, now_ms)
            listed_ms = listings(connection, self.market, list(found))
        whole = self._call(self.heard.pieces, found, listed_ms, now_ms)
        self.nearest = self._look_up_nearest()
        costs = {piece.symbol: work(piece, self.market, self.interval) for piece in whole}
        told = self._told(costs)
        if self._is_fetching:
            told.check()
        made = chunks([piece for piece in whole if piece.gaps], self.interval)
        if not self.job.dry_run:
            until_ms = now_ms + max(HOUR, int(told.seconds * 2000))
            self._note_wanted(asked, now_ms)
            note = partial(note_missing, heard=self.heard, found=found, pieces=whole, now_ms=now_ms, until_ms=until_ms)
            self._change(self.scope(list(found), notes=True), note)
        self.pieces = [piece for chunk in made for piece in chunk.pieces]
        self._listed = {
            piece: merge([*found[piece.symbol].owed, *found[piece.symbol].gaps]) for piece in whole if piece.is_listed
        }
        sources = self.exchange, self._archive
        self.loader = Loader(*sources, self._writer, self.interval, whole, self._pauses_s, self.account)
        self.loaders.append(self.loader)
        return BackfillPlan(made, told)

    @property
    def _is_fetching(self) -> bool:
        """Whether what is planned is going to be done."""
        return not self.job.dry_run

    def _told(self, costs: Mapping[str, Work]) -> Plan:
        """The plan in words and numbers."""
        folder, weight = self.place.folder, self.exchange.budget.ceiling
        return backfill_plan(len(self.job.symbols), costs, weight, lambda size: rooms([(folder, size)]))

    def _note_wanted(self, asked: Window, now_ms: int) -> None:
        """From now on the range is wanted of every symbol that there is, or was."""
        symbols = [symbol for symbol in self.job.symbols if symbol not in self.heard.nowhere]
        note = partial(note_range, market=self.market, interval=self.interval, symbols=symbols, asked=asked)
        self._change(self.scope(symbols), partial(note, by=BACKFILL, now_ms=now_ms))

    def _chosen(self) -> list[str]:
        """The symbols that names and patterns take: of those that trade, or of all that there ever were.

        Raises BadParameter, and Unreachable where nobody can say which there are.
        """
        if not self.job.all_symbols:
            return self._matched(self.job.symbols)
        return self._matched_of_all(self.job.symbols, self._archive, self.market, is_rest_asked=not self.unhealthy)

    def _missing(
        self, connection: duckdb.DuckDBPyConnection, stored: StoredWindows, wanted: Window, now_ms: int
    ) -> dict[str, Missing]:
        """Of each symbol of which anything is missing; of all of them when what is stored is to be refreshed."""
        symbols = self.job.symbols
        ledger = read_gaps(connection, self.market, self.interval, symbols)
        found = {}
        for symbol in symbols:
            others = [gap for gap in ledger[symbol] if gap.reason != DUE]
            waiting = [gap.window for gap in others if not gap.is_open(now_ms) and not self._may_be_in_files(gap)]
            settled = [gap.window for gap in others if gap.next_check_ms is None]
            there = stored.get(symbol, [])
            gaps = missing([], wanted, settled) if self.job.refresh else missing(there, wanted, waiting)
            if gaps:
                owed = missing(there, wanted, [gap.window for gap in others])
                found[symbol] = Missing(owed, gaps, there, empty_of(others))
        return found

    def _may_be_in_files(self, gap: Gap) -> bool:
        """Whether nobody could say of whole days why they are missing: REST may be without what the archive has."""
        return self.job.source != "rest" and gap.reason == UNRESOLVED and gap.window.end_ms - gap.window.start_ms >= DAY

    def load(self, chunk: Chunk) -> None:
        """Work off a chunk; safe to call from threads, and again after an error; raises the first piece's error."""
        assert self.loader is not None
        self._call(self.loader.load, chunk)
        if self._is_ending:  # what the pieces say then is only what they met when everything was closed
            raise Interrupted(STOPPED)
        for piece in chunk.pieces:
            if piece.error:
                raise piece.error

    def outcome(self) -> Outcome:
        """The final state, with its message; raises what kept the file from being written."""
        if self._broken:
            raise self._broken
        stopped = None if self.unhealthy else self.exchange.budget.stopped
        if stopped:
            self._remember(stopped)
        self._note_listed()
        found = {*self.heard.unknown} - {piece.symbol for piece in self.pieces if len(piece.left) < len(piece.gaps)}
        found -= {piece.symbol for piece in self._listed}
        failed = {**self.heard.errors, **{piece.name: piece.error for piece in self.pieces if piece.error}}
        owed = self._owed()
        differing, contested = self._contradictions(owed)
        outcome = backfill_outcome(
            BackfillFacts(
                symbols=len(self.job.symbols),
                wanted=self.wanted,
                left=sum(slots_of(windows, self.interval) for windows in owed.values()),
                seconds=self.seconds,
                stored=self.stored,
                files=self.account,
                is_from_archive=self.job.source == "archive",
                is_refresh=self.job.refresh,
                failed={name: error for name, error in failed.items() if name not in self.heard.unknown},
                unknown=sorted(found),
                stale=self.heard.stale,
                not_trading=self.heard.not_trading,
                doubted=differing,
                contested=contested,
                unchecked=self.unhealthy,
                stopped=stopped,
                nearest=self.nearest,
            )
        )
        return doubted(outcome, self._doubt)

    def _note_listed(self) -> None:
        """Enter what the archive's files say of symbols that only it has: before the first and after the last kline,
        and what else they are without."""
        if not self._listed or self._broken:
            return
        void: dict[str, list[Window]] = defaultdict(list)
        for piece in self.pieces:
            void[piece.symbol] += piece.void
        known = {
            piece.symbol: known_by_files(wanted, piece.life, piece.spans, merge(void[piece.symbol]))
            for piece, wanted in self._listed.items()
        }
        note = partial(
            note_known, market=self.market, interval=self.interval, known=known, now_ms=self.exchange.now_ms()
        )
        self._change(self.scope(list(known)), note)

    def dry_outcome(self, plan: BackfillPlan) -> Outcome:
        """The final state of a run that only says what it would do."""
        said, numbers = f"{plan.whole.said}; {NOTHING_DONE}", plan.whole.numbers
        unknown = f"; unknown to Binance: {names(self.heard.unknown)}" if self.heard.unknown else ""
        failed = {symbol: error for symbol, error in self.heard.errors.items() if symbol not in self.heard.unknown}
        if failed:
            why = f"; {len(failed)} could not be asked about: {names(failed)} ({reason(next(iter(failed.values())))})"
            return doubted(Outcome("Degraded", said + unknown + why, numbers), self._doubt)
        return doubted(Outcome("Completed", said + unknown, numbers), self._doubt)

    @property
    def _doubt(self) -> str:
        return archive_doubt(self._archive.skew_ms) if self.unhealthy else self.exchange.doubt

    def _look_up_nearest(self) -> list[str]:
        """The symbols that are spelt most like those that the exchange does not know."""
        if not self.heard.unknown or self.unhealthy:
            return []
        listed = self._known(EVERY_MS).trading
        found = [name for symbol in self.heard.unknown[:NAMED] for name in get_close_matches(symbol, listed, n=2)]
        return list(dict.fromkeys(found))

    def _contradictions(self, owed: Mapping[str, Sequence[Window]]) -> tuple[list[str], int]:
        """The days, as `BTCUSDT 2024-01-31`, on which a file and the stored klines disagree with the 1d one; and how
        many klines that files have, or may have, are neither stored, nor owed, nor of a day that is right without."""
        days: list[str] = []
        contested = 0
        if not self.account.claimed:
            return days, contested
        with self._opened() as connection:
            for symbol, slots in self.account.claimed.items():
                span = slots[0].start_ms, slots[-1].end_ms
                totals = daily_totals(connection, self.market, self.interval, symbol, *span)
                there = stored_windows(connection, self.market, self.interval, [symbol], *span).get(symbol, [])
                stated = {day: total for loader in self.loaders for day, total in loader.stated(symbol).items()}
                right = [Window(day, day + DAY) for day in totals if day in stated and totals[day].agrees(stated[day])]
                contested += slots_of(subtract(slots, [*there, *owed.get(symbol, []), *right]), self.interval)
                differing = sorted(self.account.doubted.get(symbol, set()) - set(right))
                days += [f"{symbol} {days_of(day)}" for day in differing if day.start_ms in totals]
        return days, contested

    def _write(self, items: Sequence[Item]) -> float:
        """One transaction, made ready before; returns for how many seconds the file was held.

        Where the file can't be written, as it is busy or the disk is full, nothing else is written in this run either.
        """
        if self._broken:
            raise self._broken
        self._patience.wait()
        files = Ready.of([item for item in items if isinstance(item, Loaded)], self.interval)
        wants = [item for item in items if isinstance(item, Want)]
        self.exchange.take_back(wants)
        now_ms = self.exchange.now_ms()
        try:
            began_s, stored = self._change(
                scope_of(self.market, self.interval, wants, files), partial(self._put, wants, files, now_ms)
            )
        except Exception as error:
            self._broken = error
            raise
        self.stored += stored
        return time.monotonic() - began_s

    def _put(
        self, wants: Sequence[Want], files: Sequence[Ready], now_ms: int, connection: duckdb.DuckDBPyConnection
    ) -> tuple[float, Stored]:
        """When the file was there for this run, and what was stored."""
        began_s, not_trading = time.monotonic(), self.heard.not_trading
        return began_s, store(
            connection, self.market, self.interval, wants, now_ms=now_ms, not_trading=not_trading, files=files
        )

    def _release(self) -> None:
        """What is left is anybody's again; where the file is busy, or the run is killed, it is so after a while."""
        left: dict[str, list[Window]] = defaultdict(list)
        for piece in self.pieces:
            if piece.left:
                left[piece.symbol] += piece.left
        if self.job.dry_run or not left:
            return
        with contextlib.suppress(DatabaseBusy, duckdb.Error):
            deadline_s = time.monotonic() + RELEASE_S
            now_ms = self.exchange.now_ms()
            note = partial(note_left, market=self.market, interval=self.interval, left=left, now_ms=now_ms)
            self.place.write(deadline_s, self.scope(list(left)), note)


def empty_of(gaps: Sequence[Gap]) -> list[Window]:
    """Of which slots of the ledger REST has answered that it has nothing, and nobody could say why."""
    return [gap.window for gap in gaps if gap.reason == UNRESOLVED]
