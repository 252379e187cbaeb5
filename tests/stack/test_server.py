"""What Prefect's server is told of runs that nobody runs any more."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import FlowRun, State
from prefect.states import Pending, Running

from stack.runs import AGAIN, QueueRuns, line
from stack.server import Server

SECTION = {"name": "left-overs", "entrypoint": "flows/collect.py:collect", "work_pool": {"name": "left-overs"}}
ANOTHERS = {"prefect.worker.name": "another"}


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize("state", [Pending(), Running()], ids=["pending", "running"])
@pytest.mark.parametrize(("worker", "left"), [({}, "CRASHED"), (ANOTHERS, None)])
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

        def deploy(_: object) -> None:
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


class Pool:
    """A pool of the test's own with a deployment on each of two queues."""

    def __init__(self, client: SyncPrefectClient, name: str) -> None:
        self.client = client
        self.name = name
        with contextlib.suppress(Exception):
            client.create_work_pool(WorkPoolCreate(name=name, type="process"))
        flow = client.create_flow_from_name("collect")
        self._ids = {
            queue: client.create_deployment(flow, f"{name}-{queue}", work_pool_name=name, work_queue_name=queue)
            for queue in ("shard-1", "shard-2")
        }

    def run(self, queue: str, worker: str | None, state: State[None] | None = None) -> FlowRun:
        """A run that a worker has taken; None: nobody says so yet."""
        run = self.client.create_flow_run_from_deployment(self._ids[queue], parameters={"shard": "1/2"})
        self.client.update_flow_run_labels(run.id, {"prefect.worker.name": worker} if worker else {})
        self.client.set_flow_run_state(run.id, state or Running(), force=True)
        return run

    def live(self, worker: str) -> None:
        """A worker says that it lives."""
        self.client.send_worker_heartbeat(self.name, worker, heartbeat_interval_seconds=60)

    def states(self, *listed: FlowRun) -> list[str]:
        """Of the runs, now."""
        found = [self.client.read_flow_run(run.id).state for run in listed]
        return [state.type.value if state else "" for state in found]


@pytest.fixture
def pool(prefect_server: None, request: pytest.FixtureRequest) -> Iterator[Pool]:  # noqa: ARG001 - it must run
    """Such a pool."""
    with get_client(sync_client=True) as client:
        yield Pool(client, request.node.name.replace("_", "-"))


def test_runs_whose_worker_is_gone(pool: Pool) -> None:
    """A run of a queue of ours whose worker the server does not hear of becomes Crashed, wherever that was; the run of
    one that lives goes on, and so does one of another queue. Nobody is judged while the server has just come back."""
    pool.live("living")
    lost, theirs, ours = (pool.run("shard-1", worker) for worker in ("lost", "living", "ours"))
    elsewhere = pool.run("shard-2", "lost")
    with contextlib.closing(QueueRuns(pool.name, "ours", ["shard-1"])) as found:
        found.crash_abandoned()
        assert ["RUNNING"] * 4 == pool.states(lost, theirs, ours, elsewhere)
        found.grace_s = 0
        found.crash_abandoned()
        assert ["CRASHED", "RUNNING", "RUNNING", "RUNNING"] == pool.states(lost, theirs, ours, elsewhere)
        said = f"1/2 Crashed: Its worker, lost, is gone; {AGAIN}"
        assert [said] == [text.partition(" ")[2] for text in found.finished()]


def test_a_run_that_another_has_just_taken(pool: Pool) -> None:
    """Where another worker lives, a run that says of no worker yet may be that one's, and is left to it."""
    pool.live("living")
    taken = pool.run("shard-1", None, Pending())
    left = pool.run("shard-1", "ours")
    with contextlib.closing(QueueRuns(pool.name, "ours", ["shard-1"])) as found:
        found.crash_left_overs(lambda _: None)
    assert ["PENDING", "CRASHED"] == pool.states(taken, left)


def test_where_the_code_is(pool: Pool) -> None:
    """Each queue tells the folders of its deployments' code; one that nothing is in, none."""
    steps = [{"prefect.deployments.steps.set_working_directory": {"directory": "/somewhere/klines"}}]
    flow = pool.client.create_flow_from_name("collect")
    pool.client.create_deployment(flow, "here", work_pool_name=pool.name, work_queue_name="shard-2", pull_steps=steps)
    with contextlib.closing(QueueRuns(pool.name, "ours", ["shard-2", "shard-9"])) as found:
        assert {"shard-2": {"/somewhere/klines"}, "shard-9": set()} == found.places()


def test_a_line_names_the_shard(pool: Pool) -> None:
    """So that lines of the same minute are told apart."""
    run = pool.client.read_flow_run(pool.run("shard-1", "ours").id)
    assert line(run)[0][5:].startswith(" 1/2 ")
