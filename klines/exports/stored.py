"""The one place that knows what there is to export: which symbols, which months of them, what is not stored and why.

A month's digest is another one as soon as anything is that `klines.read` would give of it: a kline that was added or
corrected, and of derived klines also what the ledger says of their parts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import duckdb
import polars as pl

from klines.binance.listing import GONE
from klines.errors import NotStored
from klines.interval import DAY, INTERVALS, Interval
from klines.ledger import FOREVER_MS
from klines.market import FUNDING, Market, series_name
from klines.reading.inventory import check_known
from klines.storage.access import fetch_frame
from klines.symbol import choose, is_pattern
from klines.window import Window, intersect

_PARTS = (Path(__file__).parent / "stored.sql").read_text()
_GAPS = """
    SELECT symbol, interval, start_time, end_time, reason FROM gaps
    WHERE market = $market AND kind = $kind AND INTERVALS AND ($symbols = '' OR is_among(symbol, $symbols))
      AND start_time < epoch_ms($end::BIGINT) AND end_time > epoch_ms($start::BIGINT)
    ORDER BY ALL
"""
_RATES = f"""(SELECT market, '{FUNDING.name}' AS kind, symbol, '1h' AS interval, funding_time AS open_time, fetched_at
              FROM funding)"""
"""Funding rates, as their ledger has them: the hour is the slot."""
_RULES = f"""
    SELECT symbol, base, quote, contract_type, tick_size, step_size, min_quantity, min_notional FROM rules
    WHERE market = $market AND status <> '{GONE}'
    QUALIFY row_number() OVER (PARTITION BY symbol ORDER BY first_seen DESC) = 1
"""
_MONTHS = INTERVALS["1M"]
LAST_MS = FOREVER_MS - 1
"""The end of what is asked for where none is named: now would make another month of the last one at every moment."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A series, and what exchangeInfo last said of its symbol, as texts: nothing, where that was not kept."""

    market: Market
    symbol: str
    interval: Interval
    rules: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Part:
    """The klines of a series that open in a month, or in what was asked for of it: `klines` is no fewer than there are,
    `digest` tells this state of them from any other."""

    window: Window
    klines: int
    digest: str

    @property
    def month_ms(self) -> int:
        """Where the month begins."""
        return _MONTHS.floor(self.window.start_ms)


@dataclass(frozen=True, slots=True)
class Found:
    """A series with its months in order, and the rows of the ledger that are about it."""

    subject: Subject
    parts: Sequence[Part]
    gaps: pl.DataFrame


def find(
    connection: duckdb.DuckDBPyConnection, market: Market, interval: Interval, entries: Sequence[str], asked: Window
) -> list[Found]:
    """The series of the symbols and patterns of `entries`, or all there are, as far as they are within `asked`.

    Raises NotStored for a symbol of which nothing is, BadParameter for a pattern that takes none.
    """
    names = [] if any(map(is_pattern, entries)) else list(entries)
    intervals = [interval.name, *(part.name for part in INTERVALS.values() if interval.is_made_of(part))]
    within = f"interval IN ({', '.join(map(repr, intervals))})"
    values: dict[str, str | int] = {
        "market": market.name,
        "kind": market.kind.name,
        "symbols": " ".join(names),
        "start": asked.start_ms,
        "end": _end_of_parts(interval, asked),
    }
    of_parts = _PARTS.replace("SERIES", _RATES if market.kind == FUNDING else "klines")
    parts, gaps = (fetch_frame(connection, sql.replace("INTERVALS", within), values) for sql in (of_parts, _GAPS))
    rules = fetch_frame(connection, _RULES, {"market": market.name})
    stored = parts["symbol"].unique().sort().to_list()
    chosen = choose(entries, stored, market.name, which="that is stored") if entries else stored
    _check_stored(connection, market, interval, chosen, stored)
    said = {row["symbol"]: row for row in rules.iter_rows(named=True)}
    of_symbol = partial(_rows_of, chosen)
    months, ledger = of_symbol(parts), of_symbol(gaps)
    return [
        Found(
            Subject(market, symbol, interval, said.get(symbol, {})),
            _parts(months[symbol], ledger[symbol], interval, asked),
            ledger[symbol],
        )
        for symbol in chosen
    ]


def _end_of_parts(interval: Interval, asked: Window) -> int:
    """Where what the last kline is made of ends, which opens before the end of what is asked for."""
    return interval.ceil(asked.end_ms) if interval.is_phase_known and asked.end_ms < LAST_MS else asked.end_ms


def _rows_of(symbols: Sequence[str], frame: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """The rows of each of the symbols."""
    found = {str(symbol): rows for (symbol,), rows in frame.partition_by("symbol", as_dict=True).items()}
    return {symbol: found.get(symbol, frame.clear()) for symbol in symbols}


def _check_stored(
    connection: duckdb.DuckDBPyConnection,
    market: Market,
    interval: Interval,
    chosen: Sequence[str],
    stored: Sequence[str],
) -> None:
    """Raises NotStored where any of the chosen symbols is not stored, or there is none."""
    absent = sorted(set(chosen) - set(stored))
    if absent:
        check_known(connection, market, absent)
    if absent or not stored:
        whose = f"{absent[0]} {interval.name}" if absent else interval.name
        about = series_name(*market.key, "")
        raise NotStored(
            f"nothing is stored of {whose} ({about}) in this range, nor of a shorter interval to make it of; "
            "klines.symbols() says what is there"
        )


def _parts(months: pl.DataFrame, ledger: pl.DataFrame, interval: Interval, asked: Window) -> list[Part]:
    """A part for each month in which klines may open. A kline longer than a day may be made of those of the month after
    the one in which it opens."""
    reach = 1 if 0 < interval.length_ms <= DAY else 2
    is_derived = set(months["interval"].unique()) != {interval.name}
    state, klines = _of_months(months)
    if is_derived and reach == 2:
        starts = sorted({_MONTHS.step(start_ms, -back) for start_ms in state for back in (0, 1)})
    else:
        starts = sorted(state)
    found = []
    for start_ms in starts:
        window = Window(start_ms, _MONTHS.step(start_ms, reach if is_derived else 1))
        told = [state.get(_MONTHS.step(start_ms, after), "") for after in range(reach)]
        told += _explained(ledger, window) if is_derived else []
        for opens in intersect([Window(start_ms, _MONTHS.step(start_ms, 1))], [asked]):
            found.append(Part(opens, klines.get(start_ms, 0), _digest([*told, str(opens)])))
    return found


def _of_months(months: pl.DataFrame) -> tuple[dict[int, str], dict[int, int]]:
    """The state of each month by its beginning, of all its intervals, and how many klines one of them has at most."""
    state: dict[int, str] = {}
    klines: dict[int, int] = {}
    for _, _, month_ms, count, told in months.iter_rows():
        state[month_ms] = f"{state.get(month_ms, '')}{told};"
        klines[month_ms] = max(count, klines.get(month_ms, 0))
    return state, klines


def _explained(ledger: pl.DataFrame, within: Window) -> list[str]:
    """The rows of the ledger that overlap the window, as text."""
    start, end = (pl.lit(ms).cast(pl.Datetime("ms")) for ms in (within.start_ms, within.end_ms))
    rows = ledger.filter((pl.col("start_time") < end) & (pl.col("end_time") > start))
    return [str(row) for row in rows.iter_rows()]


def _digest(told: Sequence[str]) -> str:
    return hashlib.blake2b("\n".join(told).encode(), digest_size=8).hexdigest()
