"""Publishing: a plan → a snapshot of the database for those who read it with SQL of their own."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from klines import settings
from klines.errors import KlinesError
from klines.outcome import REDO, fail
from klines.reading.publish import PublishJob
from klines.storage.access import settings_to_write
from tasks.alive import alive
from tasks.progress import Telling
from tasks.publish import snapshot


@alive
@flow(name="publish", flow_run_name=settings.database_name, validate_parameters=True)
def publish(dry_run: bool = False) -> State[Any]:
    """Make a snapshot of the database, which klines.connect() opens instead of making one itself.

    Who writes the file meanwhile is kept out for moments only. The snapshots before are deleted; who has one open keeps
    it.

    Args:
        dry_run: Only say what would be copied, how long it takes at least, and how much free disk it needs.
    """
    telling = Telling()
    try:
        job = PublishJob.of(settings_to_write(), dry_run)
        plan = job.plan()
        telling.plan(plan)
        if dry_run:
            return telling.dry_end(plan)
        plan.check()
        with telling.watch(job, "bytes"):
            outcome = snapshot(job)
    except KlinesError as error:
        outcome = fail(error, REDO)
    return telling.end(outcome)
