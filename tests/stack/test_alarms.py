"""The alarms, for real: a stack, its runs and automations, and somebody who listens at the webhook's address."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from stack.temporary import free_port
from tests import CHECKOUT
from tests.drive import query
from tests.listener import Listener
from tests.stack.conftest import SYMBOLS, events
from tests.stacks import LINE, Running, ask
from tests.typed import typed

TEXTS = [
    "spot: 1m is ExchangeDown: ",
    "spot: ExchangeDown is over after ",
    "spot: 1 symbol trading without a 1m kline for 5 minutes: ETHUSDT",
    "spot: stale is over after ",
]
"""How the messages begin, in this order."""


@pytest.fixture
def listener() -> Iterator[Listener]:
    """A webhook."""
    with Listener() as listener:
        yield listener


def alarms(environment: dict[str, str], address: str) -> subprocess.CompletedProcess[str]:
    """`make alarms`."""
    command = [sys.executable, "-m", "stack.alarms", address]
    return subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True)


def test_each_incident_is_one_alarm_and_its_end(running: Running, listener: Listener) -> None:
    """However many runs an outage lasts, the webhook hears of it once, and once of its end; and it hears of symbols
    that fall behind, whose course is in tests/collect/test_alarms.py. Each is kept, with whom it was told. What is made
    twice is there once. Programs hear of each run's klines and of incidents."""
    environment, exchange = running.environment, running.exchange
    at_server = {"PREFECT_API_URL": f"http://127.0.0.1:{environment['PREFECT_SERVER_API_PORT']}/api"}
    for made in typed([(f"alarms {listener.url}", at_server)] * 2, environment=environment).ended:
        assert 0 == made.status, made.error
    names = [automation["name"] for automation in ask(environment, "POST", "/automations/filter", {})]
    assert [f"created {name}" for name in sorted(names)] == sorted(made.out.splitlines())

    exchange.maintenance = True
    for _ in range(2):
        running.run(lambda line: "ExchangeDown: " in line)
    exchange.maintenance = False
    running.run(LINE.fullmatch)
    exchange.fault("ETHUSDT", "empty")
    exchange.set_clock(offset_ms=exchange.clock_offset_ms + 6 * 60_000)
    running.run(lambda line: "Degraded: " in line)
    exchange.clear()
    running.run(LINE.fullmatch)
    heard = [json.loads(body)["text"] for _, _, body in listener.asked]
    assert TEXTS == [said[: len(text)] for said, text in zip(heard, TEXTS, strict=True)]
    database = Path(environment["KLINES_DATABASE"])
    assert [("127.0.0.1", 1, True)] * 4 == query(database, "SELECT url, attempts, delivered_at IS NOT NULL FROM alarms")
    kept: list[dict[str, Any]] = []
    while "klines.fresh" not in {event["event"] for event in kept}:  # the server writes them down some seconds later
        time.sleep(0.2)
        kept = events(environment)
    told = [event["event"] for event in kept if event["event"] != "klines.collected"]
    assert ["klines.trouble", "klines.recovered", "klines.stale", "klines.fresh"] == told
    [stale] = [event for event in kept if event["event"] == "klines.stale"]
    assert ("klines.spot", ["ETHUSDT"]) == (stale["resource"]["prefect.resource.id"], stale["payload"]["symbols"])
    first = next(event for event in kept if event["event"] == "klines.collected")
    assert ("klines.spot.1m", "yes") == (first["resource"]["prefect.resource.id"], first["resource"]["klines.new"])
    assert (14_400, sorted(SYMBOLS)) == (first["payload"]["inserted"], sorted(first["payload"]["symbols"]))


@pytest.mark.parametrize("address", ["", "hooks.example.com", "ftp://example.com"])
def test_an_address_that_is_none(address: str) -> None:
    """What is no http address is refused in one line, with status 2."""
    done = alarms({}, address)
    assert (2, 1) == (done.returncode, done.stderr.count("\n"))
    assert done.stderr.startswith("klines: ")


def test_a_server_with_a_password(tmp_path: Path) -> None:
    """Where the server answers 401 there is one line that says what to set, and status 1."""

    class Refuse(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(401)
            self.end_headers()

    with ThreadingHTTPServer(("127.0.0.1", 0), Refuse) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/api"
        done = alarms({"PREFECT_API_URL": url, "PREFECT_HOME": str(tmp_path)}, "http://127.0.0.1:1/")
        server.shutdown()
    assert (1, 1) == (done.returncode, done.stderr.count("\n"))
    assert "PREFECT_API_AUTH_STRING" in done.stderr


def test_no_server(tmp_path: Path) -> None:
    """Where no server answers there is one line that says where was asked, and status 1."""
    environment = {"PREFECT_API_URL": f"http://127.0.0.1:{free_port()}/api", "PREFECT_HOME": str(tmp_path)}
    done = alarms(environment | {"PREFECT_CLIENT_MAX_RETRIES": "0"}, "http://127.0.0.1:1/")
    assert (1, 1) == (done.returncode, done.stderr.count("\n"))
    assert environment["PREFECT_API_URL"] in done.stderr
