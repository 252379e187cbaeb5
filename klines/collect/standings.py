"""How fresh symbols are by what is stored. Artifact, explorer and the view `freshness` have it by the same macro."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import duckdb
import polars as pl

from klines.collect.freshness import SILENT, UNKNOWN, Standing
from klines.interval import Interval
from klines.market import Market
from klines.shard import Shard

_STATES = """
    WITH given AS (
        SELECT $market AS market, $kind AS kind, symbol, $interval AS interval, epoch_ms(last_ms) AS last FROM reached)
    SELECT symbol, state, epoch_ms(lacks_from) FROM freshness_of('given', epoch_ms($now::BIGINT))
"""
_ALL = """
    WITH given AS (
        SELECT market, kind, symbol, interval, open_time AS last
        FROM newest() SEMI JOIN (FROM wanted WHERE until IS NULL) USING (market, kind, symbol, interval)
        WHERE market = $market AND kind = $kind AND interval = $interval)
    SELECT symbol, state, epoch_ms(lacks_from) FROM freshness_of('given', epoch_ms($now::BIGINT))
"""


def standings(
    connection: duckdb.DuckDBPyConnection,
    market: Market,
    interval: Interval,
    last_ms: Mapping[str, int | None],
    now_ms: int,
    *,
    unknown: Sequence[str] = (),
    why: Mapping[str, str] | None = None,
) -> list[Standing]:
    """Of the symbols in `last_ms`, which has the open time of the newest kline of each (None: there is none), at
    `now_ms`. The exchange does not know those that are `unknown`; `why` has the errors of others."""
    stored = {symbol: last for symbol, last in last_ms.items() if last is not None}
    frame = pl.DataFrame(list(stored.items()), schema={"symbol": pl.String, "last_ms": pl.Int64}, orient="row")
    connection.register("reached", frame)
    rows = connection.execute(_STATES, _series(market, interval, now_ms)).fetchall()
    connection.unregister("reached")
    found = {symbol: (state, lacks_ms) for symbol, state, lacks_ms in rows}
    return [
        Standing(symbol, UNKNOWN)
        if symbol in unknown
        else Standing(symbol, *found.get(symbol, (SILENT, None)), (why or {}).get(symbol, ""))
        for symbol in last_ms
    ]


def all_standings(
    connection: duckdb.DuckDBPyConnection, market: Market, interval: Interval, now_ms: int, shard: Shard | None = None
) -> list[Standing]:
    """Of all symbols that are wanted on and on, of a shard its own."""
    rows = connection.execute(_ALL, _series(market, interval, now_ms)).fetchall()
    return [Standing(*row) for row in rows if shard is None or shard.takes(row[0])]


def _series(market: Market, interval: Interval, now_ms: int) -> dict[str, str | int]:
    return {"market": market.name, "kind": market.kind.name, "interval": interval.name, "now": now_ms}
