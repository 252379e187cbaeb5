"""Symbols: which names pass, and that form and check agree."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klines.symbol import SYMBOL_PATTERN, check_symbol, check_symbols


@pytest.mark.parametrize(
    "symbol", ["BTCUSDT", "1000SATSUSDT", "币安人生USDT", "BTCUSD_PERP", "BTCUSDT_240329", "A", "LUNA-2.0"]
)
def test_binances_names_pass(symbol: str) -> None:
    """Upper-case letters and digits of any script pass unchanged, with `_`, `-` and `.`; the form lets them through."""
    assert symbol == check_symbol(symbol)
    assert re.fullmatch(SYMBOL_PATTERN, symbol)


@pytest.mark.parametrize(
    "symbol",
    ["", " ", "btcusdt", "BTCusdt", "BTC USDT", " BTCUSDT", "BTCUSDT\n", "BTC/USDT", "BTC,ETH", "BTC'", "A;B", "A%00",
     "A\x00", "ß", "A&limit=1", "A\u200b", "A\u00a0", "(A)", 'A"', "A?", "A#", "A+", "A=1", "🚀USDT"],
)  # fmt: skip
def test_other_names_are_refused(symbol: str) -> None:
    """Blanks, lower case, punctuation, control and invisible characters are refused; the message shows the name."""
    with pytest.raises(ValueError, match=re.escape(repr(symbol))):
        check_symbol(symbol)


@pytest.mark.parametrize("symbol", [None, 1, True, ["BTCUSDT"], b"BTCUSDT", 1.5])
def test_a_symbol_is_text(symbol: Any) -> None:
    """What is no text is refused, not converted."""
    with pytest.raises(ValueError, match="is no symbol"):
        check_symbol(symbol)


@given(st.text(max_size=12))
def test_the_form_refuses_nothing_that_the_check_accepts(text: str) -> None:
    """The form's pattern is a coarser check_symbol: whatever that accepts, the UI accepts."""
    try:
        check_symbol(text)
        accepted = True
    except ValueError:
        accepted = False
    assert not accepted or re.search(SYMBOL_PATTERN, text)


def test_a_list_is_checked_and_loses_repetitions() -> None:
    """None stays None; repetitions go, the order stays; no symbol at all is an error."""
    assert check_symbols(None) is None
    assert ["B", "A"] == check_symbols(["B", "A", "B"])
    with pytest.raises(ValueError, match="at least one"):
        check_symbols([])
    with pytest.raises(ValueError, match="'b'"):
        check_symbols(["A", "b"])
