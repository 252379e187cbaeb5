"""The three markets and all sixteen intervals: the same sentence, within each one's own rules."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from klines.collect.run import CollectJob
from klines.errors import BadParameter
from klines.interval import DAY, INTERVALS
from klines.settings import Settings
from tests.drive import MINUTE, NOON, at, collect_once, ledger, ms, published, query, stored
from tests.exchange import StandIn

SYMBOL = {"spot": "BTCUSDT", "usdm": "BTCUSDT", "coinm": "BTCUSD_PERP"}
PATH = {"spot": "/api/v3/klines", "usdm": "/fapi/v1/klines", "coinm": "/dapi/v1/klines"}
markets = pytest.mark.parametrize("market", list(SYMBOL))


@markets
def test_catch_up_and_next_minute(exchange: StandIn, database: Path, market: str) -> None:
    """Each market's klines are stored as published, three days without a run included; the next minute is one request
    with a limit of 4, which costs 2 on spot and 1 on futures."""
    symbol = SYMBOL[market]
    collect_once(exchange, database, [symbol], market=market)
    exchange.freeze(at(3 * 1440) + 5_000)
    assert collect_once(exchange, database, [symbol], market=market).state == "Completed"
    assert published(exchange.klines(symbol, at(-30), at(3 * 1440), market=market)) == stored(database, symbol)

    exchange.freeze(at(3 * 1440 + 1) + 5_000)
    exchange.forget()
    collect_once(exchange, database, [symbol], market=market)
    [request] = exchange.kline_requests()
    assert (PATH[market], "4") == (request.path, request.params["limit"])
    assert [(market,)] == query(database, "SELECT DISTINCT market FROM klines")


@markets
def test_hole_and_correction(exchange: StandIn, database: Path, market: str) -> None:
    """On each market a hole of the exchange enters the ledger, and a value corrected after the close is noticed."""
    symbol = SYMBOL[market]
    exchange.hole(at(-20), at(-15))
    collect_once(exchange, database, [symbol], market=market)
    exchange.restate(symbol, at(-1), volume="77")
    exchange.freeze(at(1) + 5_000)
    outcome = collect_once(exchange, database, [symbol], market=market)

    assert "1 restated" in outcome.message
    assert [(-20, -15, "unresolved")] == ledger(database, symbol)
    assert published(exchange.klines(symbol, at(-30), at(1), market=market)) == stored(database, symbol)


@markets
@pytest.mark.parametrize("offset_minutes", [-10, 10])
def test_the_exchanges_clock_decides(exchange: StandIn, database: Path, market: str, offset_minutes: int) -> None:
    """A machine whose clock is wrong by ten minutes stores exactly the closed klines, on each market."""
    exchange.set_clock(offset_ms=offset_minutes * MINUTE)
    before_ms = exchange.now_ms() // MINUTE * MINUTE
    collect_once(exchange, database, [SYMBOL[market]], market=market)

    newest_ms = stored(database, SYMBOL[market])[-1][0]
    assert newest_ms in {before_ms - MINUTE, exchange.now_ms() // MINUTE * MINUTE - MINUTE}


@pytest.mark.parametrize("market", ["usdm", "coinm"])
def test_futures_pages_are_the_cheapest_and_never_too_wide(exchange: StandIn, database: Path, market: str) -> None:
    """A page of futures has at most 499 rows (weight 2) and, on COIN-M, at most 200 days; no request is refused."""
    symbol = SYMBOL[market]
    exchange.list(symbol, since_ms=NOON - 240 * DAY)
    days = timedelta(days=230)
    collect_once(exchange, database, [symbol], market=market, interval="1d", lookback=days)
    collect_once(exchange, database, [symbol], market=market, lookback=timedelta(minutes=1200))

    assert {200} == {request.status for request in exchange.requests}
    assert {True} == {int(request.params["limit"]) <= 499 for request in exchange.kline_requests()}
    assert [("1d", 230), ("1m", 1200)] == query(
        database, "SELECT interval, count(*) FROM klines GROUP BY interval ORDER BY interval"
    )


def test_futures_are_healthy_by_ping_and_time(exchange: StandIn, database: Path) -> None:
    """Futures have no system status: ping and time are asked for, and spot's maintenance does not stop them."""
    exchange.maintenance = True
    assert collect_once(exchange, database, ["BTCUSDT"], market="usdm").state == "Completed"
    assert {"/fapi/v1/ping", "/fapi/v1/time"} <= {request.path for request in exchange.requests}
    assert not [request for request in exchange.requests if "sapi" in request.path]


@pytest.mark.parametrize(("first", "second"), [("spot", "usdm"), ("coinm", "spot")])
def test_ban_of_one_pool_never_stops_the_other(exchange: StandIn, database: Path, first: str, second: str) -> None:
    """Spot and futures are limited apart, USDS-M and COIN-M together: a ban holds for its own pool alone."""
    exchange.fault(SYMBOL[first], "status", status=418)
    assert collect_once(exchange, database, [SYMBOL[first]], market=first).state == "RateLimited"
    exchange.clear()

    assert collect_once(exchange, database, [SYMBOL[second]], market=second).state == "Completed"
    same_pool = {"spot": "spot", "usdm": "coinm", "coinm": "usdm"}[first]
    exchange.forget()
    assert collect_once(exchange, database, [SYMBOL[same_pool]], market=same_pool).state == "RateLimited"
    assert [] == exchange.requests


def test_futures_share_one_pool_of_weight(exchange: StandIn, database: Path) -> None:
    """USDS-M and COIN-M draw on one sum: what the one has used the other leaves out, and nobody is limited."""
    exchange.weight_limit["futures"] = 100
    collect_once(exchange, database, [f"U{n}USDT" for n in range(70)], market="usdm")
    used = exchange.used_weight("futures")
    outcome = collect_once(exchange, database, [f"C{n}USD_PERP" for n in range(70)], market="coinm")

    assert 70 <= used <= exchange.used_weight("futures") <= 90
    assert {200} == {request.status for request in exchange.requests}
    assert "not asked for, as weight or time ran out" in outcome.message


@pytest.mark.parametrize("market", ["usdm", "coinm"])
def test_time_before_the_onboard_date_is_not_listed(exchange: StandIn, database: Path, market: str) -> None:
    """What is before a contract's first kline is named `not_listed`, without a page spent on it."""
    symbol = SYMBOL[market]
    exchange.list(symbol, since_ms=at(-90))
    outcome = collect_once(exchange, database, [symbol], market=market, since=date(2024, 1, 1))

    assert outcome.state == "Completed"
    assert 90 == len(stored(database, symbol))
    assert [(ms("2024-01-01"), at(-90), "not_listed")] == query(
        database, "SELECT epoch_ms(start_time), epoch_ms(end_time), reason FROM gaps"
    )
    assert len(exchange.kline_requests()) <= 3


ALIKE = ("3m", "15m", "30m", "2h", "6h", "12h")
"""Intervals that are as their neighbours, in minutes or hours: nothing is special about their boundaries."""


@pytest.mark.parametrize(
    "interval", [pytest.param(name, marks=pytest.mark.full if name in ALIKE else ()) for name in INTERVALS]
)
def test_every_interval_is_stored_as_published(exchange: StandIn, database: Path, interval: str) -> None:
    """Of each of the sixteen intervals a run stores just the closed klines of its lookback, on the exchange's own
    boundaries, and the next run at that moment asks for nothing."""
    kind = INTERVALS[interval]
    span = timedelta(milliseconds=5 * (kind.length_ms or 31 * DAY))
    exchange.list("BTCUSDT", since_ms=NOON - 12 * (kind.length_ms or 31 * DAY))
    # the stand-in makes a month of minutes for each kline of 1M
    outcome = collect_once(exchange, database, ["BTCUSDT"], interval=interval, lookback=span)
    assert outcome.state == "Completed"
    expected = exchange.klines("BTCUSDT", NOON - int(span.total_seconds() * 1000), NOON + 5_000, interval)
    rows = stored(database, "BTCUSDT", interval)
    assert 4 <= len(rows) <= 6
    assert published(expected)[-4:] == rows[-4:]
    assert [] == query(database, "FROM gaps")

    exchange.forget()
    assert collect_once(exchange, database, ["BTCUSDT"], interval=interval, lookback=span).state == "Completed"
    assert [] == exchange.kline_requests()


def test_one_second_exists_on_spot_only() -> None:
    """1s of futures is refused with the parameter's name, before anything is asked."""
    with pytest.raises(BadParameter, match="interval: 1s exists on spot only"):
        CollectJob.of(Settings(), ["BTCUSDT"], "usdm", "1s", timedelta(hours=1))


def test_a_minute_of_seconds_is_one_request(exchange: StandIn, database: Path) -> None:
    """1s: sixty rows a minute and symbol, in one request."""
    collect_once(exchange, database, ["BTCUSDT"], interval="1s", lookback=timedelta(minutes=2))
    exchange.freeze(at(1) + 5_000)
    exchange.forget()
    collect_once(exchange, database, ["BTCUSDT"], interval="1s", lookback=timedelta(minutes=2))

    [request] = exchange.kline_requests()
    assert "63" == request.params["limit"]
    assert 180 == len(stored(database, "BTCUSDT", "1s"))
