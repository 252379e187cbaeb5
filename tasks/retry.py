"""Which failures of a task are tried again: the type of the error decides."""

from __future__ import annotations

from typing import Any

from prefect.client.schemas.objects import State, TaskRun

from klines.errors import Retry


def may_pass(task: Any, task_run: TaskRun, state: State[Any]) -> bool:  # noqa: ARG001 - Prefect's signature
    """Whether asking again may succeed."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, Retry | TimeoutError)
