"""The archive's CSV: the same rows, values and refusals as REST's, by columns."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from klines.binance.csv import _by_columns, raw_rows, read_csv
from klines.binance.totals import Totals, disagreeing, of_days, of_rows
from klines.errors import BadArchive
from klines.interval import INTERVALS
from klines.market import KLINES
from klines.reasons import islands, slots
from klines.rows import SCHEMA, Row, frame, sift
from klines.window import Window
from tests.drive import MINUTE, NOON, at
from tests.exchange.archives import HEADER

MINUTES = INTERVALS["1m"]
ASKED = Window(at(0), at(60))


def line(minute: int, *, by: int = 1, **fields: str) -> str:
    """A line of a file; `by` 1000 for microseconds."""
    end = (at(minute) + MINUTE - 1) * by + (by - 1)
    values = [str(at(minute) * by), "2.0", "3.0", "1.0", "2.5", "10", str(end), "20", "5", "4", "8"]
    row = dict(zip(SCHEMA, values, strict=True))
    return ",".join([*(row | fields).values(), "0"])


def made(open_ms: int, close_ms: int, volume: Decimal, quote: Decimal, taker: Decimal, taker_quote: Decimal) -> Row:
    """The row of such a line."""
    return Row(open_ms, 2.0, 3.0, 1.0, 2.5, volume, close_ms, quote, 5, taker, taker_quote)


def text(*lines: str) -> bytes:
    """A file of lines."""
    return "".join(f"{line}\n" for line in lines).encode()


def test_a_clean_file() -> None:
    """Every line is a row, in the shape that REST's have."""
    rows, rejects = read_csv(text(*map(line, range(3))), MINUTES, ASKED)
    amounts = [Decimal(amount) for amount in (10, 20, 4, 8)]
    assert ([made(at(n), at(n + 1) - 1, *amounts) for n in range(3)], []) == (
        [Row(*row) for row in rows.iter_rows()],
        rejects,
    )
    assert dict(rows.schema) == SCHEMA


def test_header_microseconds_and_a_missing_newline_change_nothing() -> None:
    """The same rows with a header, in microseconds, or without a newline at the end."""
    plain, _ = read_csv(text(line(0), line(1)), MINUTES, ASKED)
    for csv in (
        text(HEADER, line(0), line(1)),
        text(line(0, by=1000), line(1, by=1000)),
        text(line(0), line(1))[:-1],
        text(line(0), line(1)).replace(b"\n", b"\r\n"),
    ):
        rows, rejects = read_csv(csv, MINUTES, ASKED)
        assert rows.equals(plain)
        assert [] == rejects


def test_an_empty_file() -> None:
    """Nothing in, nothing out."""
    for csv in (b"", text(HEADER)):
        rows, rejects = read_csv(csv, MINUTES, ASKED)
        assert (0, [], SCHEMA) == (rows.height, rejects, dict(rows.schema))


def test_what_is_no_text() -> None:
    """Bytes that are no text are no CSV."""
    with pytest.raises(BadArchive):
        read_csv(b"\xff\xfe\x00garbage", MINUTES, ASKED)


SPOILT: dict[str, Callable[[str], str]] = {
    "short": lambda row: row.rsplit(",", 2)[0],
    "long": lambda row: row + ",1",
    "nan": lambda row: row.replace("2.5", "NaN"),
    "infinite": lambda row: row.replace("2.5", "inf"),
    "text": lambda row: row.replace("2.5", "hello"),
    "empty": lambda row: row.replace("2.5", ""),
    "high": lambda row: row.replace("3.0", "0.5"),
    "low": lambda row: row.replace("1.0", "9.0"),
    "negative": lambda row: row.replace(",10,", ",-10,"),
    "negative trades": lambda row: row.replace(",5,", ",-5,"),
    "off grid": lambda row: row.replace("000,2.0", "789,2.0"),
    "outside": lambda row: row.replace(str(at(5)), str(at(60))).replace(str(at(6) - 1), str(at(61) - 1)),
    "close time": lambda row: row.replace(str(at(6) - 1), str(at(6) + MINUTE)),
    "twice, differently": lambda row: f"{row}\n{row.replace(',10,', ',11,')}",
}


@pytest.mark.parametrize("kind", SPOILT)
def test_a_bad_row_is_refused_and_no_other(kind: str) -> None:
    """Whatever is wrong with a row, it and no other is refused, with the reason that REST's would have."""
    lines = [line(n) for n in range(10)]
    lines[5] = SPOILT[kind](lines[5])
    rows, rejects = read_csv(text(*lines), MINUTES, ASKED)
    assert [at(n) for n in range(10) if n != 5] == rows["open_time"].to_list()
    assert rejects
    assert all(reject.reason for reject in rejects)


FIRST_LINES = ["\ufeff", '"', "-", "+", " ", "\t", "\u00a0", "x", "_", "#", "\x00", "open time,"]


@pytest.mark.parametrize("before", FIRST_LINES)
def test_a_first_line_is_a_header_or_a_row(before: str) -> None:
    """Only the archive's own header is one: a first row after any other sign is refused, and never dropped silently."""
    rows, rejects = read_csv(text(before + line(0), line(1)), MINUTES, ASKED)
    assert ([at(1)], 1) == (rows["open_time"].to_list(), len(rejects))


@pytest.mark.parametrize("lines", ["\n", "\r\n", "\n\n"])
def test_blank_lines_are_nothing(lines: str) -> None:
    """Between, before and after the rows."""
    csv = lines.join(["", line(0), line(1), ""]).encode()
    rows, rejects = read_csv(csv, MINUTES, ASKED)
    assert ([at(0), at(1)], []) == (rows["open_time"].to_list(), rejects)


def test_a_row_that_was_cut_is_refused() -> None:
    """Eleven fields, of which the last lacks its end: no value is taken from it."""
    cut = line(1).rsplit(",", 1)[0][:-1]
    rows, rejects = read_csv(text(line(0), cut), MINUTES, ASKED)
    assert ([at(0)], ["11 fields instead of 12"]) == (rows["open_time"].to_list(), [r.reason for r in rejects])


def test_more_lines_than_klines_fit() -> None:
    """Twice as many lines as the file's time has slots are looked at, not more."""
    with pytest.raises(BadArchive, match="it has 121 lines where 60 klines fit"):
        read_csv(b"1\n" * 121, MINUTES, ASKED)


ODD = [
    *(
        "1e5",
        ".5",
        "5.",
        "-0",
        "-1",
        "+1",
        "1_0",
        "NaN",
        "inf",
        "٣",
        "１",
        "",
        " 1",
        "1 ",
        '"1"',
        "1.2.3",
        "00.10",
        "0x1",
    ),
    *("1.123456789", "2.500000000", "2.5000000001", "134217728.12345676", "1523456789.00000000", "1000000000000000"),
    *("999999999999999.12345678", "9" * 30, "9" * 31, "0." + "9" * 40),
    *("9" * 19, "9" * 400, "1,5", "1\n", "1\r", "\x0b1", "\u20281", "\ufeff1", "\x00", "5\t", "1.5"),
]
mutations = st.tuples(
    st.integers(0, 3), st.integers(0, 11), st.sampled_from(ODD) | st.text('0123456789.,-+e_ "\n\r', max_size=8)
)


@example([(1, 1, "2.123456789")], "", "\n")
@example([(1, 5, "5.")], "", "\n")
@example([(3, 5, ".5")], "", "\n")
@settings(max_examples=400)
@given(
    st.lists(mutations, max_size=3), st.sampled_from(["", "\ufeff", HEADER + "\n", "x\n"]), st.sampled_from("\n \r\n")
)
def test_the_fast_path_is_the_careful_one(changes: list[tuple[int, int, str]], before: str, newline: str) -> None:
    """Law: of a file with anything wrong in it the same rows are taken, with the same values, and the same refused, by
    columns and row by row."""
    lines = [line(n).split(",") for n in range(4)]
    for row, field, value in changes:
        lines[row][field] = value
    csv = (before + newline.join(",".join(fields) for fields in lines)).encode()
    rows, rejects = read_csv(csv, MINUTES, ASKED)
    body = csv.partition(b"\n")[2] if csv.startswith(b"open_time,") else csv
    good, refused = sift(raw_rows(body), MINUTES, ASKED)
    assert (good, refused) == ([Row(*row) for row in rows.iter_rows()], rejects)


def test_equal_and_unordered_rows() -> None:
    """A row twice is one row, and the order does not matter."""
    rows, rejects = read_csv(text(line(2), line(0), line(1), line(1)), MINUTES, ASKED)
    assert ([at(0), at(1), at(2)], []) == (rows["open_time"].to_list(), rejects)


amounts = st.decimals(0, 10**15, places=8).map("{:f}".format)
prices = st.decimals(0, 10**9, places=8).map("{:f}".format) | st.integers(0, 10**15).map("{}.00000000".format)


@given(
    st.lists(
        st.tuples(st.integers(0, 59), *[prices] * 4, *[amounts] * 4, st.integers(0, 99)),
        unique_by=lambda text: text[0],
    )
)
@pytest.mark.slow
def test_the_same_as_rest(values: list[tuple[int, ...]]) -> None:
    """Law: the rows and rejects of a file are those of the same rows in a REST answer, up to 10^15 with 8 decimals."""
    raw = [
        [at(n), *prices, volume, at(n + 1) - 1, quote, trades, taker, taker_quote, "0"]
        for n, *prices, volume, quote, taker, taker_quote, trades in values
    ]
    rows, rejects = read_csv(text(*(",".join(map(str, row)) for row in raw)), MINUTES, ASKED)
    good, refused = sift(raw, MINUTES, ASKED)
    assert good == [Row(*row) for row in rows.iter_rows()]
    assert refused == rejects


LARGE = [["999999999999999.12345678", "0.00000001", "123456789.1", "1523456789.00000000"], ["1" * 30, "0", "1", "2"]]


@pytest.mark.parametrize("amounts", LARGE)
@pytest.mark.parametrize("price", ["1523456789.00000000", "0.00001234", "123456789.5"])
def test_large_values_are_read_by_columns(price: str, amounts: list[str]) -> None:
    """What a double does not hold, and prices of many digits that it does hold, cost a file nothing of its speed."""
    prices: dict[str, Any] = dict.fromkeys(("open", "high", "low", "close"), price)
    values: dict[str, Any] = dict(
        zip(("volume", "quote_volume", "taker_buy_volume", "taker_buy_quote_volume"), amounts, strict=True)
    )
    rows = _by_columns(text(line(0, **prices, **values)), KLINES)
    assert rows is not None
    [row] = rows.iter_rows(named=True)
    assert values | prices == {
        **{name: amount for name, amount in values.items() if Decimal(amount) == row[name]},
        **{name: price for name in prices if Decimal(price) == Decimal(repr(row[name]))},
    }


@pytest.mark.parametrize("price", ["134217728.12345676", "999999999999999.12345678", "99999999999999999"])
def test_a_price_that_a_double_does_not_hold_is_refused(price: str) -> None:
    """No file is stored with another number than it has: that row is refused, the others are not."""
    rows, rejects = read_csv(text(line(0), line(1, open=price, high=price, low=price, close=price)), MINUTES, ASKED)
    assert [at(0)] == rows["open_time"].to_list()
    assert ["a price has more digits than a double holds"] == [reject.reason for reject in rejects]


@given(st.lists(st.integers(0, 200), unique=True).map(sorted), st.sampled_from(["1m", "1h", "1w", "1M"]))
def test_islands_are_slots(numbers: list[int], name: str) -> None:
    """Law: the stored windows of a frame, by columns, are those of its open times one by one."""
    interval = INTERVALS[name]
    times = [interval.step(NOON, n) for n in numbers]
    rows = frame([made(time, time + 1, *[Decimal(1)] * 4) for time in times])
    assert slots(times, interval) == islands(rows, interval)


def test_a_days_totals() -> None:
    """Trades and volume summed, highest high, lowest low; a day that the exchange does not state disagrees."""
    rows, _ = read_csv(text(line(0), line(1, high="7.0"), line(2, low="0.5")), MINUTES, ASKED)
    day = NOON // 86_400_000 * 86_400_000
    right = Totals(15, Decimal(30), 7.0, 0.5)
    assert {day: right} == of_rows(rows)
    nothing = Decimal(0)
    stated = of_days([Row(day, 2.0, 7.0, 0.5, 2.5, Decimal("30.00"), 0, nothing, 15, nothing, nothing)])
    assert [] == disagreeing(rows, stated)
    assert [Window(day, day + 86_400_000)] == disagreeing(rows, {})
    last_digit = right._replace(volume=Decimal("30.00000001"))
    for wrong in (right._replace(trades=14), last_digit, right._replace(high=7.1)):
        assert 1 == len(disagreeing(rows, {day: wrong}))
