"""The archive's files: what each one holds, and which of them gaps are worth. Pure; no clock.

Source: binance-public-data, README and python/utility.py. One zip a month or a day and series, a CSV of REST's twelve
columns in it, and its SHA-256 beside it; 3d, 1w and 1M have no daily files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

from klines.interval import DAY, HOUR, INTERVALS, MINUTE, Interval
from klines.market import KINDS, KLINES, Market
from klines.window import Window, intersect, subtract, window

_GRIDS = {True: INTERVALS["1M"], False: INTERVALS["1d"]}
FOLDERS = {"spot": "spot", "usdm": "futures/um", "coinm": "futures/cm"}
_WRONG_DAYS = {"spot": ("2020-12-21", "2021-01-21", "2021-04-22", "2021-04-23", "2021-09-23", "2021-09-29")}
"""Days on which the monthly files differ from the daily ones and the API, which agree: binance-public-data#475."""


@dataclass(frozen=True, slots=True, order=True)
class File:
    """The archive's file of one series and month (`is_month`) or day, which begins at `start_ms`."""

    market: str
    symbol: str
    interval: str
    is_month: bool
    start_ms: int
    kind: str = KLINES.name

    @property
    def source(self) -> str:
        """`monthly` or `daily`: where its rows come from."""
        return "monthly" if self.is_month else "daily"

    @property
    def window(self) -> Window:
        """The open times of its klines."""
        return Window(self.start_ms, _GRIDS[self.is_month].step(self.start_ms, 1))

    @property
    def name(self) -> str:
        """The name of the zip, and of the CSV in it, without their suffix."""
        day = datetime.fromtimestamp(self.start_ms / 1000, UTC)
        return f"{self.symbol}-{self._interval}-{day:{'%Y-%m' if self.is_month else '%Y-%m-%d'}}"

    @property
    def path(self) -> str:
        """The zip below the archive's address; its checksum is beside it, with `.CHECKSUM` after the name."""
        return f"{self._folder}/{self.symbol}/{self._interval}/{self.name}.zip"

    @property
    def url_path(self) -> str:
        """`path` for a URL: symbols need not be ASCII."""
        return quote(self.path)

    @property
    def trusted(self) -> list[Window]:
        """Its time without the days on which it is known to be wrong."""
        days = _WRONG_DAYS.get(self.market, ()) if self.is_month else ()
        starts = [int(datetime.fromisoformat(f"{day}T00:00+00:00").timestamp()) * 1000 for day in days]
        return subtract([self.window], [Window(start, start + DAY) for start in starts])

    @property
    def _folder(self) -> str:
        return f"data/{FOLDERS[self.market]}/{self.source}/{KINDS[self.kind].route}"

    @property
    def _interval(self) -> str:
        return "1mo" if self.interval == "1M" else self.interval


@dataclass(frozen=True, slots=True)
class Life:
    """The time in which a series can have klines, its listing to its end or now, and the exchange's now; in ms."""

    start_ms: int
    end_ms: int
    now_ms: int


def files_for(
    gaps: Sequence[Window],
    symbol: str,
    market: Market,
    interval: Interval,
    life: Life,
    *,
    is_month: bool,
    every: bool = False,
) -> list[File]:
    """The files to load for gaps: of months, or days, that are missing as a whole, where REST would need several pages
    for each; ascending.

    With `every`, for when REST is not asked: all days of which anything is missing, and all months that are missing as
    a whole or that have no days. A month in which the symbol was listed, or ended, is whole when all of its life in it
    is missing.
    """
    alive = intersect(gaps, window(life.start_ms, life.end_ms))
    there_are = market.kind.is_archived and _exist(interval, is_month)
    files = _covering(alive, symbol, market, interval, is_month=is_month) if there_are else ()
    published = [file for file in files if file.window.end_ms + HOUR <= life.now_ms]
    if every and not (is_month and _exist(interval, is_month=False)):
        return published
    pages = market.page_slots(interval)
    return [file for file in published if (every or _slots(file, interval) > pages) and _is_missing(file, gaps, life)]


def _exist(interval: Interval, is_month: bool) -> bool:
    """Whether there are such files: no days of 3d, 1w, 1M; and months of 1s would not fit into memory."""
    return not 0 < interval.length_ms < MINUTE if is_month else 0 < interval.length_ms <= DAY


def _slots(file: File, interval: Interval) -> int:
    """How many klines the file has when it is full; its window's ends need not be on the grid of 3d or 1w."""
    return interval.index(file.window.end_ms - 1) - interval.index(file.window.start_ms - 1)


def _is_missing(file: File, gaps: Sequence[Window], life: Life) -> bool:
    alive = intersect([file.window], window(life.start_ms, life.end_ms))
    return bool(alive) and not subtract(alive, gaps)


def _covering(
    gaps: Sequence[Window], symbol: str, market: Market, interval: Interval, *, is_month: bool
) -> Iterator[File]:
    grid, after = _GRIDS[is_month], -1
    for gap in gaps:
        for index in range(max(after, grid.index(gap.start_ms)), grid.index(gap.end_ms - 1) + 1):
            yield File(market.name, symbol, interval.name, is_month, grid.start(index), market.kind.name)
            after = index + 1
