"""Fetching, mapped over symbols: one task run each up to 50 symbols, above that one for every 250."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from prefect import task, unmapped
from prefect.cache_policies import NO_CACHE
from prefect.futures import wait

from klines.collect.run import Collect
from klines.errors import KlinesError
from tasks.names import named
from tasks.retry import may_pass

SINGLE = 50
"""Up to so many symbols each has a task run of its own."""
BATCH = 250
"""Up to so many symbols have a task run together when they are more than that: one event loop makes all the requests,
so more task runs make none of it faster, and Prefect records each of them."""
AGAIN = 20
"""So many symbols that failed in a batch are mapped again, one task run each."""


def _batch_name(given: Mapping[str, Any]) -> str:
    """`fetch 250 symbols, AAVEUSDT to ETHUSDT`."""
    batch = given["batch"]
    return f"fetch {len(batch)} symbols, {batch[0]} to {batch[-1]}"


@task(name="fetch", task_run_name=named(_batch_name), timeout_seconds=40, cache_policy=NO_CACHE)
def fetch_batch(batch: Sequence[str], run: Collect) -> None:
    """Fetch a batch at once; a symbol's failure is noted in the run, for `fetch` to try again, a bug is raised."""
    for error in run.fetch(batch).values():
        if not isinstance(error, KlinesError):
            raise error


@task(
    name="fetch",
    task_run_name="fetch {symbol}",
    retries=3,
    retry_delay_seconds=[0.5, 1, 2],
    retry_jitter_factor=0.5,
    retry_condition_fn=may_pass,
    timeout_seconds=40,
    cache_policy=NO_CACHE,
)
def fetch(symbol: str, run: Collect) -> None:
    """Fetch one symbol; its failure is this task run's."""
    for error in run.fetch([symbol]).values():
        raise error


def batches_of(symbols: int) -> int:
    """How many batches so many symbols are."""
    return -(-symbols // BATCH)


def fetch_missing(run: Collect, symbols: list[str]) -> None:
    """Fetch what is missing of `symbols`; failures end up in the run, and in the task runs' states."""
    if len(symbols) > SINGLE:
        size = -(-len(symbols) // batches_of(len(symbols)))
        batches = [symbols[start : start + size] for start in range(0, len(symbols), size)]
        wait(fetch_batch.map(batches, unmapped(run)))
        symbols = run.worth_retrying()[:AGAIN]
    if symbols:
        wait(fetch.map(symbols, unmapped(run)))
