"""What a task run is called, made of its parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from prefect import runtime


def named(name: Callable[[Mapping[str, Any]], str]) -> Callable[[], str]:
    """For `task_run_name`: what `name` makes of the task run's parameters."""
    return lambda: name(runtime.task_run.parameters)


def of_run(verb: str) -> Callable[[], str]:
    """The verb, and the database of the run that is the parameter `run`."""
    return named(lambda given: f"{verb} {given['run'].place.name}")
