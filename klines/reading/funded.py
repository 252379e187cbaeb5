"""`funding`: funding rates of some symbols as a frame; and how they are just now."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import duckdb
import polars as pl

from klines.clock import Time
from klines.errors import NotStored
from klines.market import FUNDING
from klines.outcome import names
from klines.reading.inventory import asked_window
from klines.reading.parameters import market_named, symbols_named
from klines.storage.access import Database, fetch_frame, reading

_COLUMNS = "market, symbol, funding_time, rate, mark_price, interval_hours, source, fetched_at"
_RATES = f"""
    SELECT {_COLUMNS} FROM funding
    WHERE market = $market AND is_among(symbol, $symbols)
      AND funding_time >= epoch_ms($start::BIGINT) AND funding_time < epoch_ms($end::BIGINT)
    ORDER BY symbol, funding_time
"""
_NOW = f"""
    WITH lacking AS (
        SELECT market, symbol, min(start_time) AS since, arg_min(reason, start_time) AS reason FROM gaps
        WHERE kind = '{FUNDING.name}' AND NOT is_explained(reason) GROUP BY ALL
    ), stored AS (
        SELECT market, count(DISTINCT symbol) AS symbols, max(funding_time) AS newest FROM funding GROUP BY ALL
    )
    SELECT market, coalesce(any_value(symbols), 0), any_value(newest),
           list(symbol || strftime(since, ' since %Y-%m-%d %H:%M (') || reason || ')' ORDER BY since, symbol)
               FILTER (symbol IS NOT NULL)
    FROM stored FULL JOIN lacking USING (market) GROUP BY market ORDER BY market
"""
_STORED = "SELECT DISTINCT symbol FROM funding WHERE market = $market AND is_among(symbol, $symbols)"


@dataclass(frozen=True, slots=True)
class FundingNow:
    """Funding rates of a market: of how many symbols there are any, the newest time (UTC; None: none is stored), and
    the symbols that lack any and nobody knows why, each with its first gap: `BTCUSDT since 2026-01-02 08:00 (due)`."""

    market: str
    symbols: int
    newest: datetime | None
    lacking: Sequence[str]


def funding_now(connection: duckdb.DuckDBPyConnection) -> list[FundingNow]:
    """Each market of which any rate is stored, or lacks."""
    rows = connection.execute(_NOW).fetchall()
    return [FundingNow(market, symbols, newest, lacking or []) for market, symbols, newest, lacking in rows]


def funding(
    symbols: str | Sequence[str],
    start: Time | None = None,
    end: Time | None = None,
    *,
    market: str = "usdm",
    database: Database = None,
) -> pl.DataFrame:
    """Funding rates of [start, end), by symbol and `funding_time` (UTC): the columns of the table funding.

    `start` and `end` are dates, datetimes or ISO 8601 texts, UTC where they name no zone; left out, they are the
    beginning and now. Rates are decimals as published, of a position's value: 0.0001 is 0.01 %. `mark_price` and
    `interval_hours` are NULL where they were not published with the rate: REST has no intervals, the archive no prices.
    `funding_time` is as published, some ms after the full hour. What is missing, and why, is in the table gaps.

    Raises NotStored: a symbol of which nothing is stored, no database; BadParameter; DatabaseBusy; BadDatabase.
    """
    where, wanted = market_named(market), symbols_named(symbols)
    window = asked_window(start, end, int(time.time() * 1000))
    asked: dict[str, str | int] = {"market": where.name, "symbols": " ".join(wanted)}
    with reading(database) as connection:
        known = set(fetch_frame(connection, _STORED, asked)["symbol"])
        rates = fetch_frame(connection, _RATES, asked | {"start": window.start_ms, "end": window.end_ms})
    if unknown := [symbol for symbol in wanted if symbol not in known]:
        raise NotStored(
            f"no funding rate of {names(unknown)} is stored for {where.name}; `klines funding {unknown[0]} --market "
            f"{where.name}` fetches them"
        )
    return rates
