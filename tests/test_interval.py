"""The grid of every interval, against the calendar."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from klines.interval import INTERVALS, Interval

NAMES = ["1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w", "1M"]
intervals = st.sampled_from(list(INTERVALS.values()))
times = st.integers(0, 4_102_444_800_000)  # until 2100
slots = st.integers(-500, 500)


def ms(text: str) -> int:
    """An ISO time in UTC, as epoch ms."""
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def test_the_intervals_are_binances() -> None:
    """All sixteen of Binance's names are there, each with its own name."""
    assert NAMES == list(INTERVALS)
    assert NAMES == [interval.name for interval in INTERVALS.values()]


@given(intervals, times)
def test_a_time_lies_in_its_slot(interval: Interval, time: int) -> None:
    """floor ≤ time < next start; ceil is the first start at or after the time."""
    floor, ceil = interval.floor(time), interval.ceil(time)
    assert floor <= time < interval.step(time, 1)
    assert (floor if floor == time else interval.step(time, 1)) == ceil
    assert floor == interval.floor(floor) == interval.ceil(floor)


@given(intervals, times, slots)
def test_index_and_start_are_inverse(interval: Interval, time: int, n: int) -> None:
    """start(index) is the slot's floor, index(start) the index; consecutive slots have consecutive numbers."""
    index = interval.index(time)
    assert interval.floor(time) == interval.start(index)
    assert index == interval.index(interval.start(index)) == interval.index(interval.start(index + 1) - 1)
    assert index + n == interval.index(interval.start(index + n))


@given(intervals, times, slots, slots)
def test_steps_add_up(interval: Interval, time: int, n: int, m: int) -> None:
    """Stepping n then m slots is stepping n + m; slots() counts them; 0 steps is the floor."""
    assert interval.step(time, n + m) == interval.step(interval.step(time, n), m)
    assert n == interval.slots(interval.floor(time), interval.step(time, n))
    assert interval.floor(time) == interval.step(time, 0)


@given(st.sampled_from([interval for interval in INTERVALS.values() if interval.length_ms]), times)
def test_slots_of_a_fixed_interval_have_its_length(interval: Interval, time: int) -> None:
    """All but the month have one length, that of their name."""
    unit_ms = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}[interval.name[-1]]
    assert int(interval.name[:-1]) * unit_ms == interval.step(time, 1) - interval.floor(time)


@given(times)
def test_weeks_open_on_monday(time: int) -> None:
    """1w opens on Monday, 00:00 UTC."""
    opened = datetime.fromtimestamp(INTERVALS["1w"].floor(time) / 1000, UTC)
    assert ("Mon 00:00:00", 0) == (f"{opened:%a %H:%M:%S}", opened.microsecond)


@given(times)
def test_months_open_on_their_first_day(time: int) -> None:
    """1M is the calendar month in UTC: from its day 1, 00:00, to the next month's."""
    month = INTERVALS["1M"]
    day = datetime.fromtimestamp(time // 1000, UTC)
    first = day.replace(day=1, hour=0, minute=0, second=0)
    following = (first + timedelta(days=32)).replace(day=1)
    assert (ms(f"{first:%Y-%m-%d}"), ms(f"{following:%Y-%m-%d}")) == (month.floor(time), month.step(time, 1))


@pytest.mark.parametrize(
    ("name", "time", "floor", "following"),
    [
        ("1w", "2017-07-03", "2017-07-03", "2017-07-10"),  # Binance's documented example
        ("1w", "2023-07-30T23:59:59.999", "2023-07-24", "2023-07-31"),
        ("1M", "2024-02-29T23:59:59.999", "2024-02-01", "2024-03-01"),
        ("1M", "2023-02-28T23:59:59.999", "2023-02-01", "2023-03-01"),
        ("1M", "2000-02-29", "2000-02-01", "2000-03-01"),
        ("1M", "2024-12-31T23:59:59.999", "2024-12-01", "2025-01-01"),
        ("1M", "1970-01-01", "1970-01-01", "1970-02-01"),
        ("1d", "2024-02-28T23:59:59.999", "2024-02-28", "2024-02-29"),
        ("1d", "2024-03-10T07:30", "2024-03-10", "2024-03-11"),  # New York's clocks change
        ("1m", "2024-03-10T07:30:59.999", "2024-03-10T07:30", "2024-03-10T07:31"),
        ("8h", "2024-01-01T15:59:59.999", "2024-01-01T08:00", "2024-01-01T16:00"),
        ("1s", "2024-01-01T00:00:01.999", "2024-01-01T00:00:01", "2024-01-01T00:00:02"),
    ],
)
def test_edges_of_the_calendar(name: str, time: str, floor: str, following: str) -> None:
    """The last millisecond of a slot is in it, the next one is not, in leap years and at year's end too."""
    interval = INTERVALS[name]
    assert (ms(floor), ms(following)) == (interval.floor(ms(time)), interval.step(ms(time), 1))
    assert ms(following) == interval.ceil(ms(floor) + 1) == interval.floor(ms(following))


@pytest.mark.parametrize("name", NAMES)
def test_sql_index_is_index(name: str) -> None:
    """The database numbers slots as we do, in whatever zone it runs, at and beside every kind of boundary."""
    interval = INTERVALS[name]
    marks = [interval.step(ms(f"{year}-{day}"), 0) for year in (2017, 2020, 2024, 2025) for day in ("02-28", "12-31")]
    sample = [time + shift for time in marks for shift in (-1, 0, 1, 14_789, 86_399_999)]
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'America/New_York'")
        rows = connection.execute(
            f"SELECT {interval.sql_index('t')} FROM (SELECT epoch_ms(unnest(?::BIGINT[])) AS t)", [sample]
        ).fetchall()
    assert [interval.index(time) for time in sample] == [index for (index,) in rows]
