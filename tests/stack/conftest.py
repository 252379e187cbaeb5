"""The stack that the tests of this room share, one after the other: starting one costs more than most of them."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests import stacks
from tests.exchange import StandIn
from tests.stacks import LINE, Running, ask, left_running, read_until, stack

SYMBOLS = [f"{base}USDT" for base in ("BTC", "ETH", "BNB", "SOL", "XRP", "DOGE", "ADA", "TRX", "LINK", "AVAX")]
EDITED = {"lookback": "PT23H"}
"""What somebody makes of the minute's parameters in the UI."""
EGRESS = "127.0.0.2"
"""The address that runs of the minute leave by in the stack's first life; Linux has it without being told."""
GONE = "gone"
"""A deployment that the stack has when it is started for the first time, but not when it is started again."""


class FirstLife(NamedTuple):
    """What there was to see of a stack whose home was not there, up to its first line, and of its end by Ctrl-C."""

    environment: dict[str, str]
    exchange: StandIn
    lines: list[str]
    at: datetime
    addresses: set[str]
    runs: list[dict[str, Any]]
    deployment: dict[str, Any]
    status: int | None
    left: list[str]


@pytest.fixture(scope="package")
def first_life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FirstLife]:
    """A stack that was started, collected once, had its minute's parameters edited, and was stopped; its exchange goes
    on. It ends within 15 s where it has a core, and is given four times as long."""
    folder = tmp_path_factory.mktemp("stack")
    with StandIn(any_symbol=True) as exchange:
        environment = stacks.environment(folder, exchange.url, SYMBOLS)
        with stack(environment, first_file(folder)) as process:
            lines, at = read_until(process, LINE.fullmatch), datetime.now(UTC)
            addresses = {request.address for request in exchange.requests}
            deployment = ask(environment, "GET", "/deployments/name/collect/every-minute")
            runs = edit(environment, deployment["id"])
            while not events(environment):  # the server writes them down some seconds later
                time.sleep(0.2)
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(60)
            status = process.returncode
        seen = lines, at, addresses, runs, deployment, status, left_running(environment)
        yield FirstLife(environment, exchange, *seen)


@pytest.fixture(scope="package")
def shared(first_life: FirstLife) -> Iterator[Running]:
    """It, started again with all deployments, after its first run on schedule; the others are asked for. It ends with
    the last test of this room."""
    environment = first_life.environment
    with stack(environment, stacks.prefect_file(Path(environment["PREFECT_HOME"]).parent)) as process:
        found = Running(process, environment, first_life.exchange)
        found.hear(LINE.fullmatch)
        found.ran_s = time.monotonic()
        found.pause()
        yield found


@pytest.fixture(scope="package")
def program() -> Iterator[Any]:
    """Chromium, where the name evil.example leads to this machine, as after DNS rebinding."""
    from tests import chromium

    with chromium.launched("--host-resolver-rules=MAP evil.example 127.0.0.1") as program:
        yield program


@pytest.fixture(scope="module")
def running(shared: Running) -> Running:
    """That stack, with nothing wrong with its exchange."""
    shared.exchange.maintenance = False
    shared.exchange.clear()
    return shared


def first_file(folder: Path) -> Path:
    """A prefect.yaml with the minute, every fifteen seconds, and with a deployment that is gone from the next."""
    path = stacks.prefect_file(folder, "every-minute", "usdm")
    content = yaml.safe_load(path.read_text())
    content["deployments"][1]["name"] = GONE
    if Path("/proc").exists():
        content["deployments"][0]["work_pool"]["job_variables"] = {"env": {"KLINES_EGRESS": EGRESS}}
    path.write_text(yaml.safe_dump(content))
    return path


def edit(environment: dict[str, str], deployment: str) -> list[dict[str, Any]]:
    """Give a deployment the parameters EDITED, as the UI does; all runs that there are then. The server may be about to
    schedule runs with those of before: it is asked again, which deletes these."""
    while True:
        ask(environment, "PATCH", f"/deployments/{deployment}", {"parameters": EDITED})
        time.sleep(2)
        runs: list[dict[str, Any]] = ask(environment, "POST", "/flow_runs/filter", {})
        scheduled = [run["parameters"] for run in runs if run["state_type"] == "SCHEDULED"]
        if all(given.get("lookback") == EDITED["lookback"] for given in scheduled):
            return runs


def events(environment: dict[str, str]) -> list[dict[str, Any]]:
    """Those of ours that the server keeps, in their order."""
    wanted = {"filter": {"event": {"prefix": ["klines."]}, "order": "ASC"}, "limit": 50}
    found: list[dict[str, Any]] = ask(environment, "POST", "/events/filter", wanted)["events"]
    return found
