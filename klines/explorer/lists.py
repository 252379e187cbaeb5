"""What the page lists: the ledger, and the incidents and runs of the last days. Times are epoch ms, UTC."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import duckdb

from klines.explorer.queries import Query
from klines.interval import DAY, Interval
from klines.market import Market
from klines.window import Window

HERE = Path(__file__).parent
ROWS = 300
"""So many rows of the ledger are listed at most; the sums are of all."""
DAYS = 7
"""So long after its end an incident is listed."""
RUNS = 50
News = Callable[[int], list[dict[str, Any]] | None]
"""So many of Prefect's last runs, as its server describes them; None where none answers."""


def ledger_rows(
    connection: duckdb.DuckDBPyConnection, market: Market, interval: Interval, window: Window, symbol: str, reason: str
) -> dict[str, Any]:
    """The rows of the ledger that overlap the window, of symbols with `symbol` in their names, and of `reason`, where
    one is named; `sums` are of each reason."""
    asked: dict[str, str | int] = {
        "market": market.name,
        "kind": market.kind.name,
        "interval": interval.name,
        "symbol": symbol.upper(),
        "reason": reason,
        "start": window.start_ms,
        "end": window.end_ms,
        "most": ROWS,
    }
    query = Query(HERE / "ledger.sql", asked)
    rows = query.rows(connection).to_dict(as_series=False)
    sums = Query(HERE / "ledger_sums.sql", asked).rows(connection).to_dicts()
    return rows | {"sums": sums, "sql": query.shown}


def lately(connection: duckdb.DuckDBPyConnection, now_ms: int, news: News) -> dict[str, Any]:
    """The incidents of the last days, and the last runs; `runs` is None where no Prefect server answers."""
    query = Query(HERE / "incidents.sql", {"since": now_ms - DAYS * DAY})
    runs = news(RUNS)
    return {
        "incidents": query.rows(connection).to_dicts(),
        "runs": None if runs is None else [_run(run) for run in runs],
        "sql": query.shown,
    }


def no_news(_: int) -> None:
    """Where nobody knows of a Prefect server."""


def _run(run: Mapping[str, Any]) -> dict[str, Any]:
    """What of a run the page shows; as Prefect may leave anything out, what is not there is empty."""
    state = run.get("state") or {}
    return {
        "began": str(run.get("start_time") or run.get("expected_start_time") or "")[:16].replace("T", " "),
        "name": str(run.get("name") or ""),
        "state": str(state.get("name") or ""),
        "seconds": round(float(run.get("total_run_time") or 0), 1),
        "message": str(state.get("message") or "")[:1000],
    }
