"""The stand-in's funding rates keep Binance's rules."""

from __future__ import annotations

import json
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

from klines.interval import DAY, HOUR
from tests.drive import NOON
from tests.exchange import StandIn

EIGHT = 8 * HOUR
MIDNIGHT = NOON - 12 * HOUR


def ask(exchange: StandIn, route: str = "/fapi/v1/fundingRate", symbol: str = "BTCUSDT", **params: int) -> Any:
    """The answer to a question, or its HTTP status and Binance's code."""
    query = "&".join(f"{name}={value}" for name, value in {"symbol": symbol, **params}.items())
    try:
        with urlopen(f"{exchange.url}{route}?{query}") as answer:
            return json.load(answer)
    except HTTPError as error:
        return error.code, json.load(error)["code"], int(error.headers.get("Retry-After", 0))


def test_pages(exchange: StandIn) -> None:
    """Both ends are included, ascending from startTime on; without times the newest; 100 where no limit is said, and
    1,000 at most. No rate is of the future, or of before the listing."""
    times = [row["fundingTime"] for row in ask(exchange)]
    assert (100, sorted(times)) == (len(times), times)
    assert NOON - DAY < times[-1] <= NOON
    assert times[-1:] == [row["fundingTime"] for row in ask(exchange, limit=1)]
    assert times[3:6] == [row["fundingTime"] for row in ask(exchange, startTime=times[3], endTime=times[5])]
    assert 1000 == len(ask(exchange, startTime=0, limit=1000))
    assert (400, -1130, 0) == ask(exchange, limit=1001)
    exchange.unlist("OLDUSDT")
    assert (400, -1121, 0) == ask(exchange, symbol="OLDUSDT")
    exchange.list("NEWUSDT", since_ms=MIDNIGHT)
    assert 2 == len(ask(exchange, symbol="NEWUSDT"))


def test_contracts_that_are_delivered_have_none(exchange: StandIn) -> None:
    """An empty list."""
    exchange.list("BTCUSD_260327")
    assert [] == ask(exchange, "/dapi/v1/fundingRate", "BTCUSD_260327")
    assert 100 == len(ask(exchange, "/dapi/v1/fundingRate", "BTCUSD_PERP"))


def test_the_pool_of_rates(exchange: StandIn) -> None:
    """usdm's rates and fundingInfo share 500 requests in five minutes, and cost nothing else; coinm's cost weight 1."""
    exchange.weight_limit["funding"] = 2
    used = exchange.used_weight("futures")
    ask(exchange, limit=1)
    exchange.fund("BTCUSDT", 4)
    assert [("BTCUSDT", 4)] == [
        (row["symbol"], row["fundingIntervalHours"]) for row in ask(exchange, "/fapi/v1/fundingInfo")
    ]
    assert (429, -1003, 295) == ask(exchange, limit=1)
    assert used == exchange.used_weight("futures")
    ask(exchange, "/dapi/v1/fundingRate", "BTCUSD_PERP", limit=1)
    assert used + 1 == exchange.used_weight("futures")
    exchange.freeze(NOON + 5 * 60_000)
    assert 1 == len(ask(exchange, limit=1))
