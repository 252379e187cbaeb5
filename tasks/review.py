"""After the commit: what people and programs are told of a run. None of it changes what the run became."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import httpx
from prefect import get_run_logger
from prefect.exceptions import PrefectException

from klines.collect.review import Review
from klines.collect.run import Collect
from klines.errors import KlinesError
from klines.outcome import Outcome
from tasks import alarms, coverage, events, freshness
from tasks.artifacts import last
from tasks.schedule import note_schedule


def review(run: Collect, outcome: Outcome) -> None:
    """Events of new data and of incidents, alarms, the artifacts `freshness` and, every hour, `coverage`, which is of
    all that is stored, and so one shard's matter."""
    with only_news():
        if run.is_done:
            events.collected(run)
        its = Review(run)
        note_schedule(its)
        found = its.freshness()
        followed = its.follow(outcome, found)
        events.tell(followed)
        alarms.deliver(its, followed)
        if found:
            freshness.write_freshness(found, its)
        is_first = run.job.shard is None or run.job.shard.number == 1
        if run.is_done and is_first and last("coverage")[1] > coverage.EVERY:
            coverage.write_coverage(run.last_days())


@contextlib.contextmanager
def only_news() -> Iterator[None]:
    """That the file is held or can't be used, or the server is away, is a line of the log: the next run tells the
    news."""
    try:
        yield
    except (KlinesError, httpx.HTTPError, PrefectException) as error:
        get_run_logger().warning("what is stored is stored, but not all news could be told: %s", error)
