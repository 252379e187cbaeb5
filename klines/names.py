"""What the names of markets, intervals and symbols may look like."""

from __future__ import annotations

from typing import Any

SYMBOL_PATTERN = r"^[^\sa-z!-,/:-@\[-^`{-~\x00-\x1f]+$"
"""Of a symbol, in the form and the API: no blanks, no lower-case letters, no ASCII punctuation but `_`, `-` and `.`."""


def check_symbol(symbol: Any) -> str:
    """The symbol itself; raises ValueError unless it is letters (none lower-case), digits, `_`, `-` and `.`.

    Binance lists symbols outside ASCII, such as 币安人生USDT.
    """
    if (
        isinstance(symbol, str)
        and symbol
        and symbol == symbol.upper()
        and all(c.isalnum() or c in "_-." for c in symbol)
    ):
        return symbol
    raise ValueError(f"{symbol!r} is no symbol: upper-case letters and digits are allowed, as in BTCUSDT")


def check_symbols(symbols: list[str] | None) -> list[str] | None:
    """The list without repetitions; raises ValueError when it is empty or a name is no symbol."""
    if symbols is None:
        return None
    if not symbols:
        raise ValueError("name at least one symbol, as in BTCUSDT")
    return list(dict.fromkeys(check_symbol(symbol) for symbol in symbols))
