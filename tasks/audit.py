"""The steps of an audit that a backfill does not have."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from klines.audit import Audit
from tasks.retry import may_pass


@task(name="explain", task_run_name="explain {name}", cache_policy=NO_CACHE)
def explain(name: str, run: Audit) -> int:  # noqa: ARG001 - the name names the task run
    """Look into the holes between their neighbours, and beside other symbols; how many are none any more."""
    return run.explain()


@task(
    name="reconcile",
    task_run_name="reconcile {name}",
    retries=2,
    retry_delay_seconds=[5, 30],
    retry_condition_fn=may_pass,
    cache_policy=NO_CACHE,
)
def reconcile(name: str, run: Audit) -> None:  # noqa: ARG001 - the name names the task run
    """Compare what was collected live with the archive's daily files."""
    run.reconcile()
