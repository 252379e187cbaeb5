"""The export flow on a real Prefect server."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from prefect.client.schemas.objects import State

from flows.export import export
from tests.drive import collect_once
from tests.exchange import StandIn

pytestmark = pytest.mark.usefixtures("prefect_server", "in_settings")


def run(**parameters: Any) -> tuple[str, str, str]:
    """Type, name and message of the run's final state."""
    state = cast("State[Any]", cast(Any, export)(**parameters, return_state=True))
    return state.type.value, state.name or "", state.message or ""


def test_export(exchange: StandIn, database: Path, tmp_path: Path) -> None:
    """The flow writes the files, and a second run only what is new; what can't be had fails with the parameter's
    name."""
    collect_once(exchange, database, ["BTCUSDT", "ETHUSDT"])
    folder = tmp_path / "freqtrade"
    said = f"exported 2 symbols for freqtrade to {folder}: 60 klines in 2 files, {{}} of them written"
    for written in (2, 0):
        assert ("COMPLETED", "Completed", said.format(written)) == run(to="freqtrade", folder=str(folder))
    assert {"BTC_USDT-1m.feather", "ETH_USDT-1m.feather"} == {path.name for path in folder.glob("*.feather")}
    failed = run(to="freqtrade", folder=str(folder), market="coinm")
    assert ("FAILED", "Failed", "market: freqtrade does not trade COIN-M futures.") == tuple(map(str.strip, failed))
