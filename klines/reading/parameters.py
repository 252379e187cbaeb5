"""What readers ask for, checked: symbols, columns, intervals and markets as people write them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from klines.columns import COLUMNS
from klines.errors import BadParameter
from klines.interval import DAY, HOUR, INTERVALS, MINUTE, MONDAY, SECOND, Interval
from klines.market import KLINES, Market, market_of
from klines.symbol import check_entries, check_symbols

_UNITS = {"s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY}


def market_named(name: str, kind: str = KLINES.name) -> Market:
    """The market of that name, for a kind of klines; raises BadParameter."""
    return market_of(name, kind)


def symbols_named(symbols: str | Sequence[str]) -> list[str]:
    """One symbol or several, without repetitions; raises BadParameter."""
    try:
        return check_symbols([symbols] if isinstance(symbols, str) else list(symbols)) or []
    except (ValueError, TypeError) as error:
        raise BadParameter(f"symbols: {error}") from None


def entries_named(entries: Sequence[str]) -> list[str]:
    """Symbols and patterns of them, without repetitions; none are none. Raises BadParameter."""
    try:
        return check_entries(list(entries)) or [] if entries else []
    except (ValueError, TypeError) as error:
        raise BadParameter(f"symbols: {error}") from None


def columns_named(columns: Sequence[str] | None) -> list[str]:
    """The columns of the table klines that are asked for, or all of them; raises BadParameter."""
    try:
        asked = list(COLUMNS if columns is None else columns)
    except TypeError:
        raise BadParameter(f"columns: {columns!r:.100} is no list of names") from None
    for name in asked:
        if isinstance(columns, str) or name not in COLUMNS:
            raise BadParameter(f"columns: {name!r:.100} is none of {', '.join(COLUMNS)}; write a list of names")
    if not asked or len(set(asked)) < len(asked):
        raise BadParameter("columns: name at least one, each once")
    return asked


def interval_named(name: str) -> Interval:
    """One of Binance's intervals, or any other number of seconds, minutes, hours, days or (Monday) weeks, counted from
    the epoch as Binance counts its own; raises BadParameter.
    """
    if isinstance(name, str) and name in INTERVALS:
        return INTERVALS[name]
    parts = re.fullmatch(r"([1-9]\d{0,5})([smhdw])", name) if isinstance(name, str) else None
    if parts is None:
        raise BadParameter(
            f"interval: {name!r} is none of {', '.join(INTERVALS)}, nor a multiple such as 10m, 36h, 2d or 2w"
        )
    unit = parts[2]
    return Interval(name, int(parts[1]) * _UNITS[unit], MONDAY if unit == "w" else 0)
