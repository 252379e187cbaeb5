"""The dead man's switch: a sign of life after each run that Completed. Who awaits it raises the alarm if none comes."""

from __future__ import annotations

from prefect import get_run_logger

from klines.outcome import Outcome
from tasks.outgoing import name_of, send


def ping(url: str, outcome: Outcome) -> None:
    """Ask the address, if there is one and the run has Completed. What it answers changes nothing of the run."""
    if url and outcome.is_completed and (why := send(url)):
        get_run_logger().warning("the sign of life was not taken by %s (%s); nothing else is wrong", name_of(url), why)
