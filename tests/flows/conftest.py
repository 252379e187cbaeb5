"""What all tests of flows need."""

from __future__ import annotations

import pytest

from tests.drive import remember_no_clocks


@pytest.fixture(autouse=True)
def no_clocks(request: pytest.FixtureRequest) -> None:
    """Flows go by this machine's clock."""
    if "in_settings" in request.fixturenames:
        remember_no_clocks(request.getfixturevalue("database"))
