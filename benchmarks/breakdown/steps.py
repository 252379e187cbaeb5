"""One of the processes that are measured: the bare requests of a minute; or its run, step by step, outside of Prefect,
and then a flow run in which nothing is done.

    python -m benchmarks.breakdown.steps bare|run SYMBOLS END_MS

The last line that it prints has the cost of each step, as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple


class Cost(NamedTuple):
    """CPU seconds of a process, and seconds by the clock."""

    cpu_s: float
    wall_s: float


Costs = dict[str, Cost]
"""Of steps, in their order."""


def main() -> None:
    """Do it, and print what it cost."""
    costs: Costs = {}
    which, symbols, end_ms = sys.argv[1:]
    if which == "bare":
        bare(costs, int(symbols), int(end_ms))
    else:
        run(costs)
        empty_flow(costs, int(symbols))
    print(json.dumps(costs))


def take(costs: Costs, step: str, do: Callable[[], object]) -> None:
    """Do it, and note what that cost."""
    began = Cost(time.process_time(), time.monotonic())
    do()
    costs[step] = Cost(time.process_time() - began.cpu_s, time.monotonic() - began.wall_s)


def bare(costs: Costs, symbols: int, end_ms: int) -> None:
    """Four klines of each symbol, as JSON: as many as a run asks for."""
    import asyncio

    from benchmarks.floor import APIS, ask_all
    from benchmarks.minute import names
    from klines.interval import MINUTE
    from klines.market import KLINES, market_of
    from klines.window import Window

    url = f"{os.environ['KLINES_SPOT_URL']}{APIS['spot']}/klines"
    asked = Window(end_ms - 4 * MINUTE, end_ms)
    asking = ask_all(market_of("spot", KLINES.name), names("S", symbols), url, asked)
    take(costs, "bare requests", lambda: asyncio.run(asking))


def run(costs: Costs) -> None:
    """The imports of the flow, and what it does."""
    from klines.cli import be_lean

    be_lean()
    import flows  # noqa: F401 - sets what must stand before Prefect is imported

    costs["the interpreter"] = Cost(time.process_time(), time.process_time())
    take(costs, "import the command", lambda: (import_module("klines.cli.app"), import_module("flows.shell")))
    take(costs, "import Prefect", lambda: import_module("prefect.main"))
    take(costs, "import the rest of the flow", lambda: import_module("flows.collect"))
    steps_of_collect(costs)


def empty_flow(costs: Costs, symbols: int) -> None:
    """What Prefect takes for the flow run and its task runs."""
    from benchmarks.breakdown.empty import empty
    from tasks.alive import signs_are_ours

    with signs_are_ours():
        take(costs, "a flow run of Prefect with nothing to do", lambda: empty(symbols))


def steps_of_collect(costs: Costs) -> None:
    """Those of the flow, in its order."""
    from datetime import timedelta

    from klines.collect.review import Review
    from klines.collect.run import Collect, CollectJob
    from klines.storage.access import settings_to_write

    settings = settings_to_write()
    its = Collect(settings, CollectJob.of(settings, None, "spot", "1m", timedelta(days=1)))
    take(costs, "opening", its.__enter__)
    try:
        take(costs, "health", its.health)
        take(costs, "plan", its.plan)
        take(costs, "fetch", lambda: its.fetch(list(its.wants)))
        take(costs, "upsert", its.store)
        print(its.outcome().message)
    finally:
        its.__exit__()
    review = Review(its)
    take(costs, "freshness", review.freshness)
    take(costs, "the last hour", review.timeliness)


if __name__ == "__main__":
    main()
