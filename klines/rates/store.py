"""What the database has of some symbols' funding rates, and the transaction in which a run writes what came."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import duckdb
import polars as pl

from klines.binance.funding.files import rates_folder
from klines.binance.funding.grid import USUAL_HOURS, hour_of
from klines.binance.funding.rate import FundingRate, funding_frame
from klines.errors import UnknownSymbol
from klines.interval import HOUR, INTERVALS
from klines.market import MARKETS, Market
from klines.outcome import Stored
from klines.rates.asked import AskedRates
from klines.rates.ledger import Funded, revised, summed
from klines.rates.plan import RatesWork, may_lack, rates_work
from klines.rows import Rejects
from klines.tables.archive_files import FileNote, loaded_below, note_files
from klines.tables.audits import AuditedRange, note_audits
from klines.tables.funding import funded_ends, funded_hours, merge_rates
from klines.tables.gaps import read_gaps, write_gaps
from klines.tables.rejects import note_rejects
from klines.tables.symbols import listings
from klines.tables.transaction import transaction
from klines.window import Window

HOURS_OF_RATES = INTERVALS["1h"]
"""The grid of the ledger of funding rates: a slot is an hour."""
Came = tuple[str, Sequence[FundingRate], Rejects]
"""A symbol's rates of one source, and the rows that were refused."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Since when rates are wanted, in epoch ms, and what fundingInfo says of today's intervals, in hours, of those
    symbols that have another than the usual one; None: it could not be had."""

    since_ms: int
    today_hours: Mapping[str, int] | None

    def interval_of(self, symbol: str) -> int | None:
        """The symbol's, where it is known."""
        return None if self.today_hours is None else self.today_hours.get(symbol, USUAL_HOURS)


def look_up_rates(
    connection: duckdb.DuckDBPyConnection, market: Market, symbols: Sequence[str], wanted: Wanted
) -> dict[str, Funded]:
    """What is stored of each symbol, and its ledger."""
    slots = funded_hours(connection, market, symbols)
    gaps = read_gaps(connection, market, HOURS_OF_RATES, symbols)
    return {
        symbol: Funded(slots.get(symbol, []), gaps.get(symbol, []), wanted.since_ms, wanted.interval_of(symbol))
        for symbol in symbols
    }


def work_to_plan(
    connection: duckdb.DuckDBPyConnection, market: Market, symbols: Sequence[str], wanted: Wanted, now_ms: int
) -> list[RatesWork]:
    """What each symbol may cost, by the ends of what is stored, its ledger and its first kline."""
    stored = funded_ends(connection, market, symbols)
    gaps = read_gaps(connection, market, HOURS_OF_RATES, symbols)
    listed_ms = listings(connection, MARKETS[market.name], symbols)
    since_ms = {symbol: max(wanted.since_ms, listed_ms.get(symbol, 0)) for symbol in symbols}
    lacking = {symbol: may_lack(stored.get(symbol), gaps[symbol], since_ms[symbol], now_ms) for symbol in symbols}
    return [rates_work(parts, wanted.interval_of(symbol)) for symbol, parts in lacking.items()]


def rates_to_ask(
    connection: duckdb.DuckDBPyConnection, market: Market, symbols: Sequence[str], wanted: Wanted, now_ms: int
) -> dict[str, AskedRates]:
    """Each symbol as a run begins with it."""
    known = look_up_rates(connection, market, symbols, wanted)
    loaded = {symbol: loaded_below(connection, rates_folder(market.name, symbol)) for symbol in symbols}
    return {symbol: AskedRates(market.name, symbol, known[symbol], now_ms, loaded[symbol]) for symbol in symbols}


def store_rates(
    connection: duckdb.DuckDBPyConnection, market: Market, asked: Sequence[AskedRates], wanted: Wanted, now_ms: int
) -> tuple[Stored, dict[str, Funded]]:
    """Write rates, rejects, restatements, files and ledger of some symbols, all or nothing; what is there of each then.

    The archive's rates are written first: see `merge_rates`.
    """
    months = [(one.symbol, month) for one in asked for month in one.months]
    of_months = [(symbol, month.rates, month.rejects) for symbol, month in months]
    with transaction(connection):
        stored = _put_rates(connection, market, of_months, "monthly", now_ms)
        of_rest = [(one.symbol, one.rest.rates, one.rest.rejects) for one in asked]
        stored += _put_rates(connection, market, of_rest, "rest", now_ms)
        notes = [FileNote(month.file.path, month.sha256, len(month.rates)) for _, month in months]
        note_files(connection, notes, now_ms)
        after = _revise_ledger(connection, market, asked, wanted)
        _note_audits(connection, market, asked, after, now_ms)
        return stored, after


def _put_rates(
    connection: duckdb.DuckDBPyConnection, market: Market, came: Iterable[Came], source: str, now_ms: int
) -> Stored:
    """What came of one source; of an hour that several answers have the last one's."""
    came = list(came)
    frames = [funding_frame(rates).with_columns(symbol=pl.lit(symbol)) for symbol, rates, _ in came if rates]
    inserted, restated = merge_rates(connection, market, frames, source, now_ms) if frames else (0, 0)
    refused = [(symbol, reject) for symbol, _, rejects in came for reject in rejects]
    noted = note_rejects(connection, market, HOURS_OF_RATES, refused, now_ms, source)
    return Stored(inserted, restated, noted)


def _revise_ledger(
    connection: duckdb.DuckDBPyConnection, market: Market, asked: Sequence[AskedRates], wanted: Wanted
) -> dict[str, Funded]:
    stored = look_up_rates(connection, market, [one.symbol for one in asked], wanted)
    after = {}
    for one in asked:
        there = stored[one.symbol]
        after[one.symbol] = replace(there, gaps=revised(there, one.heard, one.now_ms)) if _owes(one, there) else there
    changed = {symbol: there.gaps for symbol, there in after.items() if there.gaps != stored[symbol].gaps}
    write_gaps(connection, market, HOURS_OF_RATES, changed)
    return after


def _note_audits(
    connection: duckdb.DuckDBPyConnection,
    market: Market,
    asked: Sequence[AskedRates],
    after: Mapping[str, Funded],
    now_ms: int,
) -> None:
    """What should be there of each symbol of which anything is, for the certificate."""
    ranges = []
    for one in asked:
        if after[one.symbol].slots:
            found = summed(after[one.symbol], one.now_ms)
            counts = (found.expected, found.explained - found.rejected, found.rejected)
            ranges.append(AuditedRange(one.symbol, Window(found.since_ms, hour_of(one.now_ms) + HOUR), *counts))
    note_audits(connection, market, HOURS_OF_RATES, [one.symbol for one in asked], ranges, now_ms)


def _owes(one: AskedRates, there: Funded) -> bool:
    """Whether the exchange has, or may have, rates of it: a misspelt name owes us nothing."""
    return bool(there.slots) or not (isinstance(one.error, UnknownSymbol) or one.is_trading is False)
