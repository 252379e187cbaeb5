"""freqtrade's data folder: a feather file for each pair and timeframe, with its six columns.

Names are freqtrade's: `BTC_USDT-1m.feather`, and for perpetual futures `futures/BTC_USDT_USDT-1m-futures.feather`. The
last word is the candle type: `mark` of mark prices, `funding_rate` of funding rates, which have one column.
"""

from __future__ import annotations

from typing import BinaryIO

import polars as pl
import pyarrow as pa

from klines.errors import BadParameter
from klines.exports.arrow import FeatherFile, as_arrow
from klines.exports.assets import assets_of, why_no_pair
from klines.exports.stored import Part, Subject
from klines.exports.target import ENOUGH, OpenFile, Target
from klines.interval import INTERVALS, Interval
from klines.market import FUNDING, Market

_SCHEMA = pa.schema([("date", pa.timestamp("ms", "UTC")), *((name, pa.float64()) for name in ENOUGH[1:])])


_RATES = pa.schema([("date", pa.timestamp("ms", "UTC")), ("funding_rate", pa.float64())])
_TYPES = {
    "klines": "futures",
    "mark": "mark",
    "index": "index",
    "premium": "premiumIndex",
    FUNDING.name: "funding_rate",
}
"""freqtrade's candle types, by our kinds."""


class Freqtrade(Target):
    """See the module."""

    bytes_a_kline = 46
    kinds = tuple(_TYPES)

    def check(self, market: Market, interval: Interval) -> None:
        """Not COIN-M, which freqtrade does not trade; Binance's intervals alone."""
        if market.name == "coinm":
            raise BadParameter("market: freqtrade does not trade COIN-M futures")
        if interval.name not in INTERVALS:
            raise BadParameter(f"interval: freqtrade knows {', '.join(INTERVALS)}, not {interval.name}")

    def why_not(self, subject: Subject) -> str:
        """Symbols without a pair."""
        return why_no_pair(subject)

    def path(self, subject: Subject, part: Part) -> str:  # noqa: ARG002 - one for all of them
        """One file for all of a series."""
        base, quote = assets_of(subject)
        timeframe = subject.interval.name.replace("M", "Mo")
        if subject.market.name == "spot":
            return f"{base}_{quote}-{timeframe}.feather"
        return f"futures/{base}_{quote}_{quote}-{timeframe}-{_TYPES[subject.market.kind.name]}.feather"

    def open(self, file: BinaryIO, subject: Subject, part: Part) -> OpenFile:  # noqa: ARG002
        """A feather file."""
        schema = _RATES if subject.market.kind == FUNDING else _SCHEMA
        return FeatherFile(file, lambda klines: _table(klines, schema), schema)


def _table(klines: pl.DataFrame, schema: pa.Schema) -> pa.Table:
    """What has no volume has zero, as freqtrade downloads it."""
    volume = [pl.col("volume").fill_null(0.0)] if "volume" in schema.names else []
    return as_arrow(klines.with_columns(*volume, date=pl.col("open_time").dt.replace_time_zone("UTC")), schema)
