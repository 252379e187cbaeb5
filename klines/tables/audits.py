"""The table `audits`: the ranges of each series as an audit, or a run of funding rates, last saw them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import duckdb
import polars as pl

from klines.interval import Interval
from klines.market import FUNDING, Market
from klines.window import Window


class AuditedRange(NamedTuple):
    """Of a symbol, and only of funding rates, which have no grid: how many slots should have a rate, how many have none
    at the exchange, and of how many the row was refused."""

    symbol: str
    window: Window
    slots: int | None = None
    holes: int | None = None
    refused: int | None = None


_SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "symbol": pl.String,
    "since": pl.Datetime("ms"),
    "until": pl.Datetime("ms"),
    **dict.fromkeys(("slots", "holes", "refused"), pl.Int64),
}


def note_audits(
    connection: duckdb.DuckDBPyConnection,
    market: Market,
    interval: Interval,
    symbols: Sequence[str],
    ranges: Sequence[AuditedRange],
    now_ms: int,
) -> None:
    """Enter the ranges of these symbols, in the place of those of before. Part of the caller's transaction."""
    series = [*market.key, interval.name]
    connection.execute(
        "DELETE FROM audits WHERE (market, kind, interval) = (?, ?, ?) AND is_among(symbol, ?)",
        [*series, " ".join(symbols)],
    )
    rows = [(one.symbol, one.window.start_ms, one.window.end_ms, *one[2:]) for one in ranges]
    connection.register("audited", pl.DataFrame(rows, schema=_SCHEMA, orient="row"))
    connection.execute(
        """INSERT INTO audits BY NAME
           SELECT ? AS market, ? AS kind, ? AS interval, *, epoch_ms(?::BIGINT) AS audited_at FROM audited""",
        [*series, now_ms],
    )
    connection.unregister("audited")


def audited_until_ms(connection: duckdb.DuckDBPyConnection) -> int:
    """Up to when, in epoch ms, any klines were audited; 0 for never."""
    sql = f"SELECT coalesce(epoch_ms(max(until)), 0) FROM audits WHERE kind <> '{FUNDING.name}'"
    [(audited_ms,)] = connection.execute(sql).fetchall()
    return int(audited_ms)
