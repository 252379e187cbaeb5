"""Many klines at once: what `market` makes one by one, by columns, which costs a tenth. A test compares them."""

from __future__ import annotations

import polars as pl

UNIT = 10**8
AMOUNTS = ("open", "high", "low", "close", "volume", "quote_volume", "taker_buy_volume", "taker_buy_quote_volume")
CONTRACTS = ("volume", "taker_buy_volume")
_STRETCH, _SPREAD = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9


def made(
    seed: int, trend: list[int], contract_usd: int, large: int, step_ms: int, first: int, stop: int
) -> pl.DataFrame:
    """The klines number `first` up to `stop` in units, see `market.Units`; `trend` is the price at each block of 64
    from the first one's on, `contract_usd` what a contract of coinm is worth, 0 elsewhere, `large`
    by how much more is traded."""
    number, opened, closed = pl.col("number"), pl.col("open"), pl.col("close")
    lines = _lines(seed, trend, first, stop).with_columns(
        close=pl.col("line") + pl.col("line") * ((pl.col("x") % 1024).cast(pl.Int64) - 512) // 2**20
    )
    moves = lines.with_columns(open=closed.shift(1), bits=pl.col("x").shift(1)).slice(1)
    amount, share = _bits(26, 16) + 1, 30 + _bits(42, 5)
    volume = pl.col("volume")
    if contract_usd:
        amounts = moves.with_columns(volume=amount.cast(pl.Int128) * (large * UNIT))
        quote, taker = volume * contract_usd * UNIT // opened, volume * share // 100 // UNIT * UNIT
    else:
        amounts = moves.with_columns(volume=amount.cast(pl.Int128) * pl.lit(large * 10**17, pl.Int128) // opened)
        quote, taker = volume * (opened + closed) // (2 * UNIT), volume * share // 100
    is_quiet = pl.col("bits") % 50 == 0
    return amounts.with_columns(quote_volume=quote, taker_buy_volume=taker).select(
        (number - 1).alias("open_time") * step_ms,
        "open",
        high=pl.when(is_quiet).then(opened).otherwise(_higher + 1 + opened * _bits(10, 8) // 2**18),
        low=pl.when(is_quiet).then(opened).otherwise(_lower - 1 - opened * _bits(18, 8) // 2**18),
        close=pl.when(is_quiet).then(opened).otherwise(closed),
        volume=_unless(is_quiet, volume),
        quote_volume=_unless(is_quiet, pl.col("quote_volume")),
        trades=_unless(is_quiet, 1 + _bits(47, 10)),
        taker_buy_volume=_unless(is_quiet, pl.col("taker_buy_volume")),
        taker_buy_quote_volume=_unless(is_quiet, pl.col("quote_volume") * share // 100),
    )


_higher, _lower = pl.max_horizontal("open", "close"), pl.min_horizontal("open", "close")


def _lines(seed: int, trend: list[int], first: int, stop: int) -> pl.DataFrame:
    """The numbers up to and with `stop`: 64 mixed bits of each, and the line between the trends of its block's ends."""
    number, x, prices = pl.col("number"), pl.col("x"), pl.lit(pl.Series(trend, dtype=pl.Int64))
    block = number // 64 - first // 64
    here, there = prices.gather(block), prices.gather(block + 1)
    return (
        pl.DataFrame({"number": pl.int_range(first, stop + 1, eager=True)})
        .with_columns(
            x=(number.cast(pl.UInt64) ^ pl.lit(seed, pl.UInt64)) * pl.lit(_STRETCH, pl.UInt64),
            line=here + (there - here) * (number % 64) // 64,
        )
        .with_columns(x=(x ^ x // 2**29) * pl.lit(_SPREAD, pl.UInt64))
        .with_columns(x=x ^ x // 2**32)
    )


def _bits(shift: int, count: int) -> pl.Expr:
    found: pl.Expr = pl.col("bits") // 2**shift % 2**count
    return found.cast(pl.Int64)


def _unless(is_quiet: pl.Expr, value: pl.Expr) -> pl.Expr:
    return pl.when(is_quiet).then(0).otherwise(value)


def shown(klines: pl.DataFrame, step_ms: int, market: str) -> pl.DataFrame:
    """The klines as REST shows them: the twelve fields, amounts as text with eight decimals, contracts as whole."""
    whole = CONTRACTS if market == "coinm" else ()
    texts = {name: _whole(name) if name in whole else _decimal(name) for name in AMOUNTS}
    return klines.select(
        "open_time",
        *(texts[name].alias(name) for name in AMOUNTS[:5]),
        (pl.col("open_time") + step_ms - 1).alias("close_time"),
        texts["quote_volume"].alias("quote_volume"),
        pl.col("trades").cast(pl.Int64),
        texts["taker_buy_volume"].alias("taker_buy_volume"),
        texts["taker_buy_quote_volume"].alias("taker_buy_quote_volume"),
        pl.lit("0").alias("ignore"),
    )


def _decimal(name: str) -> pl.Expr:
    units = pl.col(name)
    decimals = (UNIT + units % UNIT).cast(pl.Int64).cast(pl.String).str.slice(1)
    return pl.concat_str((units // UNIT).cast(pl.Int64).cast(pl.String), pl.lit("."), decimals)


def _whole(name: str) -> pl.Expr:
    return (pl.col(name) // UNIT).cast(pl.Int64).cast(pl.String)
