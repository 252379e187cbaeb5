"""Funding rates: what lacks, in batches of symbols → the archive, then REST → one transaction for each batch."""

from __future__ import annotations

from typing import Any

from prefect import flow, runtime
from prefect.client.schemas.objects import State

from flows.parameters import Entries, Time
from klines.errors import KlinesError
from klines.market import FuturesName
from klines.outcome import Outcome, fail
from klines.rates.job import FundingJob
from klines.rates.run import FundingRun
from klines.storage.access import settings_to_write
from tasks.alive import alive
from tasks.funding import ask_for_rates, tell_incidents, write_rates
from tasks.health import health
from tasks.progress import Telling


def _name() -> str:
    """`usdm 07:06`, by the minute the run was scheduled for."""
    return f"{runtime.flow_run.parameters['market']} {runtime.flow_run.scheduled_start_time:%H:%M}"


@alive
@flow(name="funding", flow_run_name=_name, validate_parameters=True)
def funding(
    symbols: Entries | None = None,
    market: FuturesName = "usdm",
    since: Time | None = None,
    all_symbols: bool = False,
) -> State[Any]:
    """Store every funding rate that is published and not stored yet, and name those that lack, with the reason.

    Whole months come from the archive, checked, the rest by REST. What is stored is not fetched again, so a run that
    was stopped goes on when it is run again.

    Args:
        symbols: Perpetual contracts, as in BTCUSDT, or patterns: `*USDT` takes all that trade, `!USDC*` takes some
            away; none: those of the setting KLINES_SYMBOLS.
        market: usdm (USDS-M futures) or coinm (COIN-M futures).
        since: From this day on, as in 2024-01-01, UTC where no zone is given; none: from KLINES_SINCE on, or else from
            the first rate.
        all_symbols: Patterns take every symbol that the archive ever had rates of, also what is delisted, not only
            what trades.
    """
    telling = Telling()
    try:
        loaded = settings_to_write()
        run = FundingRun(loaded, FundingJob.of(loaded, symbols, market, since, all_symbols))
    except KlinesError as error:
        return telling.end(fail(error))
    outcome = _outcome(run, telling)
    tell_incidents(run, outcome)
    return telling.end(outcome)


def _outcome(run: FundingRun, telling: Telling) -> Outcome:
    """What becomes of the run."""
    try:
        with run:
            health(run)
            batches = run.plan()
            telling.plan(run.told())
            with telling.watch(run, "symbols"):
                _load(run, batches)
            return run.outcome()
    except KlinesError as error:
        return fail(error)


def _load(run: FundingRun, batches: list[list[str]]) -> None:
    """Each batch, while there is time and nothing forbids to ask."""
    for batch in batches:
        if not run.goes_on:
            return
        run.begin(batch)
        ask_for_rates(batch, run, return_state=True)  # a failure is noted in the run
        write_rates(batch, run)
