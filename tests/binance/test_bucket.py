"""The archive's listing names all symbols and all files of one, page by page, whatever stands between them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from klines.binance.archive import Archive
from klines.binance.bucket import MOST_PAGES, WHOLE_PAGE, spans_of, symbols_named_by
from klines.binance.files import File
from klines.errors import BadArchive, Retry
from klines.market import MARKETS
from klines.window import Window
from tests.drive import NOON, ms
from tests.exchange import StandIn

Found = TypeVar("Found")
DAY = 86_400_000


def asked(exchange: StandIn, question: Callable[[Archive], Awaitable[Found]]) -> Found:
    """The answer of the archive, which is asked twice more where it has a fault."""

    async def ask() -> Found:
        async with Archive(exchange.url, pauses_s=(0.0, 0.0)) as archive:
            return await question(archive)

    return asyncio.run(ask())


def test_all_symbols_come_page_by_page(exchange: StandIn) -> None:
    """Over two thousand symbols are listed a thousand folders at a time, each once, in any script."""
    names = sorted([f"S{n}USDT" for n in range(2 * WHOLE_PAGE)] + ["币安人生USDT", "A-BUSDT", "AUSDT", "A_BUSDT"])
    for name in names:
        exchange.list(name, since_ms=NOON - 40 * DAY)
    exchange.list("NEWUSDT", since_ms=NOON - 60_000)  # of which there is no file yet
    found = asked(exchange, lambda archive: archive.symbols(MARKETS["spot"]))
    assert sorted([*names, "BTCUSDT", "ETHUSDT"]) == found
    pages = [request.params for request in exchange.requests]
    assert {"data/spot/daily/klines/", "data/spot/monthly/klines/"} == {page["prefix"] for page in pages}
    assert (6, {"1000"}) == (len(pages), {page["max-keys"] for page in pages})


def test_folders_that_are_no_symbols_are_left_out() -> None:
    """What could do harm, or is of another kind, does not come in."""
    folders = ["data/spot/daily/klines/BTCUSDT/", "x/<b>/", "x/../", "x/btc/", "/", "", f"x/{'X' * 60}/"]
    folders.append("x/币安人生USDT/")
    assert ["BTCUSDT", "币安人生USDT"] == symbols_named_by(folders)


def test_all_files_of_a_symbol(exchange: StandIn) -> None:
    """The days of eight years are listed in pages; a stretch without files is between two spans, to the day."""
    exchange.list("BTCUSDT", since_ms=ms("2018-01-01"))
    exchange.hole(ms("2020-05-13T10:00"), ms("2020-05-31T06:00"), "BTCUSDT")
    spans = asked(exchange, lambda archive: archive.spans(MARKETS["spot"], "BTCUSDT"))
    assert [Window(ms("2018-01-01"), ms("2020-05-14")), Window(ms("2020-05-31"), ms("2026-01-02"))] == spans
    assert [] == asked(exchange, lambda archive: archive.spans(MARKETS["spot"], "X" * 30))
    assert 6 < len([request for request in exchange.requests if "daily" in request.params["prefix"]]) < 10


def test_a_month_of_which_no_day_is_listed_is_one_span() -> None:
    """The days of a month tell more than the month itself, where there are any."""
    april, may = (File("spot", "BTCUSDT", "1m", True, ms(day)) for day in ("2020-04-01", "2020-05-01"))
    days = [File("spot", "BTCUSDT", "1m", False, ms(day)) for day in ("2020-05-02", "2020-05-03")]
    assert [april.window, Window(ms("2020-05-02"), ms("2020-05-04"))] == spans_of([april, may], days)


@pytest.mark.parametrize("times", [1, 2])
def test_a_page_is_asked_for_again(exchange: StandIn, times: int) -> None:
    """A fault that passes spoils no listing."""
    exchange.fault(None, "status", path="bucket", status=500, times=times)
    assert ["BTCUSDT", "ETHUSDT"] == asked(exchange, lambda archive: archive.symbols(MARKETS["spot"]))


def page(*names: str, cut: bool = True) -> str:
    """A page of folders."""
    folders = "".join(f"<CommonPrefixes><Prefix>{name}</Prefix></CommonPrefixes>" for name in names)
    return f"<ListBucketResult><IsTruncated>{str(cut).lower()}</IsTruncated>{folders}</ListBucketResult>"


MONTHS = "data/spot/monthly/klines/"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (page(f"{MONTHS}B/", f"{MONTHS}A/"), "does not ascend"),
        (page(f"{MONTHS}A/"), "does not go on after a marker"),
        (page("data/spot/other/A/"), "none of what was asked for"),
        ("<html>", "none of what was asked for"),
        ("<ListBucketResult>" + "<CommonPrefixes>" * 200_000, "longer than"),
    ],
    ids=["descends", "stays", "of another", "a page", "too long"],
)
def test_a_listing_that_is_none(exchange: StandIn, body: str, said: str) -> None:
    """One that is in disorder, that never ends, or of something else is a bad archive, within bounds."""
    exchange.fault(None, "body", path="bucket", body=body)

    async def months(archive: Archive) -> list[str]:
        return await archive.folders(MONTHS)

    with pytest.raises(BadArchive, match=said):
        asked(exchange, months)
    assert len(exchange.requests) < 3 * MOST_PAGES
    with pytest.raises(Retry):
        asked(exchange, lambda archive: archive.symbols(MARKETS["spot"]))
