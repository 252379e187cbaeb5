"""The upsert, last of every run."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from klines.collect.run import Collect
from tasks.names import of_run


@task(
    name="upsert",
    task_run_name=of_run("upsert into"),
    cache_policy=NO_CACHE,
)
def upsert(run: Collect) -> None:
    """Write all that was fetched, in one transaction."""
    run.store()
