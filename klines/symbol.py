"""Names of symbols and patterns of them: what they may look like, and which symbols a pattern takes. Pure.

Entries are OR-ed: a name takes itself, a pattern (`*USDT`, `BTC????`) every symbol that trades, and `!` before either
takes away again, wherever it stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

from klines.errors import BadParameter


def choose(entries: Sequence[str], trading: Sequence[str], market: str, *, which: str = "that trades") -> list[str]:
    """The symbols in the order of the entries; `trading` are those that a pattern can take, and `which` says of one in
    a message what they are.

    Raises BadParameter for a pattern that matches nothing, and where nothing is left.
    """
    excluded = [entry[1:] for entry in entries if entry.startswith("!")]
    taken: dict[str, None] = {}
    for entry in entries:
        if not entry.startswith("!"):
            taken |= dict.fromkeys(_matching(entry, trading, market, which) if is_pattern(entry) else [entry])
    left = [symbol for symbol in taken if not any(fnmatchcase(symbol, pattern) for pattern in excluded)]
    if not left:
        raise BadParameter(f"symbols: {' '.join(entries)} leaves no symbol of {market}; take out an entry with !")
    return left


def _matching(pattern: str, trading: Sequence[str], market: str, which: str) -> list[str]:
    found = sorted(symbol for symbol in trading if fnmatchcase(symbol, pattern))
    if not found:
        near = get_close_matches(pattern.replace("*", "").replace("?", ""), trading, n=3, cutoff=0.3)
        advice = f"; the nearest are {', '.join(near)}" if near else ""
        raise BadParameter(f"symbols: {pattern} matches no symbol of {market} {which}{advice}")
    return found


SYMBOL_PATTERN = r"^[^\sa-z!-,/:-@\[-^`{-~\x00-\x1f]+$"
"""Of a symbol, in the form and the API: no blanks, no lower-case letters, no ASCII punctuation but `_`, `-` and `.`."""


LONGEST_SYMBOL = 50
"""Characters of a symbol; the longest of Binance's have about 20."""


def check_symbol(symbol: Any) -> str:
    """The symbol itself; raises ValueError unless it is letters (none lower-case), digits, `_`, `-` and `.`.

    Binance lists symbols outside ASCII, such as 币安人生USDT.
    """
    if (
        isinstance(symbol, str)
        and len(symbol) <= LONGEST_SYMBOL
        and symbol == symbol.upper()
        and all(c.isalnum() or c in "_-." for c in symbol)
        and any(c.isalnum() for c in symbol)
    ):
        return symbol
    raise ValueError(f"{symbol!r:.80} is no symbol: upper-case letters and digits are allowed, as in BTCUSDT")


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
