"""What exchangeInfo says is checked where it enters: names, texts, times, how many there are, and the weight limit."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from klines.binance.listing import (
    LONGEST_QUERY,
    MOST_ENTRIES,
    UNREADABLE,
    SymbolInfo,
    in_parts,
    stated_limit,
    symbol_infos,
)
from klines.errors import BadAnswer
from klines.market import MARKETS
from klines.storage.database import in_memory
from klines.tables.symbols import note_listing


def entry(symbol: Any = "BTCUSDT", **fields: Any) -> dict[str, Any]:
    """A symbol's entry."""
    return {"symbol": symbol, "status": "TRADING", "baseAsset": "BTC", "quoteAsset": "USDT"} | fields


@pytest.mark.parametrize(
    "name",
    ["\ud800USDT", "../../x", "..", ".", "-", "<img src=x>", "", "A\0B", "A\nB", "X" * 10_000, "btcusdt", "A B", "A/B",
     "A|B", "[A](B)", "`A`", "A*", "\u202eTDSU", None, 1, [], {}, True],
)  # fmt: skip
def test_a_name_that_is_no_symbol_is_dropped_and_counted(name: Any) -> None:
    """Whatever a name could do to a path, a page, a table or a terminal: it does not come in, and the others do."""
    listing = symbol_infos({"symbols": [entry("ETHUSDT"), entry(name), entry("币安人生USDT")]})
    assert (["ETHUSDT", "币安人生USDT"], 1) == (list(listing), listing.dropped)


@pytest.mark.parametrize("odd", [None, 1, "X", [], {}, {"status": "TRADING"}, True])
def test_an_entry_of_another_shape_is_dropped(odd: Any) -> None:
    """It spoils nothing but itself."""
    listing = symbol_infos({"symbols": [odd, entry()]})
    assert (["BTCUSDT"], 1) == (list(listing), listing.dropped)


@pytest.mark.parametrize("value", [None, 1, 1e400, [], {}, "x" * 1000, "<b>", "\ud800", "a|b", "\n", True])
def test_what_is_no_text_of_a_symbol_is_nothing(value: Any) -> None:
    """Status, assets and type of contract are short words, or not known; the table takes what is left."""
    fields = {"status": value, "baseAsset": value, "quoteAsset": value, "contractType": value}
    listing = symbol_infos({"symbols": [entry(**fields)]})
    assert SymbolInfo(UNREADABLE, None) == listing["BTCUSDT"]
    with in_memory() as connection:
        note_listing(connection, MARKETS["spot"], listing, 1_767_355_200_000)


@pytest.mark.parametrize("value", ["4133404800000", 1e400, 1.5, True, 0, -1, 10**30, None, []])
def test_a_time_that_is_none_is_not_known(value: Any) -> None:
    """Delivery and onboard dates are integers within the calendar."""
    listed = symbol_infos({"symbols": [entry(deliveryDate=value, onboardDate=value)]})["BTCUSDT"]
    assert (None, None) == (listed.delivery_ms, listed.onboard_ms)


@pytest.mark.parametrize("info", [None, [], {}, "x", 1, {"symbols": None}, {"symbols": {}}, {"symbols": "BTCUSDT"}])
def test_what_is_no_exchange_info(info: Any) -> None:
    """An answer of another shape is a bad answer."""
    with pytest.raises(BadAnswer, match="no exchangeInfo"):
        symbol_infos(info)


def test_more_symbols_than_any_market_has() -> None:
    """So many are not believed, and the message counts them."""
    many = {"symbols": [entry(f"S{n}USDT") for n in range(MOST_ENTRIES + 1)]}
    with pytest.raises(BadAnswer, match="20,001 symbols"):
        symbol_infos(many)


def limit(most: Any, minutes: Any = 1, **fields: Any) -> dict[str, Any]:
    """A weight limit as exchangeInfo states it."""
    stated = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": minutes, "limit": most}
    return {
        "rateLimits": [{"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": 7}, stated | fields]
    }


NUMBERS: list[Any] = [0, -1, 1e400, 0.5, "6001", None, True, []]
NO_INFO: list[Any] = [None, [], {}, "x", {"rateLimits": None}, {"rateLimits": [None, 1, []]}]


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        (limit(1200), 1200),
        (limit(12_000, 2), 6000),
        (limit(200), 200),
        *((limit(6001, minutes), 6000) for minutes in NUMBERS),
        *((limit(most), 6000) for most in (*NUMBERS, 10**9)),
        (limit(6001, interval="DAY"), 6000),
        (limit(6001, rateLimitType="RAW_REQUESTS"), 6000),
        *((info, 6000) for info in NO_INFO),
    ],
)
def test_the_weight_limit(info: Any, expected: int) -> None:
    """It is the exchange's own statement; what can't be one, or is over ten times what is documented, is none."""
    assert expected == stated_limit(info, 6000)


def test_names_are_asked_in_parts() -> None:
    """However many symbols there are, and in whatever script: no URL is longer than an exchange takes, and none is
    left out."""
    names = [f"S{n}USDT" for n in range(470)] + [f"币安人生{n}USDT" for n in range(200)]
    parts = list(in_parts(names))
    assert names == [name for part in parts for name in part]
    assert all(
        len(quote(json.dumps(part, separators=(",", ":"), ensure_ascii=False))) < LONGEST_QUERY + 10 for part in parts
    )
    assert [] == list(in_parts([]))


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["TRADING", "BTCUSDT"]),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(
            st.sampled_from(["symbol", "symbols", "status", "rateLimits", "deliveryDate", "limit"]), inner
        )
    ),
    max_leaves=20,
)


@settings(max_examples=100, deadline=None)
@given(st.lists(anything, max_size=4), anything)
def test_garbage_is_read_never_crashed_upon(entries: list[Any], info: Any) -> None:
    """Of any JSON some symbols are taken, or it is a bad answer; those taken can be shown and stored."""
    for answer in ({"symbols": entries, "rateLimits": entries}, info):
        assert stated_limit(answer, 6000) > 0
        try:
            listing = symbol_infos(answer)
        except BadAnswer:
            continue
        pl.DataFrame(
            [(name, *listed) for name, listed in listing.items()], schema=list("abcdefg"), orient="row", strict=False
        )
        assert all(name.encode() and name.isprintable() for name in listing)
