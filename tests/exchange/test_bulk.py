"""The stand-in has two ways to make klines, one by one and many at once by columns: both make the same."""

from __future__ import annotations

import io
import zipfile
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.drive import NOON, ms
from tests.exchange import StandIn, archives, faults
from tests.exchange.market import MANY, Page, _make, _make_many, _row

SERIES = [
    ("spot", "BTCUSDT"),
    ("spot", "S3BTC"),
    ("usdm", "ETHUSDT"),
    ("coinm", "BTCUSD_PERP"),
    ("coinm", "XRPUSD_PERP"),
    ("spot", "SATSUSDT"),
    ("coinm", "SATSUSD_PERP"),
]


@settings(max_examples=30)
@given(
    series=st.sampled_from(SERIES),
    step_ms=st.sampled_from([1_000, 60_000]),
    first=st.integers(20_000_000, 30_000_000),
    count=st.integers(1, 300),
)
def test_both_make_the_same(series: tuple[str, str], step_ms: int, first: int, count: int) -> None:
    """Of any series, step and time, to the last unit."""
    assert _make(*series, step_ms, first, first + count) == _make_many(*series, step_ms, first, first + count).rows()


@pytest.mark.parametrize(("market", "symbol"), SERIES)
def test_many_rows_are_shown_as_each_would_be(market: str, symbol: str) -> None:
    """A long page has the rows of its klines made one by one, whichever end its limit counts from."""
    with StandIn(any_symbol=True) as exchange:
        exchange.freeze(NOON)
        for newest in (False, True):
            page = Page(market, symbol, "1m", NOON - 3 * MANY * 60_000, NOON - 1, 2 * MANY, newest, NOON)
            first = NOON // 60_000 - (2 if newest else 3) * MANY
            units = _make(market, symbol, 60_000, first, first + 2 * MANY)
            assert exchange.many(page) is not None
            assert [_row(each, each[0] + 59_999, market) for each in units] == exchange.rows(page)


@pytest.mark.parametrize(
    ("path", "start"),
    [
        ("spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2025-11-03", "2025-11-03"),
        ("spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2024-11-03", "2024-11-03"),
        ("futures/cm/daily/klines/BTCUSD_PERP/1m/BTCUSD_PERP-1m-2025-11-03", "2025-11-03"),
    ],
)
def test_a_file_of_many_is_the_file_of_its_rows(path: str, start: str) -> None:
    """A day's file is byte for byte what its rows make, with microseconds and a header where they belong."""
    with StandIn(any_symbol=True) as exchange:
        exchange.freeze(NOON)
        wanted = archives.named(f"/data/{path}.zip")
        assert wanted is not None
        rows = exchange.klines(wanted.symbol, ms(start), ms(start) + 86_400_000, market=wanted.market)
        body = cast(bytes, exchange.archived(faults.Asked(f"/data/{path}.zip", {}, {}, NOON)).raw)
    assert archives.csv(wanted, rows) == zipfile.ZipFile(io.BytesIO(body)).read(f"{wanted.name}.csv")


def test_what_is_missing_or_changed_is_not_made_by_columns() -> None:
    """The file of a day with a hole, a changed kline, or an end, is made of its rows; a page that goes on to the open
    kline, or over a hole, shows what it would one by one."""
    page = Page("spot", "BTCUSDT", "1m", NOON - 2 * MANY * 60_000, NOON - 1, 10_000, False, NOON)
    with StandIn(any_symbol=True) as exchange:
        assert exchange.many(page) is not None
        assert exchange.many(page._replace(now_ms=NOON - 1)) is None
        assert exchange.rows(page)[:-1] == exchange.rows(page._replace(now_ms=NOON - 1))[:-1]
        assert exchange.rows(page)[-1] != exchange.rows(page._replace(now_ms=NOON - 1))[-1]
        whole = exchange.rows(page._replace(symbol="ETHUSDT"))
        exchange.hole(NOON - 120_000, NOON - 60_000, "ETHUSDT")
        assert exchange.many(page._replace(symbol="ETHUSDT")) is None
        assert [*whole[:-2], whole[-1]] == exchange.rows(page._replace(symbol="ETHUSDT"))
        exchange.restate("BTCUSDT", NOON - 60_000, close="1.00000000")
        assert exchange.many(page) is None
        assert "1.00000000" == exchange.rows(page)[-1][4]
        exchange.list("XRPUSDT", until_ms=NOON - 60_000)
        assert exchange.many(page._replace(symbol="XRPUSDT")) is None
