"""A run that was asked for what can not be is not Completed: a slip in a date or name would do nothing for ever."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from klines.errors import NotStored
from tests.drive import audit_once, collect_once, query
from tests.exchange import StandIn


def test_a_beginning_that_is_yet_to_come(exchange: StandIn, database: Path) -> None:
    """KLINES_SINCE is named with its time, and nothing is asked for: until then nothing would be due."""
    outcome = collect_once(exchange, database, ["BTCUSDT"], since=date(2062, 1, 1))
    assert "Failed" == outcome.state
    assert "KLINES_SINCE: 2062-01-01 00:00 is yet to come" in outcome.message
    assert [] == exchange.kline_requests()


@pytest.mark.parametrize("named", [{"symbols": ["BTCUSTD"]}, {"symbols": ["BTCUSDT", "ETHUSDT"]}, {"market": "usdm"}])
def test_an_audit_of_what_is_not_stored(exchange: StandIn, database: Path, named: dict[str, Any]) -> None:
    """It names what it can't look at, and looks at nothing; where all are wanted, or none was named, it does."""
    collect_once(exchange, database, ["BTCUSDT"])
    with pytest.raises(NotStored, match="nothing is wanted of"):
        audit_once(exchange, database, **named)
    assert [] == query(database, "FROM audits")
    assert "Completed" == audit_once(exchange, database, symbols=["BTCUSDT"], market="spot").state
