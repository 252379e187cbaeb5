"""The archive's monthly files of funding rates. Pure; no clock.

Source: the bucket of data.binance.vision, data/futures/um/monthly/fundingRate/BTCUSDT/BTCUSDT-fundingRate-2024-01.zip,
with its SHA-256 beside it; there are none of days.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

from klines.binance.files import FOLDERS
from klines.interval import INTERVALS
from klines.window import Window

LONGEST_FUNDING_FILE = 2**18
"""Bytes of a zip, and of the CSV in it: a rate an hour for a month takes 26,000."""
_MONTHS = INTERVALS["1M"]
_MONTH = re.compile(r"(20\d\d)-(0[1-9]|1[0-2])\.zip")


@dataclass(frozen=True, slots=True, order=True)
class FundingFile:
    """The file of a symbol's month, which begins at `start_ms`."""

    market: str
    symbol: str
    start_ms: int

    @property
    def window(self) -> Window:
        """The times of its rates."""
        return Window(self.start_ms, _MONTHS.step(self.start_ms, 1))

    @property
    def name(self) -> str:
        """The name of the zip, and of the CSV in it, without their suffix."""
        return f"{self.symbol}-fundingRate-{datetime.fromtimestamp(self.start_ms / 1000, UTC):%Y-%m}"

    @property
    def path(self) -> str:
        """The zip below the archive's address."""
        return f"{rates_folder(self.market, self.symbol)}{self.name}.zip"

    @property
    def url_path(self) -> str:
        """`path` for a URL: symbols need not be ASCII."""
        return quote(self.path)


def rates_folder(market: str, symbol: str) -> str:
    """The prefix of the keys of a symbol's months."""
    return f"data/{FOLDERS[market]}/monthly/fundingRate/{symbol}/"


def months_named(keys: Iterable[str], market: str, symbol: str) -> list[FundingFile]:
    """The files that are among the keys of a listing, ascending."""
    beginning = f"{rates_folder(market, symbol)}{symbol}-fundingRate-"
    found = [_MONTH.fullmatch(key.removeprefix(beginning)) for key in keys if key.startswith(beginning)]
    days = [datetime(int(month[1]), int(month[2]), 1, tzinfo=UTC) for month in found if month]
    return sorted(FundingFile(market, symbol, int(day.timestamp()) * 1000) for day in days)


def months_to_load(listed: Sequence[FundingFile], loaded: Iterable[str], wanted: Sequence[Window]) -> list[FundingFile]:
    """Those of the listed files that were not loaded and have to do with what is wanted, and the newest one: that is
    how rates that were had by REST are compared with the archive."""
    new = [file for file in listed if file.path not in set(loaded)]
    return [
        file
        for file in new
        if file == listed[-1]
        or any(part.start_ms < file.window.end_ms and file.start_ms < part.end_ms for part in wanted)
    ]
