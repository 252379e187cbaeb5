"""The audit flow on a real Prefect server."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from prefect.client.schemas.objects import State

from flows.audit import audit
from tests.drive import collect_once, ms, query
from tests.exchange import StandIn
from tests.flows.test_collect import task_runs

pytestmark = pytest.mark.usefixtures("prefect_server", "in_settings")


@pytest.fixture(autouse=True)
def since(monkeypatch: pytest.MonkeyPatch) -> None:
    """History begins on 2026-01-01."""
    monkeypatch.setenv("KLINES_SINCE", "2026-01-01")


def run(**parameters: Any) -> State[Any]:
    """The final state of one flow run."""
    return cast("State[Any]", cast(Any, audit)(return_state=True, **parameters))


def test_an_audit_in_the_ui(exchange: StandIn, database: Path) -> None:
    """Every series is repaired and explained; the message counts; the UI shows what was loaded, explained, compared."""
    exchange.hole(ms("2026-01-01T03:00"), ms("2026-01-01T04:00"))
    collect_once(exchange, database, ["BTCUSDT", "ETHUSDT"])
    state = run()
    assert ("COMPLETED", "Completed") == (state.type.value, state.name)
    assert "audited 2 series: of 4,320 klines 4,200 are stored, 120 explained, 0 unexplained" in str(state.message)
    assert "exchange_outage 120" in str(state.message)
    names = {"health of spot", "explain spot 1m", "reconcile spot 1m"}
    names |= {f"load {symbol} 2026-01-01 to 2026-01-02" for symbol in ("BTCUSDT", "ETHUSDT")}
    assert names == set(task_runs(state, len(names)))
    assert "0 unexplained" in str(run(symbols=["BTCUSDT"], market="spot", interval="1m").message)


def test_an_empty_database(exchange: StandIn) -> None:
    """With nothing stored there is nothing to audit, and nothing is asked."""
    state = run()
    assert "COMPLETED" == state.type.value
    assert "audited 0 series" in str(state.message)
    assert [] == exchange.requests


def test_one_market_that_is_down_leaves_the_others(exchange: StandIn, database: Path) -> None:
    """A market that can't be asked ends the audit with its state, and says which; the others are audited."""
    collect_once(exchange, database, ["BTCUSDT"])
    collect_once(exchange, database, ["BTCUSDT"], market="usdm")
    exchange.maintenance = True
    state = run()
    assert ("FAILED", "ExchangeDown") == (state.type.value, state.name)
    assert str(state.message).startswith("spot 1m: ")
    assert [("spot", 30), ("usdm", 2160)] == query(
        database, "SELECT market, count(*) FROM klines GROUP BY 1 ORDER BY 1"
    )


def test_a_backward_range_is_refused(exchange: StandIn) -> None:
    """Start after end: one line, before any request."""
    state = run(start="2026-01-02", end="2026-01-01")
    assert "start: 2026-01-02 00:00 is not before the end, 2026-01-01 00:00" in str(state.message)
    assert [] == exchange.requests
