"""Logs for people: a failure that we expect is one line, an unexpected one keeps its traceback."""

from __future__ import annotations

import logging

from prefect.exceptions import FailedRun

from klines.errors import KlinesError


def for_people(record: logging.LogRecord) -> bool:
    """A logging filter: takes the traceback off our own errors.

    It drops Prefect's warning that a thread can't be interrupted, as every request has a deadline of its own and the
    task's timeout is only the backstop; what it says once more, with a traceback, of a flow that returned a failed
    state; and that a task has ended well, which the picture of the run shows.
    """
    if record.exc_info and isinstance(record.exc_info[1], FailedRun):
        return False
    if record.name == "prefect.task_runs" and record.getMessage() == "Finished in state Completed()":
        return False
    if record.exc_info and isinstance(record.exc_info[1], KlinesError):
        record.exc_info = None
    return "the task is running in a worker thread" not in str(record.msg)


for _name in ("prefect.task_runs", "prefect.flow_runs"):
    logging.getLogger(_name).addFilter(for_people)
