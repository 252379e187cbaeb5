"""The table `funding`: funding rates as published, at most one an hour of a symbol."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import duckdb
import polars as pl

from klines.binance.funding.grid import FundedHour, hour_of
from klines.interval import HOUR
from klines.market import FUNDING, Market
from klines.window import Window


def of_rates(market: Market) -> Market:
    """The market, as the ledger names its funding rates."""
    return replace(market, kind=FUNDING)


_PUBLISHED = ("funding_time", "rate", "mark_price")
_TELLS = ("interval_hours", "mark_price")
"""What one source does not say: it stays as another had it."""
_SAME = f"""f.market = s.market AND f.symbol = s.symbol
            AND epoch_ms(f.funding_time) // {HOUR} = epoch_ms(s.funding_time) // {HOUR}"""
_IS_LATER = "(s.source <> 'rest' OR f.source = 'rest')"
_DIFFERS = f"""{_IS_LATER} AND (f.funding_time <> s.funding_time OR f.rate <> s.rate
            OR (f.mark_price <> s.mark_price) IS TRUE)"""
_TELLS_MORE = " OR ".join(f"(f.{name} IS NULL AND s.{name} IS NOT NULL)" for name in _TELLS)


def funded_hours(
    connection: duckdb.DuckDBPyConnection, market: Market, symbols: Sequence[str]
) -> dict[str, list[FundedHour]]:
    """The slots of each symbol that have a rate, ascending, and the intervals that were published with them."""
    rows = connection.execute(
        """SELECT symbol, epoch_ms(funding_time), interval_hours FROM funding
           WHERE market = ? AND is_among(symbol, ?) ORDER BY symbol, funding_time""",
        [market.name, " ".join(symbols)],
    ).fetchall()
    found: dict[str, list[FundedHour]] = defaultdict(list)
    for symbol, time_ms, hours in rows:
        found[symbol].append(FundedHour(hour_of(time_ms), hours))
    return found


def funded_ends(connection: duckdb.DuckDBPyConnection, market: Market, symbols: Sequence[str]) -> dict[str, Window]:
    """Of each symbol that has a rate, from the hour of the first to after that of the last."""
    rows = connection.execute(
        """SELECT symbol, epoch_ms(min(funding_time)), epoch_ms(max(funding_time)) FROM funding
           WHERE market = ? AND is_among(symbol, ?) GROUP BY symbol""",
        [market.name, " ".join(symbols)],
    ).fetchall()
    return {symbol: Window(hour_of(first_ms), hour_of(last_ms) + HOUR) for symbol, first_ms, last_ms in rows}


def merge_rates(
    connection: duckdb.DuckDBPyConnection, market: Market, rates: Sequence[pl.DataFrame], source: str, now_ms: int
) -> tuple[int, int]:
    """Insert what is new, and update what differs, whose old values go to `restatements`; how many of each.

    `rates` have the columns of `funding_frame`, and symbol; of an hour that several have the last one is taken. The
    archive's are published later than REST's, and stand: what REST gives of such an hour only fills in what the archive
    does not tell. Part of the caller's transaction.
    """
    if not any(frame.height for frame in rates):
        return 0, 0
    hour = pl.col("funding_time") // HOUR
    once = pl.concat(rates).with_columns(hour=hour).unique(["symbol", "hour"], keep="last", maintain_order=True)
    named = {"market": pl.lit(market.name), "source": pl.lit(source)}
    staged = once.drop("hour").sort("symbol", "funding_time").with_columns(**named)
    connection.register("staged_rates", staged)
    connection.execute(
        """CREATE OR REPLACE TEMP TABLE staged_funding AS
           SELECT * REPLACE (epoch_ms(funding_time) AS funding_time) FROM staged_rates"""
    )
    connection.unregister("staged_rates")
    restated = _restate(connection, now_ms)
    told = ", ".join(f"{name} = coalesce(f.{name}, s.{name})" for name in _TELLS)
    connection.execute(f"UPDATE funding f SET {told} FROM staged_funding s WHERE {_SAME} AND ({_TELLS_MORE})")
    [(inserted,)] = connection.execute(
        f"""INSERT INTO funding BY NAME
            SELECT *, epoch_ms({now_ms}::BIGINT) AS fetched_at FROM staged_funding s
            WHERE NOT EXISTS (FROM funding f WHERE {_SAME})"""
    ).fetchall()
    connection.execute("DROP TABLE staged_funding")
    return inserted, restated


def _restate(connection: duckdb.DuckDBPyConnection, now_ms: int) -> int:
    """Take over what is published otherwise now; how many rates that was."""
    old, new = (", ".join(f"{name}: {of}.{name}" for name in _PUBLISHED) for of in "fs")
    [(restated,)] = connection.execute(
        f"""INSERT INTO restatements BY NAME
            SELECT f.market, '{FUNDING.name}' AS kind, f.symbol, '1h' AS interval, f.funding_time AS open_time,
                   to_json({{{old}}}) AS old, to_json({{{new}}}) AS new, s.source, epoch_ms(?::BIGINT) AS seen_at
            FROM funding f JOIN staged_funding s ON {_SAME} WHERE {_DIFFERS}""",
        [now_ms],
    ).fetchall()
    if restated:
        connection.execute(
            f"""UPDATE funding f SET funding_time = s.funding_time, rate = s.rate, source = s.source,
                                     mark_price = coalesce(s.mark_price, f.mark_price),
                                     interval_hours = coalesce(s.interval_hours, f.interval_hours)
                FROM staged_funding s WHERE {_SAME} AND {_DIFFERS}"""
        )
    return int(restated)
