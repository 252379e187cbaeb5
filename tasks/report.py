"""An outcome as the flow run's final state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prefect.client.schemas.objects import State
from prefect.exceptions import FailedRun
from prefect.states import Completed, Failed

from klines.outcome import Outcome


class NotCompleted(FailedRun):
    """What the result of a run that failed raises: Prefect takes nothing but an exception for one."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.message)
        self.numbers = dict(outcome.numbers)


def report(outcome: Outcome) -> State[Any]:
    """The state with the outcome's name, message and numbers: of type COMPLETED, or else FAILED."""
    if outcome.is_completed:
        return Completed(name=outcome.state, message=outcome.message, data=dict(outcome.numbers))
    return Failed(name=outcome.state, message=outcome.message, data=NotCompleted(outcome))


def numbers(state: State[Any]) -> Mapping[str, float]:
    """The numbers of a run of this process that has ended."""
    result = state.result(raise_on_failure=False)
    return result.numbers if isinstance(result, NotCompleted) else result if isinstance(result, Mapping) else {}
