"""Maintenance: prune old rejects → prove slots unique → cluster closed months in a new file → swap."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from klines import settings
from klines.errors import KlinesError
from klines.maintain.run import MaintainJob
from klines.outcome import REDO, counted, fail
from klines.session import machine_ms
from klines.storage.access import settings_to_write
from tasks.maintain import cluster, prove, prune, survey, swap
from tasks.progress import run_bar
from tasks.report import report


@flow(name="maintain", flow_run_name=settings.database_name, validate_parameters=True)
def maintain() -> State[Any]:
    """Put closed months in order by symbol, compact the file, prove that no slot has two klines, forget old rejects.

    Nothing is copied where there is nothing to do. A new file is built beside the one in use, which stays free for
    others but for turns of about a third of a second, and takes its place at the end.
    """
    try:
        with MaintainJob.of(settings_to_write()).begin(machine_ms()) as run:
            prune(run)
            survey(run)
            prove(run)
            months = run.plan()
            with run_bar(len(months)) as bar:
                for done, month in enumerate(months):
                    bar(done, f"{done} of {counted(len(months), 'month')} in the new file")
                    cluster(month, run)
            if months:
                swap(run)
            outcome = run.outcome()
    except KlinesError as error:
        outcome = fail(error, REDO)
    return report(outcome)
