"""The backfill flow on a real Prefect server: states, task runs and artifacts as people see them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.client.schemas.objects import State
from prefect.exceptions import ParameterTypeError
from prefect.flow_engine import run_flow

from flows.backfill import backfill
from tests.drive import ms, query
from tests.exchange import StandIn
from tests.flows.test_collect import task_runs

pytestmark = pytest.mark.usefixtures("prefect_server", "in_settings")


def run(symbols: list[str], start: str, end: str, **parameters: Any) -> State[Any]:
    """The final state of one flow run."""
    made = cast(Any, backfill)(symbols=symbols, start=start, end=end, return_state=True, **parameters)
    return cast("State[Any]", made)


def artifacts(state: State[Any]) -> dict[str, Any]:
    """The run's artifacts by key: a text, or for progress the percentage."""
    flow_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[state.state_details.flow_run_id]))  # type: ignore[list-item]
    with get_client(sync_client=True) as client:
        return {str(artifact.key): artifact.data for artifact in client.read_artifacts(artifact_filter=flow_run)}


def told(state: State[Any], key: str) -> str:
    """What one of the run's artifacts says in words."""
    flow_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[state.state_details.flow_run_id]))  # type: ignore[list-item]
    with get_client(sync_client=True) as client:
        found = {artifact.key: artifact for artifact in client.read_artifacts(artifact_filter=flow_run)}
    return str(found[key].description)


def test_a_backfill_in_the_ui(database: Path) -> None:
    """A date range ends Completed with counts; the UI has a task run a chunk, the plan as a table, and progress at 100;
    a second run has nothing to do, and says so."""
    state = run(["BTCUSDT", "ETHUSDT"], "2025-12-30", "2026-01-01")
    assert ("COMPLETED", "Completed") == (state.type.value, state.name)
    assert str(state.message).startswith("stored 5,760 klines of 2 symbols in ")
    names = {f"load {symbol} 2025-12-30 to 2025-12-31": ("COMPLETED", 1) for symbol in ("BTCUSDT", "ETHUSDT")}
    assert names | {"health of spot": ("COMPLETED", 1)} == task_runs(state, 3)
    shown = artifacts(state)
    assert {"plan", "progress", "coverage"} == set(shown)
    assert 100.0 == shown["progress"]
    assert told(state, "progress").startswith("Completed: stored 5,760 klines of 2 symbols in ")
    assert "| BTCUSDT | 2,880 | 0 | 2 |" in shown["plan"]
    assert [(5760,)] == query(database, "SELECT count(*) FROM klines")

    state = run(["BTCUSDT", "ETHUSDT"], "2025-12-30", "2026-01-01")
    assert str(state.message).startswith("stored 0 klines of 2 symbols")


@pytest.mark.file
def test_a_dry_run_in_the_ui(exchange: StandIn, database: Path) -> None:
    """A dry run publishes the plan, and does nothing else."""
    state = run(["BTCUSDT"], "2025-12-01", "2026-01-01", dry_run=True)
    assert "planned 44,640 klines of 1 symbol: 1 monthly and 0 daily files" in str(state.message)
    assert str(state.message).endswith("nothing was done")
    assert {"plan"} == set(artifacts(state))
    assert [] == exchange.archive_requests()
    assert not database.exists()


def test_a_chunk_that_fails_at_first(exchange: StandIn, database: Path) -> None:
    """A chunk whose error may pass is tried again, as its task run shows, and ends as if nothing had been."""
    exchange.fault("ETHUSDT", "too_many", open_time_ms=ms("2026-01-02T09:00"), times=1)
    state = run(["BTCUSDT", "ETHUSDT"], "2026-01-02T08:00", "2026-01-02T11:00")
    assert "COMPLETED" == state.type.value
    assert ("COMPLETED", 2) == task_runs(state, 3)["load ETHUSDT 2026-01-02"]
    assert [(360,)] == query(database, "SELECT count(*) FROM klines")


@pytest.mark.parametrize(
    "parameters", [{"start": "soon"}, {"start": "2025-13-01"}, {"end": ""}, {"source": "ftp"}, {"symbols": []}]
)
def test_bad_parameters_never_start(exchange: StandIn, parameters: dict[str, Any]) -> None:
    """What the form or the API can't accept is refused before any request."""
    with pytest.raises(ParameterTypeError):
        cast(Any, backfill)(**{"symbols": ["BTCUSDT"], "start": "2025-01-01", "end": "2025-01-02"} | parameters)
    assert [] == exchange.requests


def test_a_wrong_date_from_the_form(exchange: StandIn) -> None:
    """A run that was asked for with a date that is none is FAILED before any request, and names the parameter."""
    given = {"symbols": ["BTCUSDT"], "start": "2024-13-01", "end": "2024-02-01"}
    with get_client(sync_client=True) as client:
        made = client.create_flow_run(backfill, parameters=given)
    state = cast("State[Any]", run_flow(backfill, flow_run=made, return_type="state"))
    assert "FAILED" == state.type.value
    assert "- start: Input should be a valid datetime" in str(state.message)
    assert "month value is outside expected range" in str(state.message)
    assert [] == exchange.requests


def test_a_backward_range_fails_before_any_request(exchange: StandIn) -> None:
    """Start after end: type FAILED, one line that names both."""
    state = run(["BTCUSDT"], "2025-02-01", "2025-01-01")
    assert "FAILED" == state.type.value
    assert "start: 2025-02-01 00:00 is not before the end, 2025-01-01 00:00" in str(state.message)
    assert [] == exchange.requests
