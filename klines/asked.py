"""What is asked for, understood: symbols, times, intervals and durations as people write them. No clock."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta

from pydantic import TypeAdapter, ValidationError

from klines.errors import BadParameter
from klines.interval import DAY, HOUR, INTERVALS, MINUTE, MONDAY, SECOND, Interval
from klines.market import MARKETS
from klines.names import check_symbols

Time = date | datetime | str
"""A date, a datetime or ISO 8601 text; UTC where it names no zone."""
COLUMNS = (
    *("market", "symbol", "interval", "open_time", "open", "high", "low", "close", "volume", "close_time"),
    *("quote_volume", "trades", "taker_buy_volume", "taker_buy_quote_volume", "source", "fetched_at"),
)
"""Those of the table klines."""
_UNITS = {"s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY}
_DURATION = TypeAdapter(timedelta)


def market_named(name: str) -> str:
    """The name itself; raises BadParameter."""
    if name not in MARKETS:
        raise BadParameter(f"market: {name!r} is none of {', '.join(MARKETS)}")
    return name


def symbols_named(symbols: str | Sequence[str]) -> list[str]:
    """One symbol or several, without repetitions; raises BadParameter."""
    try:
        return check_symbols([symbols] if isinstance(symbols, str) else list(symbols)) or []
    except ValueError as error:
        raise BadParameter(f"symbols: {error}") from None


def columns_named(columns: Sequence[str] | None) -> list[str]:
    """The columns of the table klines that are asked for, or all of them; raises BadParameter."""
    asked = list(COLUMNS if columns is None else columns)
    for name in asked:
        if isinstance(columns, str) or name not in COLUMNS:
            raise BadParameter(f"columns: {name!r} is none of {', '.join(COLUMNS)}; write a list of names")
    if not asked or len(set(asked)) < len(asked):
        raise BadParameter("columns: name at least one, each once")
    return asked


def interval_named(name: str) -> Interval:
    """One of Binance's intervals, or any other number of seconds, minutes, hours, days or (Monday) weeks, counted from
    the epoch as Binance counts its own; raises BadParameter.
    """
    if name in INTERVALS:
        return INTERVALS[name]
    parts = re.fullmatch(r"([1-9]\d{0,5})([smhdw])", name)
    if parts is None:
        raise BadParameter(
            f"interval: {name!r} is none of {', '.join(INTERVALS)}, nor a multiple such as 10m, 36h, 2d or 2w"
        )
    unit = parts[2]
    return Interval(name, int(parts[1]) * _UNITS[unit], MONDAY if unit == "w" else 0)


def time_ms(name: str, value: Time | None) -> int | None:
    """The time in epoch ms; raises BadParameter, naming the parameter `name`."""
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        raise BadParameter(f"{name}: {value!r} is no time; write 2024-01-31 or 2024-01-31T12:00") from None
    if not isinstance(moment, datetime):
        moment = datetime.combine(moment, time())
    return epoch_ms(moment)


def epoch_ms(time: datetime) -> int:
    """A time in epoch ms; without a zone it is UTC."""
    moment = time if time.tzinfo else utc(time)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def utc(time: datetime) -> datetime:
    """The time in UTC, which it is in already where it names no zone."""
    return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)


def duration_s(name: str, value: timedelta | str) -> float:
    """A duration in seconds; raises BadParameter, naming the parameter `name`."""
    try:
        seconds = _DURATION.validate_python(value).total_seconds()
    except ValidationError:
        seconds = -1.0
    if seconds < 0:
        raise BadParameter(f"{name}: {value!r} is no duration; write PT1H for an hour, P1D for a day")
    return seconds
