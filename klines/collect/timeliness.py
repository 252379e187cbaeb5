"""How soon after its close a kline is stored, from the file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from klines.interval import MINUTE, Interval
from klines.market import Market

LIVE_MS = 10 * MINUTE
"""A kline that is stored later after its close was caught up, not collected live."""


@dataclass(frozen=True, slots=True)
class Timeliness:
    """Of the klines that closed within the last hour and were collected live: how many, and the seconds from the close
    to the commit (None where there are none); how many were caught up, over 10 minutes later; what was restated and
    rejected meanwhile."""

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
) -> Timeliness:
    """The last hour up to `now_ms`, of the exchange's clock, of one market's interval: of all symbols, or these."""
    names = None if symbols is None else " ".join(symbols)
    series = {"market": market.name, "kind": market.kind.name, "interval": interval.name}
    [row] = connection.execute(
        """
        WITH waits AS (
            SELECT epoch_ms(fetched_at) - epoch_ms(close_time) AS ms FROM klines
            WHERE market = $market AND kind = $kind AND interval = $interval AND source = 'rest'
              AND ($names IS NULL OR is_among(symbol, $names))
              AND close_time >= epoch_ms($now::BIGINT) - INTERVAL 1 HOUR
              AND open_time >= epoch_ms($now::BIGINT) - INTERVAL 1 HOUR - to_milliseconds(
                  coalesce(slot_length($interval), 31 * 86400000)))
        SELECT count(*) FILTER (ms <= $live), count(*) FILTER (ms > $live),
               quantile_cont(ms, 0.5) FILTER (ms <= $live) / 1000, quantile_cont(ms, 0.95) FILTER (ms <= $live) / 1000,
               max(ms) FILTER (ms <= $live) / 1000,
               (SELECT count(*) FROM restatements WHERE market = $market AND kind = $kind AND interval = $interval
                  AND ($names IS NULL OR is_among(symbol, $names))
                  AND seen_at >= epoch_ms($now::BIGINT) - INTERVAL 1 HOUR),
               (SELECT count(*) FROM rejects WHERE market = $market AND kind = $kind AND interval = $interval
                  AND ($names IS NULL OR is_among(symbol, $names))
                  AND last_seen >= epoch_ms($now::BIGINT) - INTERVAL 1 HOUR)
        FROM waits
        """,
        series | {"now": now_ms, "live": LIVE_MS, "names": names},
    ).fetchall()
    return Timeliness(*row)
