"""Loading, mapped over the chunks of a backfill."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from queue import Empty, Queue

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


def load_all(run: Backfill, chunks: Sequence[Chunk], watch: Callable[[], None], every_s: float) -> None:
    """Load all chunks; failures end up in the run, and in the task runs' states. `watch` is called every so often."""
    ended: Queue[object] = Queue()
    futures = load.map(list(chunks), unmapped(run))
    for future in futures:
        future.add_done_callback(ended.put)
    left, next_s = len(futures), time.monotonic() + every_s
    while left:
        try:
            ended.get(timeout=max(0.0, next_s - time.monotonic()))
            left -= 1
        except Empty:
            watch()
            next_s += every_s
