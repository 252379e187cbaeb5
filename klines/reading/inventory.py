"""What is stored of which series, and what is not and why: `symbols` and `gaps`."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import duckdb
import polars as pl

from klines.clock import Time, time_ms
from klines.errors import BadParameter, NotStored
from klines.interval import INTERVALS, Interval
from klines.ledger import FOREVER_MS
from klines.market import FUNDING, Market, series_name
from klines.outcome import plain
from klines.reading.parameters import interval_named, market_named, symbols_named
from klines.storage.access import Database, fetch_frame, reading
from klines.tables.funding import of_rates
from klines.tables.klines import FIRST_MS
from klines.window import Window

_GAPS = """
    SELECT * FROM gaps
    WHERE market = $market AND kind = $kind AND interval = $interval
      AND ($symbols = '' OR is_among(symbol, $symbols))
      AND start_time < epoch_ms($end::BIGINT) AND end_time > epoch_ms($start::BIGINT)
    ORDER BY ALL
"""
_SHOWN = 5


def asked_window(start: Time | None, end: Time | None, now_ms: int) -> Window:
    """[start, end) as people write it; left out, the beginning and now. Raises BadParameter."""
    start_ms, end_ms = time_ms("start", start), time_ms("end", end)
    start_ms = FIRST_MS if start_ms is None else start_ms
    end_ms = max(now_ms, start_ms + 1) if end_ms is None else end_ms
    if start_ms >= end_ms:
        raise BadParameter(f"start: {start} is not before the end, {end}")
    return Window(start_ms, end_ms)


def check_known(connection: duckdb.DuckDBPyConnection, market: Market, symbols: Sequence[str]) -> None:
    """Raises NotStored, with the names most like it, for a symbol that has neither klines nor gaps."""
    its = "WHERE market = $1 AND kind = $2"
    sql = f"SELECT symbol FROM klines {its} UNION SELECT symbol FROM gaps {its}"
    rows = connection.execute(sql, market.key).fetchall()
    known = [symbol for (symbol,) in rows]
    unknown = [symbol for symbol in symbols if symbol not in known]
    if unknown:
        about = series_name(*market.key, "")
        like = difflib.get_close_matches(unknown[0], known, _SHOWN) or sorted(known)[:_SHOWN]
        did_you = f"; did you mean {plain(', '.join(like))}?" if like else f": nothing is stored of {about}"
        raise NotStored(f"{unknown[0]} is not stored ({about}){did_you}")


def symbols(*, market: str | None = None, database: Database = None) -> pl.DataFrame:
    """What is stored, a row per series: market, kind, symbol, interval, open times of the `first` and `last` kline,
    and how many `klines`.

    Raises NotStored where there is no database; DatabaseBusy, BadDatabase, BadParameter.
    """
    with reading(database) as connection:
        found = series(connection)
    return found if market is None else found.filter(market=market_named(market).name)


def series(connection: duckdb.DuckDBPyConnection) -> pl.DataFrame:
    """What `symbols` gives, of all markets."""
    return fetch_frame(
        connection,
        """SELECT market, kind, symbol, interval, min(open_time) AS first, max(open_time) AS last, count(*) AS klines
           FROM klines GROUP BY ALL ORDER BY ALL""",
        {},
    )


def gaps(
    symbols: str | Sequence[str] | None = None,
    start: Time | None = None,
    end: Time | None = None,
    *,
    market: str = "spot",
    kind: str = "klines",
    interval: str = "1m",
    database: Database = None,
) -> pl.DataFrame:
    """The rows of the ledger that overlap [start, end), of `symbols`, or all: what is not stored, and why.

    Left out, `start` and `end` are the beginning and the end of time: a delisted symbol's row is open-ended. The kind
    "funding" has the gaps of funding rates, of whole hours whatever the interval. Raises as `read` does.
    """
    names, is_funding = None if symbols is None else symbols_named(symbols), kind == FUNDING.name
    where = of_rates(market_named(market)) if is_funding else market_named(market, kind)
    wanted = INTERVALS["1h"] if is_funding else interval_named(interval)
    start_ms, end_ms = time_ms("start", start) or 0, time_ms("end", end) or FOREVER_MS
    with reading(database) as connection:
        rows = answer(connection, _GAPS, where, wanted, names, start_ms, end_ms)
        if names and rows.is_empty() and not is_funding:
            check_known(connection, where, names)
    return rows


def answer(
    connection: duckdb.DuckDBPyConnection,
    sql: str,
    market: Market,
    interval: Interval,
    symbols: Sequence[str] | None,
    start_ms: int,
    end_ms: int,
) -> pl.DataFrame:
    """The answer of a query about the series of some symbols, or of all."""
    parameters: dict[str, str | int] = {
        "market": market.name,
        "kind": market.kind.name,
        "interval": interval.name,
        "start": start_ms,
        "end": end_ms,
    }
    return fetch_frame(connection, sql, parameters | {"symbols": " ".join(symbols or [])})
