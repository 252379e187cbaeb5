"""Which symbols a collect chooses, as ranges that are wanted: what it takes goes on, what it leaves out ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import duckdb

from klines.interval import Interval
from klines.market import Market
from klines.tables.klines import FIRST_MS
from klines.tables.promise import changed, choose_on, let_go
from klines.tables.transaction import transaction
from klines.tables.wanted import read_wanted, write_wanted


@dataclass(frozen=True, slots=True)
class Choice:
    """The symbols that `by` collects; `takes` says of which symbols it decides, `since_ms` is KLINES_SINCE, where it is
    set. Of symbols that the exchange does not know `doubted` are neither chosen nor left out."""

    by: str
    symbols: Sequence[str]
    takes: Callable[[str], bool]
    since_ms: int | None
    doubted: Sequence[str]


@dataclass(frozen=True, slots=True)
class Chosen:
    """From where on each symbol is wanted, in ms; and those that were, and are not any more."""

    since_ms: Mapping[str, int]
    left_out: Sequence[str]


def note_choice(
    connection: duckdb.DuckDBPyConnection,
    market: Market,
    interval: Interval,
    choice: Choice,
    begins_ms: Mapping[str, int],
    now_ms: int,
) -> Chosen:
    """Enter what is wanted from now on; a symbol that is new is wanted from `begins_ms` on."""
    before = read_wanted(connection, market, interval)
    since_ms = None if choice.since_ms is None else interval.ceil(max(choice.since_ms, FIRST_MS))
    end_ms = interval.floor(now_ms)
    named, doubted = {*choice.symbols}, {*choice.doubted}
    chosen = [symbol for symbol in choice.symbols if symbol not in doubted]
    after = {
        symbol: choose_on(before.get(symbol, []), choice.by, begins_ms[symbol], since_ms, now_ms) for symbol in chosen
    }
    others = [symbol for symbol in before if symbol not in named and choice.takes(symbol)]
    ended = changed(before, {symbol: let_go(before[symbol], choice.by, end_ms) for symbol in others})
    if news := changed(before, after) | ended:
        with transaction(connection):
            write_wanted(connection, market, interval, news)
    on = {symbol: max(one for one in ranges if one.by == choice.by) for symbol, ranges in after.items()}
    return Chosen({symbol: one.window.start_ms for symbol, one in on.items()}, sorted(ended))
