"""The steps of maintenance."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from klines.maintain.run import Upkeep
from tasks.names import of_run


@task(name="prune", task_run_name="prune rejects", cache_policy=NO_CACHE)
def prune(run: Upkeep) -> int:
    """Delete the rejects that were last seen over 90 days ago; how many there were."""
    return run.prune()


@task(name="survey", task_run_name=of_run("survey"), cache_policy=NO_CACHE)
def survey(run: Upkeep) -> None:
    """Find where the klines of each month are."""
    run.survey()


@task(name="begin", task_run_name=of_run("begin"), cache_policy=NO_CACHE)
def begin(run: Upkeep) -> list[str]:
    """Make ready what months are copied into; the months, or the span of those put in order within the file."""
    return run.begin()


@task(name="prove", task_run_name="prove slots unique", cache_policy=NO_CACHE)
def prove(run: Upkeep) -> int:
    """Look for slots with more than one kline; how many there are."""
    return run.prove()


@task(name="cluster", task_run_name="cluster {month}", cache_policy=NO_CACHE)
def cluster(month: str, run: Upkeep) -> None:
    """Copy a month, in order, into the new file; or put months in order within the file."""
    run.cluster(month)


@task(name="swap", task_run_name=of_run("swap"), cache_policy=NO_CACHE)
def swap(run: Upkeep) -> None:
    """Put the new file in the place of the old one, where one was made."""
    run.swap()
