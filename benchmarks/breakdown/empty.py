"""A flow run with as many task runs, events and artifacts as one of `collect`, in which nothing is done."""

from __future__ import annotations

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.events import emit_event
from prefect.futures import wait
from prefect.task_runners import ThreadPoolTaskRunner

from tasks.alive import alive
from tasks.artifacts import last
from tasks.deployment import deployment
from tasks.fetch import SINGLE, batches_of


@task(cache_policy=NO_CACHE, timeout_seconds=40)
def nothing(_: int) -> None:
    """As health, fetch and upsert, but for what they do."""


@alive
@flow(task_runner=ThreadPoolTaskRunner(max_workers=SINGLE), timeout_seconds=55)  # type: ignore[arg-type]
def empty(symbols: int) -> None:
    """As `collect` of so many symbols, but for what it does."""
    deployment()
    nothing(0)
    wait(nothing.map(range(symbols if symbols <= SINGLE else batches_of(symbols))))
    nothing(0)
    emit_event("benchmark.empty", resource={"prefect.resource.id": "benchmark.empty"})
    create_markdown_artifact("nothing", key="empty")
    last("empty")
