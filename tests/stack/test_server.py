"""What Prefect's server is told of runs that nobody runs any more."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.states import Pending, Running

from stack.server import Server

SECTION = {"name": "left-overs", "entrypoint": "flows/collect.py:collect", "work_pool": {"name": "left-overs"}}


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize("state", [Pending(), Running()], ids=["pending", "running"])
@pytest.mark.parametrize(("worker", "left"), [({}, "CRASHED"), ({"prefect.worker.name": "another"}, None)])
def test_what_a_stopped_worker_left_is_crashed(
    tmp_path: Path, state: State[None], worker: dict[str, Any], left: str | None
) -> None:
    """A run that was taken a moment before its worker was stopped, which had not said yet that it was its own, holds no
    slot for ever; one of another worker stays as it is."""
    (tmp_path / "prefect.yaml").write_text(yaml.safe_dump({"deployments": [SECTION]}))
    with (
        contextlib.closing(Server(tmp_path / "prefect.yaml", "ours")) as server,
        get_client(sync_client=True) as client,
    ):

        def deploy() -> None:
            client.create_deployment(client.create_flow_from_name("collect"), "left-overs")

        server.deploy(deploy)
        deployment = client.read_deployment_by_name("collect/left-overs")
        run = client.create_flow_run_from_deployment(deployment.id)
        client.update_flow_run_labels(run.id, worker)
        client.set_flow_run_state(run.id, state, force=True)
        server.crash_left_overs(lambda _: None)
        found = client.read_flow_run(run.id).state
    assert found is not None
    assert (left or state.type.value) == found.type.value
