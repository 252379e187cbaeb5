"""A worker that is attended: it is started again when it ends, runs that nobody runs any more are found, all that end
are told."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from pydantic import ValidationError

from klines.errors import BadParameter
from stack.children import CannotRun, Children, is_ours, kill_left_over, pause, say

if TYPE_CHECKING:
    from stack.runs import Runs

MISSED = 2
"""A server that does not answer so often in a row, for a second or, where it only says nothing, for five, is away; it
stays so until it answers."""
LOOK_S = 10
"""How often is looked for runs that have no process, or no worker, and for logs that are too long."""


@contextlib.contextmanager
def naming_prefects_settings() -> Iterator[None]:
    """While Prefect is imported, as it then reads its settings: raises BadParameter for one that it refuses."""
    try:
        yield
    except ValidationError as error:
        wrong = error.errors()[0]
        raise BadParameter(f"{error.title}, {wrong['loc'][-1]}: {wrong['msg']}; look for it among PREFECT_…") from None


def wait_for(runs: Runs, children: Children, seconds: float) -> None:
    """Wait until the server answers; raises CannotRun."""
    until_s = time.monotonic() + seconds
    while not runs.answers():
        children.check()
        if time.monotonic() > until_s:
            raise CannotRun(f"no Prefect server answers at {os.environ['PREFECT_API_URL']}; see {children.logs}")
        pause(0.2)


def attend(
    children: Children,
    runs: Runs,
    queues: Sequence[str],
    *,
    name: str = "worker",
    each_second: Callable[[], None] = lambda: None,
) -> None:
    """Run a worker for the queues, of all where none is named, and print a line for each finished run, until the end is
    asked for.

    What ends by itself is started again; a run whose process is gone without a word becomes Crashed, and so does one of
    any machine whose worker is gone.
    """
    with runs.asked_once():
        if not children.has_started(name):
            runs.crash_left_overs(kill_left_over)
            start_worker(children, runs, queues, name)
        try:
            _look_after(children, runs, name, each_second)
        finally:
            children.end(name)
            runs.crash_left_overs(kill_left_over)


def start_worker(children: Children, runs: Runs, queues: Sequence[str], name: str = "worker") -> None:
    """A worker for the queues, of all where none is named. One before it must have left no runs."""
    options = ["--pool", runs.pool, "--type", "process", "--name", runs.worker]
    options += [word for queue in queues for word in ("--work-queue", queue)]
    children.start(name, "prefect", "worker", "start", *options)


def _look_after(children: Children, runs: Runs, name: str, each_second: Callable[[], None]) -> None:
    """Until Stopped is raised."""
    look_s = time.monotonic()
    is_away = False
    while True:
        revived = children.revive()
        if name in revived:
            runs.crash_dead(is_ours, is_worker_new=True)
        is_away = is_away or "server" in revived
        if time.monotonic() > look_s:
            children.put_logs_aside()
            runs.crash_dead(is_ours)
            runs.crash_abandoned()
            look_s = time.monotonic() + LOOK_S
        each_second()
        for line in runs.finished():
            say(line)
        is_away = _told_of_server(runs, was_away=is_away)
        pause(1)


def _told_of_server(runs: Runs, *, was_away: bool) -> bool:
    """Whether the server is away; says so when it goes, and when it has come back."""
    is_away = runs.missed >= (1 if was_away else MISSED)
    if is_away and not was_away:
        say(f"the Prefect server at {os.environ['PREFECT_API_URL']} does not answer: until it does no run begins")
    if was_away and not is_away:
        say("the Prefect server answers again")
    return is_away
