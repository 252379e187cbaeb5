"""The table `rejects`: rows that the exchange sent and the checks refused."""

from __future__ import annotations

from collections.abc import Iterable

import duckdb
import polars as pl

from klines.interval import DAY, Interval
from klines.market import Market
from klines.rows import Reject

REJECTS_KEPT_MS = 90 * DAY
"""How long a refused row is kept after it was last seen."""


def old_rejects(connection: duckdb.DuckDBPyConnection, now_ms: int) -> int:
    """How many were last seen longer ago than they are kept."""
    [(old,)] = connection.execute(
        "SELECT count(*) FROM rejects WHERE last_seen < epoch_ms(?::BIGINT)", [now_ms - REJECTS_KEPT_MS]
    ).fetchall()
    return int(old)


def forget_rejects(connection: duckdb.DuckDBPyConnection, now_ms: int) -> int:
    """Delete them; how many there were."""
    [(forgotten,)] = connection.execute(
        "DELETE FROM rejects WHERE last_seen < epoch_ms(?::BIGINT)", [now_ms - REJECTS_KEPT_MS]
    ).fetchall()
    return int(forgotten)


def note_rejects(
    connection: duckdb.DuckDBPyConnection,
    market: Market,
    interval: Interval,
    refused: Iterable[tuple[str, Reject]],
    now_ms: int,
    source: str,
) -> int:
    """Each refused row once per key, source and content, with how often it was seen; how many were refused now."""
    once = list(dict.fromkeys(refused))
    if not once:
        return 0
    rows = [(symbol, reject.open_time_ms, reject.reason, reject.row) for symbol, reject in once]
    staged = pl.DataFrame(rows, schema={"symbol": str, "time": int, "reason": str, "row": str}, orient="row")
    connection.register("refused_rows", staged.unique(["symbol", "time", "row"], maintain_order=True))
    connection.execute(
        f"""
        MERGE INTO rejects r
        USING (SELECT symbol, epoch_ms("time") AS open_time, reason, "row" FROM refused_rows) s
        ON r.market = '{market.name}' AND r.kind = '{market.kind.name}' AND r.symbol = s.symbol
           AND r.interval = '{interval.name}' AND r.source = '{source}' AND r.open_time IS NOT DISTINCT FROM s.open_time
           AND r."row" = s."row"
        WHEN MATCHED THEN UPDATE SET last_seen = epoch_ms({now_ms}::BIGINT), seen = r.seen + 1
        WHEN NOT MATCHED THEN INSERT
            (market, kind, symbol, interval, open_time, source, reason, "row", first_seen, last_seen, seen)
        VALUES ('{market.name}', '{market.kind.name}', s.symbol, '{interval.name}', s.open_time, '{source}', s.reason,
                s."row", epoch_ms({now_ms}::BIGINT), epoch_ms({now_ms}::BIGINT), 1)
        """
    )
    connection.unregister("refused_rows")
    return len(once)
