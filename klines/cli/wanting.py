"""`klines wanted`: what is to be complete, and a range more or less of it, with a plan first."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import duckdb

from klines.backfill.job import BackfillJob
from klines.backfill.run import FILE_S, Backfill
from klines.clock import time_ms
from klines.errors import BadParameter, NotStored
from klines.interval import INTERVALS, Interval
from klines.ledger import FOREVER_MS
from klines.market import Market, check_interval, market_of, series_name
from klines.outcome import counted, names
from klines.reading.parameters import entries_named, symbols_named
from klines.reading.wanted import WantedRange, wanted_ranges
from klines.session import machine_ms
from klines.settings import Settings, load
from klines.storage.access import place_of, reading
from klines.storage.place import Scope
from klines.tables.promise import NO_DEPLOYMENTS, PERSON
from klines.tables.schedules import forget_schedules
from klines.tables.transaction import transaction
from klines.tables.wanted import forget_range, let_go_all, note_range, wanted_on_by
from klines.window import Window

SHOWN = 100
"""Ranges that are shown at most, where they are not asked for as JSON."""


@dataclass(frozen=True, slots=True)
class RangeAsked:
    """The series and the range that a change is about; without an end it goes on."""

    market: Market
    interval: Interval
    window: Window

    @classmethod
    def of(cls, market: str, kind: str, interval: str, start: str | None, end: str | None) -> Self:
        """Of a command's parameters; raises BadParameter."""
        check_interval(market, interval)
        start_ms, end_ms = time_ms("start", start) or 0, time_ms("end", end)
        if end_ms is not None and start_ms >= end_ms:
            raise BadParameter(f"start: {start} is not before the end, {end}; the end is not included")
        return cls(
            market_of(market, kind), INTERVALS[interval], Window(start_ms, FOREVER_MS if end_ms is None else end_ms)
        )

    @property
    def goes_on(self) -> bool:
        """Whether it has no end."""
        return self.window.end_ms == FOREVER_MS

    def on(self, interval: Interval) -> Window:
        """The range on the grid of its interval, whose phase is known by now."""
        window = self.window
        return Window(interval.floor(window.start_ms), FOREVER_MS if self.goes_on else interval.ceil(window.end_ms))


def show(
    symbols: Sequence[str] | None, market: str | None, kind: str | None, interval: str | None, *, as_json: bool
) -> int:
    """Print all ranges that anybody wants, or those of some series."""
    found = wanted_ranges(symbols, market, kind, interval)
    if as_json:
        print(json.dumps([one.as_fields() for one in found], ensure_ascii=False))
        return 0
    number = len({one.series for one in found})
    print(f"{counted(len(found), 'range')} of {number:,} series wanted:" if found else "nothing is wanted yet")
    for one in found[:SHOWN]:
        print(f"  {_line(one)}")
    if len(found) > SHOWN:
        print(f"  and {len(found) - SHOWN:,} more: name symbols, or take --json")
    return 0


def _line(one: WantedRange) -> str:
    name = series_name(one.market, one.kind, one.interval)
    until = "and on" if one.until is None else f"to {one.until:%Y-%m-%d %H:%M}"
    return f"{name} {one.symbol}  {one.since:%Y-%m-%d %H:%M} {until}  by {one.wanted_by}"


def change(symbols: Sequence[str], asked: RangeAsked, *, is_more: bool, is_dry: bool, as_json: bool) -> int:
    """Want a range more or less, and print what was done."""
    done = want_range(symbols, asked, is_dry=is_dry) if is_more else drop_range(symbols, asked, is_dry=is_dry)
    print(json.dumps(done, ensure_ascii=False) if as_json else done["said"])
    return 0


def want_range(symbols: Sequence[str], asked: RangeAsked, *, is_dry: bool) -> dict[str, Any]:
    """Want a range from now on; what was planned, in words and numbers. Nothing is fetched.

    Raises BadParameter, also for a symbol that neither the exchange nor the archive knows, and what a plan raises.
    """
    settings = load()
    end_ms = min(asked.window.end_ms, machine_ms())
    job = BackfillJob(entries_named(symbols), asked.window.start_ms, end_ms, asked.market, asked.interval, dry_run=True)
    with Backfill(settings, job) as run:
        run.health()
        plan = run.plan()
        if run.heard.nowhere:
            near = f"; the nearest are {names(run.nearest)}" if run.nearest else ""
            raise BadParameter(f"Binance knows none of {names(run.heard.nowhere)}{near}; nothing was changed")
        chosen, now_ms, interval = run.job.symbols, run.exchange.now_ms(), run.interval
    if not is_dry:
        note = partial(note_range, market=asked.market, interval=interval, symbols=chosen, asked=asked.on(interval))
        _write(settings, asked, chosen, partial(note, by=PERSON, now_ms=now_ms))
    done = "nothing was changed" if is_dry else "wanted from now on: an audit fetches it, and `klines backfill` at once"
    return {"said": f"{plan.whole.said}; {done}", **plan.whole.numbers}


def drop_range(symbols: Sequence[str], asked: RangeAsked, *, is_dry: bool) -> dict[str, Any]:
    """Want a range no more, whoever wanted it: what is stored stays, and what is due of it is due no more.

    Raises NotStored where nothing of it is wanted.
    """
    chosen, market, interval = symbols_named(symbols), asked.market, asked.interval
    wanted = [one for one in wanted_ranges(chosen, *market.key, interval.name) if one.overlaps(asked.window)]
    if not wanted:
        raise NotStored(f"nothing of that is wanted of {names(chosen)} ({series_name(*market.key, interval.name)})")
    if not is_dry:
        forget = partial(forget_range, market=market, interval=interval, symbols=chosen, asked=asked.on(interval))
        _write(load(), asked, chosen, forget)
    on = [one.symbol for one in wanted if asked.goes_on and one.until is None and one.wanted_by != PERSON]
    again = f"; a deployment that collects {names(on)} wants it again with its next run" if on else ""
    ends = "would be wanted no more, all or in part" if is_dry else "wanted no more, all or in part"
    said = f"{counted(len(wanted), 'range')} {ends}; klines that are stored stay{again}"
    return {"said": said, "ranges": len(wanted)}


def let_go_of(by: str, *, is_dry: bool, as_json: bool) -> int:
    """What a deployment that is no more collected is wanted until now only, as a symbol that it leaves out; print it.

    Raises NotStored where nobody of that name wants anything on and on.
    """
    place = place_of(load().database)
    with reading(None) as connection:
        found = wanted_on_by(connection)
    if by not in found or by in NO_DEPLOYMENTS:
        there = [name for name in found if name not in NO_DEPLOYMENTS]
        raise NotStored(f"no deployment {by!r} wants anything on and on; those that do: {names(there) or 'none'}")
    for market, kind, interval, _ in found[by] if not is_dry else ():
        series = market_of(market, kind), INTERVALS[interval]
        scope = Scope(market, kind, interval, notes=True)
        place.write(time.monotonic() + FILE_S, scope, partial(_let_go, series=series, by=by))
    symbols = sum(count for *_, count in found[by])
    ends = "would be wanted until now only" if is_dry else "wanted until now only"
    again = f"a run of {by}, if there is one, wants them again"
    said = f"{symbols:,} series {ends}; klines that are stored stay; {again}"
    print(json.dumps({"said": said, "series": symbols}, ensure_ascii=False) if as_json else said)
    return 0


def _let_go(connection: duckdb.DuckDBPyConnection, series: tuple[Market, Interval], by: str) -> None:
    with transaction(connection):
        let_go_all(connection, *series, by, machine_ms())
        forget_schedules(connection, by)


def _write(
    settings: Settings, asked: RangeAsked, symbols: Sequence[str], do: Callable[[duckdb.DuckDBPyConnection], None]
) -> None:
    scope = Scope(*asked.market.key, asked.interval.name, list(symbols))
    place_of(settings.database).write(time.monotonic() + FILE_S, scope, do)
