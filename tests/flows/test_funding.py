"""The flow of funding rates on a real Prefect server, and what a reader has of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from prefect.client.schemas.objects import State

import klines
from flows.funding import funding
from klines.clock import epoch_ms
from klines.errors import NotStored
from tests.drive import query
from tests.exchange import StandIn
from tests.flows.test_collect import task_runs
from tests.rates.test_run import published

pytestmark = pytest.mark.usefixtures("prefect_server", "in_settings")


def test_rates_in_the_ui(exchange: StandIn, database: Path) -> None:
    """The flow tries again what may pass and ends Completed with its sum; `klines.funding` gives what was published. A
    symbol that trades and lacks its newest rate is an incident."""
    exchange.set_clock(0)
    exchange.fault("BTCUSDT", "status", status=500, path="fundingRate", times=1)
    state = cast("State[Any]", cast(Any, funding)(["BTCUSDT", "ETHUSDT"], since="2025-12-20", return_state=True))
    assert ("COMPLETED", "Completed") == (state.type.value, state.name)
    assert ", 0 explained, 0 unexplained" in str(state.message)
    names = {"health of usdm", "rates of 2 symbols, BTCUSDT to ETHUSDT", "store 2 symbols"}
    assert names == set(task_runs(state, len(names)))

    exchange.fault("BTCUSDT", "empty", path="fundingRate")
    query(database, "DELETE FROM funding WHERE symbol = 'BTCUSDT' AND funding_time >= '2026-01-01'")
    cast(Any, funding)(["BTCUSDT", "ETHUSDT"], since="2025-12-20", return_state=True)
    told = "SELECT market, intervals, symbols, message FROM incidents WHERE kind = 'stale'"
    [(market, parts, symbols, message)] = query(database, told)
    assert ("usdm", ["funding"], ["BTCUSDT"]) == (market, parts, symbols)
    assert "1 symbol trading without a funding rate that is due: BTCUSDT" == message

    rates = klines.funding(["BTCUSDT", "ETHUSDT"], "2025-12-30", "2026-01-01", database=database)
    assert 12 == rates.height
    first = rates.row(0, named=True)
    expected = published(exchange, since="2025-12-30")[0]
    assert expected[:2] == (epoch_ms(first["funding_time"]), first["rate"])
    with pytest.raises(NotStored, match="no funding rate of SOLUSDT is stored for usdm; `klines funding SOLUSDT"):
        klines.funding("SOLUSDT", database=database)
