"""What `klines worker` starts: one Prefect worker for some work queues of the server that `klines run` has started,
here or on another machine; then a line for each run of theirs that ends.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from klines.cli.server import api_in_use
from klines.errors import BadParameter
from klines.storage.access import settings_to_write
from stack import CHECKOUT
from stack.attend import attend, naming_prefects_settings, wait_for
from stack.children import CannotRun, Children, ended_as_asked, held_home, pause, say
from stack.home import close_env
from stack.prefect_file import deployments_of

if TYPE_CHECKING:
    from stack.runs import QueueRuns

READY_S = 60
"""How long the server may take to answer."""


def main(queues: Sequence[str]) -> int:
    """The exit status: 0 after Ctrl-C, 1 where it can't run. Raises BadParameter for a bad setting."""
    return ended_as_asked(lambda: run(list(dict.fromkeys(queues))))


def run(queues: Sequence[str]) -> None:
    """Until the end is asked for: raises Stopped then, or CannotRun, or BadParameter."""
    url = api_in_use()
    if not url:
        raise BadParameter("PREFECT_API_URL: name the server of `klines run`, as in http://first.example:4200/api")
    os.environ["PREFECT_API_URL"] = url
    loaded = settings_to_write()
    pool = deployments_of(CHECKOUT / "prefect.yaml")[0]["work_pool"]["name"]
    if closed := close_env(CHECKOUT / ".env"):
        say(closed)
    name = "worker-" + "-".join(re.sub(r"[^\w.-]", "_", queue) for queue in queues)
    with contextlib.ExitStack() as until_the_end:
        home, pids = until_the_end.enter_context(held_home(f"{name}.pids", "a worker of these queues"))
        children = Children(home / "logs", pids)
        until_the_end.callback(children.end)
        with naming_prefects_settings():
            from stack.runs import QueueRuns

        worker = f"{socket.gethostname()} {':'.join(CHECKOUT.parts[1:])} {' '.join(queues)}"
        runs = QueueRuns(pool, worker, queues)
        until_the_end.callback(runs.close)
        wait_for(runs, children, READY_S)
        check(runs)
        say(f"queues         {', '.join(queues)}, of {url}")
        say(f"database       {loaded.database}")
        say(f"logs           {children.logs / name}.log")
        attend(children, runs, queues, name=name)


def check(runs: QueueRuns) -> None:
    """Raises CannotRun for a queue that nothing is in, and where the deployments' code is not in this checkout."""
    found, until_s = runs.places(), time.monotonic() + READY_S
    while found is None:
        if time.monotonic() > until_s:
            raise CannotRun(
                f"the Prefect server at {os.environ['PREFECT_API_URL']} is too busy to answer: see its logs"
            )
        pause(1)
        found = runs.places()
    for queue, places in found.items():
        if not places:
            raise CannotRun(f"no deployment has the queue {queue}: `klines run` makes those of prefect.yaml's shards")
        if elsewhere := places - {str(CHECKOUT)}:
            raise CannotRun(f"the deployments' code is in {min(elsewhere)}: have the checkout there on every machine")
