"""Funding rates as they are published: what is a good one, of REST and of a file; and their pool."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from klines.binance.funding.files import FundingFile, months_named, months_to_load
from klines.binance.funding.pool import RequestPool
from klines.binance.funding.rate import FundingRate, funding_frame, rates_answered, rates_in_file
from klines.errors import BadAnswer, BadArchive, KlinesError, RateLimited, Spent
from klines.interval import DAY, HOUR, MINUTE
from klines.window import Window
from tests.drive import NOON, ms

MIDNIGHT = NOON - 12 * HOUR
TODAY = Window(MIDNIGHT, NOON + 1)
MONTH = Window(ms("2025-12-01"), ms("2026-01-01"))
FILE = FundingFile("usdm", "BTCUSDT", ms("2025-12-01"))


def row(**fields: Any) -> dict[str, Any]:
    """A row of REST, some ms after midnight."""
    rate = {
        "symbol": "BTCUSDT",
        "fundingTime": MIDNIGHT + 3,
        "fundingRate": "0.00010000",
        "markPrice": "34287.54619963",
    }
    return rate | fields


def refused(*rows: dict[str, Any]) -> list[str]:
    """Why rows are refused."""
    return [reject.reason for reject in rates_answered(list(rows), "BTCUSDT", TODAY, 1000, NOON)[1]]


@pytest.mark.parametrize("text", ["0.00010000", "-0.03750000", "0.000000000001", "1E-7", "-2.5e-8", "0", "99999.5"])
def test_a_rate_is_exact(text: str) -> None:
    """Whatever Binance writes is stored as that number, to the last digit; so is the mark price, where there is one."""
    [rate], rejects = rates_answered([row(fundingRate=text)], "BTCUSDT", TODAY, 1000, NOON)
    assert ([], Decimal(text), Decimal("34287.54619963")) == (rejects, rate.rate, rate.mark_price)
    assert [(MIDNIGHT + 3, Decimal(text), Decimal("34287.54619963"), None)] == funding_frame([rate]).rows()
    for fields in ({"markPrice": ""}, {"markPrice": None}):
        [bare], _ = rates_answered([row(**fields)], "BTCUSDT", TODAY, 1000, NOON)
        assert bare.mark_price is None


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"fundingRate": "NaN"}, "no decimal number"),
        ({"fundingRate": 0.0001}, "no decimal number"),
        ({"fundingRate": None}, "no decimal number"),
        ({"fundingRate": "0.0000000000001"}, "more than 12 decimals"),
        ({"fundingRate": "1e30"}, "too large"),
        ({"markPrice": "x"}, "no decimal number"),
        ({"fundingTime": str(MIDNIGHT)}, "no integer"),
        ({"fundingTime": NOON + HOUR}, "yet to come"),
    ],
)
def test_what_is_no_rate_is_refused(fields: dict[str, Any], reason: str) -> None:
    """It is kept with the reason, and the others are good."""
    assert [reason in said for said in refused(row(**fields), row(fundingTime=MIDNIGHT + 8 * HOUR))] == [True]


def test_an_hour_has_one_rate() -> None:
    """A row that is repeated is one; two different ones of an hour are both refused; the order does not matter."""
    later = row(fundingTime=MIDNIGHT + 8 * HOUR)
    rates, rejects = rates_answered([later, row(), row()], "BTCUSDT", TODAY, 1000, NOON)
    assert ([MIDNIGHT + 3, MIDNIGHT + 8 * HOUR], []) == ([rate.time_ms for rate in rates], rejects)
    assert ["two different rates of one hour"] * 2 == refused(row(), row(fundingTime=MIDNIGHT + 4), later)


@pytest.mark.parametrize(
    "body",
    [
        {"code": 0},
        [[1]],
        [row(symbol="ETHUSDT")],
        [row(fundingTime=MIDNIGHT - 1)],
        [row()] * 1001,
    ],
)
def test_another_answer_is_none(body: Any) -> None:
    """No list of rates, another symbol's, of another time, or more than was asked for: nothing of it is believed."""
    with pytest.raises(BadAnswer):
        rates_answered(body, "BTCUSDT", TODAY, 1000, NOON)


def test_a_file_has_the_interval_of_each_rate() -> None:
    """With its header or without, in ms or µs; what is no rate of the month is refused."""
    lines = f"{MONTH.start_ms + 5},8,0.00010000\n{(MONTH.start_ms + 8 * HOUR) * 1000},4,-0.00002000\n"
    expected = [
        FundingRate(MONTH.start_ms + 5, Decimal("0.0001"), None, 8),
        FundingRate(MONTH.start_ms + 8 * HOUR, Decimal("-0.00002"), None, 4),
    ]
    header = "calc_time,funding_interval_hours,last_funding_rate\n"
    for text in (lines, header + lines, (header + lines).replace("\n", "\r\n")):
        assert (expected, []) == rates_in_file(text.encode(), MONTH)
    odd = f"{MONTH.end_ms},8,0.1\n{MONTH.start_ms},0,0.1\n{MONTH.start_ms},8\nx,8,0.1\n".replace("x", "9" * 25)
    rates, rejects = rates_in_file(odd.encode(), MONTH)
    assert ([], 4) == (rates, len(rejects))


@pytest.mark.parametrize("csv", [b"a,b,c\n1,2,3\n", b"\xff\n", b"1,8,0.1\n" * 1600])
def test_what_is_no_file_of_rates_is_not_read(csv: bytes) -> None:
    """Other columns, no text, more lines than a month has hours."""
    with pytest.raises(BadArchive):
        rates_in_file(csv, MONTH)


def test_months_are_known_by_their_names() -> None:
    """Of a listing the months of the symbol, ascending; loaded are those that are wanted, and the newest."""
    keys = [FILE.path, f"{FILE.path}.CHECKSUM", FILE.path.replace("2025-12", "2025-10"), "data/other.zip"]
    october, december = months_named(keys, "usdm", "BTCUSDT")
    assert ("BTCUSDT-fundingRate-2025-12", FILE) == (december.name, december)
    assert [december] == months_to_load([october, december], [], [])
    assert [october] == months_to_load(
        [october, december], [december.path], [Window(october.start_ms, december.start_ms)]
    )
    assert [] == months_to_load([october, december], [december.path], [Window(december.start_ms, NOON)])


def test_the_pool_is_never_overdrawn() -> None:
    """In any five minutes there are no more requests than its limit; who would wait longer than the run is Spent."""
    times = [0]

    async def ask(pool: RequestPool, deadline_ms: int) -> str:
        try:
            await pool.spend(1, deadline_ms)
        except KlinesError as error:
            return type(error).__name__
        return "asked"

    async def run() -> list[str]:
        pool = RequestPool(3, 5 * MINUTE, lambda: times[0])
        found = [await ask(pool, DAY) for _ in range(3)]
        found.append(await ask(pool, 5 * MINUTE))
        times[0] = 5 * MINUTE
        found.append(await ask(pool, DAY))
        pool.stop(RateLimited("HTTP 429", DAY))
        return [*found, await ask(pool, DAY)]

    assert ["asked", "asked", "asked", Spent.__name__, "asked", "RateLimited"] == asyncio.run(run())
