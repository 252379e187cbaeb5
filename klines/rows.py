"""The exchange's rows: what a good one is, and the sorting of an answer into good rows and rejects.

A klines row has twelve fields (Binance REST docs, "Kline/Candlestick data"): open time, open, high, low, close, volume,
close time, quote volume, trades, taker buy volume, taker buy quote volume, and one unused. Times and trades are JSON
integers, the rest are decimal strings.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

import polars as pl

from klines.columns import AMOUNTS, DECIMALS, DIGITS, HELD_BY_DOUBLES
from klines.errors import BadAnswer
from klines.interval import Interval
from klines.market import KLINES, Kind
from klines.outcome import shown
from klines.window import Window

_DECIMALS = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:,-?[0-9]+(?:\.[0-9]+)?)*")
"""Texts of decimals, with commas between."""
_WITH_EXPONENT = re.compile(r"-?[0-9]{1,20}(?:\.[0-9]{1,40})?[eE][-+]?[0-9]{1,2}")
"""As Java prints a decimal that is small: 1E-8."""
_TOO_FINE = re.compile(rf"\.[0-9]{{{DECIMALS}}}0*[1-9]")
_INT64 = 2**63
_LONG = DIGITS - DECIMALS

KEPT = 20
"""Refused rows that are kept, of an answer or a file; the others are counted."""
NOT_OURS = "not the answer to our request"

OFF_GRID_ERA = (Window(1512345600000, 1513555200000), Window(1518048000000, 1518393600000))
"""4–17 December 2017 and 8–11 February 2018: Binance's own klines of these days open off the grid and stay so."""


class Row(NamedTuple):
    """One good kline: times in epoch ms, amounts as decimals, prices as doubles whose shortest decimal is Binance's.
    What its kind does not publish is None."""

    open_time: int
    open: float
    high: float
    low: float
    close: float
    volume: Decimal | None
    close_time: int
    quote_volume: Decimal | None
    trades: int | None
    taker_buy_volume: Decimal | None
    taker_buy_quote_volume: Decimal | None


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that the exchange sent and the checks refused; `row` is its JSON as received."""

    open_time_ms: int | None
    reason: str
    row: str


class Rejects(list[Reject]):
    """The first KEPT of the refused rows of an answer or a file; `total` is how many there were, `times_ms` has the
    open times of all whose time can be read."""

    def __init__(self, rejects: Iterable[Reject] = ()) -> None:
        super().__init__(rejects)
        self.total = len(self)
        self.times_ms = [reject.open_time_ms for reject in self if reject.open_time_ms is not None]

    def refuse(self, raw: list[Any], reason: str) -> None:
        """One more row, as it was received."""
        self.refuse_as(_time_ms(raw), reason, raw)

    def refuse_as(self, time_ms: int | None, reason: str, raw: Any) -> None:
        """One more row, of a time; None: of none that can be read."""
        self.total += 1
        self.times_ms += [] if time_ms is None else [time_ms]
        if len(self) < KEPT:
            self.append(Reject(time_ms, reason, _text(raw)))

    def add(self, others: Rejects) -> None:
        """Those of another answer besides."""
        self.extend(others)
        self.total += others.total
        self.times_ms += others.times_ms

    @property
    def unkept(self) -> int:
        """How many are counted only."""
        return self.total - len(self)


def answered(
    body: Any, interval: Interval, asked: Window, limit: int, kind: Kind = KLINES
) -> tuple[list[Row], Rejects]:
    """`sift` of the answer to a request for at most `limit` klines of `asked`.

    Raises BadAnswer where it is not the answer to that: more rows, any of another time, or two or more of which not one
    is a kline.
    """
    check_shape(body)
    times = {str(raw[:1]) for raw in body[: 2 * limit]}
    if len(body) > 2 * limit or len(times) > limit:  # a repeated row is no other kline
        raise BadAnswer(f"{len(body):,} klines where at most {limit:,} were asked for: {NOT_OURS}")
    rows, rejects = sift(body, interval, asked, kind)
    outside = sum(not asked.start_ms <= time < asked.end_ms for time in rejects.times_ms)
    if outside:
        raise BadAnswer(f"{outside:,} of {len(body):,} klines are of another time than was asked for: {NOT_OURS}")
    if rejects and not rows and (rejects.total > 1 or not rejects.times_ms):
        raise BadAnswer(f"not one of {len(body):,} rows is a kline: {rejects[0].reason}")
    return rows, rejects


def sift(body: Any, interval: Interval, asked: Window, kind: Kind = KLINES) -> tuple[list[Row], Rejects]:
    """The good rows of a klines answer, ascending and at most one a slot, and the rejects.

    `asked` is the window of open times that the request covered. Raises BadAnswer when `body` is no list of rows.
    """
    check_shape(body)
    rows: list[tuple[Row, list[Any]]] = []
    rejects = Rejects()
    for raw in body:
        row = _read(raw, kind)
        reason = row if isinstance(row, str) else next(_broken(row, interval, asked, kind), None)
        if isinstance(row, Row) and reason is None:
            rows.append((row, raw))
        else:
            rejects.refuse(raw, str(reason))
    return _one_a_slot(rows, interval, rejects), rejects


def check_shape(body: Any) -> None:
    """Raises BadAnswer for what is no list of rows."""
    if not isinstance(body, list) or not all(isinstance(raw, list) for raw in body):
        raise BadAnswer(f"the answer is no list of klines: {shown(body)}")


def _read(raw: list[Any], kind: Kind) -> Row | str:
    """The typed row, or why the fields are not those of a kline."""
    if len(raw) != 12:
        return f"{len(raw)} fields instead of 12"
    open_time, *prices, volume, close_time, quote_volume, trades, taker_volume, taker_quote_volume, _ = raw
    integers = (open_time, close_time, trades) if kind.has_volumes else (open_time, close_time)
    amounts = (volume, quote_volume, taker_volume, taker_quote_volume) if kind.has_volumes else ()
    if {*map(type, integers)} != {int} or not -_INT64 <= min(integers) <= max(integers) < _INT64:
        return "a time or the number of trades is no integer"
    if reason := _why_no_decimals([*prices, *amounts]):
        plain = [*map(_written_out, raw)]
        return reason if plain == raw else _read(plain, kind)
    doubles = [*map(float, prices)]
    if not _are_held(doubles, prices):
        return "a price has more digits than a double holds"
    sums: list[Any] = [*map(Decimal, amounts)] or [None] * 4
    counted = trades if kind.has_volumes else None
    values: list[Any] = [open_time, *doubles, sums[0], close_time, sums[1], counted, *sums[2:]]
    return Row(*values)


def _why_no_decimals(texts: list[Any]) -> str:
    """Why these are not texts of decimals that can be stored; empty where they are. All are looked at in one text:
    with commas of their own they would be more."""
    if {*map(type, texts)} != {str}:
        return "a value is no decimal number"
    together = ",".join(texts)
    if together.count(",") >= len(texts) or not _DECIMALS.fullmatch(together):
        return "a value is no decimal number"
    if _TOO_FINE.search(together):
        return f"a value has more than {DECIMALS} decimals"
    return "a value is too large" if any(len(text) > _LONG and _is_too_large(text) for text in texts) else ""


def _written_out(value: Any) -> Any:
    """The same number without an exponent; all else as it is."""
    has_exponent = isinstance(value, str) and _WITH_EXPONENT.fullmatch(value)
    return f"{Decimal(value):f}" if has_exponent else value


def _is_too_large(text: str) -> bool:
    """Whether a decimal has more digits before its point than are stored."""
    return len(text.lstrip("-0").partition(".")[0]) > _LONG


def _are_held(doubles: list[float], texts: list[str]) -> bool:
    """Whether the shortest decimal of each double is what Binance sent."""
    if max(map(abs, doubles)) < HELD_BY_DOUBLES:
        return True
    return all(Decimal(repr(double)) == Decimal(text) for double, text in zip(doubles, texts, strict=True))


def _broken(row: Row, interval: Interval, asked: Window, kind: Kind) -> Iterator[str]:
    """Why this row can't be a kline of the window that was asked for: nothing for a good one."""
    if not asked.start_ms <= row.open_time < asked.end_ms:
        yield "outside of what was asked"
        return
    slot = interval.floor(row.open_time)
    end = interval.step(slot, 1) + row.open_time - slot
    if slot != row.open_time and not any(era.start_ms <= row.open_time < era.end_ms for era in OFF_GRID_ERA):
        yield "off the interval's grid"
    if not row.open_time <= row.close_time < end:
        yield "close time outside of its interval"
    sums = (row.volume, row.quote_volume, row.trades, row.taker_buy_volume, row.taker_buy_quote_volume)
    if any(value is not None and value < 0 for value in sums) or (row.low < 0 and not kind.can_be_negative):
        yield "a negative value"
    if row.high < max(row.open, row.close):
        yield "high below open or close"
    if row.low > min(row.open, row.close):
        yield "low above open or close"


def _one_a_slot(rows: list[tuple[Row, list[Any]]], interval: Interval, rejects: Rejects) -> list[Row]:
    """Equal repetitions dropped, unequal ones refused, an on-grid row before an off-grid one; ascending."""
    slots: dict[int, list[tuple[Row, list[Any]]]] = defaultdict(list)
    for row, raw in rows:
        slots[interval.index(row.open_time)].append((row, raw))
    good: list[Row] = []
    for index in sorted(slots):
        found = slots[index]
        candidates = found if len(found) == 1 else _different(found, interval.start(index))
        if len(candidates) == 1:
            good.append(candidates[0][0])
        else:
            for _, raw in candidates:
                rejects.refuse(raw, "two different rows of one time")
    return good


def _different(rows: list[tuple[Row, list[Any]]], start_ms: int) -> list[tuple[Row, list[Any]]]:
    """Those of a slot's rows that differ; of those on the grid alone, if there are any."""
    different = dict(rows)
    on_grid = {row: raw for row, raw in different.items() if row.open_time == start_ms}
    return list((on_grid or different).items())


def _time_ms(raw: list[Any]) -> int | None:
    return raw[0] if raw and type(raw[0]) is int and 0 <= raw[0] < 2**53 else None


def _text(raw: Any) -> str:
    return json.dumps(raw, ensure_ascii=False)[:2000].encode(errors="backslashreplace").decode()


AMOUNT = pl.Decimal(DIGITS, DECIMALS)
SCHEMA = {
    name: pl.Int64 if name in ("open_time", "close_time", "trades") else AMOUNT if name in AMOUNTS else pl.Float64()
    for name in Row._fields
}


def rows_within(rows: pl.DataFrame, windows: Sequence[Window]) -> pl.DataFrame:
    """The rows of a frame, ordered by time, whose open time is in one of the windows."""
    if rows.is_empty() or not windows:
        return rows.clear()
    first_ms, last_ms = rows["open_time"][0], rows["open_time"][-1]
    if any(w.start_ms <= first_ms and last_ms < w.end_ms for w in windows):
        return rows
    time = pl.col("open_time")
    return rows.filter(pl.any_horizontal(time.is_between(w.start_ms, w.end_ms, closed="left") for w in windows))


def frame(rows: Sequence[Row]) -> pl.DataFrame:
    """The rows as columns; times still in epoch ms."""
    columns = zip(*rows, strict=True) if rows else [()] * len(SCHEMA)
    return pl.DataFrame([_column(*kind, values) for kind, values in zip(SCHEMA.items(), columns, strict=True)])


def _column(name: str, dtype: Any, values: Sequence[Any]) -> pl.Series:
    """Amounts go by their digits: polars takes three times as long for Python's decimals."""
    if dtype != AMOUNT:
        return pl.Series(name, values, dtype)
    digits = [None if value is None else f"{value:f}" for value in values]
    return pl.Series(name, digits, pl.String).cast(AMOUNT)
