"""The snapshot of a publish run."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from klines.outcome import Outcome
from klines.reading.publish import PublishJob


@task(name="snapshot", task_run_name="snapshot {database}", cache_policy=NO_CACHE)
def snapshot(database: str, job: PublishJob) -> Outcome:  # noqa: ARG001 - the file names the task run
    """Make a snapshot, whatever there is already."""
    return job.run()
