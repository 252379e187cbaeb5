"""Times and durations as people write them, as epoch ms, and back as text. Pure."""

from __future__ import annotations

import contextlib
from datetime import UTC, date, datetime, timedelta

from klines.errors import BadParameter

Time = date | datetime | str
"""A date, a datetime or ISO 8601 text; UTC where it names no zone."""
LONGEST_S = 100 * 366 * 86_400.0
"""No duration needs to be longer: Binance is younger."""


def time_ms(name: str, value: Time | None) -> int | None:
    """The time in epoch ms; raises BadParameter, naming the parameter `name`."""
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        moment = None
    if not isinstance(moment, date):
        raise BadParameter(f"{name}: {value!r:.100} is no time; write 2024-01-31 or 2024-01-31T12:00")
    if not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day)
    return epoch_ms(moment)


def epoch_ms(time: datetime) -> int:
    """A time in epoch ms; without a zone it is UTC."""
    moment = time if time.tzinfo else utc(time)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def utc(time: datetime) -> datetime:
    """The time in UTC, which it is in already where it names no zone, or where UTC has no such year."""
    with contextlib.suppress(OverflowError):
        return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    return time.replace(tzinfo=UTC)


def duration_s(name: str, value: timedelta | str) -> float:
    """A duration in seconds; raises BadParameter, naming the parameter `name`."""
    from pydantic import TypeAdapter, ValidationError  # which help, that tells times, too, does without

    try:
        seconds = TypeAdapter(timedelta).validate_python(value).total_seconds()
    except (ValidationError, OverflowError):
        seconds = -1.0
    if seconds < 0:
        raise BadParameter(f"{name}: {value!r} is no duration; write PT1H for an hour, P1D for a day")
    return min(seconds, LONGEST_S)


def duration(seconds: float) -> str:
    """`12 s`, `3 min`, `2 h 5 min`."""
    if seconds < 100:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def clock_s(ms: int) -> str:
    """`2026-11-24 07:31:08`, in UTC."""
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M:%S}"


def clock(ms: int) -> str:
    """`2026-11-24 07:31`, in UTC."""
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M}"
