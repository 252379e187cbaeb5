"""Klines of an interval from the stored klines of a shorter one, as the exchange makes its own.

A derived kline is given only when it is whole: each of its parts is stored, or the ledger says that the exchange never
had it (an outage, a hole, before the listing, after the delisting), in which case the exchange's own kline lacks it,
too. Where a part is due, unresolved or rejected, and while the kline still forms, there is none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import duckdb
import polars as pl

from klines.columns import OF_PARTS, as_doubles, exactly
from klines.interval import Interval
from klines.market import Market
from klines.storage.access import fetch_frame, written_out
from klines.tables.ends import symbols_noted
from klines.tables.hours import hours_kept, is_of_hours
from klines.window import Window, subtract, window, within

_MANY = 10
"""Symbols from which on it is worth a look at what else is stored."""
_NEARLY = 1.05
"""With so many times the symbols that are asked for, the others take less time than to leave them out."""
_SLOT = {"open_time": "BEGIN", "close_time": "FINISH - INTERVAL 1 MILLISECOND", "source": "$part"}
"""What a derived kline has of its slot."""
_STORED = """
    FROM klines
    WHERE WHICH AND open_time >= epoch_ms($start::BIGINT) AND open_time < epoch_ms($end::BIGINT)
"""
_ANY = f"SELECT 1 {_STORED} LIMIT 1"
# Off-grid klines of 2017 and 2018 belong to the slot in which they open.
_DERIVED = """
    WITH slot AS (
        SELECT WHOSE AS symbol, SLOT AS slot, COUNT AS parts, MADE PARTS GROUP BY KEYS
    ), short AS (
        SELECT $market AS market, $kind AS kind, symbol, $part AS interval, slot, BEGIN AS since, FINISH AS until
        FROM slot
        WHERE parts < (epoch_ms(FINISH) - epoch_ms(BEGIN)) // LENGTH
    ), never AS (
        FROM never_there([$part])
    ), explained AS (
        SELECT symbol, slot, sum(slots) AS explained FROM slots_within('short', 'never') GROUP BY ALL
    )
    SELECT NAMED FROM slot LEFT JOIN explained USING (symbol, slot)
    WHERE parts + coalesce(explained, 0) = (epoch_ms(FINISH) - epoch_ms(BEGIN)) // LENGTH
      AND epoch_ms(FINISH) <= $now
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """Whose klines, those that open in `window`, and which columns of the table, without market, kind and interval;
    prices and amounts as decimals where it `is_exact`, else as doubles. `alike` is what all stored klines have in
    common: a look at it in each row takes a tenth of the time."""

    market: Market
    symbols: Sequence[str]
    window: Window
    columns: Sequence[str]
    is_exact: bool = False
    alike: Mapping[str, str] = field(default_factory=dict)

    @property
    def series(self) -> dict[str, str | int]:
        """Market and kind, as parameters."""
        return {"market": self.market.name, "kind": self.market.kind.name}

    @property
    def only(self) -> str | None:
        """The symbol where there is one: its name is then not read from each row, nor are rows grouped by it."""
        return self.symbols[0] if len(self.symbols) == 1 else None

    @property
    def among(self) -> str:
        """The condition with the symbols, which hold no quotes, as literals: only by these are row groups left out."""
        literals = ", ".join(f"'{symbol}'" for symbol in self.symbols)
        return f"symbol IN ({literals})"

    def which(self, interval: str, among: str) -> str:
        """The condition for the klines of an interval and of some symbols, without what all klines meet."""
        wanted = {**self.series, "interval": interval}
        series = [f"{name} = '{value}'" for name, value in wanted.items() if self.alike.get(name) != value]
        return " AND ".join([*series, among])

    @property
    def columns_read(self) -> list[str]:
        """The columns that are read from the table."""
        return [name for name in self.columns if name != "symbol" or self.only is None]

    def whole(self, found: pl.DataFrame) -> pl.DataFrame:
        """What was read, with all columns."""
        return found if self.only is None else found.with_columns(symbol=pl.lit(self.only)).select(self.columns)

    def shown(self, name: str) -> str:
        """A column as it is to be had, in SQL."""
        return exactly(name) if self.is_exact else as_doubles(name)


def stored(connection: duckdb.DuckDBPyConnection, asked: Asked, interval: Interval) -> pl.DataFrame:
    """The stored klines, as they lie: those of one symbol usually by time."""
    bounds = {"start": asked.window.start_ms, "end": asked.window.end_ms}
    sql = f"SELECT {', '.join(map(asked.shown, asked.columns_read))} {_STORED}"
    return asked.whole(fetch_frame(connection, sql.replace("WHICH", asked.which(interval.name, asked.among)), bounds))


def has_parts(connection: duckdb.DuckDBPyConnection, asked: Asked, interval: Interval, part: Interval) -> bool:
    """Whether `derived` would find any kline of `part`: a look of a millisecond, where that takes tens of them."""
    if asked.alike.get("interval", part.name) != part.name:
        return False
    which = asked.which(part.name, asked.among)
    sql = written_out(_ANY.replace("WHICH", which), _of_parts(asked, interval, part))
    return bool(connection.execute(sql).fetchall())


def derived(
    connection: duckdb.DuckDBPyConnection, asked: Asked, interval: Interval, part: Interval, now_ms: int
) -> pl.DataFrame:
    """The whole klines of `interval` that have closed at `now_ms`, made of those of `part`.

    In no order, in the shape of `stored`; `source` is the name of `part`, `close_time` the last ms of the slot,
    `fetched_at` that of the part that was stored last.
    """
    made = ", ".join(f"{OF_PARTS[name]} AS {name}" for name in asked.columns if name in OF_PARTS)
    named = ", ".join(f"{_SLOT[name]} AS {name}" if name in _SLOT else asked.shown(name) for name in asked.columns_read)
    whose, keys = ("$symbol", "slot") if asked.only else ("symbol", "symbol, slot")
    sql = _DERIVED.replace("MADE", made).replace("NAMED", named).replace("WHOSE", whose).replace("KEYS", keys)
    sql = sql.replace("SLOT", interval.sql_index("open_time")).replace("LENGTH", str(part.length_ms))
    sql = sql.replace("BEGIN", interval.sql_start("slot")).replace("FINISH", interval.sql_start("slot + 1"))
    count, parts = _parts(connection, asked, interval, part)
    sql = sql.replace("COUNT", count).replace("PARTS", parts)  # at last: a symbol may have such a word in its name
    values = _of_parts(asked, interval, part) | {"now": now_ms, "symbol": asked.only or ""}
    found = asked.whole(fetch_frame(connection, sql, values))
    return found if asked.only else found.filter(pl.col("symbol").is_in(asked.symbols))


def _of_parts(asked: Asked, interval: Interval, part: Interval) -> dict[str, str | int]:
    """The parts of all klines of `interval` that open in the window, as parameters of _STORED."""
    start_ms, end_ms = interval.ceil(asked.window.start_ms), interval.ceil(asked.window.end_ms)
    return asked.series | {"part": part.name, "start": start_ms, "end": end_ms}


def _parts(connection: duckdb.DuckDBPyConnection, asked: Asked, interval: Interval, part: Interval) -> tuple[str, str]:
    """How many klines of `part` some rows stand for, and FROM and WHERE of these rows: hours, where they are kept and
    `interval` can be made of them, else the klines."""
    among = _among(connection, asked, part)
    which = asked.which(part.name, among)
    spans = window(interval.ceil(asked.window.start_ms), interval.ceil(asked.window.end_ms))
    of_hours = spans if is_of_hours(interval, part) else []
    hours = [kept for span in of_hours for kept in hours_kept(connection, asked.market, asked.among, span)]
    if not hours:
        return "count(*)", _STORED.replace("WHICH", which)
    series = f"market = $market AND kind = $kind AND {among}"
    names = ", ".join(dict.fromkeys(["symbol", "open_time", *(name for name in asked.columns if name in OF_PARTS)]))
    rows = [
        *(f"SELECT {names}, parts FROM hours WHERE {series} AND {within(span)}" for span in hours),
        *(f"SELECT {names}, 1 FROM klines WHERE {which} AND {within(span)}" for span in subtract(spans, hours)),
    ]
    return "sum(parts)::BIGINT", f"FROM ({' UNION ALL '.join(rows)})"


def _among(connection: duckdb.DuckDBPyConnection, asked: Asked, part: Interval) -> str:
    """The condition for the symbols, or for some more: to look each row's symbol up among dozens takes a tenth of the
    time of the aggregate. None where they are nearly all that are stored; a span where they are most of those in it.
    """
    count = len(asked.symbols)
    if count < _MANY:
        return asked.among
    first, last = min(asked.symbols), max(asked.symbols)
    known, between = symbols_noted(connection, asked.market, part, first, last)
    if count <= known <= _NEARLY * count:
        return "true"
    return f"symbol BETWEEN '{first}' AND '{last}'" if count <= between < 2 * count else asked.among
