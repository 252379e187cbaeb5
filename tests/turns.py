"""Every case with one market, in turn; with each of the others, too, only where --full asks for it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pytest

MARKETS = ("spot", "usdm", "coinm")


def in_turn(cases: Iterable[tuple[Any, ...]], others: Sequence[Any] = MARKETS) -> list[Any]:
    """The parameters (market, *case) of a rule that knows no market: each market has its part of the cases. So for
    others than markets that the rule does not look at."""
    return [
        pytest.param(other, *case, marks=() if number % len(others) == turn else pytest.mark.full)
        for number, case in enumerate(cases)
        for turn, other in enumerate(others)
    ]
