"""The maintain flow on a real Prefect server."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from prefect.client.schemas.objects import State

from flows.maintain import maintain
from tests.drive import NOON, collect_once, query
from tests.exchange import StandIn
from tests.flows.test_backfill import artifacts, told
from tests.flows.test_collect import task_runs
from tests.maintain.test_run import SYMBOLS, fill

pytestmark = pytest.mark.usefixtures("prefect_server", "in_settings")


def run(**parameters: Any) -> State[Any]:
    """The final state of one flow run."""
    return cast("State[Any]", cast(Any, maintain)(return_state=True, **parameters))


def test_maintenance_in_the_ui(exchange: StandIn, database: Path) -> None:
    """A dry run says what a run will do, and does nothing. The run ends Completed with its counts; the UI shows the
    plan, what was pruned, proved, clustered and swapped, and at last what became of it."""
    fill(database, SYMBOLS, NOON)
    collect_once(exchange, database, ["S1USDT"])
    query(database, "INSERT INTO klines SELECT * REPLACE (TIMESTAMP '2100-01-01' AS open_time) FROM klines LIMIT 1")
    [(klines,)] = query(database, "SELECT count(*) FROM klines")
    before = database.stat()
    planned = run(dry_run=True)
    assert f"planned to copy {klines:,} klines of 4 months, of which 3 are put in order: 2025-11 to 2026-01; " in str(
        planned.message
    )
    assert ("COMPLETED", True) == (planned.type.value, str(planned.message).endswith("; nothing was done"))
    assert {"plan"} == set(artifacts(planned))
    assert (before.st_ino, before.st_size, before.st_mtime_ns) == (
        (after := database.stat()).st_ino,
        after.st_size,
        after.st_mtime_ns,
    )
    state = run()
    assert ("COMPLETED", "Completed") == (state.type.value, state.name)
    assert "re-clustered 3 months of 2025-11 to 2026-01; " in str(state.message)
    names = {"prune rejects", "survey klines.duckdb", "prove slots unique", "cluster 2100-01", "swap klines.duckdb"}
    names |= {f"cluster {month}" for month in ("2025-11", "2025-12", "2026-01")} | {"begin klines.duckdb"}
    assert names == set(task_runs(state, len(names)))
    shown = artifacts(state)
    assert ({"plan", "progress"}, 100.0) == (set(shown), shown["progress"])
    assert "| 2025-12 | " in shown["plan"]
    assert f"Completed: {state.message} (" in told(state, "progress")
    assert "nothing to do" in str(run().message)
