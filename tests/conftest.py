"""Fixtures: an exchange with a frozen clock, and a database file of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.drive import NOON
from tests.exchange import StandIn


@pytest.fixture
def exchange() -> Iterator[StandIn]:
    """The stand-in, its clock frozen 5 s after NOON."""
    with StandIn(any_symbol=True) as exchange:
        exchange.freeze(NOON + 5_000)
        yield exchange


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Where a database file may be made."""
    return tmp_path / "klines.duckdb"
