"""The steps of an export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from klines.exports.run import Export
from klines.exports.stored import Found
from tasks.names import named

MOST = 20
"""Task runs of an export that write: beyond that several symbols share one, as Prefect records each of them."""


@task(name="plan", task_run_name=named(lambda given: f"plan {given['run'].job.to}"), cache_policy=NO_CACHE)
def plan(run: Export) -> list[Found]:
    """Find which series there are, and what tells their months from those of before."""
    return run.plan()


def _batch_name(given: Mapping[str, Any]) -> str:
    """`write BTCUSDT`, or `write 30 symbols, AAVEUSDT to BNBUSDT`."""
    symbols = [found.subject.symbol for found in given["batch"]]
    return (
        f"write {symbols[0]}" if len(symbols) == 1 else f"write {len(symbols)} symbols, {symbols[0]} to {symbols[-1]}"
    )


@task(name="write", task_run_name=named(_batch_name), cache_policy=NO_CACHE)
def write(batch: Sequence[Found], run: Export) -> None:
    """Write those of their files that are others now."""
    for found in batch:
        run.write(found)


def write_all(planned: Sequence[Found], run: Export) -> None:
    """One after the other."""
    size = -(-len(planned) // MOST)
    for start in range(0, len(planned), size):
        write(planned[start : start + size], run)
