"""`read`: klines of some symbols as a frame. The file is opened, asked, and closed again on return.

Only SQL of one's own, or a look at one state of everything, needs a connection: see `connect` in storage/access.py.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Literal, overload

import polars as pl

from klines.clock import Time
from klines.reading.derived import Asked
from klines.reading.filled import check_fill, filled, slot
from klines.reading.found import check_found, found_klines, in_order, needed_columns, with_phase, with_series
from klines.reading.inventory import asked_window
from klines.reading.parameters import columns_named, interval_named, market_named, symbols_named
from klines.reading.shapes import Shape, check_library, shaped
from klines.storage.access import Database, reading
from klines.storage.schema.exact import check_exact
from klines.window import window


@overload
def read(
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
    as_: Literal["polars"] = "polars",
    database: Database = None,
) -> pl.DataFrame: ...
@overload
def read(
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
    as_: Literal["arrow", "pandas"],
    database: Database = None,
) -> Any: ...
def read(
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
    as_: Shape = "polars",
    database: Database = None,
) -> Any:
    """Klines that open in [start, end), by symbol and `open_time` (UTC): the columns of the table klines, or `columns`.

    `start` and `end` are dates, datetimes or ISO 8601 texts, UTC where they name no zone; left out, they are the
    beginning and now. Of an interval that is not stored, or where it is not, klines are derived from the longest stored
    one that it is a multiple of (4h from 1h or else 1m; 10m, 2d and 2w, too), on the exchange's boundaries; their
    `source` names that interval. One that has a part missing, unless the exchange never had it, is left out: see
    klines/reading/derived.py.

    Slots without a kline have no row. With `fill` they have one, flagged by the column `filled`, from `start` to `end`
    as far as that is past (left out: the first and the last kline found): "null" without values, "previous" with the
    close before as prices, and zero sums.

    Prices and amounts are doubles, amounts the nearest ones. With `exact` they are decimals of eight places, each the
    number that Binance published (docs/database.md says where a database of before may have another).

    With `as_` it is no polars frame but an "arrow" table, which shares the memory of numbers and times, or a frame of
    "pandas", if that is installed.

    `kind` is klines, or, of futures, mark, index, premium or continuous: see docs/kinds.md.

    `database` is a file, else that of KLINES_DATABASE; whoever wants to write it waits until this returns.
    Raises NotStored: an unknown symbol, a range in which there is nothing, no database; BadParameter; DatabaseBusy:
    the file was in use for half a minute, by the program that the text names; BadDatabase, also where `exact` is asked
    of a database that has amounts as doubles still.
    """
    wanted, names = interval_named(interval), symbols_named(symbols)
    where = market_named(market, kind)
    check_fill(fill)
    check_library(as_)
    now_ms = int(time.time() * 1000)
    columns = columns_named(columns)
    asked = Asked(where, names, asked_window(start, end, now_ms), needed_columns(columns, fill), exact)
    with reading(database) as connection:
        if exact:
            check_exact(connection)
        wanted = with_phase(connection, where, wanted)
        klines = found_klines(connection, asked, wanted, now_ms)
        check_found(connection, where, wanted, names, klines)
    klines = in_order(klines, names)
    if fill is not None:
        first, last = klines.select(slot(wanted).min().alias("first"), slot(wanted).max().alias("last")).row(0)
        start_ms = wanted.start(first) if start is None else asked.window.start_ms
        end_ms = wanted.start(last + 1) if end is None else min(asked.window.end_ms, wanted.floor(now_ms))
        klines = filled(klines, names, wanted, window(start_ms, end_ms), fill)
    flag = [] if fill is None else ["filled"]
    return shaped(with_series(klines, where, wanted).select(*columns, *flag), as_)
