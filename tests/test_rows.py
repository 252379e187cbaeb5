"""What a good row is: the exchange's answers, sorted into klines and rejects."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from klines.errors import BadAnswer
from klines.interval import INTERVALS
from klines.rows import OFF_GRID_ERA, Reject, Row, frame, sift
from klines.window import Window

MINUTE = 60_000
T = 1_763_881_200_000  # 2025-11-23 07:00
M1, HOUR = INTERVALS["1m"], Window(T, T + 60 * MINUTE)
FEBRUARY = 1_518_168_494_789  # 2018-02-09 09:28:14.789, an open time of Binance's


def raw(time: int = T, close: str = "11.0", **fields: Any) -> list[Any]:
    """A good row as the exchange sends it, but for `fields`, by their names."""
    row = {
        "open_time": time, "open": "10.0", "high": "12.0", "low": "9.5", "close": close, "volume": "3.00000000",
        "close_time": time + MINUTE - 1, "quote_volume": "32.10000000", "trades": 7, "taker_buy_volume": "1.0",
        "taker_buy_quote_volume": "10.5", "unused": "0",
    }  # fmt: skip
    return list((row | fields).values())


def reasons(body: Any, asked: Window = HOUR) -> list[str]:
    """Why the rows of `body` are refused, where none of them is good."""
    rows, rejects = sift(body, M1, asked)
    assert [] == rows
    return [reject.reason for reject in rejects]


def opens(body: Any, asked: Window = HOUR, interval: str = "1m") -> list[int]:
    """The open times of the good rows, where none is refused."""
    rows, rejects = sift(body, INTERVALS[interval], asked)
    assert [] == rejects
    return [row.open_time for row in rows]


def test_a_good_row_keeps_its_values() -> None:
    """Prices are the nearest doubles, amounts the decimals, times and trades the integers that were sent."""
    rows, rejects = sift([raw(open="10.1", low="0.00000001", volume="999999999999999.99999999")], M1, HOUR)
    volume, quote, taker, taker_quote = map(Decimal, ("999999999999999.99999999", "32.1", "1", "10.5"))
    assert [Row(T, 10.1, 12.0, 1e-8, 11.0, volume, T + 59_999, quote, 7, taker, taker_quote)] == rows
    assert [] == rejects


def test_an_exponent_is_written_out() -> None:
    """A number as Java prints small ones, 1E-8, is that number; what is too fine is refused, with or without one."""
    rows, rejects = sift([raw(low="1E-8", volume="0E-8", quote_volume="3.21E+1")], M1, HOUR)
    assert [(1e-8, Decimal(0), Decimal("32.1"))] == [(row.low, row.volume, row.quote_volume) for row in rows]
    assert [] == rejects
    assert ["a value has more than 8 decimals"] == reasons([raw(volume="1.5E-8")])


def test_a_minute_without_trades_is_a_row() -> None:
    """Binance sends a row of zero volume for a minute without trades; so does an `-0`."""
    flat = raw(open="10", high="10", low="10", close="10", volume="0", quote_volume="-0.0", trades=0)
    assert [T] == opens([flat])


def test_no_rows_are_no_rejects() -> None:
    """An empty answer is legal."""
    assert ([], []) == sift([], M1, HOUR)


@pytest.mark.parametrize(
    "body", [{}, None, "", "[]", 0, True, {"code": -1}, [{}], [None], [raw(), {"a": 1}], ["x"], [1]]
)
def test_a_body_that_is_no_list_of_rows_is_a_bad_answer(body: Any) -> None:
    """A body of another shape is retryable as a whole; the message shows its beginning."""
    with pytest.raises(BadAnswer, match="no list of klines: ") as raised:
        sift(body, M1, HOUR)
    assert 250 > len(str(raised.value))


@pytest.mark.parametrize("field", ["open_time", "close_time", "trades"])
@pytest.mark.parametrize(
    "value", [None, "1763881200000", True, 1.0, [], {}, 2**63, -(2**63) - 1, 10**400, float("nan")]
)
def test_times_and_trades_are_integers(field: str, value: Any) -> None:
    """No text, float, bool (1 for Python) or integer beyond 64 bits passes for a time or a count."""
    assert ["a time or the number of trades is no integer"] == reasons([raw(**{field: value})])


PRICES = ("open", "high", "low", "close")
VOLUMES = ("volume", "quote_volume", "taker_buy_volume", "taker_buy_quote_volume")
NO_DECIMALS = [
    "NaN",
    "Infinity",
    "-inf",
    "1_0",
    "１０",
    "٣",
    "1e",
    "e3",
    "1e333",
    "1e3.5",
    "0x1",
    "",
    " 1",
    "1 ",
    "1\n",
    "+1",
    "1.",
    ".5",
    "1,5",
]


@pytest.mark.parametrize("field", [*PRICES, *VOLUMES])
@pytest.mark.parametrize("value", [*NO_DECIMALS, "--1", "1.2.3", None, 10, 10.0, True, ["10"], {}])
def test_values_are_decimal_strings(field: str, value: Any) -> None:
    """Only ASCII digits with at most one point between, and an exponent of two digits: none of what else Python's
    float() reads."""
    assert ["a value is no decimal number"] == reasons([raw(**{field: value})])


@pytest.mark.parametrize("field", [*PRICES, *VOLUMES])
def test_a_value_can_be_stored_as_it_is(field: str) -> None:
    """Nothing is rounded: a value with more digits than are stored is refused, and only zeros may come after them."""
    for value, reason in (("1.000000001", "a value has more than 8 decimals"), ("9" * 400, "a value is too large")):
        spoilt: dict[str, Any] = {field: value}
        assert [reason] == reasons([raw(**spoilt)])
    flat: dict[str, Any] = dict.fromkeys(PRICES, "10.000000000000")
    assert [T] == opens([raw(**{**flat, field: "10.0000000000000"})])


HELD = ["67108863.99999999", "1523456789.00000000", "999999999999999", "0.00000001", "99999.12345678"]
NOT_HELD = ["134217728.12345676", "999999999999999.12345678", "99999999999999999"]


@pytest.mark.parametrize("price", [*HELD, *NOT_HELD])
def test_a_price_is_held_by_a_double(price: str) -> None:
    """A price whose double prints as another number is refused: it would be stored as that."""
    flat: dict[str, Any] = dict.fromkeys(PRICES, price)
    rows, rejects = sift([raw(**flat)], M1, HOUR)
    if price in HELD:
        assert ([Decimal(price)], []) == ([Decimal(repr(row.high)) for row in rows], rejects)
    else:
        assert [] == rows
        assert ["a price has more digits than a double holds"] == [reject.reason for reject in rejects]


@given(st.decimals(0, 2**26, places=8).map("{:f}".format))
def test_small_prices_are_held(price: str) -> None:
    """Law: below 2^26 the shortest decimal of a double is the one of eight places that it was made of."""
    flat: dict[str, Any] = dict.fromkeys(PRICES, price)
    rows, _ = sift([raw(**flat)], M1, HOUR)
    assert [Decimal(price)] == [Decimal(repr(row.open)) for row in rows]


@pytest.mark.parametrize("fields", [0, 1, 11, 13])
def test_a_row_has_twelve_fields(fields: int) -> None:
    """A shorter or longer row is refused, an empty one too."""
    row = [*raw(), "0"][:fields]
    assert [f"{fields} fields instead of 12"] == reasons([row])


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"high": "10.9"}, "high below open or close"),
        ({"high": "9.9", "close": "9.6"}, "high below open or close"),
        ({"low": "10.1"}, "low above open or close"),
        ({"low": "10.5", "open": "11.0", "close": "10.4"}, "low above open or close"),
        *(({name: "-0.1"}, "a negative value") for name in ("low", *VOLUMES)),
        ({"trades": -1}, "a negative value"),
        ({"close_time": T - 1}, "close time outside of its interval"),
        ({"close_time": T + MINUTE}, "close time outside of its interval"),
        ({"close_time": 2**63 - 1}, "close time outside of its interval"),
        ({"time": T - MINUTE}, "outside of what was asked"),
        ({"time": T + 60 * MINUTE}, "outside of what was asked"),
        ({"time": T * 1000}, "outside of what was asked"),
        ({"time": -1}, "outside of what was asked"),
        ({"time": T + 1}, "off the interval's grid"),
        ({"time": T + 30_000}, "off the interval's grid"),
    ],
)
def test_a_row_makes_sense(fields: dict[str, Any], reason: str) -> None:
    """High and low bound open and close, nothing is negative, times are in the slot and in what was asked."""
    assert [reason] == reasons([raw(**fields)])


def test_a_row_may_touch_its_bounds() -> None:
    """All prices equal, the window's first and last slot, a close at the last millisecond or at the open."""
    flat = dict.fromkeys(PRICES, "10")
    last = HOUR.end_ms - MINUTE
    assert [T, last] == opens([raw(T, **flat, close_time=T), raw(last, **flat)])


def test_the_open_candle_is_refused() -> None:
    """Where what was asked ends with the last closed kline, the one still open is outside of it."""
    rows, rejects = sift([raw(T), raw(T + MINUTE)], M1, Window(T, T + MINUTE))
    assert [T] == [row.open_time for row in rows]
    assert [(T + MINUTE, "outside of what was asked")] == [(r.open_time_ms, r.reason) for r in rejects]


@pytest.mark.parametrize(
    ("time", "close_time"),
    [
        (1_518_049_680_000, 1_518_049_694_788),  # 2018-02-08 00:28 closes after 14.8 s
        (1_504_713_600_000, 1_504_713_600_000),  # 2017-09-06 16:00 closes at its own open
        (1_608_558_420_000, 1_608_558_440_500),  # 2020-12-21 13:47 closes after 20.5 s
    ],
)
def test_an_outage_may_cut_a_kline_short(time: int, close_time: int) -> None:
    """Binance's own klines before an outage close early; they are its values and stored so."""
    assert [time] == opens([raw(time, close_time=close_time)], Window(time, time + MINUTE))


def test_february_2018_is_off_the_grid() -> None:
    """Klines of 8–11 February 2018 open and close at 14.789 s of their minute and are good."""
    slot = M1.floor(FEBRUARY)
    asked = Window(slot, slot + 2 * MINUTE)
    assert [FEBRUARY, FEBRUARY + MINUTE] == opens([raw(FEBRUARY), raw(FEBRUARY + MINUTE)], asked)
    assert ["close time outside of its interval"] == reasons([raw(FEBRUARY, close_time=FEBRUARY + MINUTE)], asked)


@pytest.mark.parametrize(
    ("era", "first", "last"),
    [(OFF_GRID_ERA[0], "2017-12-04", "2017-12-17"), (OFF_GRID_ERA[1], "2018-02-08", "2018-02-11")],
)
def test_the_era_has_its_bounds(era: Window, first: str, last: str) -> None:
    """Off the grid is good from midnight of its first day to that after its last, and not a moment around."""
    asked = Window(era.start_ms - MINUTE, era.end_ms + MINUTE)
    days = [datetime.fromtimestamp(time / 1000, UTC) for time in (era.start_ms, era.end_ms - 1)]
    assert [f"{first} 00:00:00", f"{last} 23:59:59"] == [f"{day:%Y-%m-%d %H:%M:%S}" for day in days]
    assert [era.start_ms + 1, era.end_ms - 1] == opens([raw(era.start_ms + 1), raw(era.end_ms - 1)], asked)
    assert 2 * ["off the interval's grid"] == reasons([raw(era.start_ms - 1), raw(era.end_ms + 1)], asked)


def test_an_on_grid_row_wins_its_slot() -> None:
    """Of an on-grid and an off-grid row of one slot the first is the kline, in either order."""
    slot = M1.floor(FEBRUARY)
    on, off, asked = raw(slot), raw(FEBRUARY, close="10.5"), Window(slot, slot + MINUTE)
    assert [slot] == opens([on, off], asked) == opens([off, on], asked)


def test_two_off_grid_rows_of_one_slot_are_refused() -> None:
    """Nobody can say which of two off-grid rows is the kline."""
    slot = M1.floor(FEBRUARY)
    body = [raw(FEBRUARY), raw(FEBRUARY + 1)]
    assert 2 * ["two different rows of one time"] == reasons(body, Window(slot, slot + MINUTE))


def test_equal_repetitions_are_dropped() -> None:
    """The same row twice is that row; so are two spellings of the same numbers."""
    assert [T] == opens([raw(), raw(close="11"), raw()])


def test_unequal_repetitions_are_refused() -> None:
    """Two rows of one time that differ are both refused; the rest of the page is good."""
    rows, rejects = sift([raw(), raw(close="10.5"), raw(), raw(T + MINUTE)], M1, HOUR)
    assert [T + MINUTE] == [row.open_time for row in rows]
    assert 2 * [(T, "two different rows of one time")] == [(r.open_time_ms, r.reason) for r in rejects]


def test_a_broken_repetition_spoils_nothing() -> None:
    """A broken row beside a good one of the same time is refused alone."""
    rows, rejects = sift([raw(), raw(close="NaN")], M1, HOUR)
    assert ([T], [T]) == ([row.open_time for row in rows], [reject.open_time_ms for reject in rejects])


def test_rows_are_made_ascending() -> None:
    """Whatever their order in the answer."""
    minutes = [T + n * MINUTE for n in range(5)]
    assert minutes == opens([raw(time) for time in reversed(minutes)])


def test_long_intervals_have_their_own_grid() -> None:
    """A week opens on Monday, a month on its first day."""
    monday, may = 1_714_348_800_000, 1_714_521_600_000  # 2024-04-29, 2024-05-01
    week = raw(monday, close_time=monday + 7 * 86_400_000 - 1)
    month = raw(may, close_time=may + 31 * 86_400_000 - 1)
    assert [monday] == opens([week], Window(monday, monday + 1), "1w")
    assert [may] == opens([month], Window(may, may + 1), "1M")
    rows, rejects = sift([week], INTERVALS["1M"], Window(monday, may))
    assert ([], ["off the interval's grid"]) == (rows, [reject.reason for reject in rejects])


def test_a_reject_is_the_row_as_received() -> None:
    """Its JSON with names and scripts as they were, at most 2,000 characters, and its time where it has one."""
    row = raw(close="币\u0000")
    assert [Reject(T, "a value is no decimal number", json.dumps(row, ensure_ascii=False))] == sift([row], M1, HOUR)[1]
    [long] = sift([[T, "x" * 10**6]], M1, HOUR)[1]
    assert (T, 2000) == (long.open_time_ms, len(long.row))


@pytest.mark.parametrize("time", [None, "x", True, -1, 2**53, 10**400, 1.5, []])
def test_an_unreadable_time_is_none(time: Any) -> None:
    """What can't be a time is none, rather than one that the database can't hold."""
    assert [None] == [reject.open_time_ms for reject in sift([raw(open_time=time)], M1, HOUR)[1]]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(raw()),
    lambda inner: st.lists(inner, max_size=13) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)
garbage = st.lists(
    st.lists(json_values, max_size=13)
    | st.builds(lambda i, value: [*raw()[:i], value, *raw()[i + 1 :]], st.integers(0, 11), json_values)
    | st.builds(lambda n: raw(T + n * MINUTE), st.integers(-5, 65)),
    max_size=8,
)


@settings(max_examples=50)
@given(garbage)
def test_garbage_is_sorted_never_crashed_upon(body: list[Any]) -> None:
    """Each row of an answer is stored, dropped as a repetition, or refused; what is stored is ascending, one a slot."""
    rows, rejects = sift(body, M1, HOUR)
    assert len(rows) + len(rejects) <= len(body)
    assert bool(body) == bool(rows or rejects)
    assert sorted({row.open_time for row in rows}) == [row.open_time for row in rows]
    assert all(HOUR.start_ms <= row.open_time < HOUR.end_ms and row.low <= row.high for row in rows)


def test_columns_hold_the_rows() -> None:
    """The frame has a column a field, in order, whole numbers as such, and as many rows; none is a frame too."""
    some, none = Decimal("123456789012345.12345678"), Decimal(0)
    rows = [Row(T + n, 1.5, 2.5, 0.5, 2.0, some, T + n + 9, some, 2**53 + 1, none, none) for n in range(3)]
    assert [tuple(row) for row in rows] == frame(rows).rows()
    assert (list(Row._fields), 0) == (frame([]).columns, frame([]).height)
    whole = {name for name, dtype in frame([]).schema.items() if dtype == pl.Int64}
    assert {"open_time", "close_time", "trades"} == whole


@pytest.mark.parametrize("time", [T * 1000, 2**62, -(2**62)])
def test_a_month_of_no_calendar_is_refused(time: int) -> None:
    """A time that no calendar has (microseconds for one) is outside of what was asked, for months too."""
    rows, rejects = sift([raw(time)], INTERVALS["1M"], HOUR)
    assert ([], ["outside of what was asked"]) == (rows, [reject.reason for reject in rejects])


def test_a_reject_can_be_stored() -> None:
    """JSON may escape half a character, which no database stores: the reject's text must be valid Unicode."""
    [reject] = sift([raw(close=json.loads(r'"\ud800"'))], M1, HOUR)[1]
    assert "\\ud800" in reject.row.encode().decode()


def test_a_refused_repetition_is_the_row_as_received() -> None:
    """The reject's JSON is what the exchange sent, not what we read from it."""
    body = [raw(), raw(close="10.50000000")]
    assert body == [json.loads(reject.row) for reject in sift(body, M1, HOUR)[1]]
