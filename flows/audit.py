"""What is missing and why: find → repair as a backfill does → explain what is left → compare with the archive."""

from __future__ import annotations

from typing import Any

from prefect import flow, runtime
from prefect.client.schemas.objects import State
from prefect.task_runners import ThreadPoolTaskRunner

from flows.parameters import Symbols, Time
from klines.audit.message import SeriesOutcome, audit_outcome, audit_plan
from klines.audit.run import Audit, AuditJob, SeriesGroup
from klines.errors import KlinesError
from klines.interval import IntervalName
from klines.market import KindName, MarketName
from klines.outcome import fail
from klines.storage.access import settings_to_write
from tasks.alive import alive
from tasks.audit import explain, reconcile, write_certificate
from tasks.coverage import write_coverage
from tasks.health import health
from tasks.load import AT_ONCE, load_all
from tasks.progress import Telling
from tasks.review import only_news


def _name() -> str:
    """`spot 1m BTCUSDT`, or `all that is wanted`."""
    parameters = runtime.flow_run.parameters
    said = [str(parameters[name]) for name in ("market", "kind", "interval") if parameters.get(name)] + (
        parameters.get("symbols") or []
    )[:3]
    return " ".join(said) or "all that is wanted"


@alive
@flow(
    name="audit",
    flow_run_name=_name,
    task_runner=ThreadPoolTaskRunner(max_workers=AT_ONCE),  # type: ignore[arg-type]  # Prefect's own generics disagree
    validate_parameters=True,
)
def audit(
    symbols: Symbols | None = None,
    start: Time | None = None,
    end: Time | None = None,
    market: MarketName | None = None,
    kind: KindName | None = None,
    interval: IntervalName | None = None,
    repair: bool = True,
    force: bool = False,
    dry_run: bool = False,
) -> State[Any]:
    """Find every kline that is missing, fetch what can be had, and say of the rest truthfully why it is not there.

    Args:
        symbols: Symbols to audit, as in BTCUSDT; none: all of which anything is wanted.
        start: From this open time on; none: all that is wanted.
        end: Up to this open time, which is not included; none: now.
        market: spot, usdm or coinm; none: all.
        kind: klines, mark, index, premium or continuous; none: all that are wanted.
        interval: Binance's name of an interval; none: all that are wanted.
        repair: Fetch what is missing, and correct what two of three sources give differently.
        force: Ask again for what is settled, too.
        dry_run: Only say what would be fetched, and what it would cost; the holes that are left are not looked into.
    """
    telling = Telling()
    try:
        job = AuditJob.of(settings_to_write(), symbols, start, end, market, interval, repair, force, kind, dry_run)
        if dry_run:
            return telling.end(audit_plan([_planned(job, series, telling) for series in job.series()]))
        parts = [_part(job, series, telling) for series in job.series()]
        rows, found = job.whole()
        write_certificate(rows)
        if end is None:  # else it would be of the days before that
            with only_news():
                write_coverage(job.last_days())
        outcome = audit_outcome(parts, rows, found)
    except KlinesError as error:
        outcome = fail(error)
    return telling.end(outcome)


def _part(job: AuditJob, series: SeriesGroup, telling: Telling) -> SeriesOutcome:
    """One market and interval."""
    try:
        with Audit(job, series) as run:
            health(run)
            _load(run, job, telling)
            if explain(run) and job.repair:
                _load(run, job, telling)
            if job.repair:
                reconcile(run)
            run.note()
            return run.part()
    except KlinesError as error:
        return SeriesOutcome(series.name, fail(error))


def _planned(job: AuditJob, series: SeriesGroup, telling: Telling) -> SeriesOutcome:
    """What would be fetched of one market and interval."""
    try:
        with Audit(job, series) as run:
            health(run)
            plan = run.plan()
            telling.plan(plan.whole, series.name)
            return run.dry_part(plan)
    except KlinesError as error:
        return SeriesOutcome(series.name, fail(error))


def _load(run: Audit, job: AuditJob, telling: Telling) -> None:
    """Find what is missing, and fetch it."""
    plan = run.plan()
    if job.repair and plan.chunks:
        telling.plan(plan.whole, run.series.name)
        with telling.watch(run, f"klines of {run.series.name}"):
            load_all(run, plan.chunks)
