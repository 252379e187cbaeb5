"""Nothing is settled by one answer: what is before REST's first kline is `not_listed` when the archive says so, too."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from klines.outcome import Outcome
from tests.drive import NOON, audit_once, backfill_once, collect_once, ms, published, query, stored
from tests.exchange import Request, StandIn

SYMBOLS = {"spot": "LUNAUSDT", "usdm": "LUNAUSDT", "coinm": "LUNAUSD_PERP"}
LISTED, AGAIN, SINCE = "2025-12-30T08:00", "2025-12-31T10:00", date(2025, 12, 1)


def gaps(database: Path) -> list[tuple[str, str, str, bool]]:
    """The ledger to the minute, and whether a gap is settled."""
    times = ", ".join(f"strftime({name}, '%m-%d %H:%M')" for name in ("start_time", "end_time"))
    return query(database, f"SELECT {times}, reason, next_check IS NULL FROM gaps ORDER BY start_time")


def listings(exchange: StandIn) -> list[Request]:
    """The questions for the archive's listing."""
    return [request for request in exchange.requests if request.path == "/"]


def backfill(exchange: StandIn, database: Path, market: str, **options: Any) -> Outcome:
    """All of the month of December."""
    return backfill_once(exchange, database, [SYMBOLS[market]], "2025-12-01", "2026-01-01", market=market, **options)


@pytest.mark.parametrize("market", list(SYMBOLS))
def test_both_agree(exchange: StandIn, database: Path, market: str) -> None:
    """A symbol that the archive has no older files of was not listed before; that is asked for once, and remembered."""
    exchange.list(SYMBOLS[market], since_ms=ms(LISTED))
    for _ in range(2):
        assert "Completed" == collect_once(exchange, database, [SYMBOLS[market]], market=market, since=SINCE).state
        assert [("12-01 00:00", "12-30 08:00", "not_listed", True)] == gaps(database)
        assert 2 == len(listings(exchange))
    assert "Completed" == backfill(exchange, database, market).state
    assert 2 == len(listings(exchange))


@pytest.mark.parametrize("first", ["collect", "backfill"])
@pytest.mark.parametrize("market", ["spot", "usdm"])
def test_a_name_that_is_used_again(exchange: StandIn, database: Path, market: str, first: str) -> None:
    """Klines from before REST's first one are in the archive: they are not settled away, and a backfill stores them."""
    symbol = SYMBOLS[market]
    exchange.list(symbol, since_ms=ms(LISTED))
    exchange.begin(symbol, ms(AGAIN))
    if first == "collect":
        collect_once(exchange, database, [symbol], market=market, since=SINCE)
        assert ("12-01 00:00", "12-30 08:00", "not_listed", True) in gaps(database)
        assert ("12-30 08:00", "12-31 10:00", "unresolved", False) in gaps(database)
    outcome = backfill(exchange, database, market)
    exchange.begin(symbol, 0)
    right = published(exchange.klines(symbol, ms(LISTED), ms("2026-01-01"), market=market))
    assert right == [row for row in stored(database, symbol) if row[0] < ms("2026-01-01")]
    assert "Completed" == outcome.state, outcome.message
    assert ("12-01 00:00", "12-30 08:00", "not_listed", True) in gaps(database)
    assert 1 == len([gap for gap in gaps(database) if gap[2] == "not_listed"])


CUT = "<ListBucketResult><Key>data/spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2017-08-17.zip</Key>"
BAD: list[tuple[str, dict[str, Any]]] = [
    ("status", {"status": 500}),
    ("reset", {}),
    ("html", {}),
    ("body", {"body": CUT}),
    ("body", {"body": "<ListBucketResult>" + "<Key>x</Key>" * 200_000}),
]
MORE_BAD: list[tuple[str, dict[str, Any]]] = [
    *(("status", {"status": status}) for status in (403, 404)),
    ("object", {}),
    ("body", {"body": ""}),
    ("redirect", {}),
]


@pytest.mark.parametrize(
    ("kind", "options", "first"),
    [
        *((*bad, "collect") for bad in BAD),
        (*BAD[0], "backfill"),
        *(pytest.param(*bad, "collect", marks=pytest.mark.full) for bad in MORE_BAD),
        *(pytest.param(*bad, "backfill", marks=pytest.mark.full) for bad in BAD[1:]),
    ],
)
def test_a_listing_that_can_not_be_had(
    exchange: StandIn, database: Path, kind: str, options: dict[str, Any], first: str
) -> None:
    """REST alone settles nothing: the time before its first kline is unresolved, to be asked about again; and once the
    archive answers it is settled."""
    exchange.list("LUNAUSDT", since_ms=ms(LISTED))
    exchange.fault(None, kind, path="bucket", **options)
    if first == "collect":
        collect_once(exchange, database, ["LUNAUSDT"], since=SINCE)
    else:
        backfill(exchange, database, "spot", source="rest")
    assert ("12-01 00:00", "12-30 08:00", "unresolved", False) == gaps(database)[0]
    assert [] == query(database, "FROM symbols WHERE listed_at IS NOT NULL")

    exchange.clear()
    exchange.freeze(NOON + 2 * 3_600_000)
    collect_once(exchange, database, ["LUNAUSDT"], since=SINCE)
    assert ("12-01 00:00", "12-30 08:00", "not_listed", True) == gaps(database)[0]


def test_an_archive_that_is_down_costs_one_question(exchange: StandIn, database: Path) -> None:
    """However many symbols there are: after one failure it is not asked any more in the run."""
    symbols = [f"S{n}USDT" for n in range(30)]
    for symbol in symbols:
        exchange.list(symbol, since_ms=NOON - 1_200_000)
    exchange.fault(None, "status", path="bucket", status=500)
    assert "Completed" == collect_once(exchange, database, symbols, since=SINCE).state
    assert len(listings(exchange)) <= 2 * 8  # those that were under way together


def test_beginnings_for_which_a_minute_has_not_the_weight(exchange: StandIn, database: Path) -> None:
    """Each minute settles as many as it has the weight for. They had all been begun, and none was, in any minute."""
    symbols = [f"S{n}USDT" for n in range(30)]
    for symbol in symbols:
        exchange.list(symbol, since_ms=NOON - 1_200_000)
    exchange.weight_limit["spot"] = 158  # that leaves 30 requests, after health and each symbol's newest page
    settled: list[int] = []
    for minute in range(3):
        exchange.freeze(NOON + minute * 60_000 + 5_000)
        collect_once(exchange, database, symbols, since=SINCE)
        settled += query(database, "SELECT count(listed_at) FROM symbols")[0]
    assert settled[0] >= 5
    assert 30 == settled[-1]


@pytest.mark.parametrize("symbol", ["币安人生USDT", "1000SATSUSDT", "A-B_C.DUSDT"])
def test_any_name_is_found_in_the_listing(exchange: StandIn, database: Path, symbol: str) -> None:
    """The prefix is the symbol's own, in any script."""
    exchange.list(symbol, since_ms=ms(LISTED))
    exchange.begin(symbol, ms(AGAIN))
    backfill_once(exchange, database, [symbol], "2025-12-01", "2026-01-01", source="rest")
    outcome = backfill_once(exchange, database, [symbol], "2025-12-01", "2026-01-01")
    assert ("Completed", 2 * 1440 - 480) == (outcome.state, len(stored(database, symbol))), outcome.message


def test_an_audit_of_what_rest_lacks(exchange: StandIn, database: Path) -> None:
    """An audit finds the klines that the archive alone has, when their time to be looked at has come."""
    exchange.list("LUNAUSDT", since_ms=ms(LISTED))
    exchange.begin("LUNAUSDT", ms(AGAIN))
    collect_once(exchange, database, ["LUNAUSDT"], since=SINCE)
    exchange.freeze(NOON + 2 * 3_600_000)
    audit_once(exchange, database, since=SINCE)
    assert [(ms(LISTED),)] == query(database, "SELECT epoch_ms(min(open_time)) FROM klines")
