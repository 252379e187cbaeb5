"""`scan`: klines as a polars LazyFrame, which reads what a query needs of them when it is collected, piece by piece."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import polars as pl
from polars.io.plugins import register_io_source

from klines.clock import Time
from klines.columns import AMOUNTS, DECIMALS, DIGITS, PRICES, TYPES
from klines.interval import Interval
from klines.reading.derived import Asked
from klines.reading.filled import check_fill
from klines.reading.found import check_found, found_klines, in_order, needed_columns, with_phase, with_series
from klines.reading.inventory import asked_window
from klines.reading.parameters import columns_named, interval_named, market_named, symbols_named
from klines.reading.read import read
from klines.reading.spans import Span, passing, pieces, spans_stored
from klines.storage.access import Database, reading_at, stored_at
from klines.storage.place import Place
from klines.storage.schema.exact import check_exact
from klines.window import Window

SLOTS = 500_000
"""A piece has so many at most: about 60 MB with all columns."""
FEWEST = 10_000
"""And so many where only the first rows are asked for: else a hole of years would be looked through in tiny steps."""
_TYPES = {"TIMESTAMP": pl.Datetime("us"), "VARCHAR": pl.String(), "BIGINT": pl.Int64(), "DOUBLE": pl.Float64()}
_Frames = Callable[[Sequence[str], pl.Expr | None, int | None], Iterator[pl.DataFrame]]
"""Frames with at least these columns and all rows that the predicate lets pass; or the first so many rows, or more."""


def scan(
    symbols: str | Sequence[str],
    start: Time | None = None,
    end: Time | None = None,
    *,
    market: str = "spot",
    kind: str = "klines",
    interval: str = "1m",
    fill: Literal["null", "previous"] | None = None,
    columns: Sequence[str] | None = None,
    exact: bool = False,
    database: Database = None,
) -> pl.LazyFrame:
    """What `read` gives, as a LazyFrame: no kline is read before it is collected, and then only what the query needs.

    That is the columns that it uses, and of the rows those of the symbols and open times that its filters let pass;
    other filters see what was read. It comes in pieces of at most half a million slots: with
    `collect(engine="streaming")` or `sink_parquet` it may be more than memory holds. Each piece opens the database by
    itself and has its klines as they are then, so that runs write between them. With `fill` all is one piece; so is a
    symbol of which several intervals are stored that the klines can be had from.

    Parameters are those of `read`. What they, or an unknown symbol, or an empty range raise is raised at once; that the
    database can't be opened any more, when it is collected.
    """
    wanted, names = interval_named(interval), symbols_named(symbols)
    where, named = market_named(market, kind), columns_named(columns)
    check_fill(fill)
    now_ms = int(time.time() * 1000)
    asked = Asked(where, sorted(names), asked_window(start, end, now_ms), named, exact)
    place = stored_at(database)
    with reading_at(place) as connection:
        if exact:
            check_exact(connection)
        wanted = with_phase(connection, where, wanted)
        spans = spans_stored(connection, asked, wanted)
        check_found(connection, where, wanted, names, pl.DataFrame({"symbol": [span.symbol for span in spans]}))
    if fill is not None:
        series = {"market": market, "kind": kind, "interval": interval}
        whole = partial(read, names, start, end, **series, fill=fill, columns=named, exact=exact, database=database)
        return _lazy(lambda *_: iter([whole()]), _schema(asked) | {"filled": pl.Boolean()})
    return _lazy(Scanned(place, asked, wanted, now_ms, spans).frames, _schema(asked))


@dataclass(frozen=True, slots=True)
class Scanned:
    """The klines that are `asked` for, which had closed at `now_ms`, at their place."""

    place: Place
    asked: Asked
    interval: Interval
    now_ms: int
    spans: Sequence[Span]
    slots: int = SLOTS

    def frames(self, columns: Sequence[str], predicate: pl.Expr | None, rows: int | None) -> Iterator[pl.DataFrame]:
        """A frame for each piece, by symbol and open time."""
        most = self.slots if rows is None else min(self.slots, max(FEWEST, rows))
        for symbols, opens in pieces(passing(self.spans, predicate), self.interval, most):
            yield self._read(symbols, opens, columns)

    def _read(self, symbols: Sequence[str], opens: Window, columns: Sequence[str]) -> pl.DataFrame:
        asked = replace(self.asked, symbols=symbols, window=opens, columns=needed_columns(columns))
        with reading_at(self.place) as connection:
            klines = found_klines(connection, asked, self.interval, self.now_ms)
        return with_series(in_order(klines, symbols), asked.market, self.interval).select(columns)


def _lazy(frames: _Frames, schema: dict[str, pl.DataType]) -> pl.LazyFrame:
    """A LazyFrame of what `frames` gives. All that is known here of polars' sources, which it calls unstable."""

    def batches(
        columns: list[str] | None, predicate: pl.Expr | None, rows: int | None, _: int | None
    ) -> Iterator[pl.DataFrame]:
        shown = columns or list(schema)
        used = [*shown, *(() if predicate is None else predicate.meta.root_names())]
        passing_before = predicate if rows is None else None  # the first rows are those of all, not of what passes
        for frame in frames(list(dict.fromkeys(used)), passing_before, rows):
            some = frame if rows is None else frame.head(rows)
            rows = None if rows is None else rows - some.height
            yield (some if predicate is None else some.filter(predicate)).select(shown)
            if rows == 0:
                return

    return register_io_source(batches, schema=schema, is_pure=True)


def _schema(asked: Asked) -> dict[str, pl.DataType]:
    """The columns with their types."""
    values: pl.DataType = pl.Decimal(DIGITS, DECIMALS) if asked.is_exact else pl.Float64()
    return {name: values if name in (*PRICES, *AMOUNTS) else _TYPES[TYPES[name]] for name in asked.columns}
