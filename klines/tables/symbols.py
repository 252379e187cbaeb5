"""The table `symbols`: what exchangeInfo and answers have told of each symbol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb

from klines.binance.listing import GONE, SymbolInfo
from klines.interval import HOUR, MINUTE
from klines.market import Market
from klines.tables.rules import listing_frame, note_rules
from klines.tables.transaction import transaction
from klines.window import Window

EVERY_MS, SOONEST_MS = HOUR, MINUTE
"""How long what is known of a market's symbols is good, and after how long it is asked for again where it won't do."""
ALIVE = ("TRADING", "HALT")
"""Statuses in which klines are published (spot docs, glossary: HALT goes on, BREAK does not)."""


@dataclass(frozen=True, slots=True)
class Known:
    """The symbols of a market that trade, or did within the hour, so that their last klines are not left out; and when
    exchangeInfo was last asked, in ms: 0 for never."""

    trading: Sequence[str]
    checked_ms: int


def known(connection: duckdb.DuckDBPyConnection, market: Market, now_ms: int) -> Known:
    """What the file knows."""
    rows = connection.execute(
        f"""
        SELECT symbol, status IN {ALIVE} OR (delisted_at > first_seen AND epoch_ms(delisted_at) > ?),
               epoch_ms(last_checked)
        FROM symbols WHERE market = ? AND kind = ? AND status IS NOT NULL ORDER BY symbol
        """,
        [now_ms - EVERY_MS, *market.key],
    ).fetchall()
    checked_ms = max((checked for *_, checked in rows), default=0)
    return Known([symbol for symbol, is_taken, _ in rows if is_taken], checked_ms)


def note_listing(
    connection: duckdb.DuckDBPyConnection, market: Market, entries: Mapping[str, SymbolInfo], now_ms: int
) -> None:
    """Enter what exchangeInfo has just said, and what of it has changed since the answer before; a symbol that it lists
    no more is GONE, and its row stays."""
    before_ms = known(connection, market, now_ms).checked_ms or None
    connection.register("listed", listing_frame(entries))
    with transaction(connection):
        if market.kind.asked_by == "symbol":  # of a pair there are no rules
            note_rules(connection, market, now_ms, _checked_ms(connection, market))
        connection.execute(
            f"""
            MERGE INTO symbols USING (
                SELECT ? AS market, ? AS kind, * REPLACE (coalesce(l.status, '{GONE}') AS status),
                       epoch_ms(?::BIGINT) AS now, epoch_ms(?::BIGINT) AS before
                FROM (SELECT symbol, status, base, quote, contract_type FROM listed) l
                FULL JOIN (SELECT symbol FROM symbols WHERE market = ? AND kind = ? AND status IS NOT NULL)
                     USING (symbol)
            ) s USING (market, kind, symbol)
            WHEN MATCHED THEN UPDATE SET
                status = s.status, base = coalesce(s.base, symbols.base), quote = coalesce(s.quote, symbols.quote),
                contract_type = coalesce(s.contract_type, symbols.contract_type),
                first_seen = coalesce(symbols.first_seen, s.now), last_checked = s.now,
                delisted_at = CASE WHEN s.status NOT IN {ALIVE} THEN coalesce(symbols.delisted_at, s.now) END
            WHEN NOT MATCHED THEN INSERT (market, kind, symbol, status, base, quote, contract_type, first_seen,
                                          last_checked, unseen_at, delisted_at)
                VALUES (s.market, s.kind, s.symbol, s.status, s.base, s.quote, s.contract_type, s.now, s.now, s.before,
                        CASE WHEN s.status NOT IN {ALIVE} THEN s.now END)
            """,
            [*market.key, now_ms, before_ms, *market.key],
        )
    connection.unregister("listed")


def _checked_ms(connection: duckdb.DuckDBPyConnection, market: Market) -> int | None:
    """When exchangeInfo was last asked for whatever kind; None for never."""
    sql = "SELECT epoch_ms(max(last_checked)) FROM symbols WHERE market = ?"
    [(checked_ms,)] = connection.execute(sql, [market.name]).fetchall()
    return None if checked_ms is None else int(checked_ms)


def joined(connection: duckdb.DuckDBPyConnection, market: Market, symbols: Sequence[str]) -> dict[str, int]:
    """Of symbols that exchangeInfo did not list at first: the time, in ms, when it last did not."""
    rows = connection.execute(
        """SELECT symbol, epoch_ms(unseen_at) FROM symbols
           WHERE market = ? AND kind = ? AND unseen_at IS NOT NULL AND is_among(symbol, ?)""",
        [*market.key, " ".join(symbols)],
    ).fetchall()
    return dict(rows)


def note_symbol(
    connection: duckdb.DuckDBPyConnection,
    market: Market,
    symbol: str,
    listed_ms: int | None,
    quarantined_until_ms: int | None = None,
) -> None:
    """What was learnt of a symbol: the open time of its first kline, and how long it is not asked for."""
    connection.execute(
        """
        MERGE INTO symbols USING (SELECT ? AS market, ? AS kind, ? AS symbol, epoch_ms(?::BIGINT) AS listed_at,
                                         epoch_ms(?::BIGINT) AS quarantined_until) s
        USING (market, kind, symbol)
        WHEN MATCHED THEN UPDATE SET listed_at = coalesce(s.listed_at, symbols.listed_at),
                                     quarantined_until = s.quarantined_until
        WHEN NOT MATCHED THEN INSERT BY NAME
        """,
        [*market.key, symbol, listed_ms, quarantined_until_ms],
    )


def note_lives(connection: duckdb.DuckDBPyConnection, market: Market, symbol: str, between: Window) -> None:
    """A name that is used again: it was not traded `between` the last two of its lives. The symbol has a row."""
    connection.execute(
        """UPDATE symbols SET ended_at = epoch_ms(?::BIGINT), relisted_at = epoch_ms(?::BIGINT)
           WHERE market = ? AND kind = ? AND symbol = ?""",
        [between.start_ms, between.end_ms, *market.key, symbol],
    )


def quarantined(
    connection: duckdb.DuckDBPyConnection, market: Market, symbols: Sequence[str], now_ms: int
) -> list[str]:
    """Those of `symbols` that the exchange did not know within the last hour."""
    rows = connection.execute(
        """SELECT symbol FROM symbols
           WHERE market = ? AND kind = ? AND is_among(symbol, ?)
             AND quarantined_until > epoch_ms(?::BIGINT)""",
        [*market.key, " ".join(symbols), now_ms],
    ).fetchall()
    return sorted(symbol for (symbol,) in rows)


def listings(connection: duckdb.DuckDBPyConnection, market: Market, symbols: Sequence[str]) -> dict[str, int]:
    """The open time, in ms, of the first kline of those symbols of which it was asked for."""
    rows = connection.execute(
        """
        SELECT symbol, epoch_ms(listed_at) FROM symbols
        WHERE market = ? AND kind = ? AND listed_at IS NOT NULL AND is_among(symbol, ?)
        """,
        [*market.key, " ".join(symbols)],
    ).fetchall()
    return dict(rows)
