"""Every case with one market, in turn; with each of the others, too, only where --full asks for it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pytest

MARKETS = ("spot", "usdm", "coinm")


def in_turn(cases: Iterable[tuple[Any, ...]], markets: Sequence[str] = MARKETS) -> list[Any]:
    """The parameters (market, *case) of a rule that knows no market: each market has its part of the cases."""
    return [
        pytest.param(market, *case, marks=() if number % len(markets) == turn else pytest.mark.full)
        for number, case in enumerate(cases)
        for turn, market in enumerate(markets)
    ]
