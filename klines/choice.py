"""Names and patterns of symbols → the symbols that a run takes. Pure.

Entries are OR-ed: a name takes itself, a pattern (`*USDT`, `BTC????`) every symbol that trades, and `!` before either
takes away again, wherever it stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

from klines.errors import BadParameter
from klines.names import is_pattern


def choose(entries: Sequence[str], trading: Sequence[str], market: str) -> list[str]:
    """The symbols in the order of the entries; `trading` are those that a pattern can take.

    Raises BadParameter for a pattern that matches nothing, and where nothing is left.
    """
    excluded = [entry[1:] for entry in entries if entry.startswith("!")]
    taken: dict[str, None] = {}
    for entry in entries:
        if not entry.startswith("!"):
            taken |= dict.fromkeys(_matching(entry, trading, market) if is_pattern(entry) else [entry])
    left = [symbol for symbol in taken if not any(fnmatchcase(symbol, pattern) for pattern in excluded)]
    if not left:
        raise BadParameter(f"symbols: {' '.join(entries)} leaves no symbol of {market}; take out an entry with !")
    return left


def _matching(pattern: str, trading: Sequence[str], market: str) -> list[str]:
    found = sorted(symbol for symbol in trading if fnmatchcase(symbol, pattern))
    if not found:
        near = get_close_matches(pattern.replace("*", "").replace("?", ""), trading, n=3, cutoff=0.3)
        advice = f"; the nearest are {', '.join(near)}" if near else ""
        raise BadParameter(f"symbols: {pattern} matches no symbol of {market} that trades{advice}")
    return found
