"""How soon after its close a kline is stored, from the file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from klines.interval import Interval
from klines.market import Market

MINUTELY_S = 60
"""Runs are taken to be due so often, from the full minute on, where their schedule is not known."""


@dataclass(frozen=True, slots=True)
class Timeliness:
    """Of the klines that closed within the last hour and that the first run which was due after that has stored: how
    many, and the seconds from the close to the commit (None where there are none). How many a later run has caught up;
    what was restated and rejected meanwhile."""

    klines: int
    caught_up: int
    p50_s: float | None
    p95_s: float | None
    max_s: float | None
    restated: int
    rejected: int


def timeliness(
    connection: duckdb.DuckDBPyConnection,
    market: Market,
    interval: Interval,
    now_ms: int,
    symbols: Sequence[str] | None = None,
    shard: str = "",
) -> Timeliness:
    """The last hour up to `now_ms`, of the exchange's clock, of one market's interval: of all symbols, or these, which
    runs of a shard collect."""
    names = None if symbols is None else " ".join(symbols)
    series = {"market": market.name, "kind": market.kind.name, "interval": interval.name}
    [row] = connection.execute(
        """
        WITH due AS (
            SELECT to_seconds(coalesce(min(every_s), $every)) AS every, -- by the deployment that is due first
                   coalesce(arg_min(anchor, every_s), TIMESTAMP '1970-01-01') AS anchor
            FROM schedules WHERE market = $market AND kind = $kind AND interval = $interval AND shard = $shard
        ), waits AS (
            SELECT epoch_ms(fetched_at) - epoch_ms(close_time) AS ms,
                   fetched_at < time_bucket(every, close_time, anchor) + 2 * every AS is_first -- before the second run
            FROM klines, due
            WHERE market = $market AND kind = $kind AND interval = $interval AND source = 'rest'
              AND ($names IS NULL OR is_among(symbol, $names))
              AND close_time >= epoch_ms($now::BIGINT) - INTERVAL 1 HOUR
              AND open_time >= epoch_ms($now::BIGINT) - INTERVAL 1 HOUR - to_milliseconds(
                  coalesce(slot_length($interval), 31 * 86400000)))
        SELECT count(*) FILTER (is_first), count(*) FILTER (NOT is_first),
               quantile_cont(ms, 0.5) FILTER (is_first) / 1000, quantile_cont(ms, 0.95) FILTER (is_first) / 1000,
               max(ms) FILTER (is_first) / 1000,
               (SELECT count(*) FROM restatements WHERE market = $market AND kind = $kind AND interval = $interval
                  AND ($names IS NULL OR is_among(symbol, $names))
                  AND seen_at >= epoch_ms($now::BIGINT) - INTERVAL 1 HOUR),
               (SELECT count(*) FROM rejects WHERE market = $market AND kind = $kind AND interval = $interval
                  AND ($names IS NULL OR is_among(symbol, $names))
                  AND last_seen >= epoch_ms($now::BIGINT) - INTERVAL 1 HOUR)
        FROM waits
        """,
        series | {"now": now_ms, "every": MINUTELY_S, "shard": shard, "names": names},
    ).fetchall()
    return Timeliness(*row)
