"""The snapshot of a publish run."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from klines.outcome import Outcome
from klines.reading.publish import PublishJob
from tasks.names import named


@task(
    name="snapshot",
    task_run_name=named(lambda given: f"snapshot {given['job'].place.name}"),
    cache_policy=NO_CACHE,
)
def snapshot(job: PublishJob) -> Outcome:
    """Make a snapshot, whatever there is already."""
    return job.run()
