"""The steps of a run of funding rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from klines.collect.following import Following
from klines.errors import Retry
from klines.market import FUNDING
from klines.outcome import Outcome, counted
from klines.rates.run import FundingRun
from tasks import alarms, events
from tasks.names import named
from tasks.retry import may_pass
from tasks.review import only_news


def _batch_name(given: Mapping[str, Any]) -> str:
    """`rates of BTCUSDT`, or `rates of 50 symbols, AAVEUSDT to BTCUSDT`."""
    batch = given["batch"]
    return f"rates of {batch[0]}" if len(batch) == 1 else f"rates of {len(batch)} symbols, {batch[0]} to {batch[-1]}"


@task(
    name="rates",
    task_run_name=named(_batch_name),
    retries=2,
    retry_delay_seconds=[2, 10],
    retry_jitter_factor=0.5,
    retry_condition_fn=may_pass,
    cache_policy=NO_CACHE,
)
def ask_for_rates(batch: Sequence[str], run: FundingRun) -> None:  # noqa: ARG001 - it names the task run
    """Ask for what lacks of a batch; tried again it asks for the rest. What fails is noted in the run, too."""
    for error in run.fetch():
        if isinstance(error, Retry):
            raise error


@task(
    name="store",
    task_run_name=named(lambda given: f"store {counted(len(given['batch']), 'symbol')}"),
    cache_policy=NO_CACHE,
)
def write_rates(batch: Sequence[str], run: FundingRun) -> None:  # noqa: ARG001 - it names the task run
    """Write what came of a batch, with its ledger, in one transaction."""
    run.store()


def tell_incidents(run: FundingRun, outcome: Outcome) -> None:
    """Events and alarms of what the run means for the incidents of its market; it changes nothing of the run."""
    with only_news():
        its = Following(run, FUNDING.name)
        followed = its.enter(run.seen(outcome))
        events.tell(followed)
        alarms.deliver(its, followed)
