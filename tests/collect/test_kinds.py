"""Mark, index, premium and continuous klines: everything that holds for klines of trades, of each kind by itself."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from klines.errors import BadParameter
from klines.market import CONTRACTS, KINDS, market_of
from tests.drive import NOON, at, audit_once, backfill_once, collect_once, ms, query
from tests.exchange import StandIn
from tests.exchange.market import Page, of_kind

SERIES = {
    ("usdm", "mark"): ("BTCUSDT", "BTCUSDT"),
    ("usdm", "index"): ("BTCUSDT", "BTCUSDT"),
    ("usdm", "premium"): ("BTCUSDT", "BTCUSDT"),
    ("usdm", "continuous"): ("BTCUSDT_PERPETUAL", "BTCUSDT"),
    ("coinm", "mark"): ("BTCUSD_PERP", "BTCUSD_PERP"),
    ("coinm", "index"): ("BTCUSD", "BTCUSD_PERP"),
    ("coinm", "premium"): ("BTCUSD_PERP", "BTCUSD_PERP"),
    ("coinm", "continuous"): ("BTCUSD_PERPETUAL", "BTCUSD_PERP"),
}
"""Of each market and kind the symbol of a series, and the contract whose klines the stand-in makes it of."""
LIVE, DAY = ("2025-12-29", "2025-12-30"), ("2025-12-30", "2025-12-31")


def published(exchange: StandIn, market: str, kind: str, start_ms: int, end_ms: int) -> list[tuple[Any, ...]]:
    """Open time, prices and trades that the exchange has of the series; no trades where it publishes samples."""
    _, contract = SERIES[market, kind]
    page = Page(market, contract, "1m", start_ms, end_ms - 1, 10**9, False, NOON)
    rows = of_kind(exchange.rows(page), KINDS[kind].route, market, contract)
    has_trades = KINDS[kind].has_volumes
    return [(row[0], *map(Decimal, row[1:5]), row[8] if has_trades else None) for row in rows]


def stored(database: Path, kind: str) -> list[tuple[Any, ...]]:
    """The same of what is stored, prices as the database prints them."""
    rows = query(
        database,
        f"""SELECT epoch_ms(open_time), open::VARCHAR, high::VARCHAR, low::VARCHAR, close::VARCHAR, trades FROM klines
            WHERE kind = '{kind}' AND interval = '1m' ORDER BY open_time""",
    )
    return [(open_ms, *map(Decimal, prices), trades) for open_ms, *prices, trades in rows]


@pytest.mark.parametrize(("market", "kind"), SERIES)
def test_a_kind_is_collected_backfilled_and_audited(exchange: StandIn, database: Path, market: str, kind: str) -> None:
    """The minute, a day of the archive or of REST, and the audit, of each kind by its own route, name and folder: every
    kline as published, to the last digit, what is not published NULL, and all of it confirmed by 1d klines and the
    archive."""
    symbol, contract = SERIES[market, kind]
    exchange.list(contract)
    assert "Completed" == collect_once(exchange, database, [symbol], market=market, kind=kind).state
    by_rest, loaded = (
        backfill_once(exchange, database, [symbol], *day, market=market, kind=kind, source=source)
        for day, source in ((LIVE, "rest"), (DAY, "auto"))
    )
    assert ("Completed", "Completed") == (by_rest.state, loaded.state), loaded.message
    assert KINDS[kind].is_archived == ("1 daily" in loaded.message)
    start_ms, end_ms = ms(LIVE[0]), ms(DAY[1])
    whole = published(exchange, market, kind, start_ms, end_ms) + published(exchange, market, kind, at(-30), NOON)
    assert whole == stored(database, kind)
    assert [(KINDS[kind].has_volumes,)] == query(
        database, "SELECT DISTINCT volume IS NOT NULL AND taker_buy_quote_volume IS NOT NULL FROM klines"
    )

    audited = audit_once(exchange, database)
    assert "Completed" == audited.state, audited.message
    confirmed = query(database, "SELECT path FROM archive_files WHERE verified_at IS NOT NULL ORDER BY path")
    days = (LIVE[0], DAY[0]) if KINDS[kind].is_archived else ()
    assert [day for day in days if any(day in path for (path,) in confirmed)] == list(days)
    assert all(f"/{KINDS[kind].route}/{symbol}/" in path for (path,) in confirmed)
    assert [(market, kind, symbol, 0)] == query(
        database, "SELECT DISTINCT market, kind, symbol, unexplained FROM certificate WHERE interval = '1m'"
    )


@pytest.mark.parametrize("kind", ["index", "continuous"])
def test_patterns_take_from_the_pairs(exchange: StandIn, database: Path, kind: str) -> None:
    """Where a series is of a pair, patterns take the pairs of exchangeInfo, or their types of contract."""
    exchange.list("BTCUSDT_260327", since_ms=ms("2025-09-01"), until_ms=ms("2026-03-27"), markets=["usdm"])
    done = collect_once(exchange, database, ["BTC*"], market="usdm", kind=kind)
    assert "Completed" == done.state, done.message
    expected = {
        "index": ["BTCUSDT"],
        "continuous": ["BTCUSDT_CURRENT_QUARTER", "BTCUSDT_PERPETUAL"],
    }
    assert [(symbol,) for symbol in expected[kind]] == query(database, "SELECT DISTINCT symbol FROM klines ORDER BY 1")


def test_what_there_is_not_is_refused() -> None:
    """A kind that a market has not, a pair without a type of contract, and a contract in the place of a pair are
    refused with what there is."""
    with pytest.raises(BadParameter, match="kind: 'mark' is none that spot has: klines"):
        market_of("spot", "mark")
    with pytest.raises(BadParameter, match=f"write a pair and one of {', '.join(CONTRACTS)}"):
        market_of("usdm", "continuous").check_entries(["BTC*", "BTCUSDT"])
    with pytest.raises(BadParameter, match="BTCUSD_PERP is no pair"):
        market_of("coinm", "index").check_entries(["BTCUSD_PERP"])
