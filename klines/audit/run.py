"""One run of audit over one market and interval: what is missing is found, repaired and explained.

It is a backfill whose work comes from the file and the ledger instead of a date range; then every hole that is left is
looked at between its neighbours, and beside other symbols, and what was collected live is compared with the archive.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from itertools import product
from typing import Any, Self

import duckdb

from klines.audit.certificate import certificate
from klines.audit.explain import CANDIDATES, LARGE, Court
from klines.audit.message import Finding, Offer, SeriesOutcome
from klines.audit.quality import findings
from klines.audit.reconcile import Reconciled, reconcile
from klines.backfill.chunks import NOTHING, Piece, work
from klines.backfill.job import BackfillJob, backward
from klines.backfill.plan import BackfillPlan, Missing
from klines.backfill.run import FILE_S, REQUEST_S, Backfill, empty_of
from klines.binance.archive import PAUSES_S
from klines.binance.files import Life
from klines.clock import epoch_ms
from klines.errors import NotStored
from klines.interval import DAY, FRESH_MS, INTERVALS
from klines.ledger import DELISTED, DUE, HOLE, OUTAGE, UNRESOLVED, Gap, due, explain
from klines.market import KINDS, MARKETS, market_of, series_name
from klines.outcome import names
from klines.reading.coverage import Coverage, last_days
from klines.settings import Settings
from klines.storage.access import place_of
from klines.storage.turn import Patience
from klines.tables.audits import AuditedRange, audited_until_ms, note_audits
from klines.tables.gaps import read_gaps, write_gaps
from klines.tables.klines import FIRST_MS, StoredWindows, kinds_stored, largest
from klines.tables.promise import add_command, lying_between, promised
from klines.tables.sound import MANY, check_rows
from klines.tables.symbols import EVERY_MS
from klines.tables.transaction import transaction
from klines.tables.wanted import read_wanted, wanted_series
from klines.window import Window, intersect, merge, missing, subtract, window

HOW = "`klines wanted` shows what is wanted, and changes it."
YEAR_2100_MS = 4_102_444_800_000
EMPTY = (UNRESOLVED, OUTAGE, HOLE)
"""Reasons of slots that the exchange answered to be empty."""


@dataclass(frozen=True, slots=True)
class SeriesGroup:
    """What is wanted of one market, kind and interval."""

    market: str
    kind: str
    interval: str
    symbols: Sequence[str]

    @property
    def name(self) -> str:
        """`spot 1m`."""
        return series_name(self.market, self.kind, self.interval)


@dataclass(frozen=True, slots=True)
class AuditJob:
    """What an audit is asked to do, already validated; times in epoch ms, None for all there is."""

    settings: Settings
    symbols: Sequence[str] | None = None
    start_ms: int | None = None
    end_ms: int | None = None
    market: str | None = None
    interval: str | None = None
    repair: bool = True
    force: bool = False
    kind: str | None = None
    dry_run: bool = False

    @classmethod
    def of(
        cls,
        settings: Settings,
        symbols: list[str] | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        market: str | None = None,
        interval: str | None = None,
        repair: bool = True,
        force: bool = False,
        kind: str | None = None,
        dry_run: bool = False,
    ) -> Self:
        """The job that the flow's parameters describe; raises BadParameter for one that can't be."""
        start_ms, end_ms = (None if time is None else epoch_ms(time) for time in (start, end))
        if start is not None and end is not None and epoch_ms(start) >= epoch_ms(end):
            raise backward(start, end)
        if market and kind:
            market_of(market, kind)
        return cls(settings, symbols, start_ms, end_ms, market, interval, repair, force, kind, dry_run)

    def series(self) -> list[SeriesGroup]:
        """Every market, kind and interval of which anything is wanted, with its symbols.

        Raises NotStored where there is nothing of what was named, or of one of the symbols.
        """
        with self._opened() as connection:
            rows = wanted_series(connection, self.market, self.kind, self.interval, self.symbols)
            if not kinds_stored(connection) <= set(product(MARKETS, KINDS, INTERVALS)):
                check_rows(connection, self.settings.database, MANY)
        self._check_wanted([symbol for *_, symbols in rows for symbol in symbols])
        return [SeriesGroup(*row) for row in rows]

    def _check_wanted(self, found: Sequence[str]) -> None:
        absent = [symbol for symbol in self.symbols or [] if symbol not in found]
        what = " ".join(filter(None, [self.market, self.kind, self.interval])) or "any market"
        if absent:
            raise NotStored(f"nothing is wanted of {names(absent)} ({what}), so that it can't be audited. {HOW}")
        if not found and (self.market or self.kind or self.interval):
            raise NotStored(f"nothing is wanted of {what}, so that it can't be audited. {HOW}")

    def whole(self) -> tuple[list[dict[str, Any]], list[Finding]]:
        """The certificate of all that was ever audited, without the hash, and findings about the quality of the range,
        or of the last two days."""
        with self._opened() as connection:
            until_ms = audited_until_ms(connection) if self.end_ms is None else self.end_ms
            from_ms = until_ms - 2 * DAY if self.start_ms is None else self.start_ms
            rows = certificate(connection, with_hash=False)
        return rows, findings(self._opened, from_ms, until_ms)

    def last_days(self) -> list[Coverage]:
        """How much is there of the 30 days up to the last audit."""
        with self._opened() as connection:
            audited_ms = audited_until_ms(connection)
            return last_days(connection, audited_ms + FRESH_MS) if audited_ms else []

    def certificate(self) -> list[dict[str, Any]]:
        """The whole certificate, with the hashes."""
        with self._opened() as connection:
            return certificate(connection)

    def _opened(self) -> contextlib.AbstractContextManager[duckdb.DuckDBPyConnection]:
        place = place_of(self.settings.database)
        Patience(place.beside).wait()
        return place.opened(time.monotonic() + FILE_S)


class Audit(Backfill):
    """Use as a Backfill: health, plan, load; then explain, and once more plan and load where that says so."""

    def __init__(
        self,
        job: AuditJob,
        series: SeriesGroup,
        *,
        request_timeout_s: float = REQUEST_S,
        pauses_s: Sequence[float] = PAUSES_S,
        clock: Callable[[], int] | None = None,
    ) -> None:
        self.series = series
        self.ranges: dict[str, list[Window]] = {}
        self._between: dict[str, list[Window]] = {}
        self.reconciled = Reconciled()
        self._since_ms = job.settings.since_ms
        self._force, self._repair = job.force, job.repair
        work = BackfillJob(
            list(series.symbols),
            FIRST_MS if job.start_ms is None else job.start_ms,
            YEAR_2100_MS if job.end_ms is None else job.end_ms,
            market_of(series.market, series.kind),
            INTERVALS[series.interval],
            dry_run=job.dry_run,
        )
        super().__init__(job.settings, work, request_timeout_s=request_timeout_s, pauses_s=pauses_s, clock=clock)

    def part(self) -> SeriesOutcome:
        """What became of it."""
        done = self.reconciled
        return SeriesOutcome(
            self.series.name,
            self.outcome(),
            done.files,
            done.corrected,
            done.disputed,
            done.troubles,
            done.added,
            self._unexplained(),
            self.stored.inserted,
            [*self.account.troubles, *self.account.partly],
            done.outvoted,
            self.offer(),
        )

    def dry_part(self, plan: BackfillPlan) -> SeriesOutcome:
        """What it would do."""
        return SeriesOutcome(self.series.name, self.dry_outcome(plan), offer=self.offer())

    def offer(self) -> Offer | None:
        """What lies between the ranges, as far as it is not stored."""
        between = {symbol: parts for symbol, parts in self._between.items() if parts}
        if not between:
            return None
        now_ms = self.exchange.now_ms()
        lives = {symbol: Life(parts[0].start_ms, now_ms, now_ms) for symbol, parts in between.items()}
        pieces = [Piece(symbol, parts, lives[symbol], "auto") for symbol, parts in between.items()]
        cost = sum((work(piece, self.market, self.interval) for piece in pieces), NOTHING)
        whole = merge(part for parts in between.values() for part in parts)
        asked = Window(whole[0].start_ms, whole[-1].end_ms)
        command = add_command(list(between), self.market, self.interval, asked)
        return Offer(len(between), cost, cost.seconds(self.exchange.budget.ceiling), command)

    def _unexplained(self) -> dict[str, int]:
        """How many klines of each symbol are neither stored nor explained; those that closed just now may be late."""
        with self._opened() as connection:
            rows = certificate(connection, with_hash=False)
        series = (*self.market.key, self.interval.name)
        its = [
            row
            for row in rows
            if (row["market"], row["kind"], row["interval"]) == series and row["symbol"] in self.ranges
        ]
        counts = {row["symbol"]: row["unexplained"] - self._late(row) for row in its}
        return {symbol: count for symbol, count in counts.items() if count > 0}

    def _late(self, row: Mapping[str, Any]) -> int:
        """How many klines at the end of a series have closed within FRESH_MS and are not stored yet."""
        until_ms, last = epoch_ms(row["until"]), row["last"]
        first_late_ms = self.interval.step(self.interval.ceil(self.exchange.now_ms() - FRESH_MS), -1)
        from_ms = max(first_late_ms, 0 if last is None else self.interval.step(epoch_ms(last), 1))
        return max(0, self.interval.slots(from_ms, until_ms))

    def health(self) -> int:
        """As of any run; and what exchangeInfo says of the symbols is entered, once for all series of a market."""
        skew_ms = super().health()
        self._known(EVERY_MS)
        return skew_ms

    @property
    def _is_fetching(self) -> bool:
        """Not where it only looks into what is missing."""
        return self._repair and super()._is_fetching

    def _note_wanted(self, asked: Window, now_ms: int) -> None:
        """An audit wants nothing that is not wanted already."""

    def _missing(
        self, connection: duckdb.DuckDBPyConnection, stored: StoredWindows, wanted: Window, now_ms: int
    ) -> dict[str, Missing]:
        """Of each symbol what is missing of what is wanted of it."""
        symbols = self.job.symbols
        ledger = read_gaps(connection, self.market, self.interval, symbols)
        ranges = read_wanted(connection, self.market, self.interval, symbols)
        since_ms = None if self._since_ms is None else self.interval.ceil(max(self._since_ms, FIRST_MS))
        self.ranges = {symbol: intersect([wanted], promised(its, since_ms)) for symbol, its in ranges.items()}
        found = {}
        for symbol, whole in self.ranges.items():
            others = [gap for gap in ledger[symbol] if gap.reason != DUE]
            waiting = [gap.window for gap in others if not (self._force or self._is_open(gap, now_ms))]
            there = stored.get(symbol, [])
            self._between[symbol] = subtract(lying_between(ranges[symbol], wanted.end_ms), there)
            gaps = [part for span in whole for part in missing(there, span, waiting)]
            owed = [part for span in whole for part in missing(there, span, [gap.window for gap in others])]
            if gaps:
                found[symbol] = Missing(owed, gaps, there, empty_of(others))
        return found

    def _is_open(self, gap: Gap, now_ms: int) -> bool:
        """Whether the work of an audit begins with asking for the gap: holes are looked at afterwards, all at once."""
        return gap.is_to_check(now_ms) if gap.reason == DELISTED else gap.is_open(now_ms)

    def explain(self) -> int:
        """Look into the holes, and say why they are; how many are none any more, and due."""
        now_ms = self.exchange.now_ms()
        with self._opened() as connection:
            ledger = read_gaps(connection, self.market, self.interval, self.job.symbols)
            stored = largest(connection, self.market, self.interval, CANDIDATES)
        holes = {
            symbol: spans
            for symbol, gaps in ledger.items()
            if (spans := self._to_look_into(gaps, self.ranges.get(symbol, []), now_ms))
        }
        if not holes:
            return 0
        large = self.market.well_known(LARGE[self.market.name])
        known = [symbol for symbol in large if symbol in stored]
        court = Court(self.exchange, self.interval, [*known, *stored, *large])
        verdicts, filled = self._call(court.explain, holes)
        enter = partial(self._enter, verdicts=verdicts, filled=filled, now_ms=now_ms)
        self._change(self.scope([*{*verdicts, *filled}]), enter)
        return sum(len(parts) for parts in filled.values())

    def _to_look_into(self, gaps: Sequence[Gap], ranges: Sequence[Window], now_ms: int) -> list[Window]:
        """Holes within what is audited whose check has come, or that nobody has explained yet; neighbours as one."""
        whole = merge(gap.window for gap in gaps if gap.reason in EMPTY)
        asked = [
            gap.window
            for gap in gaps
            if gap.reason == UNRESOLVED or (gap.reason in EMPTY and (self._force or gap.is_to_check(now_ms)))
        ]
        return [hole for hole in whole if intersect([hole], asked) and intersect([hole], ranges)]

    def _enter(
        self,
        connection: duckdb.DuckDBPyConnection,
        verdicts: Mapping[str, Sequence[tuple[Window, str]]],
        filled: Mapping[str, Sequence[Window]],
        now_ms: int,
    ) -> None:
        """Write what was found into the ledger as it is now, as far as it still says that the slots are empty."""
        before = read_gaps(connection, self.market, self.interval, [*{*verdicts, *filled}])
        after = {}
        for symbol, gaps in before.items():
            empty = [gap.window for gap in gaps if gap.reason in EMPTY]
            told = [(part, why) for hole, why in verdicts.get(symbol, []) for part in intersect([hole], empty)]
            again = intersect(filled.get(symbol, []), empty)
            left = [(gap, subtract([gap.window], again)) for gap in explain(gaps, told, now_ms)]
            kept = [replace(gap, window=part) for gap, parts in left for part in parts]
            after[symbol] = sorted([*kept, *(due(part, now_ms) for part in again)], key=lambda gap: gap.window)
        with transaction(connection):
            write_gaps(connection, self.market, self.interval, after)

    def note(self) -> None:
        """Enter what was audited, for the certificate."""
        now_ms = self.exchange.now_ms()
        until_ms = self.interval.floor(min(now_ms, self.job.end_ms))
        over = window(self.interval.ceil(self.job.start_ms), until_ms)
        audited = {symbol: intersect(ranges, over) for symbol, ranges in self.ranges.items()}
        self._change(self.scope(list(audited)), partial(self._note_audit, audited=audited, now_ms=now_ms))

    def _note_audit(
        self, connection: duckdb.DuckDBPyConnection, audited: Mapping[str, Sequence[Window]], now_ms: int
    ) -> None:
        ranges = [AuditedRange(symbol, part) for symbol, parts in audited.items() for part in parts]
        with transaction(connection):
            note_audits(connection, self.market, self.interval, list(audited), ranges, now_ms)

    def reconcile(self) -> None:
        """Compare what was collected live with the archive's daily files of the last 30 days; nothing is
        stored that nobody wants."""
        self.reconciled = self._call(
            reconcile, self.exchange, self._archive, self._writer, self._opened, self.ranges, self.interval
        )
