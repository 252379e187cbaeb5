"""Loading, mapped over the chunks of a backfill."""

from __future__ import annotations

from collections.abc import Sequence

from prefect import task, unmapped
from prefect.cache_policies import NO_CACHE

from klines.backfill.chunks import Chunk
from klines.backfill.run import Backfill
from tasks.names import named
from tasks.retry import may_pass

AT_ONCE = 12
"""So many chunks are worked off at a time; what they hold in memory is limited besides."""


@task(
    name="load",
    task_run_name=named(lambda given: f"load {given['chunk'].name}"),
    retries=3,
    retry_delay_seconds=[2, 10, 30],
    retry_jitter_factor=0.5,
    retry_condition_fn=may_pass,
    cache_policy=NO_CACHE,
)
def load(chunk: Chunk, run: Backfill) -> None:
    """Archive files, then REST for what is left of the chunk, committed; tried again it goes on with the rest."""
    run.load(chunk)


def load_all(run: Backfill, chunks: Sequence[Chunk]) -> None:
    """Load all chunks; failures end up in the run, and in the task runs' states."""
    load.map(list(chunks), unmapped(run)).wait()
