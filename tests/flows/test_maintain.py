"""The maintain flow on a real Prefect server."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from prefect.client.schemas.objects import State

from flows.maintain import maintain
from tests.drive import NOON, collect_once, query
from tests.exchange import StandIn
from tests.flows.test_collect import task_runs
from tests.maintain.test_run import SYMBOLS, fill

pytestmark = pytest.mark.usefixtures("prefect_server", "in_settings")


def test_maintenance_in_the_ui(exchange: StandIn, database: Path) -> None:
    """The flow ends Completed with its counts; the UI shows what was pruned, proved, clustered and swapped."""
    fill(database, SYMBOLS, NOON)
    collect_once(exchange, database, ["S1USDT"])
    query(database, "INSERT INTO klines SELECT * REPLACE (TIMESTAMP '2100-01-01' AS open_time) FROM klines LIMIT 1")
    state = cast("State[Any]", cast(Any, maintain)(return_state=True))
    assert ("COMPLETED", "Completed") == (state.type.value, state.name)
    assert "re-clustered 3 months of 2025-11 to 2026-01; " in str(state.message)
    names = {"prune rejects", "survey klines.duckdb", "prove slots unique", "cluster 2100-01", "swap klines.duckdb"}
    names |= {f"cluster {month}" for month in ("2025-11", "2025-12", "2026-01")}
    assert names == set(task_runs(state, len(names)))
    again = cast("State[Any]", cast(Any, maintain)(return_state=True))
    assert "nothing to do" in str(again.message)
