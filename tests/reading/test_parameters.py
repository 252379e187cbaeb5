"""What a reader may write for symbols, times, intervals and durations."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from klines.clock import Time, duration_s, time_ms
from klines.errors import BadParameter
from klines.interval import INTERVALS
from klines.reading.parameters import interval_named, symbols_named
from tests.drive import ms

TOKYO = timezone(timedelta(hours=9))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2024-01-31", "2024-01-31T00:00"),
        ("2024-01-31T12:30", "2024-01-31T12:30"),
        ("2024-01-31T12:30+09:00", "2024-01-31T03:30"),
        ("2024-01-31T12:30Z", "2024-01-31T12:30"),
        (date(2024, 1, 31), "2024-01-31T00:00"),
        (datetime(2024, 1, 31, 12, 30), "2024-01-31T12:30"),
        (datetime(2024, 1, 31, 12, 30, tzinfo=TOKYO), "2024-01-31T03:30"),
        (datetime(2024, 1, 31, 12, 30, tzinfo=UTC), "2024-01-31T12:30"),
    ],
)
def test_a_time_without_a_zone_is_utc(value: Time, expected: str) -> None:
    """Dates, datetimes and texts are times; only one that names a zone is not in UTC."""
    assert ms(expected) == time_ms("start", value)


@pytest.mark.parametrize("value", ["yesterday", "31.01.2024", "2024-02-30", ""])
def test_what_is_no_time_is_named(value: str) -> None:
    """The error names the parameter, what it was, and how to write it."""
    with pytest.raises(BadParameter, match=f"start: '{value}' is no time; write 2024-01-31"):
        time_ms("start", value)


def test_intervals_are_binances_and_multiples() -> None:
    """Each of the sixteen is itself; others are counted from the epoch, weeks from its first Monday."""
    assert list(INTERVALS.values()) == [interval_named(name) for name in INTERVALS]
    assert ms("2024-01-01T00:10") == interval_named("10m").floor(ms("2024-01-01T00:19"))
    assert ms("1970-01-05") == interval_named("2w").floor(ms("1970-01-18T23:59"))
    assert ms("1970-01-03") == interval_named("2d").floor(ms("1970-01-04T23:59"))


@pytest.mark.parametrize("name", ["", "m", "0m", "1.5h", "2M", "1y", "-1m", "1 m", "1H", "9999999d"])
def test_what_is_no_interval_is_named(name: str) -> None:
    """Months have no multiples; the error says what there is."""
    with pytest.raises(BadParameter, match=r"interval: .* is none of 1s, 1m, .*, nor a multiple such as"):
        interval_named(name)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("4h", {"1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h"}),
        ("10m", {"1s", "1m", "5m"}),
        ("1w", {"1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d"}),
        ("1M", {"1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d"}),
        ("2w", {"1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "1w"}),
        ("7m", {"1s", "1m"}),
        ("1s", set()),
    ],
)
def test_an_interval_is_made_of_those_that_divide_it(name: str, parts: set[str]) -> None:
    """Of whole slots on its own grid: 8h does not divide 12h, no week divides a month, 3d has no known grid."""
    interval = interval_named(name)
    assert parts == {part.name for part in INTERVALS.values() if interval.is_made_of(part)}


def test_symbols_are_one_or_several() -> None:
    """A name, or names, each once and in their order; what is none is refused."""
    assert ["BTCUSDT"] == symbols_named("BTCUSDT")
    assert ["ETHUSDT", "BTCUSDT"] == symbols_named(("ETHUSDT", "BTCUSDT", "ETHUSDT"))
    for wrong in ("btcusdt", "BTC/USDT", "", [], ["BTCUSDT", "'"]):
        with pytest.raises(BadParameter, match="symbols: "):
            symbols_named(wrong)


def test_durations() -> None:
    """ISO 8601 or a timedelta, not negative."""
    assert [3600.0, 86400.0, 0.0, 90.0] == [
        duration_s("max_age", age) for age in ("PT1H", "P1D", "PT0S", timedelta(seconds=90))
    ]
    for wrong in ("an hour", "-PT1H", timedelta(seconds=-1)):
        with pytest.raises(BadParameter, match=r"max_age: .* is no duration; write PT1H"):
            duration_s("max_age", wrong)
