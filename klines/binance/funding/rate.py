"""A funding rate as Binance publishes it, by REST and in a file of the archive: which row is a good one. Pure.

A row of REST is an object, {"symbol", "fundingTime", "fundingRate", "markPrice"}; the mark price of old ones is empty,
or not there. A line of the archive has calc_time, funding_interval_hours, last_funding_rate. Times are ms; they may be
some ms after the full hour, which is the slot.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

import polars as pl

from klines.binance.funding.grid import hour_of
from klines.errors import BadAnswer, BadArchive
from klines.interval import HOUR
from klines.outcome import shown
from klines.rows import NOT_OURS, Rejects
from klines.window import Window

DIGITS_OF_RATES, DECIMALS_OF_RATES = 38, 12
"""Of a rate and of a mark price, as they are stored; one with more decimals is refused, never rounded."""
_NUMBER = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,40})?([eE]-?[0-9]{1,2})?")
_TOO_LARGE = 10 ** (DIGITS_OF_RATES - DECIMALS_OF_RATES)
_HEADER = "calc_time,funding_interval_hours,last_funding_rate"
_IN_MICROSECONDS = 10**14
_HOURS = {str(hours) for hours in range(1, 25)}
LONGEST_PAGE = 1000
"""Rates of an answer of REST at most (REST docs: limit, 100 where it is not said)."""
TO_COME = "it is of a time that is yet to come"


class FundingRate(NamedTuple):
    """A good one: its time as published, in epoch ms; the rate, where 0.0001 is 0.01 % of a position; the mark price,
    and the interval in hours, where they were published."""

    time_ms: int
    rate: Decimal
    mark_price: Decimal | None = None
    hours: int | None = None


@dataclass(slots=True)
class RatesOf:
    """What REST answered of a symbol: its good rates, refused rows, and the windows that it answered as a whole."""

    rates: list[FundingRate] = field(default_factory=list)
    rejects: Rejects = field(default_factory=Rejects)
    answered: list[Window] = field(default_factory=list)


FUNDING_SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "funding_time": pl.Int64,
    "rate": pl.Decimal(DIGITS_OF_RATES, DECIMALS_OF_RATES),
    "mark_price": pl.Decimal(DIGITS_OF_RATES, DECIMALS_OF_RATES),
    "interval_hours": pl.Int32,
}


def funding_frame(rates: Sequence[FundingRate]) -> pl.DataFrame:
    """The rates as columns of the table funding; times still in epoch ms."""
    columns = zip(*rates, strict=True) if rates else [()] * len(FUNDING_SCHEMA)
    return pl.DataFrame(
        [pl.Series(name, column, dtype) for (name, dtype), column in zip(FUNDING_SCHEMA.items(), columns, strict=True)]
    )


def rates_answered(body: Any, symbol: str, asked: Window, limit: int, now_ms: int) -> tuple[list[FundingRate], Rejects]:
    """The good rates of an answer to a request for at most `limit` of `asked`, ascending, one an hour, and the rejects.

    Raises BadAnswer for what is no list of rates, or not the answer to that. A rate of after `now_ms` is refused.
    """
    if not isinstance(body, list) or not all(isinstance(raw, dict) for raw in body):
        raise BadAnswer(f"the answer is no list of funding rates: {shown(body)}")
    strangers = sorted({str(raw.get("symbol"))[:50] for raw in body} - {symbol})
    if len(body) > limit or strangers:
        what = f"rates of {strangers[0]!a}" if strangers else f"{len(body):,} rates where {limit:,} were asked for"
        raise BadAnswer(f"{what}: {NOT_OURS}")
    times = [raw["fundingTime"] for raw in body if type(raw.get("fundingTime")) is int]
    outside = sum(not asked.start_ms <= time < asked.end_ms for time in times if time <= now_ms)
    if outside:
        raise BadAnswer(f"{outside:,} of {len(body):,} rates are of another time than was asked for: {NOT_OURS}")
    return _sifted((_of_rest(raw, now_ms), raw.get("fundingTime"), raw) for raw in body)


def rates_in_file(csv: bytes, month: Window) -> tuple[list[FundingRate], Rejects]:
    """The good rates of a month's file, ascending, one an hour, and the rejects.

    Raises BadArchive for what is no CSV of text with its three columns, or has more lines than twice its hours.
    """
    try:
        lines = [line.removesuffix("\r") for line in csv.decode().split("\n") if line.strip("\r")]
    except UnicodeDecodeError as error:
        raise BadArchive(f"its CSV is no text: {error}") from None
    if lines and not lines[0][:1].isdigit():
        if lines[0] != _HEADER:
            raise BadArchive(f"its columns are {lines[0]!a:.100}, not {_HEADER}")
        del lines[0]
    most = (month.end_ms - month.start_ms) // HOUR
    if len(lines) > 2 * most:
        raise BadArchive(f"it has {len(lines):,} lines where {most:,} rates fit")
    fields = [line.split(",") for line in lines]
    return _sifted((_of_file(raw, month), _time_ms(raw[0]), raw) for raw in fields)


def _of_rest(raw: dict[str, Any], now_ms: int) -> FundingRate | str:
    """The rate, or why it is none."""
    time_ms, price = raw.get("fundingTime"), raw.get("markPrice")
    if type(time_ms) is not int or time_ms < 0:
        return "its time is no integer"
    if time_ms > now_ms:
        return TO_COME
    numbers: list[Any] = [_number(raw.get("fundingRate")), None if price in (None, "") else _number(price)]
    wrong = [number for number in numbers if isinstance(number, str)]
    return wrong[0] if wrong else FundingRate(time_ms, *numbers)


def _of_file(raw: Sequence[str], month: Window) -> FundingRate | str:
    if len(raw) != len(_HEADER.split(",")):
        return f"{len(raw)} fields instead of 3"
    time_ms, rate = _time_ms(raw[0]), _number(raw[2])
    if time_ms is None:
        return "its time is no integer"
    if not month.start_ms <= time_ms < month.end_ms:
        return "outside of its month"
    if raw[1] not in _HOURS:
        return "its interval is no number of hours"
    return rate if isinstance(rate, str) else FundingRate(time_ms, rate, hours=int(raw[1]))


def _time_ms(text: str) -> int | None:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        return None
    return int(text) // 1000 if int(text) >= _IN_MICROSECONDS else int(text)


def _number(value: Any) -> Decimal | str:
    """The decimal that a text stands for, exactly, or why it can't be stored."""
    if not isinstance(value, str) or not _NUMBER.fullmatch(value):
        return "a value is no decimal number"
    number = Decimal(value)
    if abs(number) >= _TOO_LARGE:
        return "a value is too large"
    is_fine = number.normalize().as_tuple().exponent >= -DECIMALS_OF_RATES  # type: ignore[operator]  # it is finite
    return number if is_fine else f"a value has more than {DECIMALS_OF_RATES} decimals"


def _sifted(found: Iterable[tuple[FundingRate | str, Any, Any]]) -> tuple[list[FundingRate], Rejects]:
    """One rate an hour: equal repetitions dropped, unequal ones refused."""
    rejects, hours = Rejects(), defaultdict[int, dict[FundingRate, Any]](dict)
    for rate, time_ms, raw in found:
        if isinstance(rate, FundingRate):
            hours[hour_of(rate.time_ms)][rate] = raw
        else:
            _refuse(rejects, time_ms, rate, raw)
    for several in [rates for rates in hours.values() if len(rates) > 1]:
        for rate, raw in several.items():
            _refuse(rejects, rate.time_ms, "two different rates of one hour", raw)
    return [rate for hour in sorted(hours) if len(hours[hour]) == 1 for rate in hours[hour]], rejects


def _refuse(rejects: Rejects, time_ms: Any, reason: str, raw: Any) -> None:
    is_time = type(time_ms) is int and 0 <= time_ms < 2**53
    rejects.refuse_as(time_ms if is_time else None, reason, raw)
