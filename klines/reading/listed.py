"""What the exchange said of its symbols at a time: `symbols_at`, from the table `rules`."""

from __future__ import annotations

import time
from collections.abc import Sequence

import duckdb
import polars as pl

from klines.binance.listing import GONE
from klines.clock import Time, clock, time_ms
from klines.errors import NotStored
from klines.market import Market
from klines.reading.parameters import market_named
from klines.storage.access import Database, fetch_frame, reading
from klines.symbol import choose
from klines.tables.rules import SAID
from klines.tables.symbols import ALIVE

_COLUMNS = ", ".join(("market", "symbol", *SAID, "unseen_at", "first_seen", "last_seen"))
_AT = f"SELECT {_COLUMNS} FROM symbols_at(epoch_ms($at::BIGINT)) WHERE market = $market ORDER BY symbol"
_FIRST = "SELECT epoch_ms(min(first_seen)) FROM rules WHERE market = ?"


def symbols_at(at: Time | None = None, *, market: str = "spot", database: Database = None) -> pl.DataFrame:
    """What exchangeInfo said of each symbol of a market at a time, a row per symbol, also of those that had ended.

    `at` is a date, a datetime or ISO 8601 text, UTC where it names no zone; left out: now.
    `first_seen` and `last_seen` are the answers (UTC) between which it said so, `unseen_at` the last one before that
    said otherwise. Where `at` is after `last_seen` it may have changed by then; it had by the next answer. A symbol
    that was not listed any more has the status GONE, and nothing else. Decimals are texts, as published; what was not
    said is NULL.

    Raises NotStored where no answer was kept until then, and where there is no database; BadParameter; DatabaseBusy;
    BadDatabase.
    """
    where, at_ms = market_named(market), time_ms("at", at)
    at_ms = int(time.time() * 1000) if at_ms is None else at_ms
    with reading(database) as connection:
        first_ms = _first_ms(connection, where)
        if first_ms is None or at_ms < first_ms:
            since = "" if first_ms is None else f" before {clock(first_ms)} UTC"
            raise NotStored(
                f"nothing was kept{since} of what exchangeInfo says of {where.name}: a collect with a pattern asks it "
                "hourly, an audit daily"
            )
        return fetch_frame(connection, _AT, {"market": where.name, "at": at_ms})


def _first_ms(connection: duckdb.DuckDBPyConnection, market: Market) -> int | None:
    """When the first answer was kept; None where none is."""
    rows: list[tuple[int | None]] = connection.execute(_FIRST, [market.name]).fetchall()
    return rows[0][0]


def trading(listed: pl.DataFrame, entries: Sequence[str], market: Market) -> pl.DataFrame:
    """The rows of `symbols_at` of symbols that traded, of all or of those that names and patterns take.

    Raises BadParameter for a pattern that takes none.
    """
    there = listed.filter(pl.col("status").is_in(ALIVE))
    if not entries:
        return there
    return there.filter(pl.col("symbol").is_in(choose(entries, there["symbol"].to_list(), market.name)))


def with_status(ever: Sequence[str], entries: Sequence[str], market: Market) -> pl.DataFrame:
    """The columns `symbol` and `status` of all that there ever was, or of what names and patterns take of that; the
    status is NULL of what exchangeInfo does not list, as far as that was kept.

    Raises BadParameter for a pattern that takes none.
    """
    try:
        listed = symbols_at(market=market.name).filter(pl.col("status") != GONE).select("symbol", "status")
    except NotStored:
        listed = pl.DataFrame(schema={"symbol": pl.String, "status": pl.String})
    names = sorted({*ever, *listed["symbol"]})
    chosen = choose(entries or ["*"], names, market.name, which="that there ever was")
    return pl.DataFrame({"symbol": sorted(chosen)}, schema={"symbol": pl.String}).join(
        listed, on="symbol", how="left", maintain_order="left"
    )
