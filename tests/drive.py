"""Drives the domain as the flow does, without Prefect: one run against the stand-in, and what it left in the file."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pytest

from klines.audit.message import SeriesOutcome, audit_outcome, audit_plan
from klines.audit.run import Audit, AuditJob, SeriesGroup
from klines.backfill.job import BackfillJob
from klines.backfill.run import Backfill
from klines.collect.run import Collect, CollectJob
from klines.errors import KlinesError
from klines.maintain.run import MaintainJob
from klines.outcome import NEXT_RUN, Outcome, fail
from klines.rates.job import FundingJob
from klines.rates.run import FundingRun
from klines.settings import Address, LakeAddress, Settings
from klines.storage.access import place_of
from klines.storage.journal import mend
from klines.storage.schema.migrations import STEPS
from tests.exchange import StandIn

MINUTE = 60_000
NOON = 1_767_355_200_000
"""2026-01-02 12:00 UTC: where the tests freeze the stand-in's clock."""


PATIENCE_S = 20.0
"""How long a request may take: the stand-in shares a slow machine with other tests, and makes a month of minutes for
some answers. A test whose subject is an answer that does not come has less of it."""


class Fixed(NamedTuple):
    """An exchange that runs elsewhere."""

    url: str


def clock_of(exchange: StandIn | Fixed) -> Callable[[], int] | None:
    """A clock that agrees with the stand-in's; this machine's for an exchange that runs elsewhere."""
    return exchange.now_ms if isinstance(exchange, StandIn) else None


def collect_once(
    exchange: StandIn | Fixed,
    database: Address,
    symbols: Sequence[str],
    *,
    lookback: timedelta = timedelta(minutes=30),
    market: str = "spot",
    interval: str = "1m",
    since: date | None = None,
    pages: int = 500,
    request_timeout_s: float = PATIENCE_S,
    deadline_s: float = 45,
    clock: Callable[[], int] | None = None,
    errors: dict[str, Exception] | None = None,
    shard: str | None = None,
    kind: str = "klines",
    egress: str = "",
) -> Outcome:
    """One run: health, plan, one fetch of everything, store. A failing symbol is not retried; `errors` gets why.

    This machine's clock is `clock`, or else agrees with the stand-in's.
    """
    urls = dict.fromkeys(("spot_url", "usdm_url", "coinm_url", "archive_url"), exchange.url)
    settings = Settings(database=database, since=since, egress=egress, **urls)  # type: ignore[arg-type]
    job = CollectJob.of(settings, list(symbols), market, interval, lookback, shard, kind)
    try:
        with Collect(
            settings,
            job,
            request_timeout_s=request_timeout_s,
            late_pauses_s=(0.1, 0.1),
            pages=pages,
            deadline_s=deadline_s,
            clock=clock or clock_of(exchange),
        ) as run:
            run.health()
            failed = run.fetch(run.plan())
            if errors is not None:
                errors.update(failed)
            run.store()
            return run.outcome()
    except KlinesError as error:
        return fail(error, NEXT_RUN)


def make_of_steps(database: Path, steps: int, sql: str) -> None:
    """A file as the version with so many steps of the schema left it, without views, and with what a statement does."""
    with duckdb.connect(str(database)) as connection:
        connection.execute("CREATE TABLE schema_version AS SELECT 0 AS version")
        for step in STEPS[:steps]:
            connection.execute(step)
        connection.execute("UPDATE schema_version SET version = ?", [steps])
        connection.execute(sql)


def remember_no_clocks(database: Path) -> None:
    """No run knows what the clocks showed in another: for one by this machine's clock, as the stand-in's is frozen."""
    database.with_name(f"{database.name}.clocks").mkdir()


def backfill_once(
    exchange: StandIn | Fixed,
    database: Address,
    symbols: Sequence[str],
    start: str,
    end: str,
    *,
    request_timeout_s: float = PATIENCE_S,
    clock: Callable[[], int] | None = None,
    **options: Any,
) -> Outcome:
    """One backfill: health, plan, every chunk loaded, a failing one tried once."""
    url = exchange.url
    settings = Settings(database=database, spot_url=url, usdm_url=url, coinm_url=url, archive_url=url)
    try:
        times = (datetime.fromisoformat(start), datetime.fromisoformat(end))
        job = BackfillJob.of(settings, list(symbols), *times, **options)
        pauses_s, clock = (0.01, 0.01), clock or clock_of(exchange)
        with Backfill(settings, job, request_timeout_s=request_timeout_s, pauses_s=pauses_s, clock=clock) as run:
            run.health()
            plan = run.plan()
            if job.dry_run:
                return run.dry_outcome(plan)
            if plan.chunks:
                with ThreadPoolExecutor(8) as threads:
                    for loading in [threads.submit(run.load, chunk) for chunk in plan.chunks]:
                        with contextlib.suppress(KlinesError):
                            loading.result()
            return run.outcome()
    except KlinesError as error:
        return fail(error)


def settings_of(exchange: StandIn | Fixed, database: Address) -> Settings:
    """The exchange and the database as settings."""
    url = exchange.url
    return Settings(database=database, spot_url=url, usdm_url=url, coinm_url=url, archive_url=url)


def funding_once(
    exchange: StandIn | Fixed,
    database: Address,
    symbols: Sequence[str],
    *,
    market: str = "usdm",
    since: str | None = None,
    request_timeout_s: float = PATIENCE_S,
    deadline_s: float = 120,
    all_symbols: bool = False,
) -> Outcome:
    """One run of funding rates, as the flow does it; a failing symbol is not tried again."""
    settings = settings_of(exchange, database)
    try:
        since_time = datetime.fromisoformat(since) if since else None
        job = FundingJob.of(settings, list(symbols), market, since_time, all_symbols)
        options = {"request_timeout_s": request_timeout_s, "deadline_s": deadline_s, "pauses_s": (0.01, 0.01)}
        with FundingRun(settings, job, clock=clock_of(exchange), **options) as run:  # type: ignore[arg-type]
            run.health()
            batches = run.plan()
            run.told()
            for batch in batches:
                if run.goes_on:
                    run.begin(batch)
                    run.fetch()
                    run.store()
            return run.outcome()
    except KlinesError as error:
        return fail(error)


def audit_once(
    exchange: StandIn | Fixed,
    database: Address,
    *,
    since: date | None = None,
    request_timeout_s: float = PATIENCE_S,
    clock: Callable[[], int] | None = None,
    **options: Any,
) -> Outcome:
    """One audit of all that is stored, as the flow does it."""
    url = exchange.url
    settings = Settings(database=database, since=since, spot_url=url, usdm_url=url, coinm_url=url, archive_url=url)
    job = AuditJob(settings, **options)
    clock = clock or clock_of(exchange)
    if job.dry_run:
        return audit_plan([_planned_part(job, series, clock) for series in job.series()])
    parts = [_audit_part(job, series, request_timeout_s, clock) for series in job.series()]
    return audit_outcome(parts, *job.whole())


def _planned_part(job: AuditJob, series: SeriesGroup, clock: Callable[[], int] | None) -> SeriesOutcome:
    with Audit(job, series, clock=clock) as run:
        run.health()
        return run.dry_part(run.plan())


def _audit_part(
    job: AuditJob, series: SeriesGroup, request_timeout_s: float, clock: Callable[[], int] | None
) -> SeriesOutcome:
    try:
        with Audit(job, series, request_timeout_s=request_timeout_s, pauses_s=(0.01, 0.01), clock=clock) as run:
            run.health()
            for _ in range(2):
                plan = run.plan()
                if job.repair:
                    with ThreadPoolExecutor(8) as threads:
                        for loading in [threads.submit(run.load, chunk) for chunk in plan.chunks]:
                            with contextlib.suppress(KlinesError):
                                loading.result()
                if not (run.explain() and job.repair):
                    break
            if job.repair:
                run.reconcile()
            run.note()
            return run.part()
    except KlinesError as error:
        return SeriesOutcome(series.name, fail(error))


WANT_STORED = """INSERT INTO wanted SELECT market, kind, symbol, interval, min(open_time), NULL, 'person', utc_now()
                 FROM klines GROUP BY ALL"""
"""Every series of which anything is stored is wanted on and on: for databases that no run has made."""


def want_on(database: Address) -> None:
    """What a backfill wanted is wanted on and on, as what is collected."""
    query(database, "UPDATE wanted SET until = NULL")


def maintain_once(database: Address, now_ms: int = NOON) -> Outcome:
    """One maintenance, as the flow does it."""
    try:
        with MaintainJob(place_of(database)).begin(now_ms) as run:
            run.survey()
            run.plan().check()
            run.prune()
            months = run.begin()
            run.prove()
            for month in months:
                run.cluster(month)
            if months:
                run.swap()
            return run.outcome()
    except KlinesError as error:
        return fail(error)


def query(database: Address, sql: str) -> list[tuple[Any, ...]]:
    """The rows of one query, on a connection that is closed at once."""
    return queries(database, sql)[0]


def queries(database: Address, *sqls: str) -> list[list[tuple[Any, ...]]]:
    """The rows of each query, on one connection, which costs more than most of them."""
    with connected(database) as connection:
        return [connection.execute(sql).fetchall() for sql in sqls]


@contextlib.contextmanager
def connected(database: Address) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to a database of either kind, whoever wrote it last may have been killed."""
    if isinstance(database, LakeAddress):
        with place_of(database).opened(time.monotonic() + 30) as connection:
            yield connection
    else:
        mend(database)
        with duckdb.connect(str(database)) as connection:
            yield connection


VALUES = (
    "epoch_ms(open_time), open, high, low, close, volume, epoch_ms(close_time), quote_volume, trades, "
    "taker_buy_volume, taker_buy_quote_volume"
)


def stored(database: Address, symbol: str, interval: str = "1m") -> list[tuple[Any, ...]]:
    """The klines of a series as tuples of Binance's first eleven fields, ascending."""
    return query(database, _stored(symbol, interval))


def _stored(symbol: str, interval: str = "1m") -> str:
    where = f"symbol = '{symbol}' AND interval = '{interval}'"
    return f"SELECT {VALUES} FROM klines WHERE {where} ORDER BY open_time"


def published(rows: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]]:
    """The exchange's rows in the shape of `stored`: amounts to the last digit, prices as the nearest doubles."""
    columns = zip(*rows, strict=True)  # by columns: one by one the values cost three times as much
    return list(zip(*(map(kind, column) for kind, column in zip(_AS_STORED, columns, strict=False)), strict=True))


_AS_STORED = (int, *[float] * 4, Decimal, int, Decimal, int, Decimal, Decimal)


def ledger(database: Address, symbol: str) -> list[tuple[int, int, str]]:
    """The gaps of a symbol as (minute of start, minute of end, reason), minutes counted from NOON."""
    return _in_minutes(query(database, _gaps(symbol)))


def _gaps(symbol: str) -> str:
    return f"SELECT epoch_ms(start_time), epoch_ms(end_time), reason FROM gaps WHERE symbol = '{symbol}' ORDER BY 1"


def _in_minutes(gaps: Sequence[tuple[Any, ...]]) -> list[tuple[int, int, str]]:
    return [((start - NOON) // MINUTE, (end - NOON) // MINUTE, reason) for start, end, reason in gaps]


class Held(NamedTuple):
    """What the database has of a symbol: its rows as `stored` gives them, and its gaps as `ledger` does."""

    rows: list[tuple[Any, ...]]
    gaps: list[tuple[int, int, str]]


def held_of(database: Address, *symbols: str) -> list[Held]:
    """What the database has of each symbol's minutes."""
    found = queries(database, *(sql for symbol in symbols for sql in (_stored(symbol), _gaps(symbol))))
    return [Held(rows, _in_minutes(gaps)) for rows, gaps in zip(found[::2], found[1::2], strict=True)]


def at(minute: int) -> int:
    """Epoch ms of a minute counted from NOON."""
    return NOON + minute * MINUTE


def ms(text: str) -> int:
    """Epoch ms of an ISO time in UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def recorded(*names: str) -> Path:
    """A file of recorded Binance data; the test is skipped where the folder is absent."""
    folder = Path(os.environ.get("SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))
    path = folder.joinpath(*names)
    if not path.exists():
        pytest.skip(f"recorded Binance data is not there: {path.name}")
    return path
