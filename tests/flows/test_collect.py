"""The flow on a real Prefect server: states, messages and task runs as people see them."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import State
from prefect.exceptions import ParameterTypeError

from flows.collect import collect
from flows.maintain import maintain
from flows.publish import publish
from klines.shard import Shard
from klines.storage.turn import is_minute_at_work
from tasks.artifacts import last
from tasks.fetch import batches_of
from tests import LONGEST_S
from tests.drive import NOON, query
from tests.exchange import StandIn
from tests.listener import Listener

pytestmark = pytest.mark.usefixtures("prefect_server", "in_settings")


def run(symbols: list[str], **parameters: Any) -> State[Any]:
    """The final state of one flow run."""
    state: State[Any] = cast(Any, collect)(symbols=symbols, lookback="PT10M", return_state=True, **parameters)
    return state


def task_runs(state: State[Any], count: int) -> dict[str, tuple[str, int]]:
    """The run's task runs by name: the type of their final state, and how often each was tried.

    The server takes them in after the run has ended, so this waits until there are so many, and all are final.
    """
    assert state.state_details.flow_run_id is not None
    flow_run = FlowRunFilter(id=FlowRunFilterId(any_=[state.state_details.flow_run_id]))
    until_s = time.monotonic() + LONGEST_S
    with get_client(sync_client=True) as client:
        while True:
            runs = client.read_task_runs(flow_run_filter=flow_run, limit=200)
            is_whole = len(runs) >= count and all(run.state and run.state.is_final() for run in runs)
            if is_whole or time.monotonic() > until_s:
                return {run.name: (run.state_type.value if run.state_type else "", run.run_count) for run in runs}
            time.sleep(0.2)


def symbols(count: int) -> list[str]:
    """So many symbols."""
    return [f"S{n:02}USDT" for n in range(count)]


def test_one_failing_symbol_of_twenty(exchange: StandIn, database: Path) -> None:
    """One symbol fails after its retries: the run is Degraded and says who, 19 are stored, the next run heals it; the
    UI shows a task run a symbol between health and upsert."""
    exchange.fault("S07USDT", "status", status=500)
    state = run(symbols(20))
    assert (state.type.value, state.name) == ("FAILED", "Degraded")
    assert "stored 190 klines of 20 symbols" in str(state.message)
    assert "1 failed: S07USDT (HTTP 500" in str(state.message)
    shown = task_runs(state, 22)
    expected = {f"fetch {symbol}": ("COMPLETED", 1) for symbol in symbols(20)} | {
        "health of spot": ("COMPLETED", 1),
        f"upsert into {database.name}": ("COMPLETED", 1),
        "fetch S07USDT": ("FAILED", 4),
    }
    assert expected == shown

    exchange.clear()
    state = run(symbols(20))
    assert (state.type.value, state.name) == ("COMPLETED", "Completed")
    assert str(state.message).startswith("stored 10 klines of 20 symbols in ")
    assert [(20, 200)] == query(database, "SELECT count(DISTINCT symbol), count(*) FROM klines")


def test_bulk_work_makes_way_for_the_run(database: Path) -> None:
    """From its first look at the database until its news are written a run is at work, and not a moment longer."""
    seen, over = set(), threading.Event()

    def look() -> None:
        while not over.wait(0.01):
            seen.add(is_minute_at_work(database))

    with ThreadPoolExecutor(1) as thread:
        thread.submit(look)
        state = run(["BTCUSDT"])
        over.set()
    assert ("Completed", True) == (state.name, True in seen)
    assert not is_minute_at_work(database)


def test_a_sign_of_life(exchange: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each run that Completed asks the address of KLINES_PING_URL once, and no other run does; that it is not taken
    changes nothing of the run."""
    with Listener() as listener:
        monkeypatch.setenv("KLINES_PING_URL", listener.url)
        assert "Completed" == run(symbols(1)).name
        listener.status = 500
        assert "Completed" == run(symbols(1)).name
        exchange.maintenance = True
        assert "ExchangeDown" == run(symbols(1)).name
    assert [("GET", "/secret?key=secret", "")] * 2 == listener.asked


def kept_events(prefix: str) -> list[str]:
    """The names of the newest events in the server's database that begin so."""
    with get_client(sync_client=True) as client:
        asked = {"filter": {"event": {"prefix": [prefix]}}, "limit": 50}
        return [event["event"] for event in client.request("POST", "/events/filter", json=asked).json()["events"]]


@pytest.mark.usefixtures("exchange")
def test_events_of_task_runs_are_not_kept() -> None:
    """The server's database has the task runs and the events of flow runs and of klines, but none of task runs: they
    would be most of it."""
    assert 2 + 3 == len(task_runs(run(symbols(3)), 5))
    until_s = time.monotonic() + LONGEST_S
    while not kept_events("klines.collected") and time.monotonic() < until_s:
        time.sleep(0.2)
    assert kept_events("klines.collected")
    assert kept_events("prefect.flow-run.")
    assert [] == kept_events("prefect.task-run.")


def test_a_run_of_a_shard(exchange: StandIn, database: Path) -> None:
    """Its name and its artifact say which it is; what it stores are that shard's symbols, and no others'."""
    mine = [symbol for symbol in symbols(8) if Shard(2, 3).takes(symbol)]
    state = run(symbols(8), shard="2/3")
    assert ("Completed", True) == (state.name, f" of {len(mine)} symbols in " in str(state.message))
    assert sorted(mine) == [name for (name,) in query(database, "SELECT DISTINCT symbol FROM klines ORDER BY 1")]
    asked = [request.params for request in exchange.kline_requests()]
    assert {*mine} == {params["symbol"] for params in asked if "startTime" in params}  # the others are of the clocks
    assert state.state_details.flow_run_id is not None
    with get_client(sync_client=True) as client:
        assert client.read_flow_run(state.state_details.flow_run_id).name.endswith(" 2/3")
    told, _ = last("freshness-spot-1m-2-of-3")
    assert told.endswith(f" UTC: spot 1m 2/3: {len(mine)} of {len(mine)} symbols are fresh")


@pytest.mark.parametrize(("symbols", "batches"), [(51, 1), (250, 1), (251, 2), (600, 3), (1500, 6)])
def test_how_many_batches(symbols: int, batches: int) -> None:
    """As few as have 250 symbols or less: what Prefect records of a minute grows with its task runs."""
    assert batches == batches_of(symbols)


def test_above_fifty_symbols_a_batch_and_the_failing_ones_by_name(exchange: StandIn) -> None:
    """Above 50 symbols they are fetched in a batch; those that failed are mapped again as task runs of their own, with
    retries, so that one who recovers is stored in the same run."""
    exchange.fault("S03USDT", "status", status=500, times=1)
    exchange.fault("S55USDT", "reset")
    state = run(symbols(60))
    assert state.name == "Degraded"
    assert "stored 590 klines of 60 symbols" in str(state.message)
    shown = task_runs(state, 5)
    assert {"fetch 60 symbols, S00USDT to S59USDT": ("COMPLETED", 1)} == {
        name: shown[name] for name in shown if "symbols," in name
    }
    assert {"fetch S03USDT": ("COMPLETED", 1), "fetch S55USDT": ("FAILED", 4)} == {
        name: shown[name] for name in shown if name.startswith("fetch S")
    }


def test_when_more_than_half_fail_it_is_the_exchange(exchange: StandIn) -> None:
    """If more than half of the batches' symbols failed, none is tried again: 60 requests and no more."""
    for symbol in symbols(60):
        exchange.fault(symbol, "status", status=500)
    state = run(symbols(60))

    assert state.name == "Degraded"
    assert "60 failed" in str(state.message)
    assert "and 40 more" in str(state.message)
    assert 60 == sum(request.status == 500 for request in exchange.kline_requests())


def test_unknown_symbol_is_tried_once(exchange: StandIn) -> None:
    """A permanent error is tried once; the symbol's task run is Failed, the flow run Completed and names it."""
    exchange.fault("S01USDT", "code", status=400, code=-1121)
    state = run(symbols(3))

    assert state.name == "Completed"
    assert "1 unknown to Binance, asked again in an hour: S01USDT" in str(state.message)
    assert ("FAILED", 1) == task_runs(state, 5)["fetch S01USDT"]


@pytest.mark.parametrize(
    ("status", "name"),
    [(418, "RateLimited"), (403, "Blocked"), (451, "Blocked")],
)
def test_states_that_stop_everybody(exchange: StandIn, database: Path, status: int, name: str) -> None:
    """A ban or a block is a final state of its own name, and what was fetched before it is stored."""
    run(symbols(2))
    exchange.freeze(NOON + 65_000)
    exchange.fault("S01USDT", "latency", seconds=0.3)
    exchange.fault("S01USDT", "status", status=status)
    state = run(symbols(2))

    assert ("FAILED", name) == (state.type.value, state.name)
    assert [(21,)] == query(database, "SELECT count(*) FROM klines")


def test_maintenance_is_exchange_down_before_any_fetch(exchange: StandIn) -> None:
    """Under maintenance the run is ExchangeDown, health is tried once, and there is no fetch task."""
    exchange.maintenance = True
    state = run(symbols(3))

    assert ("FAILED", "ExchangeDown") == (state.type.value, state.name)
    assert {"health of spot": ("FAILED", 1)} == task_runs(state, 1)
    assert [] == exchange.kline_requests()


def test_brief_fault_of_the_health_check_is_retried(exchange: StandIn) -> None:
    """A fault of one second in the clock's answer costs a retry of the health task, not the run."""
    exchange.fault(None, "status", status=502, times=1, path="time")
    state = run(symbols(2))

    assert state.name == "Completed"
    assert ("COMPLETED", 2) == task_runs(state, 4)["health of spot"]


def test_wrong_clock_is_logged_and_nothing_else(
    exchange: StandIn, database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A machine's clock that is off by more than a second is a warning of the health task; the klines are stored."""
    exchange.set_clock(offset_ms=600_000)
    assert "Completed" == run(symbols(1)).name
    assert "this machine's clock is 600." in caplog.text
    assert "behind the exchange's" in caplog.text
    assert [(10,)] == query(database, "SELECT count(*) FROM klines")

    caplog.clear()
    exchange.set_clock(offset_ms=0)
    assert "Completed" == run(symbols(1)).name
    assert "this machine's clock" not in caplog.text


@pytest.mark.file
@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"symbols": []}, "name at least one symbol"),
        ({"symbols": ["btcusdt"]}, "'btcusdt' is no symbol"),
        ({"symbols": ["BTC USDT"]}, "'BTC USDT' is no symbol"),
        ({"symbols": [""]}, "'' is no symbol"),
        ({"market": "forex"}, "market"),
        ({"interval": "7m"}, "interval"),
        ({"lookback": "-P1D"}, "lookback"),
        ({"shard": "0/10"}, "shard"),
        ({"shard": "11/10"}, "shard"),
    ],
)
def test_bad_parameters_are_refused_before_any_request(
    exchange: StandIn, database: Path, parameters: dict[str, Any], named: str
) -> None:
    """A bad parameter fails the run with the parameter named; nothing was asked and no file made."""
    with pytest.raises(ParameterTypeError, match=named):
        collect(**parameters)

    assert [] == exchange.requests
    assert not database.exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [("KLINES_SPOT_URL", "api.binance.com"), ("KLINES_DATABASE", "/nowhere/klines.duckdb"), ("KLINES_SYMBOLS", "btc")],
)
def test_bad_settings_fail_the_run_before_any_request(
    exchange: StandIn, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """A setting that can't be used fails the run with one line that names the variable; nothing was asked."""
    monkeypatch.setenv(name, value)
    state = run(symbols(1))

    assert ("FAILED", "Failed") == (state.type.value, state.name)
    assert str(state.message).startswith(name)
    assert "\n" not in str(state.message)
    assert [] == exchange.requests


@pytest.mark.parametrize("flow", [maintain, publish])
def test_bad_settings_of_flows_that_are_named_by_the_database(flow: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run is Failed with the setting's name: that it can't be named by its database does not stop it before."""
    monkeypatch.setenv("KLINES_DATABASE", "/nowhere/klines.duckdb")
    state = flow(return_state=True)
    assert ("FAILED", "Failed") == (state.type.value, state.name)
    assert "KLINES_DATABASE: the folder /nowhere does not exist" in str(state.message)
