"""What exchangeInfo says: of a market's symbols, and of the pool's weight. Pure.

It comes from outside: an entry without the name of a symbol is dropped, and of what is said of a symbol only text and
times that can be such are taken over.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

from klines.errors import BadAnswer
from klines.ledger import FOREVER_MS
from klines.outcome import shown
from klines.symbol import check_symbol

MOST_ENTRIES = 20_000
"""Of one exchangeInfo; spot's has had 3,500."""
MOST_MINUTES = 60
LONGEST_TEXT = 40
"""Characters of a status, an asset, a type of contract."""
LONGEST_QUERY = 2_000
"""Characters of the names in one URL, percent-encoded; one of 8,000 is refused."""
UNREADABLE, GONE = "UNREADABLE", "GONE"
"""The status of a symbol whose own can't be read, and of one that exchangeInfo does not list (any more)."""


class SymbolInfo(NamedTuple):
    """A symbol in exchangeInfo: its status and assets, and of futures the type of contract, when it ends, and when it
    began, in ms."""

    status: str
    delivery_ms: int | None
    base: str | None = None
    quote: str | None = None
    contract_type: str | None = None
    onboard_ms: int | None = None


class Listing(dict[str, SymbolInfo]):
    """The symbols of an exchangeInfo by name; `dropped` counts the entries that are none."""

    dropped: int = 0


def symbol_infos(info: Any) -> Listing:
    """The symbols of an answer to exchangeInfo, of any market; raises BadAnswer where it is none."""
    entries = info.get("symbols") if isinstance(info, dict) else None
    if not isinstance(entries, list):
        raise BadAnswer(f"the answer is no exchangeInfo: {shown(info)}")
    if len(entries) > MOST_ENTRIES:
        raise BadAnswer(f"exchangeInfo lists {len(entries):,} symbols; at most {MOST_ENTRIES:,} are believed")
    listing = Listing()
    for entry in entries:
        name = _name(entry)
        if name is None:
            listing.dropped += 1
        else:
            listing[name] = _entry(entry)
    return listing


def _name(entry: Any) -> str | None:
    try:
        return check_symbol(entry["symbol"])
    except (TypeError, KeyError, ValueError):
        return None


def _entry(entry: dict[str, Any]) -> SymbolInfo:
    return SymbolInfo(
        status=_text(entry.get("status", entry.get("contractStatus"))) or UNREADABLE,
        delivery_ms=_time_ms(entry.get("deliveryDate")),
        base=_text(entry.get("baseAsset")),
        quote=_text(entry.get("quoteAsset")),
        contract_type=_text(entry.get("contractType")),
        onboard_ms=_time_ms(entry.get("onboardDate")),
    )


def _text(value: Any) -> str | None:
    is_text = isinstance(value, str) and len(value) <= LONGEST_TEXT and all(c.isalnum() or c in "_-. " for c in value)
    return value if is_text else None


def _time_ms(value: Any) -> int | None:
    return value if type(value) is int and 0 < value < FOREVER_MS else None


def stated_limit(info: Any, documented: int) -> int:
    """The request weight a minute that exchangeInfo states; `documented` where it states none, or an absurd one."""
    a_minute = weight_a_minute(info)
    is_likely = a_minute is not None and documented // 60 <= a_minute <= 10 * documented
    return a_minute if a_minute is not None and is_likely else documented


def weight_a_minute(info: Any) -> int | None:
    """The request weight a minute that exchangeInfo states; None where it states none that is a number."""
    limits = info.get("rateLimits") if isinstance(info, dict) else None
    for limit in limits if isinstance(limits, list) else []:
        if isinstance(limit, dict) and (limit.get("rateLimitType"), limit.get("interval")) == _WEIGHT_A_MINUTE:
            most, minutes = (limit.get(name) for name in ("limit", "intervalNum"))
            if type(most) is int and type(minutes) is int and 0 < minutes <= MOST_MINUTES:
                return most // minutes
    return None


_WEIGHT_A_MINUTE = ("REQUEST_WEIGHT", "MINUTE")


def in_parts(symbols: Iterable[str]) -> Iterator[Sequence[str]]:
    """The names in parts, each short enough for one URL."""
    part: list[str] = []
    length = 0
    for symbol in symbols:
        size = len(quote(f'"{symbol}",'))
        if part and length + size > LONGEST_QUERY:
            yield part
            part, length = [], 0
        part.append(symbol)
        length += size
    if part:
        yield part
