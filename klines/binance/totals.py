"""A day's totals: what the klines of a day add up to, and whether the exchange's own 1d kline says the same. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from math import isclose
from typing import NamedTuple

import polars as pl

from klines.interval import DAY
from klines.rows import Row
from klines.window import Window


class Totals(NamedTuple):
    """Of one day: trades and volume summed, None of a kind without, the highest high, the lowest low. The volume of a
    database that has doubles is one."""

    trades: int | None
    volume: Decimal | float | None
    high: float
    low: float

    def agrees(self, other: Totals) -> bool:
        """Whether both are the same day; sums of doubles differ in their last digits, those of decimals do not."""
        if (self.trades, self.high, self.low) != (other.trades, other.high, other.low):
            return False
        if self.volume is None or other.volume is None:
            return self.volume is other.volume
        if isinstance(self.volume, float) or isinstance(other.volume, float):
            return isclose(self.volume, other.volume, rel_tol=1e-9, abs_tol=1e-9)
        return self.volume == other.volume


def of_rows(rows: pl.DataFrame) -> dict[int, Totals]:
    """The totals of each day, by its start in ms, of klines in the shape of `rows.frame`."""
    days = rows.group_by(pl.col("open_time") // DAY * DAY).agg(
        *(pl.when(pl.col(name).count() > 0).then(pl.col(name).sum()) for name in ("trades", "volume")),
        pl.col("high").max(),
        pl.col("low").min(),
    )
    return {day: Totals(*totals) for day, *totals in days.iter_rows()}


def of_days(klines: Iterable[Row]) -> dict[int, Totals]:
    """The same as the exchange's 1d klines state it."""
    return {row.open_time: Totals(row.trades, row.volume, row.high, row.low) for row in klines}


def disagreeing(rows: pl.DataFrame, stated: Mapping[int, Totals]) -> list[Window]:
    """The days of `rows` whose totals the exchange states differently, or not at all; ascending."""
    return [
        Window(day, day + DAY)
        for day, totals in sorted(of_rows(rows).items())
        if day not in stated or not totals.agrees(stated[day])
    ]
