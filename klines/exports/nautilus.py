"""nautilus_trader's catalog: bars in a Parquet file for each month, and the instrument that they are of.

`data/bar/BTCUSDT.BINANCE-1-MINUTE-LAST-EXTERNAL/…`, as release 1.221 writes it on Linux, where a price or size is a
whole number of 16 bytes, in 10⁻¹⁶. A bar's time is the kline's close time. Prices and sizes have the digits that
exchangeInfo last said, to which they are rounded as nautilus's own wranglers do it; eight, where it was not kept.
"""

from __future__ import annotations

from datetime import UTC, datetime
from io import BytesIO
from typing import Any, BinaryIO

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from klines.columns import DECIMALS, DIGITS
from klines.errors import BadParameter, GiveUp
from klines.exports.arrow import ParquetFile
from klines.exports.assets import assets_of, why_no_pair
from klines.exports.stored import Part, Subject
from klines.exports.target import ENOUGH, OpenFile, Target
from klines.interval import DAY, INTERVALS, Interval
from klines.market import Market

_NUMBERS = ("open", "high", "low", "close", "volume")
_DECIMALS = 16
_LARGEST = 17_014_118_346_046
"""The largest price that it can hold, below the largest size, 34,028,236,692,093."""
_NUMBER, _TIME = pa.binary(16), pa.uint64()
_UNITS = {"s": "SECOND", "m": "MINUTE", "h": "HOUR", "d": "DAY"}
_SCHEMA = pa.schema(
    [
        *(pa.field(name, _NUMBER, nullable=False) for name in _NUMBERS),
        *(pa.field(name, _TIME, nullable=False) for name in ("ts_event", "ts_init")),
    ]
)
_INSTRUMENT_TYPES = {
    **dict.fromkeys(("price_precision", "size_precision"), pa.uint8()),
    **dict.fromkeys(("ts_event", "ts_init"), _TIME),
    "is_inverse": pa.bool_(),
    "info": pa.binary(),
}
"""All others are texts."""
_FEES = {True: ("0.001", "0.001"), False: ("0.0002", "0.0005")}
"""Of the maker and the taker, without any discount: on spot, and of perpetual futures. exchangeInfo has none."""
_NO_TIME = "1970-01-01T00-00-00-000000000Z"


class Nautilus(Target):
    """See the module."""

    bytes_a_kline = 75
    columns = (*ENOUGH, "close_time")
    is_exact = True

    def check(self, market: Market, interval: Interval) -> None:
        """Not COIN-M, whose volume counts contracts; intervals whose bars all close in the month in which they open."""
        if market.name == "coinm":
            raise BadParameter("market: contracts of COIN-M futures are not exported for nautilus; take spot or usdm")
        if interval.name not in INTERVALS or not 0 < interval.length_ms <= DAY:
            raise BadParameter(f"interval: for nautilus 1s to 1d, not {interval.name}, which it makes of those itself")

    def why_not(self, subject: Subject) -> str:
        """Symbols without a pair."""
        return why_no_pair(subject)

    def path(self, subject: Subject, part: Part) -> str:
        """A file for each month, named by its first and last nanosecond."""
        first, last = (
            f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%dT%H-%M-%S}"
            for ms in (part.month_ms, INTERVALS["1M"].step(part.month_ms, 1) - 1)
        )
        return f"data/bar/{_bar_type(subject)}/{first}-000000000Z_{last}-999999999Z.parquet"

    def version(self, subject: Subject) -> str:
        """The digits of prices and sizes."""
        return "{} {}".format(*_digits(subject))

    def open(self, file: BinaryIO, subject: Subject, part: Part) -> OpenFile:  # noqa: ARG002
        """A Parquet file that says which bars these are, and their digits."""
        price, size = _digits(subject)
        schema = _SCHEMA.with_metadata(
            {
                "bar_type": _bar_type(subject),
                "instrument_id": _instrument_id(subject),
                "price_precision": str(price),
                "size_precision": str(size),
            }
        )
        return ParquetFile(file, lambda klines: _table(klines, subject, schema), schema, "snappy")

    def beside(self, subject: Subject) -> dict[str, bytes]:
        """The instrument; none where exchangeInfo was not kept."""
        if not subject.rules:
            return {}
        kind = "currency_pair" if subject.market.name == "spot" else "crypto_perpetual"
        body = BytesIO()
        pq.write_table(_instrument(subject), body, compression="snappy")
        return {f"data/{kind}/{_instrument_id(subject)}/{_NO_TIME}_{_NO_TIME}.parquet": body.getvalue()}


def _instrument_id(subject: Subject) -> str:
    perpetual = "" if subject.market.name == "spot" else "-PERP"
    return f"{subject.symbol}{perpetual}.BINANCE"


def _bar_type(subject: Subject) -> str:
    name = subject.interval.name
    return f"{_instrument_id(subject)}-{name[:-1]}-{_UNITS[name[-1]]}-LAST-EXTERNAL"


def _digits(subject: Subject) -> tuple[int, int]:
    """Decimals of prices and of sizes."""
    price, size = (subject.rules.get(name) for name in ("tick_size", "step_size"))
    return _decimals(price), _decimals(size)


def _decimals(step: str | None) -> int:
    """`0.01000000` has two."""
    return DECIMALS if step is None else len(step.rstrip("0").partition(".")[2])


def _table(klines: pl.DataFrame, subject: Subject, schema: pa.Schema) -> pa.Table:
    """Raises GiveUp where a number is larger than nautilus can hold."""
    price, size = _digits(subject)
    if klines.select(pl.max_horizontal(pl.max("high"), pl.max("volume"))).item() > _LARGEST:
        raise GiveUp(
            f"{subject.symbol} has numbers over {_LARGEST:,}, which nautilus can't hold; take a shorter interval"
        )
    digits = {name: size if name == "volume" else price for name in _NUMBERS}
    numbers = [_as_bytes(klines[name].round(digits[name])) for name in _NUMBERS]
    time = pa.array((klines["close_time"].dt.epoch("ms") * 1_000_000).cast(pl.UInt64).to_arrow())
    return pa.table([*numbers, time, time], schema=schema)


def _as_bytes(numbers: pl.Series) -> pa.Array:
    """Decimals as whole numbers of 10⁻¹⁶, the lowest byte first: that is how Arrow holds a decimal of 16 places."""
    found = pa.chunked_array([numbers.rechunk().to_arrow()]).cast(pa.decimal128(DIGITS, _DECIMALS)).combine_chunks()
    return pa.Array.from_buffers(_NUMBER, len(found), [None, found.buffers()[1]], offset=found.offset)


def _instrument(subject: Subject) -> pa.Table:
    """One row: a currency pair, or a perpetual future that is settled in its quote asset."""
    rules = subject.rules
    base, quote = assets_of(subject)
    price, size = _digits(subject)
    is_spot = subject.market.name == "spot"
    of_kind = {"lot_size": None} if is_spot else {"settlement_currency": quote, "is_inverse": False}
    least = rules.get("min_notional")
    row: dict[str, Any] = {
        "id": _instrument_id(subject),
        "raw_symbol": subject.symbol,
        "base_currency": base,
        "quote_currency": quote,
        **of_kind,
        "price_precision": price,
        "size_precision": size,
        "price_increment": _fixed(rules.get("tick_size"), price),
        "size_increment": _fixed(rules.get("step_size"), size),
        "multiplier": "1",
        "max_quantity": None,
        "min_quantity": _fixed(rules.get("min_quantity"), size),
        "max_notional": None,
        "min_notional": f"{least} {quote}" if least else None,
        "max_price": None,
        "min_price": None,
        "margin_init": "0" if is_spot else "0.05",
        "margin_maint": "0" if is_spot else "0.025",
        **dict(zip(("maker_fee", "taker_fee"), _FEES[is_spot], strict=True)),
        "info": b"null",
        "ts_event": 0,
        "ts_init": 0,
    }
    fields = [(name, _INSTRUMENT_TYPES.get(name, pa.string())) for name in row]
    return pa.Table.from_pylist([row], pa.schema(fields, {"class": "CurrencyPair" if is_spot else "CryptoPerpetual"}))


def _fixed(step: str | None, digits: int) -> str:
    """A step with so many decimals; the smallest that has them, where none was said."""
    return f"{float(step) if step else 10**-digits:.{digits}f}"
