"""The upsert, last of every run."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from klines.collect.run import Collect


@task(name="upsert", task_run_name="upsert into {database}", cache_policy=NO_CACHE)
def upsert(database: str, run: Collect) -> None:  # noqa: ARG001 - the file names the task run
    """Write all that was fetched, in one transaction."""
    run.store()
