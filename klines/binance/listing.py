"""What exchangeInfo says: of a market's symbols, and of the pool's weight. Pure.

It comes from outside: an entry without the name of a symbol is dropped, and of what is said of a symbol only text,
decimals and times that can be such are taken over.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

from klines.errors import BadAnswer
from klines.ledger import FOREVER_MS
from klines.market import CONTRACTS, Kind
from klines.outcome import shown
from klines.symbol import check_symbol

MOST_ENTRIES = 20_000
"""Of one exchangeInfo; spot's has had 3,500."""
MOST_MINUTES = 60
LONGEST_TEXT = 40
"""Characters of a status, an asset, a type of contract."""
LONGEST_QUERY = 2_000
"""Characters of the names in one URL, percent-encoded; one of 8,000 is refused."""
MOST_NAMES = 50
"""Filters, permissions or subtypes of one symbol; a longer list is none."""
UNREADABLE, GONE = "UNREADABLE", "GONE"
"""The status of a symbol whose own can't be read, and of one that exchangeInfo does not list (any more)."""


class SymbolInfo(NamedTuple):
    """A symbol in exchangeInfo: its status and assets, and of futures the type of contract, when it ends, and when it
    began, in ms; then what else is kept of it, None where nothing is said. Sizes and quantities are decimals as
    published; of several names there are commas between."""

    status: str
    delivery_ms: int | None
    base: str | None = None
    quote: str | None = None
    contract_type: str | None = None
    onboard_ms: int | None = None
    pair: str | None = None
    margin_asset: str | None = None
    contract_size: str | None = None
    underlying_type: str | None = None
    underlying_subtypes: str | None = None
    permissions: str | None = None
    tick_size: str | None = None
    step_size: str | None = None
    min_quantity: str | None = None
    min_notional: str | None = None


class Listing(dict[str, SymbolInfo]):
    """The symbols of an exchangeInfo by name; `dropped` counts the entries that are none."""

    dropped: int = 0

    def of_kind(self, kind: Kind) -> Listing:
        """The same by the symbols of a kind's series: a pair, or a pair's type of contract, has what is said of its
        contracts together, and is what that of them is which began last of those that trade."""
        if kind.asked_by == "symbol":
            return self
        found = Listing()
        found.dropped = self.dropped
        ordered = sorted(self.items(), key=lambda entry: (entry[1].status == "TRADING", entry[1].onboard_ms or 0))
        for symbol, info in ordered:
            if info.pair and (kind.asked_by == "pair" or info.contract_type in CONTRACTS):
                name = kind.symbol(symbol, info.pair, info.contract_type or "")
                began_ms = [one.onboard_ms for one in (info, found.get(name)) if one and one.onboard_ms]
                found[name] = info._replace(onboard_ms=min(began_ms, default=None))
        return found


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
    filters = _filters(entry.get("filters"))
    lots, prices = filters.get("LOT_SIZE", {}), filters.get("PRICE_FILTER", {})
    return SymbolInfo(
        status=_text(entry.get("status", entry.get("contractStatus"))) or UNREADABLE,
        delivery_ms=_time_ms(entry.get("deliveryDate")),
        base=_text(entry.get("baseAsset")),
        quote=_text(entry.get("quoteAsset")),
        contract_type=_text(entry.get("contractType")),
        onboard_ms=_time_ms(entry.get("onboardDate")),
        pair=_text(entry.get("pair")),
        margin_asset=_text(entry.get("marginAsset")),
        contract_size=_decimal(entry.get("contractSize")),
        underlying_type=_text(entry.get("underlyingType")),
        underlying_subtypes=_joined(_names(entry.get("underlyingSubType"))),
        permissions=_permissions(entry),
        tick_size=_decimal(prices.get("tickSize")),
        step_size=_decimal(lots.get("stepSize")),
        min_quantity=_decimal(lots.get("minQty")),
        min_notional=_min_notional(filters),
    )


def _filters(value: Any) -> dict[str, dict[str, Any]]:
    """The filters of a symbol by their type."""
    listed = value if isinstance(value, list) and len(value) <= MOST_NAMES else []
    return {kind: one for one in listed if isinstance(one, dict) and (kind := _text(one.get("filterType")))}


def _min_notional(filters: dict[str, dict[str, Any]]) -> str | None:
    """Spot's is in the filter NOTIONAL, or, as until 2023, in MIN_NOTIONAL, where futures' is under another name."""
    old = filters.get("MIN_NOTIONAL", {})
    stated = filters.get("NOTIONAL", {}).get("minNotional"), old.get("minNotional"), old.get("notional")
    return next(filter(None, map(_decimal, stated)), None)


_ALLOWED = {"isSpotTradingAllowed": "SPOT", "isMarginTradingAllowed": "MARGIN"}
_GROUP = "TRD_GRP_"
"""How the names of groups of accounts begin, of which there are hundreds; they are not asked for, and not kept."""


def _permissions(entry: dict[str, Any]) -> str | None:
    """Which kinds of trading a symbol is open to, sorted: as two flags say, and lists where there are any."""
    lists = [entry.get("permissions"), *_some(entry.get("permissionSets"))]
    said = [names for names in map(_names, lists) if names is not None]
    names = {name for names in said for name in names if not name.startswith(_GROUP)}
    names |= {name for flag, name in _ALLOWED.items() if entry.get(flag) is True}
    return _joined(sorted(names)) if said or any(type(entry.get(flag)) is bool for flag in _ALLOWED) else None


def _names(value: Any) -> list[str] | None:
    """The texts of a list, without repetitions; None where it is no list."""
    if not isinstance(value, list):
        return None
    return list(dict.fromkeys(name for name in map(_text, value) if name))


def _some(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _joined(names: Sequence[str] | None) -> str | None:
    return None if names is None or len(names) > MOST_NAMES else ",".join(names)


_DECIMAL = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?")


def _decimal(value: Any) -> str | None:
    """A decimal as it stands, or the whole number that stands without quotes; others have lost what they were."""
    text = str(value) if type(value) is int and 0 <= value < 10**20 else value
    return text if isinstance(text, str) and _DECIMAL.fullmatch(text) else None


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
