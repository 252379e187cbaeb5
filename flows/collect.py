"""The minute: health check → fetch what is missing, mapped over symbols → one upsert."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from prefect import flow, runtime
from prefect.client.schemas.objects import State
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import Field

from flows.parameters import Entries, ShardName
from klines.collect.run import Collect, CollectJob
from klines.errors import KlinesError
from klines.interval import IntervalName
from klines.market import KindName, MarketName, series_name
from klines.outcome import NEXT_RUN, Outcome, fail
from klines.storage.access import settings_to_write
from tasks.alive import alive
from tasks.chooser import chooser
from tasks.fetch import SINGLE, fetch_missing
from tasks.health import health
from tasks.ping import ping
from tasks.report import report
from tasks.review import review
from tasks.upsert import upsert

Lookback = Annotated[timedelta, Field(ge=timedelta(0))]


def _name() -> str:
    """`spot 1m 07:31`, by the minute the run was scheduled for; of a shard `spot 1m 07:31 3/10`."""
    parameters = runtime.flow_run.parameters
    minute = runtime.flow_run.scheduled_start_time
    shard = parameters.get("shard")
    series = series_name(parameters["market"], parameters["kind"], parameters["interval"])
    return f"{series} {minute:%H:%M}{f' {shard}' if shard else ''}"


@alive
@flow(
    name="collect",
    flow_run_name=_name,
    task_runner=ThreadPoolTaskRunner(max_workers=SINGLE),  # type: ignore[arg-type]  # Prefect's own generics disagree
    timeout_seconds=55,
    validate_parameters=True,
)
def collect(
    symbols: Entries | None = None,
    market: MarketName = "spot",
    kind: KindName = "klines",
    interval: IntervalName = "1m",
    lookback: Lookback = timedelta(days=1),
    shard: ShardName | None = None,
) -> State[Any]:
    """Store every kline that closed and is not stored yet: the last minute's, and whatever was missed before.

    Args:
        symbols: Symbols to collect, as in BTCUSDT, or patterns: `*USDT` takes all that trade, `!USDC*` takes
            some away; none: those of the setting KLINES_SYMBOLS.
        market: spot, usdm (USDS-M futures) or coinm (COIN-M futures).
        kind: klines are those of trades; of futures also mark (price), index (price, of a pair), premium (index) and
            continuous (of a pair and a type of contract, as in BTCUSDT_PERPETUAL).
        interval: The klines' interval, in Binance's names; 1M is a calendar month.
        lookback: How far back holes are looked for, as an ISO 8601 duration (P1D, PT3H); a longer
            time without a run is caught up whatever this is.
        shard: Only a part of these symbols, as in 3/10 for the third of ten, the first being 1/10; each symbol is in
            the same one on every machine; none: all of them.
    """
    try:
        loaded = settings_to_write()
        whose = kind, chooser(shard)
        run = Collect(loaded, CollectJob.of(loaded, symbols, market, interval, lookback, shard, *whose))
    except KlinesError as error:
        return report(fail(error, NEXT_RUN))
    with run.at_work():
        outcome = _outcome(run)
        ping(loaded.ping_url.get_secret_value(), outcome)
        review(run, outcome)
    return report(outcome)


def _outcome(run: Collect) -> Outcome:
    """What becomes of the run."""
    try:
        with run:
            health(run)
            missing = run.plan()
            fetch_missing(run, missing)
            if missing:
                upsert(run)
            return run.outcome()
    except KlinesError as error:
        return fail(error, NEXT_RUN)
