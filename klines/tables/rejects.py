"""The table `rejects`: rows that the exchange sent and the checks refused."""

from __future__ import annotations

from collections.abc import Iterable

import duckdb

from klines.interval import Interval
from klines.market import Market
from klines.rows import Reject


def note_rejects(
    connection: duckdb.DuckDBPyConnection,
    market: Market,
    interval: Interval,
    refused: Iterable[tuple[str, Reject]],
    now_ms: int,
    source: str,
) -> int:
    """Each refused row once per key, source and content, with how often it was seen; how many were refused now."""
    once = dict.fromkeys(refused)
    for symbol, reject in once:
        connection.execute(
            """
            MERGE INTO rejects r
            USING (SELECT ? AS market, ? AS symbol, ? AS interval, epoch_ms(?::BIGINT) AS open_time, ? AS source,
                          ? AS reason, ? AS "row", epoch_ms(?::BIGINT) AS now) s
            ON r.market = s.market AND r.symbol = s.symbol AND r.interval = s.interval AND r.source = s.source
               AND r.open_time IS NOT DISTINCT FROM s.open_time AND r."row" = s."row"
            WHEN MATCHED THEN UPDATE SET last_seen = s.now, seen = r.seen + 1
            WHEN NOT MATCHED THEN INSERT VALUES (s.market, s.symbol, s.interval, s.open_time, s.source, s.reason,
                                                 s."row", s.now, s.now, 1)
            """,
            [market.name, symbol, interval.name, reject.open_time_ms, source, reject.reason, reject.row, now_ms],
        )
    return len(once)
