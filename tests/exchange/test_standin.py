"""The stand-in keeps the exchange's rules: every rule by real HTTP requests."""

from __future__ import annotations

import contextlib
import csv
import gzip
import http.client
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

import pytest

from tests.exchange import KINDS, Row, StandIn, floor

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("SHARED_DATA", ROOT.parent / "shared" / "data"))
NOW = 1_763_881_230_000  # 2025-11-23 07:00:30 UTC: the kline of 07:00 is open
OPEN = NOW - 30_000
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


class Reply(NamedTuple):
    """An answer; the body parsed if it is JSON."""

    status: int
    headers: Any
    body: Any


def ask(exchange: StandIn, path: str, headers: dict[str, str] | None = None, **params: Any) -> Reply:
    """One GET; the body parsed if it is JSON."""
    query = f"?{urlencode(params)}" if params else ""
    request = urllib.request.Request(exchange.url + path + query, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            status, got, raw = response.status, response.headers, response.read()
    except urllib.error.HTTPError as error:
        with error:
            status, got, raw = error.code, error.headers, error.read()
    return Reply(status, got, json.loads(raw) if "json" in got["Content-Type"] and raw else raw)


def klines(
    exchange: StandIn, symbol: str = "BTCUSDT", interval: str = "1m", base: str = "/api/v3", **params: Any
) -> Any:
    """The body of one klines request."""
    return ask(exchange, base + "/klines", symbol=symbol, interval=interval, **params).body


def opens(rows: list[Row]) -> list[int]:
    """The open times (ms) of rows."""
    return [row[0] for row in rows]


def code(reply: Reply) -> tuple[int, int]:
    """HTTP status and Binance\'s code of an error."""
    return reply.status, reply.body["code"]


@pytest.fixture
def exchange() -> Iterator[StandIn]:
    """A stand-in of three symbols, its clock stopped in the middle of a minute."""
    with StandIn(["BTCUSDT", "ETHUSDT", "BTCUSD_PERP"]) as exchange:
        exchange.freeze(NOW)
        yield exchange


# -- klines: which rows


def test_without_times_the_latest_rows_come_ascending_with_the_open_one_last(exchange: StandIn) -> None:
    """Neither start nor end: the latest `limit` rows, the still-open kline among them."""
    assert opens(klines(exchange, limit=3)) == [OPEN - 2 * MINUTE, OPEN - MINUTE, OPEN]


def test_start_only_counts_from_the_oldest(exchange: StandIn) -> None:
    """startTime only: the oldest rows from it; an un-aligned start rounds up."""
    assert opens(klines(exchange, startTime=OPEN - HOUR + 1, limit=2)) == [OPEN - 59 * MINUTE, OPEN - 58 * MINUTE]


def test_end_only_counts_back(exchange: StandIn) -> None:
    """endTime only: the latest rows up to it; an un-aligned end rounds down."""
    assert opens(klines(exchange, endTime=OPEN - HOUR - 1, limit=2)) == [OPEN - 62 * MINUTE, OPEN - 61 * MINUTE]


def test_both_ends_are_included_and_the_oldest_are_kept(exchange: StandIn) -> None:
    """Both: filtered on open time, ends inclusive, capped from the start; equal ends give one row."""
    start = OPEN - HOUR
    assert opens(klines(exchange, startTime=start, endTime=start + MINUTE)) == [start, start + MINUTE]
    assert opens(klines(exchange, startTime=start, endTime=start)) == [start]
    assert opens(klines(exchange, startTime=start, endTime=OPEN, limit=2)) == [start, start + MINUTE]


@pytest.mark.parametrize(
    ("base", "symbol", "limit", "rows"),
    [("/api/v3", "BTCUSDT", None, 500), ("/api/v3", "BTCUSDT", 5000, 1000), ("/fapi/v1", "BTCUSDT", None, 500),
     ("/fapi/v1", "BTCUSDT", 1500, 1500), ("/dapi/v1", "BTCUSD_PERP", 1500, 1500)],
)  # fmt: skip
def test_limit(exchange: StandIn, base: str, symbol: str, limit: int | None, rows: int) -> None:
    """500 by default; spot caps at 1000 without a word, futures go to 1500."""
    params: dict[str, Any] = {} if limit is None else {"limit": limit}
    assert len(klines(exchange, symbol, base=base, **params)) == rows


def test_the_open_kline_differs_from_its_final_self(exchange: StandIn) -> None:
    """The open kline holds what has happened so far, for a trade-less minute too; a closed one changes no more."""
    for minute in range(60):
        exchange.freeze(NOW + minute * MINUTE)
        (partial,) = klines(exchange, limit=1)
        exchange.freeze(NOW + (minute + 1) * MINUTE)
        final, _ = klines(exchange, limit=2)
        assert partial[0] == final[0]
        assert partial[4] != final[4]
        assert partial[5] < final[5] or final[8] == 0 or len(partial[5]) < len(final[5])
    exchange.freeze(NOW + DAY)
    assert klines(exchange, startTime=final[0], limit=1) == [final]


def test_times_outside_are_adjusted(exchange: StandIn) -> None:
    """startTime before all time gives the first kline; one in the future gives []."""
    exchange.list("ETHUSDT", since_ms=OPEN - DAY)
    assert opens(klines(exchange, "ETHUSDT", startTime=0, limit=1)) == [OPEN - DAY]
    assert klines(exchange, startTime=NOW + 1) == []
    assert opens(klines(exchange, startTime=OPEN, endTime=NOW + DAY)) == [OPEN]


def test_microseconds(exchange: StandIn) -> None:
    """X-MBX-TIME-UNIT: MICROSECOND gives us; startTime and endTime are taken in either unit."""
    asked: dict[str, Any] = {"symbol": "BTCUSDT", "interval": "1m", "startTime": (OPEN - MINUTE) * 1000, "limit": 1}
    (row,) = ask(exchange, "/api/v3/klines", {"X-MBX-TIME-UNIT": "MICROSECOND"}, **asked).body
    assert (row[0], row[6]) == ((OPEN - MINUTE) * 1000, OPEN * 1000 - 1)
    assert ask(exchange, "/api/v3/time", {"X-MBX-TIME-UNIT": "MICROSECOND"}).body == {"serverTime": NOW * 1000}


def test_coinm_gives_the_newest_rows_of_at_most_200_days(exchange: StandIn) -> None:
    """COIN-M: most recent rows of the window; start only ends 200 days on, end only starts 200 days before."""
    start, base = OPEN - 300 * DAY, "/dapi/v1"
    rows = klines(exchange, "BTCUSD_PERP", base=base, startTime=start, endTime=start + HOUR, limit=1)
    assert opens(rows) == [start + HOUR]
    assert opens(klines(exchange, "BTCUSD_PERP", base=base, startTime=start, limit=1)) == [start + 200 * DAY]
    asked: dict[str, Any] = {"symbol": "BTCUSD_PERP", "interval": "1d"}
    assert len(ask(exchange, base + "/klines", **asked, endTime=floor(NOW, "1d"), limit=500).body) == 201
    wide = ask(exchange, base + "/klines", **asked, startTime=start, endTime=start + 200 * DAY + 1)
    assert code(wide) == (400, -4088)


def test_coinm_counts_contracts(exchange: StandIn) -> None:
    """COIN-M: volume is whole contracts of 100 USD, the quote volume column is in the base asset."""
    row = klines(exchange, "BTCUSD_PERP", base="/dapi/v1", startTime=OPEN - MINUTE, limit=2)[-2]
    assert row[5].isdecimal()
    assert row[9].isdecimal()
    assert float(row[7]) == pytest.approx(int(row[5]) * 100 / float(row[1]), rel=0.01)


def test_futures_refuse_start_after_end(exchange: StandIn) -> None:
    """Futures answer -1023 to a start after the end, spot an empty list."""
    asked: dict[str, Any] = {"symbol": "BTCUSDT", "interval": "1m", "startTime": OPEN, "endTime": OPEN - 1}
    assert code(ask(exchange, "/fapi/v1/klines", **asked)) == (400, -1023)
    assert ask(exchange, "/api/v3/klines", **asked).body == []


@pytest.mark.parametrize(
    ("params", "error"),
    [({"symbol": "NOPE", "interval": "1m"}, -1121), ({"symbol": "BTCUSDT", "interval": "1x"}, -1120),
     ({"interval": "1m"}, -1102), ({"symbol": "btcusdt", "interval": "1m"}, -1100), ({"symbol": "BTCUSDT"}, -1102),
     ({"symbol": "BTC USDT", "interval": "1m"}, -1100), ({"symbol": "BTCUSDT", "interval": "1m", "limit": "x"}, -1100),
     ({"symbol": "BTCUSDT", "interval": "1m", "since": 1}, -1104)],
)  # fmt: skip
def test_bad_parameters(exchange: StandIn, params: dict[str, Any], error: int) -> None:
    """A wrong parameter is 400 with Binance's code."""
    assert code(ask(exchange, "/api/v3/klines", **params)) == (400, error)


def test_message_of_a_missing_symbol(exchange: StandIn) -> None:
    """The message names the parameter."""
    message = "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed."
    assert ask(exchange, "/api/v3/klines", interval="1m").body["msg"] == message


def test_futures_have_no_seconds(exchange: StandIn) -> None:
    """1s is of spot only."""
    assert code(ask(exchange, "/fapi/v1/klines", symbol="BTCUSDT", interval="1s")) == (400, -1120)
    assert opens(klines(exchange, interval="1s", limit=2)) == [NOW - 1000, NOW]


def test_names_beyond_ascii(exchange: StandIn) -> None:
    """A listed name may be Chinese, sent as percent-encoded UTF-8."""
    exchange.list("币安人生USDT")
    path = f"/api/v3/klines?symbol={quote('币安人生USDT')}&interval=1m&limit=1"
    assert ask(exchange, path).status == 200
    assert exchange.kline_requests("币安人生USDT")[0].params["limit"] == "1"


def test_any_symbol() -> None:
    """`any_symbol` knows every well-formed name."""
    with StandIn([], any_symbol=True) as exchange:
        assert len(klines(exchange, "WHATEVERUSDT", limit=2)) == 2
        assert code(ask(exchange, "/api/v3/klines", symbol="what", interval="1m")) == (400, -1100)


# -- klines: their values


def test_values_are_the_same_everywhere(exchange: StandIn) -> None:
    """A kline's values depend on market, symbol and time only: pinned here, so that no process differs."""
    (row,) = klines(exchange, startTime=OPEN - MINUTE, limit=1)
    assert row == [1763881140000, "55426.68929720", "55427.95791345", "55380.75300895", "55382.44449728", "9.12737178",
                   1763881199999, "505698.08038099", 671, "5.02005447", "278133.94420954", "0"]  # fmt: skip
    assert klines(exchange, base="/fapi/v1", startTime=OPEN - MINUTE, limit=1) != [row]


def test_values_are_sound(exchange: StandIn) -> None:
    """Each opens where the one before closed, prices in order and positive; about one in 50 has no trade."""
    rows, quiet, last = klines(exchange, startTime=OPEN - 1000 * MINUTE, limit=1000), 0, None
    for row in rows:
        o, h, lo, c, v = (float(row[i]) for i in range(1, 6))
        assert 0 < lo <= min(o, c) <= max(o, c) <= h
        assert all(len(row[i].partition(".")[2]) == 8 for i in range(1, 6))
        assert (v == 0) == (row[8] == 0) == (lo == h)
        assert 0 <= float(row[9]) <= v
        assert v == 0 or lo <= float(row[7]) / v <= h
        assert last is None or last[8] == 0 or last[4] == row[1]
        quiet, last = quiet + (row[8] == 0), row
    assert 5 <= quiet <= 45


@pytest.mark.parametrize(("interval", "minutes"), [("3m", 3), ("15m", 15), ("4h", 240), ("1d", 1440)])
def test_long_klines_are_made_of_minutes(exchange: StandIn, interval: str, minutes: int) -> None:
    """Open of the first, highest, lowest, close of the last, sums; closing 1 ms before the next opens."""
    (row,) = klines(exchange, interval=interval, startTime=floor(OPEN - 2 * DAY, interval), limit=1)
    parts = exchange.klines("BTCUSDT", row[0], row[0] + minutes * MINUTE)
    assert len(parts) == minutes
    assert row[6] == row[0] + minutes * MINUTE - 1
    assert (row[1], row[4], row[8]) == (parts[0][1], parts[-1][4], sum(part[8] for part in parts))
    assert float(row[2]) == max(float(part[2]) for part in parts)
    assert float(row[3]) == min(float(part[3]) for part in parts)
    assert float(row[5]) == pytest.approx(sum(float(part[5]) for part in parts))


def test_boundaries(exchange: StandIn) -> None:
    """Weeks open on Monday, months on the first, 3d one day off the epoch's phase; a month closes at its end."""
    (week,), (month,), (three,) = (
        klines(exchange, interval=interval, startTime=1_498_521_600_000, limit=1) for interval in ("1w", "1M", "3d")
    )
    assert week[0] == 1_502_668_800_000  # Mon 2017-08-14, the week of the listing
    assert (month[0], month[6]) == (1_501_545_600_000, 1_504_223_999_999)
    assert three[0] // DAY % 3 == 1


def test_the_open_long_kline(exchange: StandIn) -> None:
    """The open hour holds the minutes so far."""
    hour = klines(exchange, interval="1h", limit=1)[0]
    minutes = klines(exchange, startTime=hour[0], endTime=NOW)
    assert (hour[1], hour[4]) == (minutes[0][1], minutes[-1][4])


# -- irregularities


def test_holes(exchange: StandIn) -> None:
    """Minutes in a hole are absent, pages run on behind it; a long kline exists if any of its minutes does."""
    start = OPEN - 10 * HOUR
    exchange.hole(start + MINUTE, start + 90 * MINUTE)
    assert opens(klines(exchange, startTime=start, limit=2)) == [start, start + 90 * MINUTE]
    assert opens(klines(exchange, endTime=start + 90 * MINUTE, limit=2)) == [start, start + 90 * MINUTE]
    assert opens(klines(exchange, interval="15m", startTime=start, limit=2)) == [start, start + 90 * MINUTE]
    exchange.hole(start, start + MINUTE, symbol="ETHUSDT")
    assert opens(klines(exchange, "ETHUSDT", startTime=start, limit=1)) == [start + 90 * MINUTE]
    assert opens(klines(exchange, startTime=start, limit=1)) == [start]


def test_late_klines(exchange: StandIn) -> None:
    """Late: a closed kline shows `by_ms` after its close, the open one never; the truth does not change."""
    exchange.late(40_000)
    assert opens(klines(exchange, limit=1)) == [OPEN - 2 * MINUTE]
    assert opens(exchange.klines("BTCUSDT", OPEN - MINUTE, NOW)) == [OPEN - MINUTE]
    exchange.freeze(OPEN + 40_000)
    assert opens(klines(exchange, limit=1)) == [OPEN - MINUTE]


def test_restated_klines(exchange: StandIn) -> None:
    """A restated kline has other values from now on, and so has the hour over it."""
    at = floor(OPEN - DAY, "1h") + 59 * MINUTE
    before = klines(exchange, interval="1h", startTime=at - 59 * MINUTE, limit=1)[0]
    exchange.restate("BTCUSDT", at, close="9.0", volume="1.0")
    (row,) = klines(exchange, startTime=at, limit=1)
    assert (row[4], row[5]) == ("9.0", "1.0")
    assert exchange.klines("BTCUSDT", at, at + 1) == [row]
    after = klines(exchange, interval="1h", startTime=at - 59 * MINUTE, limit=1)[0]
    assert after[4] == "9.00000000" != before[4]
    assert after[1:3] == before[1:3]


def test_replayed_rows(exchange: StandIn) -> None:
    """Recorded rows come as they are, off the grid and cut short too; between first and last no others exist."""
    start = OPEN - DAY
    values = ["1.0", "2.0", "0.5", "1.5", "10.0"]
    recorded: list[Row] = [
        [at, *values, close, "15.0", 3, "4.0", "6.0", "0"]
        for at, close in ((start, start + 14_799), (start + 3 * MINUTE + 14_789, start + 4 * MINUTE + 14_788))
    ]
    exchange.replay("BTCUSDT", recorded)
    rows = klines(exchange, startTime=start - MINUTE, endTime=start + 4 * MINUTE)
    assert rows[1:-1] == recorded
    assert opens(rows)[::3] == [start - MINUTE, start + 4 * MINUTE]
    assert klines(exchange, startTime=recorded[1][0], endTime=recorded[1][0]) == recorded[1:]
    assert klines(exchange, interval="3m", startTime=start, limit=1)[0][1:6:4] == ["1.00000000", "10.00000000"]


def test_replayed_archive(exchange: StandIn) -> None:
    """Real rows of the outage of 2018-02-08 are served as recorded, the last one cut short; after them, none."""
    file = DATA / "spot_archive" / "BTCUSDT-1m-2018-02-08.csv"
    if not file.exists():
        pytest.skip(f"recorded data not found: {file}")
    with file.open() as lines:
        rows: list[Row] = [[int(v) if i in (0, 6, 8) else v for i, v in enumerate(row)] for row in csv.reader(lines)]
    exchange.replay("BTCUSDT", rows)
    exchange.hole(rows[-1][0] + MINUTE, rows[-1][0] + 2 * DAY)
    assert klines(exchange, startTime=rows[0][0], endTime=rows[0][0] + DAY, limit=1000) == rows
    assert rows[-1][6] - rows[-1][0] == 14_788


def test_listing(exchange: StandIn) -> None:
    """Klines exist while a symbol is listed; after that its old ones can still be asked, and its status says so."""
    exchange.list("ETHUSDT", since_ms=OPEN - DAY, until_ms=OPEN - HOUR)
    assert opens(klines(exchange, "ETHUSDT", limit=1)) == [OPEN - HOUR - MINUTE]
    assert ask(exchange, "/api/v3/exchangeInfo", symbol="ETHUSDT").body["symbols"][0]["status"] == "BREAK"
    exchange.list("ETHUSDT", status="HALT")
    assert ask(exchange, "/api/v3/exchangeInfo", symbol="ETHUSDT").body["symbols"][0]["status"] == "HALT"


def test_the_truth(exchange: StandIn) -> None:
    """`klines`: half-open by open time, closed rows only, the values served."""
    truth = exchange.klines("BTCUSDT", OPEN - 3 * MINUTE, NOW)
    assert truth == klines(exchange, limit=4)[:-1]
    assert opens(exchange.klines("BTCUSDT", OPEN - MINUTE, OPEN)) == [OPEN - MINUTE]


# -- other routes


def test_ping_time_and_status(exchange: StandIn) -> None:
    """ping is {}, time is the exchange's clock, status says whether it is in maintenance; data-api has no /sapi."""
    assert ask(exchange, "/api/v3/ping").body == ask(exchange, "/fapi/v1/ping").body == {}
    assert ask(exchange, "/dapi/v1/time").body == {"serverTime": NOW}
    assert ask(exchange, "/sapi/v1/system/status").body == {"status": 0, "msg": "normal"}
    exchange.maintenance = True
    assert ask(exchange, "/sapi/v1/system/status").body == {"status": 1, "msg": "system_maintenance"}
    assert exchange.kline_requests() == []
    exchange.sapi = False
    assert ask(exchange, "/sapi/v1/system/status").status == 404


def test_clock(exchange: StandIn) -> None:
    """The clock is frozen, or the real one plus an offset."""
    exchange.set_clock(offset_ms=5000)
    assert abs(ask(exchange, "/api/v3/time").body["serverTime"] - time.time() * 1000 - 5000) < 500


def test_spot_exchange_info(exchange: StandIn) -> None:
    """All symbols, or those named, of which one unknown fails all; by status; with the limits that hold."""
    exchange.weight_limit["spot"] = 1234
    info = ask(exchange, "/api/v3/exchangeInfo").body
    assert [one["symbol"] for one in info["symbols"]] == ["BTCUSDT", "ETHUSDT"]
    assert info["rateLimits"][0]["limit"] == 1234
    assert info["symbols"][0]["baseAsset"] == "BTC"
    named = ask(exchange, "/api/v3/exchangeInfo", symbols='["ETHUSDT","BTCUSDT"]').body["symbols"]
    assert [one["symbol"] for one in named] == ["ETHUSDT", "BTCUSDT"]
    assert code(ask(exchange, "/api/v3/exchangeInfo", symbols='["ETHUSDT","NOPE"]')) == (400, -1121)
    assert code(ask(exchange, "/api/v3/exchangeInfo", symbol="ETHUSDT", symbolStatus="HALT")) == (400, -1128)
    assert code(ask(exchange, "/api/v3/exchangeInfo", symbolStatus="OPEN")) == (400, -1122)
    exchange.list("ETHUSDT", status="BREAK")
    slim = ask(exchange, "/api/v3/exchangeInfo", symbolStatus="TRADING", showPermissionSets="false").body["symbols"]
    assert [one["symbol"] for one in slim] == ["BTCUSDT"]
    assert "permissionSets" not in slim[0]


def test_futures_exchange_info(exchange: StandIn) -> None:
    """USD-M says status, COIN-M contractStatus; both say onboardDate and deliveryDate."""
    exchange.list("BTCUSD_250926", since_ms=1, until_ms=NOW)
    um = ask(exchange, "/fapi/v1/exchangeInfo").body["symbols"][0]
    perpetual, dated = ask(exchange, "/dapi/v1/exchangeInfo").body["symbols"]
    assert um["status"] == perpetual["contractStatus"] == "TRADING"
    assert "status" not in perpetual
    assert (perpetual["contractType"], perpetual["deliveryDate"]) == ("PERPETUAL", 4133404800000)
    assert (dated["contractStatus"], dated["onboardDate"], dated["deliveryDate"]) == ("DELIVERED", 1, NOW)


@pytest.mark.parametrize(
    ("file", "path"), [("usdm_exchangeInfo_2021-07.json", "/fapi/v1"), ("coinm_exchangeInfo_2021-07.json", "/dapi/v1")]
)
def test_exchange_info_is_shaped_as_recorded(exchange: StandIn, file: str, path: str) -> None:
    """Every key of a futures symbol is one the real exchange sent."""
    if not (DATA / "rest" / file).exists():
        pytest.skip(f"recorded data not found: {DATA / 'rest' / file}")
    real = json.loads((DATA / "rest" / file).read_text())["symbols"][0]
    assert ask(exchange, path + "/exchangeInfo").body["symbols"][0].keys() <= real.keys()


def test_unknown_paths(exchange: StandIn) -> None:
    """404; an HTML body only for who accepts one. A market that is not there has no routes."""
    assert ask(exchange, "/api/v1/klines").body == b""
    assert ask(exchange, "/nowhere", {"Accept": "text/html"}).body.startswith(b"<html>")
    with StandIn(markets=["spot"]) as spot:
        assert ask(spot, "/fapi/v1/ping").status == 404


def test_requests_are_recorded(exchange: StandIn) -> None:
    """Every request is kept in order with its parameters and status until forgotten."""
    klines(exchange, limit=1)
    klines(exchange, "NOPE")
    assert [(r.at_ms, r.path, r.status) for r in exchange.requests] == [(NOW, "/api/v3/klines", s) for s in (200, 400)]
    assert [r.params["symbol"] for r in exchange.kline_requests("NOPE")] == ["NOPE"]
    exchange.forget()
    assert exchange.requests == []


# -- weight and headers


@pytest.mark.parametrize(
    ("base", "limit", "weight"),
    [("/api/v3", 1000, 2), ("/fapi/v1", 99, 1), ("/fapi/v1", 100, 2), ("/fapi/v1", 499, 2), ("/fapi/v1", 500, 5),
     ("/fapi/v1", 1000, 5), ("/dapi/v1", 1001, 10)],
)  # fmt: skip
def test_weight_of_klines(exchange: StandIn, base: str, limit: int, weight: int) -> None:
    """Spot 2 flat; futures 1, 2, 5, 10 by limit, in a pool that both futures share."""
    ask(exchange, base + "/klines", symbol="BTCUSDT", interval="1m", limit=limit)
    assert exchange.used_weight("spot" if base == "/api/v3" else "futures") == weight


def test_weight_is_of_an_address(exchange: StandIn) -> None:
    """Each address has its own minute, and its own ban; an answer states that of who asked."""
    exchange.weight_limit["spot"], exchange.ban_after = 30, 1
    said = []
    for address in ("127.0.0.2", "127.0.0.2", "127.0.0.2", "127.0.0.3"):
        asking = http.client.HTTPConnection("127.0.0.1", urlsplit(exchange.url).port or 0, source_address=(address, 0))
        asking.request("GET", "/api/v3/exchangeInfo")
        with contextlib.closing(asking), asking.getresponse() as answer:
            said.append((answer.status, answer.headers["X-MBX-USED-WEIGHT-1M"]))
    assert [(200, "20"), (429, "40"), (418, "60"), (200, "20")] == said
    assert (0, 60) == (exchange.used_weight("spot"), exchange.used_weight("spot", "127.0.0.2"))
    assert ["127.0.0.2"] * 3 + ["127.0.0.3"] == [request.address for request in exchange.requests]


def test_weight_headers(exchange: StandIn) -> None:
    """Every answer states the weight used in the clock's minute, which starts anew with the next."""
    ask(exchange, "/api/v3/exchangeInfo")
    reply = ask(exchange, "/api/v3/klines", symbol="NOPE", interval="1m")
    assert reply.headers["X-MBX-USED-WEIGHT"] == reply.headers["X-MBX-USED-WEIGHT-1M"] == "22"
    assert reply.headers["Content-Type"] == "application/json;charset=UTF-8"
    exchange.freeze(NOW + MINUTE)
    assert ask(exchange, "/api/v3/ping").headers["X-MBX-USED-WEIGHT-1M"] == "1"


def test_limit_broken_then_banned(exchange: StandIn) -> None:
    """Over the limit: 429 until the minute ends; not heeding it 20 times: 418 for two minutes, on every route."""
    exchange.weight_limit["spot"] = 2
    assert len(klines(exchange, limit=1)) == 1
    limited = [ask(exchange, "/api/v3/ping") for _ in range(20)]
    assert {code(reply) for reply in limited} == {(429, -1003)}
    assert limited[0].headers["Retry-After"] == "30"
    banned = ask(exchange, "/api/v3/ping")
    assert code(banned) == (418, -1003)
    assert banned.headers["Retry-After"] == "120"
    assert f"IP banned until {NOW + 120_000}." in banned.body["msg"]
    assert ask(exchange, "/fapi/v1/ping").status == 200
    exchange.freeze(NOW + 119_000)
    assert ask(exchange, "/api/v3/ping").headers["Retry-After"] == "1"
    exchange.freeze(NOW + 120_000)
    assert ask(exchange, "/api/v3/ping").status == 200


def test_gzip(exchange: StandIn) -> None:
    """A body over 1 KB is packed for who accepts it."""
    asked: dict[str, Any] = {"symbol": "BTCUSDT", "interval": "1m"}
    url = f"{exchange.url}/api/v3/klines?{urlencode(asked)}"
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Accept-Encoding": "gzip"})) as response:
        assert response.headers["Content-Encoding"] == "gzip"
        assert json.loads(gzip.decompress(response.read())) == klines(exchange)
    assert (
        ask(exchange, "/api/v3/klines", {"Accept-Encoding": "gzip"}, **asked, limit=1).headers["Content-Encoding"]
        is None
    )


# -- faults


def test_faults_strike_their_symbol_n_times(exchange: StandIn) -> None:
    """A fault strikes its symbol only, `times` times or until cleared; without a symbol, all klines, no other route."""
    exchange.fault("ETHUSDT", "status", status=503, times=1)
    asked: dict[str, Any] = {"interval": "1m", "limit": 1}
    replies = [ask(exchange, "/api/v3/klines", symbol=name, **asked) for name in ("BTCUSDT", "ETHUSDT", "ETHUSDT")]
    assert [reply.status for reply in replies] == [200, 503, 200]
    exchange.fault(None, "empty")
    assert klines(exchange) == klines(exchange, "ETHUSDT") == []
    assert ask(exchange, "/api/v3/time").status == 200
    exchange.clear()
    assert len(klines(exchange, limit=2)) == 2


def test_faults_of_other_routes(exchange: StandIn) -> None:
    """`path` names the route to strike."""
    exchange.fault(None, "status", status=502, path="time")
    assert ask(exchange, "/api/v3/time").status == 502
    assert len(klines(exchange, limit=1)) == 1


@pytest.mark.parametrize(
    ("status", "error"), [(408, -1007), (418, -1003), (429, -1003), (451, 0), (500, -1000), (503, -1008), (504, -1007)]
)
def test_status_faults(exchange: StandIn, status: int, error: int) -> None:
    """A status comes with the body the exchange sends with it; 429 and 418 with Retry-After."""
    exchange.fault("BTCUSDT", "status", status=status)
    reply = ask(exchange, "/api/v3/klines", symbol="BTCUSDT", interval="1m")
    assert code(reply) == (status, error)
    assert (reply.headers["Retry-After"] is not None) == (status in (418, 429))


def test_faults_come_in_turn(exchange: StandIn) -> None:
    """Faults with `times` strike one after the other; Retry-After, code and status can be set; 403 is HTML."""
    exchange.fault("BTCUSDT", "status", status=429, retry_after=7, times=1)
    exchange.fault("BTCUSDT", "status", status=429, retry_after=None, times=1)
    exchange.fault("BTCUSDT", "status", status=403, times=1)
    exchange.fault("BTCUSDT", "code", code=-1001, status=503, times=1)
    asked: dict[str, Any] = {"symbol": "BTCUSDT", "interval": "1m", "limit": 1}
    limited, silent, firewall, internal, fine = (ask(exchange, "/api/v3/klines", **asked) for _ in range(5))
    assert (limited.headers["Retry-After"], silent.headers["Retry-After"]) == ("7", None)
    assert firewall.status == 403
    assert firewall.body.startswith(b"<html>")
    assert fine.status == 200
    assert code(internal) == (503, -1001)


@pytest.mark.parametrize(
    ("kind", "status", "body"),
    [("html", 200, b"<html>"), ("object", 200, {}), ("empty", 200, []), ("list_error", 400, ["something went wrong"]),
     ("redirect", 200, b"<html>")],
)  # fmt: skip
def test_wrong_bodies(exchange: StandIn, kind: str, status: int, body: Any) -> None:
    """Bodies that are no list of rows; a redirect leads to a page."""
    exchange.fault("BTCUSDT", kind)
    reply = ask(exchange, "/api/v3/klines", symbol="BTCUSDT", interval="1m")
    assert reply.status == status
    assert reply.body.startswith(body) if isinstance(body, bytes) else reply.body == body


def read(exchange: StandIn, timeout: float = 5) -> tuple[int, int | None]:
    """Bytes read, 200,000 at most, and bytes missing of those promised, of an answer of 50 rows."""
    connection = http.client.HTTPConnection(exchange.url.removeprefix("http://"), timeout=timeout)
    with contextlib.closing(connection):
        connection.request("GET", "/api/v3/klines?symbol=BTCUSDT&interval=1m&limit=50")
        with connection.getresponse() as response:
            return len(response.read(200_000)), response.length


@pytest.mark.parametrize(
    ("kind", "error"),
    [("hang", TimeoutError), ("drip", TimeoutError), ("reset", ConnectionResetError), ("truncate", None)],
)
def test_wire_faults(exchange: StandIn, kind: str, error: type[Exception] | None) -> None:
    """No answer, one byte a second, reset mid-way, half a body: and the next request is answered."""
    exchange.fault("BTCUSDT", kind, times=1)
    if error is None:
        _, missing = read(exchange)
        assert missing
        assert missing > 100
    else:
        with pytest.raises(error):
            read(exchange, timeout=0.2)
    assert len(klines(exchange, limit=2)) == 2


def test_endless_and_garbled_bodies(exchange: StandIn) -> None:
    """`huge` does not end, `gzip_garbage` cannot be unpacked."""
    exchange.fault("BTCUSDT", "huge", times=1)
    assert read(exchange) == (200_000, None)
    exchange.fault("BTCUSDT", "gzip_garbage", times=1)
    reply = urllib.request.urlopen(f"{exchange.url}/api/v3/klines?symbol=BTCUSDT&interval=1m")
    with reply, pytest.raises((OSError, EOFError)):
        gzip.decompress(reply.read())


SPOILED: dict[str, Callable[[Row], bool]] = {
    "short_row": lambda row: len(row) == 11,
    "nan": lambda row: bool(row[4] == "NaN"),
    "negative_volume": lambda row: bool(row[5] < "0"),
    "high_below_low": lambda row: float(row[2]) < float(row[3]),
    "off_grid": lambda row: bool(row[0] % MINUTE > 0),
    "string_trades": lambda row: isinstance(row[8], str),
    "cut_close_time": lambda row: bool(row[6] < row[0] + MINUTE - 1),
}


@pytest.mark.parametrize("kind", SPOILED)
def test_spoiled_rows(exchange: StandIn, kind: str) -> None:
    """The last closed row is spoiled, or the one named; an answer without the named row is not counted."""
    right = klines(exchange, limit=4)
    exchange.fault("BTCUSDT", kind, times=1)
    assert [SPOILED[kind](row) for row in klines(exchange, limit=4)] == [False, False, True, False]
    exchange.fault("BTCUSDT", kind, times=1, open_time_ms=right[0][0])
    assert klines(exchange, limit=3) == right[1:]
    assert [SPOILED[kind](row) for row in klines(exchange, limit=4)] == [True, False, False, False]
    assert klines(exchange, limit=4) == right


def test_spoiled_lists(exchange: StandIn) -> None:
    """Rows outside the window, too many, twice, twice with other values, in the wrong order."""
    start = OPEN - HOUR
    asked: dict[str, Any] = {"startTime": start, "endTime": start + 2 * MINUTE}
    right = klines(exchange, **asked)
    got = {}
    for kind in ("outside", "too_many", "duplicate_equal", "duplicate_unequal", "descending"):
        exchange.fault("BTCUSDT", kind, times=1)
        got[kind] = klines(exchange, **asked, limit=5)
    assert opens(got["outside"]) == [start - MINUTE, *opens(right)]
    assert len(got["too_many"]) == 100
    assert got["too_many"][-3:] == right
    assert got["duplicate_equal"] == [*right, right[-1]]
    assert opens(got["duplicate_unequal"]) == opens(got["duplicate_equal"])
    assert got["duplicate_unequal"][-1] != right[-1]
    assert got["descending"] == right[::-1]


def test_latency(exchange: StandIn) -> None:
    """`latency` delays the answer."""
    exchange.fault("BTCUSDT", "latency", seconds=0.2, times=1)
    began = time.monotonic()
    assert len(klines(exchange, limit=2)) == 2
    assert time.monotonic() - began >= 0.2


def test_down(exchange: StandIn) -> None:
    """Down: no connection is answered, and none is recorded; up again it goes on."""
    exchange.down = True
    with pytest.raises((ConnectionError, urllib.error.URLError, http.client.HTTPException)):
        ask(exchange, "/api/v3/ping")
    exchange.down = False
    assert ask(exchange, "/api/v3/ping").status == 200
    assert len(exchange.requests) == 1


def test_every_fault_is_known_by_name(exchange: StandIn) -> None:
    """A misspelt fault is refused at once, and the kinds are listed."""
    assert {*SPOILED, "hang", "status", "latency", "too_many"} < set(KINDS)
    with pytest.raises(ValueError, match="no fault 'hnag'"):
        exchange.fault(None, "hnag")


def test_switches_over_http(exchange: StandIn) -> None:
    """POST, GET and DELETE /faults and POST /latency switch a running stand-in; they are no requests to count."""

    def switch(method: str, path: str) -> Any:
        with urllib.request.urlopen(urllib.request.Request(exchange.url + path, method=method)) as response:
            return json.loads(response.read())

    listed = switch("POST", "/faults?symbol=ETHUSDT&kind=status&status=500&times=2")
    assert listed == [{"symbol": "ETHUSDT", "kind": "status", "times": 2, "path": "klines", "status": 500}]
    assert ask(exchange, "/api/v3/klines", symbol="ETHUSDT", interval="1m").status == 500
    assert switch("GET", "/faults")[0]["times"] == 1
    assert switch("DELETE", "/faults?symbol=ETHUSDT") == []
    assert switch("POST", "/latency?seconds=0.1") == {"latency_s": 0.1}
    assert len(exchange.requests) == 1
    with pytest.raises(urllib.error.HTTPError) as refused:
        switch("POST", "/faults?kind=nothing")
    with refused.value as reply:
        assert "no fault 'nothing'" in reply.read().decode()


# -- the process


def test_it_runs_by_itself_and_ends_well() -> None:
    """`python -m tests.exchange` says where it is, serves, and exits 0 on SIGTERM."""
    command = [sys.executable, "-m", "tests.exchange", "--port", "0", "--symbols", "BTCUSDT", "XYZUSDT"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split("at ")[1].split(";")[0]
        with urllib.request.urlopen(f"{url}/fapi/v1/klines?symbol=XYZUSDT&interval=1h&limit=2") as response:
            assert len(json.loads(response.read())) == 2
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def test_a_taken_port_is_said_at_once(exchange: StandIn) -> None:
    """A port in use raises where the stand-in is entered, not in its thread."""
    with pytest.raises(OSError, match="in use"), StandIn(port=int(exchange.url.rpartition(":")[2])):
        pass
