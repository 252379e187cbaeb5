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


ENTRY_PATTERN = r"^!?[^\sa-z!-),/:->@\[-^`{-~\x00-\x1f]+$"
"""Of a symbol or a pattern of symbols: as SYMBOL_PATTERN, with `*` and `?`, and one `!` at the beginning."""


def is_pattern(entry: str) -> bool:
    """Whether it takes symbols that match, or takes some away, and is no symbol itself."""
    return entry.startswith("!") or "*" in entry or "?" in entry


def check_entry(entry: Any) -> str:
    """The entry itself; raises ValueError unless it is a symbol, or a pattern such as *USDT or !USDC*."""
    if isinstance(entry, str) and is_pattern(entry):
        literal = entry.removeprefix("!").replace("*", "").replace("?", "")
        if literal or entry in ("*", "!*"):
            if literal:
                check_symbol(literal)
            return entry
    return check_symbol(entry)


def check_entries(entries: list[str] | None) -> list[str] | None:
    """The list without repetitions; raises ValueError when it takes nothing or an entry is none."""
    if entries is None:
        return None
    if all(str(entry).startswith("!") for entry in entries):
        raise ValueError("name at least one symbol, as in BTCUSDT, or a pattern, as in *USDT")
    return list(dict.fromkeys(check_entry(entry) for entry in entries))
