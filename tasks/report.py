"""An outcome as the flow run's final state."""

from __future__ import annotations

from typing import Any

from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from klines.outcome import Outcome


def report(outcome: Outcome) -> State[Any]:
    """The state with the outcome's name, message and numbers: of type COMPLETED, or else FAILED."""
    make = Completed if outcome.is_completed else Failed
    return make(name=outcome.state, message=outcome.message, data=dict(outcome.numbers))
