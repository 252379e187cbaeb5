"""Flow runs on the Prefect server: those that a worker left, those that no worker has any more, the finished ones.

Import it only when `PREFECT_HOME` and `PREFECT_API_URL` are set: Prefect reads its settings while it is imported.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterEndTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
    WorkQueueFilter,
    WorkQueueFilterName,
)
from prefect.client.schemas.objects import FlowRun, State, StateType, WorkerStatus
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, PREFECT_WORKER_HEARTBEAT_SECONDS, temporary_settings
from prefect.states import Crashed

ACTIVE = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]
"""The states in which a run holds its deployment's slot."""
ENDED = [StateType.COMPLETED, StateType.FAILED, StateType.CRASHED, StateType.CANCELLED]
WORKER = "prefect.worker.name"
"""The label by which a run says whose it is; a moment after it was taken it does not say it yet."""
CATCHING_UP = timedelta(seconds=90)
"""A run refused so long after its time is one of many that had waited for a worker, and no news."""
ENDING = timedelta(seconds=10)
"""So long a run's last state may be young when its process is gone, before that means anything."""
STARTING = timedelta(seconds=120)
"""So long a run may wait for its process."""
GIVING_WAY = timedelta(seconds=60)
"""A run that is due so soon after one was asked for, and is refused as that is under way, is no news."""
OVERLAP = timedelta(seconds=10)
"""So much older ends are asked for again: a run's end can become visible after that of a later one."""
REMEMBERED = 1000
"""So many runs are remembered, so that none is told twice when the clock is put back."""
TIMEOUT_S = 2.0
BEATS = 4
"""A server that has come back is given so many of a worker's heartbeats until all have found it again; three that do
not come are what it takes a worker for gone after."""
AGAIN = "nothing stored is lost, and the next run of it goes on from there."
DIED = f"Its process ended without a word; {AGAIN}"
STOPPED = f"Its worker was stopped; {AGAIN}"


class Runs:
    """The runs of a work pool, of which the worker named `worker` has some."""

    def __init__(self, pool: str, worker: str) -> None:
        self.pool = pool
        self.worker = worker
        self._client = get_client(httpx_settings={"timeout": TIMEOUT_S}, sync_client=True)
        self._told: list[UUID] = []
        self._since = datetime.now(UTC) + OVERLAP
        self.grace_s = BEATS * PREFECT_WORKER_HEARTBEAT_SECONDS.value()
        self._away_s = time.monotonic()
        self.asked: datetime | None = None
        self.missed = 0

    @property
    def client(self) -> SyncPrefectClient:
        """That of the server, which waits for 2 s."""
        return self._client

    def close(self) -> None:
        """End its connections."""
        self._client.__exit__()

    def answers(self) -> bool:
        """Whether the server serves."""
        return self._client.api_healthcheck() is None

    @staticmethod
    def asked_once() -> contextlib.AbstractContextManager[object]:
        """While this lasts a call is made once: Prefect's usual five times take a minute, and Ctrl-C waits for them."""
        return temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0})

    def crash_left_overs(self, kill: Callable[[int], None]) -> None:
        """Set our worker's active runs to Crashed, which frees their deployment's slot; call it when no worker runs.

        Their processes, in sessions of their own, are ended by `kill`. Nothing happens while the server is away.
        """
        with self._when_it_answers():
            for run in self._ours():
                pid = process_of(run)
                if pid is not None:
                    kill(pid)
                self._crash(run, STOPPED)

    def crash_dead(self, lives: Callable[[int], bool], *, is_worker_new: bool = False) -> None:
        """Set our worker's runs to Crashed whose process does not live any more, and did not say how it ended, and
        those that have none for so long that none will come; of a worker that has ended all that have none.
        """
        with self._when_it_answers():
            for run in self._ours():
                pid = process_of(run)
                is_unstarted = pid is None and (is_worker_new or _age(run) > STARTING)
                is_dead = pid is not None and _age(run) > ENDING and not lives(pid)
                if is_unstarted or is_dead:
                    self._crash(run, DIED)

    def crash_abandoned(self) -> None:
        """Set runs to Crashed whose worker, wherever it was, is gone: the server has missed three of its heartbeats.

        Nobody is judged soon after the server was away itself, as then it has missed those of all.
        """
        if time.monotonic() - self._away_s < self.grace_s:
            return
        with self._when_it_answers():
            active = [run for run in self._runs(ACTIVE) if run.labels.get(WORKER) != self.worker]
            living = self._living() if active else set()
            for run in active:
                worker = run.labels.get(WORKER)
                if worker is None and _age(run) > STARTING:
                    self._crash(run, DIED)
                elif worker is not None and worker not in living:
                    self._crash(run, f"Its worker, {worker}, is gone; {AGAIN}")

    def finished(self) -> list[str]:
        """A line for each run that ended since this was asked last, or since the start. `missed` is how often in a row
        the server has not answered that."""
        told = self._told
        self.missed += 1
        since = min(self._since, datetime.now(UTC) + OVERLAP)  # the clock may have been put back
        with self._when_it_answers():
            runs = self._runs(ENDED, FlowRunFilterEndTime(after_=cast(Any, since - OVERLAP)))
            self.missed = 0
            self._told = [*told, *(run.id for run in runs if run.id not in told)][-REMEMBERED:]
            self._since = max([since, *(run.end_time for run in runs if run.end_time)])
            return [text for run in runs if run.id not in told for text in line(run, self.asked)]
        return []

    def _ours(self) -> list[FlowRun]:
        """Our worker's active runs; with those that say of none yet where no other could have them."""
        active = self._runs(ACTIVE)
        is_alone = any(WORKER not in run.labels for run in active) and not self._living() - {self.worker}
        ours = (self.worker, None) if is_alone else (self.worker,)
        return [run for run in active if run.labels.get(WORKER) in ours]

    def _living(self) -> set[str]:
        """The names of the pool's workers that the server hears of."""
        workers = self._client.read_workers_for_work_pool(self.pool)
        return {worker.name for worker in workers if worker.status == WorkerStatus.ONLINE}

    def _crash(self, run: FlowRun, message: str) -> None:
        """Unless it has ended meanwhile, by itself or because another machine has found it; one that is being cancelled
        must be forced to."""
        is_cancelling = cast(State[Any], run.state).is_cancelling()
        self._client.set_flow_run_state(run.id, Crashed(message=message), force=is_cancelling)

    def _runs(self, states: list[StateType], ended: FlowRunFilterEndTime | None = None) -> list[FlowRun]:
        return self._client.read_flow_runs(
            **self._about(),
            flow_run_filter=FlowRunFilter(
                state=FlowRunFilterState(type=FlowRunFilterStateType(any_=states)), end_time=ended
            ),
            sort=FlowRunSort.EXPECTED_START_TIME_ASC,
        )

    def _about(self) -> dict[str, Any]:
        """The filters of the runs that it is about."""
        return {"work_pool_filter": WorkPoolFilter(name=WorkPoolFilterName(any_=[self.pool]))}

    @contextlib.contextmanager
    def _when_it_answers(self) -> Iterator[None]:
        """Suppress what a call raises when the server is away or too busy: it is called again."""
        try:
            yield
        except (httpx.HTTPError, PrefectHTTPStatusError) as error:
            if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
                self._away_s = time.monotonic()


class QueueRuns(Runs):
    """The runs of some queues of the pool."""

    def __init__(self, pool: str, worker: str, queues: Sequence[str]) -> None:
        super().__init__(pool, worker)
        self.queues = list(queues)

    def places(self) -> dict[str, set[str]] | None:
        """For each queue the folders in which its deployments' code is, none where it has no deployment; None while the
        server does not answer."""
        found: dict[str, set[str]] = {queue: set() for queue in self.queues}
        with self._when_it_answers():
            for deployment in self._client.read_deployments(**self._about()):
                steps = [options for step in deployment.pull_steps or () for options in step.values()]
                found[str(deployment.work_queue_name)] |= {
                    str(options["directory"]) for options in steps if "directory" in (options or {})
                }
            return found
        return None

    def _about(self) -> dict[str, Any]:
        return super()._about() | {"work_queue_filter": WorkQueueFilter(name=WorkQueueFilterName(any_=self.queues))}


def _age(run: FlowRun) -> timedelta:
    """How old its state is."""
    return datetime.now(UTC) - cast(State[Any], run.state).timestamp


def process_of(run: FlowRun) -> int | None:
    """The process that runs it, once it has one."""
    pid = (run.infrastructure_pid or "").rpartition(":")[2]
    return int(pid) if pid.isdecimal() else None


def line(run: FlowRun, asked: datetime | None = None) -> list[str]:
    """`07:31 stored 10 klines of 10 symbols in 1.4 s`, by the scheduled time in UTC, and of a shard `07:31 3/10 …`;
    empty if the run is no news. `asked` is when a run was asked for that is none on schedule."""
    state = cast(State[Any], run.state)
    scheduled = cast(datetime, run.expected_start_time).astimezone(UTC)
    message = " ".join((state.message or "").split())
    if state.is_cancelled() and "concurrency" in message:
        gave_way = asked is not None and asked <= scheduled <= asked + GIVING_WAY
        if gave_way or state.timestamp - scheduled > CATCHING_UP:
            return []
        message = "skipped: the run before it had not ended"
    elif not state.is_completed():
        message = f"{state.name}: {message}"
    shard = (run.parameters or {}).get("shard")
    return [f"{scheduled:%H:%M} {f'{shard} ' if shard else ''}{message}"]
