"""Writing what a run fetched: one transaction, idempotent, and never more than one row a slot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import duckdb
import polars as pl

from klines.errors import UnknownSymbol
from klines.interval import HOUR, Interval
from klines.ledger import owe, revise
from klines.market import Market
from klines.outcome import Stored
from klines.reasons import islands, reasons, slots
from klines.storage.place import Scope
from klines.tables.archive_files import Loaded, note_files
from klines.tables.gaps import read_gaps, write_gaps
from klines.tables.klines import stored_windows
from klines.tables.merge import Bulk, merge_rows, prepare, stage
from klines.tables.rejects import note_rejects
from klines.tables.schedules import AskedFor, note_asked
from klines.tables.symbols import note_symbol
from klines.tables.transaction import transaction
from klines.tables.wanted import forget_unknown
from klines.want import Want
from klines.window import Window, merge, subtract

QUARANTINE_MS = HOUR
"""How long a symbol that the exchange does not know is not asked for."""


@dataclass(frozen=True, slots=True)
class Ready:
    """Files of one source, made ready to be written before the file is opened."""

    source: str
    files: Sequence[Loaded]
    bulk: Bulk
    windows: Mapping[str, Sequence[Window]]

    @classmethod
    def of(cls, files: Iterable[Loaded], interval: Interval) -> list[Self]:
        """The monthly files, then the daily ones."""
        ready = []
        for source in ("monthly", "daily"):
            its = [loaded for loaded in files if loaded.file.source == source]
            windows: dict[str, list[Window]] = {loaded.file.symbol: [] for loaded in its}
            for loaded in its:
                windows[loaded.file.symbol] += islands(loaded.rows, interval)
            if its:
                ready.append(cls(source, its, prepare(_runs(its), interval), windows))
                for loaded in its:
                    loaded.rows = loaded.rows.clear()
        return ready


def scope_of(market: Market, interval: Interval, wants: Sequence[Want], files: Sequence[Ready] = ()) -> Scope:
    """What `store` changes."""
    of_files = [symbol for ready in files for symbol in ready.windows]
    symbols = dict.fromkeys([*(want.symbol for want in wants), *of_files])
    return Scope(*market.key, interval.name, list(symbols), notes=any(map(_tells_of_symbol, wants)))


def store(
    connection: duckdb.DuckDBPyConnection,
    market: Market,
    interval: Interval,
    wants: Sequence[Want],
    *,
    now_ms: int,
    not_trading: Iterable[str] = (),
    files: Sequence[Ready] = (),
    asked: AskedFor | None = None,
    by: str = "",
) -> Stored:
    """Write the rows, rejects, restatements and gaps of `files`, then of `wants`, and what was `asked` for; all or
    nothing.

    `now_ms` is the exchange's clock. The newest slots of a symbol in `not_trading` are gaps; of any other symbol
    they are only late. Of symbols that the exchange neither knows nor did, what `by` wants is forgotten.
    """
    with transaction(connection):
        stored = sum((_put_files(connection, market, interval, ready, now_ms) for ready in files), Stored())
        stored += _put_wants(connection, market, interval, wants, now_ms)
        _revise_ledger(connection, market, interval, wants, files, now_ms, set(not_trading))
        _note_symbols(connection, market, wants, now_ms)
        if asked:
            note_asked(connection, market, interval, asked)
        if unknown := [want.symbol for want in wants if by and is_unheard_of(want)]:
            forget_unknown(connection, market, interval, unknown, by)
    return stored


def _put_wants(
    connection: duckdb.DuckDBPyConnection, market: Market, interval: Interval, wants: Sequence[Want], now_ms: int
) -> Stored:
    bulk = prepare(stage([(want.symbol, want.rows) for want in wants]), interval)
    inserted, restated = merge_rows(connection, market, interval, bulk, source="rest", now_ms=now_ms)
    refused = [(want.symbol, reject) for want in wants for reject in want.rejects]
    return Stored(inserted, restated, note_rejects(connection, market, interval, refused, now_ms, "rest"))


def _put_files(
    connection: duckdb.DuckDBPyConnection, market: Market, interval: Interval, ready: Ready, now_ms: int
) -> Stored:
    inserted, restated = merge_rows(connection, market, interval, ready.bulk, source=ready.source, now_ms=now_ms)
    refused = [(loaded.file.symbol, reject) for loaded in ready.files for reject in loaded.rejects]
    note_files(connection, [loaded.note for loaded in ready.files], now_ms)
    return Stored(inserted, restated, note_rejects(connection, market, interval, refused, now_ms, ready.source))


def _runs(files: Iterable[Loaded]) -> list[pl.DataFrame]:
    """The klines of files that follow upon each other in one frame, with the symbol."""
    runs: list[list[Loaded]] = []
    for loaded in sorted(files, key=lambda loaded: loaded.file):
        before = runs[-1][-1].file if runs else None
        if before and (before.symbol, before.window.end_ms) == (loaded.file.symbol, loaded.file.start_ms):
            runs[-1].append(loaded)
        else:
            runs.append([loaded])
    return [pl.concat([loaded.rows for loaded in run]).with_columns(symbol=pl.lit(run[0].file.symbol)) for run in runs]


def _revise_ledger(
    connection: duckdb.DuckDBPyConnection,
    market: Market,
    interval: Interval,
    wants: Sequence[Want],
    files: Sequence[Ready],
    now_ms: int,
    not_trading: set[str],
) -> None:
    """Stored slots leave the ledger; what was answered without them, refused, or not answered enters it."""
    answers = []
    for want in wants:
        stored = slots((row.open_time for row in want.rows), interval)
        is_trading = want.symbol not in not_trading
        answers.append((want, stored, reasons(want, stored, interval, is_trading=is_trading)))
    held = _stored_already(connection, market, interval, [(want.symbol, found) for want, _, found in answers])
    symbols = scope_of(market, interval, wants, files).symbols
    before = read_gaps(connection, market, interval, symbols)
    after = {symbol: before[symbol] for symbol in symbols}
    for symbol, there in [pair for ready in files for pair in ready.windows.items()]:
        after[symbol] = revise(after[symbol], there, [], now_ms)
    for want, stored, found in answers:
        there = held.get(want.symbol, [])
        truly = [(part, reason) for gap, reason in found for part in subtract([gap], there)]
        due = [] if is_unheard_of(want) else subtract(want.owed(interval), [*stored, *there])
        after[want.symbol] = owe(revise(after[want.symbol], stored, truly, now_ms), due, now_ms)
    changed = {symbol: gaps for symbol, gaps in after.items() if gaps != before[symbol]}
    write_gaps(connection, market, interval, changed)


def is_unheard_of(want: Want) -> bool:
    """Whether the exchange neither knows the symbol nor did: a misspelt name owes us nothing."""
    return want.last_ms is None and isinstance(want.error, UnknownSymbol)


def _stored_already(
    connection: duckdb.DuckDBPyConnection,
    market: Market,
    interval: Interval,
    found: Iterable[tuple[str, Sequence[tuple[Window, str]]]],
) -> Mapping[str, list[Window]]:
    """What the file holds within the range of the findings: a stored slot is no gap, whatever is answered later."""
    gaps = [(symbol, gap) for symbol, parts in found for gap, _ in parts]
    if not gaps:
        return {}
    whole = merge(gap for _, gap in gaps)
    symbols = list(dict.fromkeys(symbol for symbol, _ in gaps))
    return stored_windows(connection, market, interval, symbols, whole[0].start_ms, whole[-1].end_ms)


def _note_symbols(connection: duckdb.DuckDBPyConnection, market: Market, wants: Sequence[Want], now_ms: int) -> None:
    """Listing times that were asked for, and the quarantine of symbols that the exchange does not know."""
    for want in filter(_tells_of_symbol, wants):
        until_ms = now_ms + QUARANTINE_MS if isinstance(want.error, UnknownSymbol) else None
        note_symbol(connection, market, want.symbol, want.listed_ms, until_ms)


def _tells_of_symbol(want: Want) -> bool:
    return want.listed_ms is not None or isinstance(want.error, UnknownSymbol)
