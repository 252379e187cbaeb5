"""What `make run` asks of the Prefect server: work pools, deployments, the runs that a worker left, the finished ones.

Import it only when `PREFECT_HOME` and `PREFECT_API_URL` are set: Prefect reads its settings while it is imported.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import httpx
from prefect import __version__ as prefect_version
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import DeploymentUpdate, WorkPoolCreate
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterEndTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from prefect.states import Crashed
from prefect.workers.process import ProcessWorker

from stack import CHECKOUT
from stack.deployments import deployments_of

ACTIVE = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]
"""The states in which a run holds its deployment's slot."""
ENDED = [StateType.COMPLETED, StateType.FAILED, StateType.CRASHED, StateType.CANCELLED]
CATCHING_UP = timedelta(seconds=90)
"""A run refused so long after its time is one of many that had waited for a worker, and no news."""
MADE_HERE = re.compile("[0-9a-f]{8}-[0-9a-f]{8}")
"""What `version` returns."""
ENDING = timedelta(seconds=10)
"""So long a run's last state may be young when its process is gone, before that means anything."""
STARTING = timedelta(seconds=120)
"""So long a run may wait for its process."""
OVERLAP = timedelta(seconds=10)
"""So much older ends are asked for again: a run's end can become visible after that of a later one."""
REMEMBERED = 1000
"""So many runs are remembered, so that none is told twice when the clock is put back."""
TIMEOUT_S = 2.0


class Server:
    """The Prefect server, about the deployments of one prefect.yaml and the `worker` (its name) that runs them."""

    def __init__(self, prefect_file: Path, worker: str) -> None:
        self.worker = worker
        with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):
            self._client = get_client(httpx_settings={"timeout": TIMEOUT_S}, sync_client=True)
        self._sections = deployments_of(prefect_file)
        self._ids: list[UUID] = []
        self._told: list[UUID] = []
        self._since = datetime.now(UTC) + OVERLAP

    def close(self) -> None:
        """End its connections."""
        self._client.__exit__()

    @property
    def ui(self) -> str:
        """The address for a browser."""
        return str(PREFECT_API_URL.value()).removesuffix("/api")

    @property
    def pool(self) -> str:
        """The work pool of the deployments: one, as there is one worker."""
        return str(self._sections[0]["work_pool"]["name"])

    def answers(self) -> bool:
        """Whether it serves."""
        return self._client.api_healthcheck() is None

    def deploy(self, command: Callable[[], None]) -> None:
        """Create the work pool; if a deployment is missing or changed, deploy by `command`.

        What was edited in the UI stays. A deployment's version tells whether it changed: see `version`.
        """
        self._create_pool()
        before = [self._deployment(section) for section in self._sections]
        versions = [version(section) for section in self._sections]
        if [found and found.version for found in before] != versions:
            command()
            for section, was, now in zip(self._sections, before, versions, strict=True):
                self._restore(section, was, now)
        self._ids = [found.id for section in self._sections if (found := self._deployment(section))]
        self._forget()

    def _forget(self) -> None:
        """Delete the deployments that were made from here and that prefect.yaml names no more."""
        for found in self._client.read_deployments():
            is_of_here = MADE_HERE.fullmatch(found.version or "") and str(CHECKOUT) in json.dumps(found.pull_steps)
            if is_of_here and found.id not in self._ids:
                self._client.delete_deployment(found.id)

    def _create_pool(self) -> None:
        template = ProcessWorker.get_default_base_job_template()
        pool = WorkPoolCreate(name=self.pool, type="process", base_job_template=template)
        with contextlib.suppress(ObjectAlreadyExists):
            self._client.create_work_pool(pool)

    def _restore(self, section: dict[str, Any], was: DeploymentResponse | None, now: str) -> None:
        """Note the version just deployed, and put back what the UI had: parameters, and a pause.

        Parameters that prefect.yaml names win over the UI's only when the deployment's section was changed. Parameters
        that the flow does not have are refused by the API from then on: such a run would crash.
        """
        found = cast(DeploymentResponse, self._deployment(section))
        schema = (found.parameter_openapi_schema or {}) | {"additionalProperties": False}
        kept: dict[str, Any] = {"parameters": found.parameters, "parameter_openapi_schema": schema}
        if was:
            known = (found.parameter_openapi_schema or {}).get("properties", {})
            edited = {name: value for name, value in was.parameters.items() if name in known}
            is_same_section = (was.version or "").partition("-")[0] == now.partition("-")[0]
            kept["parameters"] = found.parameters | edited if is_same_section else edited | found.parameters
            kept["paused"] = was.paused
        self._client.update_deployment(found.id, DeploymentUpdate(version=now, **kept))

    def _deployment(self, section: dict[str, Any]) -> DeploymentResponse | None:
        try:
            return self._client.read_deployment_by_name(full_name(section))
        except ObjectNotFound:
            return None

    def crash_left_overs(self, kill: Callable[[int], None]) -> None:
        """Set our worker's active runs to Crashed, which frees their deployment's slot; call it when no worker runs.

        Their processes, in sessions of their own, are ended by `kill`. Nothing happens while the server is away.
        """
        message = "Its worker was stopped; the next run fetches what is missing."
        with no_answer_is_no_matter():
            for run in self._runs(ACTIVE):
                if self._is_ours(run):
                    pid = process_of(run)
                    if pid is not None:
                        kill(pid)
                    self._client.set_flow_run_state(run.id, Crashed(message=message), force=True)

    def crash_dead(self, lives: Callable[[int], bool], *, is_worker_new: bool = False) -> None:
        """Set our worker's runs to Crashed whose process does not live any more, and did not say how it ended, and
        those that have none for so long that none will come; of a worker that has ended all that have none.
        """
        message = "Its process ended without a word; the next run fetches what is missing."
        with no_answer_is_no_matter():
            for run in self._runs(ACTIVE):
                pid = process_of(run)
                age = datetime.now(UTC) - cast(State[Any], run.state).timestamp
                is_unstarted = pid is None and (is_worker_new or age > STARTING)
                is_dead = pid is not None and age > ENDING and not lives(pid)
                if self._is_ours(run) and (is_unstarted or is_dead):
                    self._client.set_flow_run_state(run.id, Crashed(message=message), force=True)

    def _is_ours(self, run: FlowRun) -> bool:
        """Whether our worker has it; one that took it a moment ago has not said so yet."""
        return run.labels.get("prefect.worker.name", self.worker) == self.worker

    def collect_now(self) -> None:
        """Ask for a run of each deployment of collect that has a schedule which is on."""
        with no_answer_is_no_matter():
            for section, deployment_id in zip(self._sections, self._ids, strict=True):
                found = self._client.read_deployment(deployment_id)
                is_on = not found.paused and any(schedule.active for schedule in found.schedules)
                if is_on and full_name(section).startswith("collect/"):
                    self._client.create_flow_run_from_deployment(deployment_id)

    def finished(self) -> list[str]:
        """A line for each run that ended since this was asked last, or since the start."""
        told = self._told
        since = min(self._since, datetime.now(UTC) + OVERLAP)  # the clock may have been put back
        with no_answer_is_no_matter():
            runs = self._runs(ENDED, FlowRunFilterEndTime(after_=cast(Any, since - OVERLAP)))
            self._told = [*told, *(run.id for run in runs if run.id not in told)][-REMEMBERED:]
            self._since = max([since, *(run.end_time for run in runs if run.end_time)])
            return [text for run in runs if run.id not in told for text in line(run)]
        return []

    def _runs(self, states: list[StateType], ended: FlowRunFilterEndTime | None = None) -> list[FlowRun]:
        return self._client.read_flow_runs(
            deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=self._ids)),
            flow_run_filter=FlowRunFilter(
                state=FlowRunFilterState(type=FlowRunFilterStateType(any_=states)), end_time=ended
            ),
            sort=FlowRunSort.EXPECTED_START_TIME_ASC,
        )


def process_of(run: FlowRun) -> int | None:
    """The process that runs it, once it has one."""
    pid = (run.infrastructure_pid or "").rpartition(":")[2]
    return int(pid) if pid.isdecimal() else None


def no_answer_is_no_matter() -> contextlib.suppress:
    """Suppress what a call raises when the server is away or too busy: it is called again."""
    return contextlib.suppress(httpx.HTTPError, PrefectHTTPStatusError)


def line(run: FlowRun) -> list[str]:
    """`07:31 stored 10 klines of 10 symbols in 1.4 s`, by the scheduled time in UTC; empty if the run is no news."""
    state = cast(State[Any], run.state)
    scheduled = cast(datetime, run.expected_start_time).astimezone(UTC)
    message = " ".join((state.message or "").split())
    if state.is_cancelled() and "concurrency" in message:
        if state.timestamp - scheduled > CATCHING_UP:
            return []
        message = "skipped: the run before it had not ended"
    elif not state.is_completed():
        message = f"{state.name}: {message}"
    return [f"{scheduled:%H:%M} {message}"]


def full_name(section: dict[str, Any]) -> str:
    """`collect/every-minute`: a flow bears its function's name."""
    return f"{section['entrypoint'].rpartition(':')[2]}/{section['name']}"


def version(section: dict[str, Any]) -> str:
    """Two hashes: of the deployment's section in prefect.yaml; of where the code is, and of what it says."""
    code = [path.read_bytes() for folder in ("flows", "klines") for path in sorted((CHECKOUT / folder).rglob("*.py"))]
    place = f"{CHECKOUT} {prefect_version}".encode()
    return f"{_hash(json.dumps(section, default=str).encode())}-{_hash(place, *code)}"


def _hash(*parts: bytes) -> str:
    return hashlib.sha256(b"\n".join(parts)).hexdigest()[:8]
