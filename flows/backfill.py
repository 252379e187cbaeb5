"""Any date range: a plan of what is missing → archive files and REST pages, mapped over chunks → one writer."""

from __future__ import annotations

from typing import Any

from prefect import flow, runtime
from prefect.client.schemas.objects import State
from prefect.task_runners import ThreadPoolTaskRunner

from flows.parameters import Entries, Time
from klines.backfill.job import BackfillJob
from klines.backfill.run import Backfill
from klines.errors import KlinesError
from klines.interval import IntervalName
from klines.market import KindName, MarketName, SourceName, series_name
from klines.outcome import fail
from klines.storage.access import settings_to_write
from tasks.alive import alive
from tasks.coverage import write_coverage
from tasks.health import health
from tasks.load import AT_ONCE, load_all
from tasks.progress import Telling
from tasks.review import only_news


def _name() -> str:
    """`spot 1m 2024-01-01 to 2024-02-01`."""
    parameters = runtime.flow_run.parameters
    start, end = (str(parameters[name])[:10] for name in ("start", "end"))
    return f"{series_name(parameters['market'], parameters['kind'], parameters['interval'])} {start} to {end}"


@alive
@flow(
    name="backfill",
    flow_run_name=_name,
    task_runner=ThreadPoolTaskRunner(max_workers=AT_ONCE),  # type: ignore[arg-type]  # Prefect's own generics disagree
    validate_parameters=True,
)
def backfill(
    symbols: Entries,
    start: Time,
    end: Time,
    market: MarketName = "spot",
    kind: KindName = "klines",
    interval: IntervalName = "1m",
    source: SourceName = "auto",
    refresh: bool = False,
    dry_run: bool = False,
    all_symbols: bool = False,
) -> State[Any]:
    """Store the klines of a date range that are missing: from Binance's archive, checked, and from REST what it lacks.

    What is stored is not fetched again, so a run that was stopped goes on when it is run again.

    Args:
        symbols: Symbols to load, as in BTCUSDT, also delisted ones; or patterns: `*USDT` takes all that trade,
            `!USDC*` takes some away.
        start: The first open time, as in 2024-01-01 or 2024-01-01T12:00; UTC where no zone is given.
        end: The open time before which it ends; in the future: now. The same forms as of start.
        market: spot, usdm (USDS-M futures) or coinm (COIN-M futures).
        kind: klines are those of trades; of futures also mark (price), index (price, of a pair), premium (index) and
            continuous (of a pair and a type of contract, as in BTCUSDT_PERPETUAL).
        interval: The klines' interval, in Binance's names; 1M is a calendar month.
        source: auto takes whole days from the archive (data.binance.vision) and the rest by REST;
            archive or rest takes all from one of them.
        refresh: Fetch what is stored, too, and correct what Binance gives differently now.
        dry_run: Only say what would be done, and what it would cost.
        all_symbols: Patterns take every symbol that the archive ever had, also what is delisted, not only what trades.
    """
    telling = Telling()
    try:
        loaded = settings_to_write()
        how = (source, refresh, dry_run, all_symbols, kind)
        job = BackfillJob.of(loaded, symbols, start, end, market, interval, *how)
        with Backfill(loaded, job) as run:
            health(run)
            plan = run.plan()
            telling.plan(plan.whole)
            if dry_run:
                return telling.end(run.dry_outcome(plan))
            with telling.watch(run, "klines"):
                load_all(run, plan.chunks)
            outcome = run.outcome()
        with only_news():
            write_coverage(run.last_days())
    except KlinesError as error:
        outcome = fail(error)
    return telling.end(outcome)
