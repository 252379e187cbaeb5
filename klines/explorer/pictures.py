"""What each picture shows, aggregated in DuckDB, as columns that JSON can carry; with `sql`, the statement behind it.

Connections only read. Times are epoch ms, UTC, but for `time`, which is epoch seconds, as the chart wants it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from klines.collect.freshness import freshness
from klines.collect.standings import standings
from klines.errors import BadParameter
from klines.explorer.queries import Query
from klines.interval import DAY, INTERVALS, SECOND, Interval
from klines.market import Market, market_of
from klines.window import Window

HERE = Path(__file__).parent
COVERAGE = HERE.parent / "reading" / "coverage.sql"
"""What `klines.coverage` asks, too."""
MOST = 2_000
"""So many klines are drawn at most: few screens have more pixels for them."""


@dataclass(frozen=True, slots=True)
class Series:
    """A series of klines or of the ledger: `since_ms` is when it should begin, `last_ms` opens its newest kline."""

    market: str
    kind: str
    interval: Interval
    symbol: str
    since_ms: int
    last_ms: int | None


def all_series(connection: duckdb.DuckDBPyConnection) -> list[Series]:
    """Every series of the file, by market, kind, interval and symbol."""
    return [
        Series(market, kind, _interval(name, since_ms if last_ms is None else last_ms), symbol, since_ms, last_ms)
        for market, kind, name, symbol, since_ms, last_ms in Query(HERE / "series.sql", {}).rows(connection).iter_rows()
    ]


def listed(series: Sequence[Series]) -> list[dict[str, Any]]:
    """The symbols of each market, kind and interval, with when each should begin, and where its newest kline ends."""
    return [
        {
            "market": market,
            "kind": kind,
            "interval": interval,
            "symbols": [one.symbol for one in some],
            "since_ms": [one.since_ms for one in some],
            "end_ms": [None if one.last_ms is None else one.interval.step(one.last_ms, 1) for one in some],
        }
        for (market, kind, interval), found in groupby(series, key=_whose)
        for some in [list(found)]
    ]


def _whose(series: Series) -> tuple[str, str, str]:
    return series.market, series.kind, series.interval.name


def _interval(name: str, open_ms: int) -> Interval:
    """The interval, with the phase that a kline has shown where Binance does not say it."""
    interval = INTERVALS[name]
    return interval if interval.is_phase_known else interval.shifted(open_ms % interval.length_ms)


def fresh_now(connection: duckdb.DuckDBPyConnection, series: Sequence[Series], now_ms: int) -> dict[str, Any]:
    """Whether what is due at `now_ms` is stored, of each of the series of one market, kind and interval that is wanted
    on and on, worst first. Their `last_ms` counts for those that have been silent for days.
    """
    whose = {"market": series[0].market, "kind": series[0].kind, "interval": series[0].interval.name}
    recent = dict(Query(HERE / "newest.sql", {**whose, "now": now_ms}).rows(connection).iter_rows())
    newest_ms = {
        one.symbol: one.last_ms if recent[one.symbol] is None else recent[one.symbol]
        for one in series
        if one.symbol in recent
    }
    market, interval = market_of(series[0].market, series[0].kind), series[0].interval
    found = freshness(*market.key, interval, standings(connection, market, interval, newest_ms, now_ms), now_ms)
    return {
        "symbols": [standing.symbol for standing in found.standings],
        "states": [standing.state for standing in found.standings],
        "lacks_from_ms": [standing.lacks_from_ms for standing in found.standings],
        "said": found.said,
        "sql": Query(HERE / "freshness.sql", whose).shown,
    }


def covered(
    connection: duckdb.DuckDBPyConnection, market: Market, interval: Interval, window: Window
) -> dict[str, Any]:
    """Of each symbol the counts of its days within the window, from day `since` (of the epoch) on; those that lack most
    first. Raises BadParameter for an interval over a day.
    """
    if not 0 < interval.length_ms <= DAY:
        raise BadParameter(f"days are counted in klines of up to 1d, not of {interval.name}")
    times = {"start": window.start_ms, "end": window.end_ms}
    whose = {"market": market.name, "kind": market.kind.name, "interval": interval.name, "symbols": ""}
    query = Query(COVERAGE, {**whose, **times})
    found = query.rows(connection)
    counts = ("expected", "stored", "explained", "unexplained")
    by_symbol = (
        found.group_by("symbol", maintain_order=True)
        .agg(pl.col("day").min().dt.epoch("d").alias("since"), *counts)
        .sort(pl.col("unexplained").list.sum(), pl.col("explained").list.sum(), descending=True, maintain_order=True)
    )
    sums = {name: int(found[name].sum()) for name in counts}
    return by_symbol.to_dict(as_series=False) | {"sums": sums, "sql": query.shown}


def charted(connection: duckdb.DuckDBPyConnection, series: Series, window: Window) -> dict[str, Any]:
    """A symbol's klines that open within the window, in steps of an interval that makes at most MOST of them; a step
    without klines has none, `reasons` say why any lack, and `old` and `new` what the last restatement changed.
    """
    start_ms, end_ms = series.interval.ceil(window.start_ms), series.interval.ceil(window.end_ms)
    step = step_of(series.interval, window)
    query = Query(
        HERE / "klines.sql",
        {
            "market": series.market,
            "kind": series.kind,
            "symbol": series.symbol,
            "interval": series.interval.name,
            "width": _width(step),
            "origin": step.start(0),
            "first": step.floor(start_ms),
            "start": start_ms,
            "end": end_ms,
        },
    )
    about = {"step": step.name, "start_ms": start_ms, "end_ms": end_ms, "sql": query.shown}
    return query.rows(connection).to_dict(as_series=False) | about


def step_of(stored: Interval, window: Window) -> Interval:
    """The finest interval that `stored` fits into, and of which the window has at most MOST; else the widest."""
    wider = [stored] + [
        step
        for step in INTERVALS.values()
        if step.is_phase_known and step.length_ms > stored.length_ms > 0 and step.length_ms % stored.length_ms == 0
    ]
    few = (step for step in wider if step.index(window.end_ms) - step.index(window.start_ms) < MOST)
    return next(few, wider[-1])


def _width(interval: Interval) -> str:
    return f"{interval.length_ms // SECOND} seconds" if interval.length_ms else "1 month"
