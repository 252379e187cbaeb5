"""What exchangeInfo says is checked where it enters: names, texts, times, how many there are, and the weight limit."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from klines.binance.listing import (
    LONGEST_QUERY,
    MOST_ENTRIES,
    MOST_NAMES,
    UNREADABLE,
    SymbolInfo,
    in_parts,
    stated_limit,
    symbol_infos,
)
from klines.errors import BadAnswer
from klines.market import MARKETS
from klines.storage.database import in_memory
from klines.tables.rules import listing_frame
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
    fields = {"status": value, "baseAsset": value, "quoteAsset": value, "contractType": value, "pair": value}
    fields |= dict.fromkeys(("marginAsset", "underlyingType"), value)
    listing = symbol_infos({"symbols": [entry(**fields)]})
    assert SymbolInfo(UNREADABLE, None) == listing["BTCUSDT"]
    with in_memory() as connection:
        note_listing(connection, MARKETS["spot"], listing, 1_767_355_200_000)


@pytest.mark.parametrize("value", ["4133404800000", 1e400, 1.5, True, 0, -1, 10**30, None, []])
def test_a_time_that_is_none_is_not_known(value: Any) -> None:
    """Delivery and onboard dates are integers within the calendar."""
    listed = symbol_infos({"symbols": [entry(deliveryDate=value, onboardDate=value)]})["BTCUSDT"]
    assert (None, None) == (listed.delivery_ms, listed.onboard_ms)


def filtered(**fields: Any) -> SymbolInfo:
    """What is read of filters of each type that has these fields."""
    filters = [{"filterType": kind} | fields for kind in ("PRICE_FILTER", "LOT_SIZE", "NOTIONAL")]
    return symbol_infos({"symbols": [entry(filters=filters)]})["BTCUSDT"]


@pytest.mark.parametrize("text", ["0.00000100", "0.1", "1", "1000000", "0.0", "9" * 20 + "." + "9" * 20])
def test_decimals_are_as_published(text: str) -> None:
    """They keep every digit, as text; a whole number that stands without quotes is one, too."""
    read = filtered(tickSize=text, stepSize=text, minQty=text, minNotional=text)
    assert (text,) * 4 == (read.tick_size, read.step_size, read.min_quantity, read.min_notional)
    assert "100" == symbol_infos({"symbols": [entry(contractSize=100)]})["BTCUSDT"].contract_size


@pytest.mark.parametrize(
    "value",
    [
        None,
        0.01,
        1e400,
        True,
        -1,
        10**20,
        "",
        "-1",
        "1e-8",
        ".1",
        "1.",
        "0x1",
        "NaN",
        "٣",
        "1" * 21,
        " 1",
        "1\n",
        [],
        {},
    ],
)
def test_what_is_no_decimal_is_not_known(value: Any) -> None:
    """Anything else than digits and a point, or more of them than any size has, is nothing; so is a number that JSON
    has rounded."""
    read = filtered(tickSize=value, stepSize=value, minQty=value, minNotional=value)
    assert (None,) * 4 == (read.tick_size, read.step_size, read.min_quantity, read.min_notional)


@pytest.mark.parametrize("filters", [None, 1, "x", {}, [None, 1, [], {}], [{"filterType": []}], [{"filterType": None}]])
def test_what_are_no_filters(filters: Any) -> None:
    """They spoil nothing; more than any symbol has are none."""
    assert entry_of(filters=filters) == entry_of(filters=[]) == entry_of()
    many = [{"filterType": "PRICE_FILTER", "tickSize": "1"}] * (MOST_NAMES + 1)
    assert ("1", None) == (entry_of(filters=many[1:]).tick_size, entry_of(filters=many).tick_size)


def entry_of(**fields: Any) -> SymbolInfo:
    """What is read of an entry."""
    return symbol_infos({"symbols": [entry(**fields)]})["BTCUSDT"]


def test_the_least_notional_has_three_names() -> None:
    """Spot's filter NOTIONAL goes before the one that it replaced, MIN_NOTIONAL; futures call the field another way."""
    new, old = {"filterType": "NOTIONAL", "minNotional": "5"}, {"filterType": "MIN_NOTIONAL", "minNotional": "10"}
    of_futures = {"filterType": "MIN_NOTIONAL", "notional": "20"}
    assert ["5", "10", "20"] == [entry_of(filters=f).min_notional for f in ([old, new], [old], [of_futures])]


@pytest.mark.parametrize(
    ("fields", "permissions"),
    [
        ({}, None),
        ({"permissions": None, "permissionSets": "SPOT", "isSpotTradingAllowed": "yes"}, None),
        ({"permissions": []}, ""),
        ({"isSpotTradingAllowed": True, "isMarginTradingAllowed": False, "permissions": []}, "SPOT"),
        ({"isSpotTradingAllowed": True, "isMarginTradingAllowed": True}, "MARGIN,SPOT"),
        ({"permissionSets": [["SPOT", "TRD_GRP_004"], ["LEVERAGED", 1, "a,b"], None]}, "LEVERAGED,SPOT"),
        ({"permissions": [f"P{n}" for n in range(MOST_NAMES + 1)]}, None),
    ],
)
def test_permissions(fields: dict[str, Any], permissions: str | None) -> None:
    """They are what flags and lists say, sorted, without groups of accounts; not known where nothing is said."""
    assert permissions == entry_of(**fields).permissions


def test_subtypes_are_names_with_commas_between() -> None:
    """In the order in which they are published."""
    assert "HOT,DEFI" == entry_of(underlyingSubType=["HOT", "DEFI", 1, "a,b", "HOT"]).underlying_subtypes
    assert entry_of(underlyingSubType="HOT").underlying_subtypes is None


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


NAMES = ["symbol", "symbols", "status", "rateLimits", "deliveryDate", "limit", "filters", "filterType", "tickSize"]
NAMES += ["permissions", "permissionSets", "underlyingSubType", "contractSize"]
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["TRADING", "BTCUSDT"]),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(
            st.sampled_from(NAMES),
            inner,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=100)
@given(st.lists(anything, max_size=4), anything)
def test_garbage_is_read_never_crashed_upon(entries: list[Any], info: Any) -> None:
    """Of any JSON some symbols are taken, or it is a bad answer; those taken can be shown and stored."""
    for answer in ({"symbols": entries, "rateLimits": entries}, info):
        assert stated_limit(answer, 6000) > 0
        try:
            listing = symbol_infos(answer)
        except BadAnswer:
            continue
        assert len(listing) == listing_frame(listing).height
        assert all(name.encode() and name.isprintable() for name in listing)
