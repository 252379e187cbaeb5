"""Maintenance: a plan → prune old rejects → prove slots unique → cluster closed months in a new file → swap."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from klines import settings
from klines.errors import KlinesError
from klines.maintain.run import MaintainJob, Upkeep
from klines.outcome import REDO, fail
from klines.session import machine_ms
from klines.storage.access import settings_to_write
from tasks.alive import alive
from tasks.maintain import begin, cluster, prove, prune, survey, swap
from tasks.progress import Telling


@alive
@flow(name="maintain", flow_run_name=settings.database_name, validate_parameters=True)
def maintain(dry_run: bool = False) -> State[Any]:
    """Put closed months in order by symbol, compact the file, prove that no slot has two klines, forget old rejects.

    A month that has closed since the last time is put in order within the file, which is held for about a second again
    and again. The first time, or where much of the file is free, a new file is built beside the one in use, which stays
    free for others but for turns of about a third of a second, and takes its place at the end.

    Args:
        dry_run: Only say what would be done, how long it takes at least, and how much free disk it needs.
    """
    telling = Telling()
    try:
        job = MaintainJob.of(settings_to_write(), dry_run)
        with job.begin(machine_ms()) as run:
            survey(run)
            plan = run.plan()
            telling.plan(plan)
            if dry_run:
                return telling.dry_end(plan)
            plan.check()
            _maintain(run, telling)
            outcome = run.outcome()
    except KlinesError as error:
        outcome = fail(error, REDO)
    return telling.end(outcome)


def _maintain(run: Upkeep, telling: Telling) -> None:
    """All of the plan."""
    prune(run)
    months = begin(run)
    with telling.watch(run, "klines to prove and to copy"):
        prove(run)
        for month in months:
            cluster(month, run)
        if months:
            swap(run)
