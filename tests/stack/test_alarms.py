"""The alarms, for real: a stack, its runs, and somebody who listens at the webhook's address."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from klines.errors import BadParameter
from stack.alarms import main
from stack.temporary import free_port
from tests.drive import query
from tests.listener import Listener
from tests.stack.conftest import SYMBOLS, events
from tests.stacks import LINE, Running

TEXTS = [
    "spot: 1m is ExchangeDown: ",
    "spot: 1 symbol trading without a 1m kline for 5 minutes: ETHUSDT",
    "spot: ExchangeDown is over after ",
    "spot: stale is over after ",
]
"""How the messages begin, in this order."""


@pytest.fixture
def listener() -> Iterator[Listener]:
    """A webhook."""
    with Listener() as listener:
        yield listener


class Made(NamedTuple):
    """How `klines alarms` ended, and what it said."""

    status: int
    out: str
    error: str


Alarms = Callable[[str, str], Made]


@pytest.fixture
def alarms(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Alarms:
    """`klines alarms`, of the server at an address, for that of a webhook; in a thread, as Prefect waits for nothing
    where a loop runs, such as a browser's."""

    def alarms(api: str, webhook: str) -> Made:
        monkeypatch.setenv("PREFECT_API_URL", api)
        with temporary_settings({PREFECT_API_URL: api}), ThreadPoolExecutor() as threads:
            status = threads.submit(copy_context().run, main, webhook).result()
        return Made(status, *capsys.readouterr())

    return alarms


def test_each_incident_is_one_alarm_and_its_end(running: Running, listener: Listener, alarms: Alarms) -> None:
    """The webhook hears once of an outage, of a symbol that is behind when it is over, and of the end of both; that it
    is once however many runs they last is in tests/collect/test_incidents.py. Each is kept, with whom it was told. What
    is made twice is there once. Programs hear of each run's klines and of incidents."""
    environment, exchange = running.environment, running.exchange
    for _ in range(2):
        made = alarms(f"http://127.0.0.1:{environment['PREFECT_SERVER_API_PORT']}/api", listener.url)
        assert (0, "") == (made.status, made.error)
        assert f"{urlsplit(listener.url).netloc} is called from the next trouble on\n" == made.out

    exchange.maintenance = True
    running.run(lambda line: "ExchangeDown: " in line)
    exchange.maintenance = False
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
    assert ["klines.trouble", "klines.stale", "klines.recovered", "klines.fresh"] == told
    [stale] = [event for event in kept if event["event"] == "klines.stale"]
    assert ("klines.spot", ["ETHUSDT"]) == (stale["resource"]["prefect.resource.id"], stale["payload"]["symbols"])
    first = next(event for event in kept if event["event"] == "klines.collected")
    assert ("klines.spot.1m", "yes") == (first["resource"]["prefect.resource.id"], first["resource"]["klines.new"])
    assert (14_400, sorted(SYMBOLS)) == (first["payload"]["inserted"], sorted(first["payload"]["symbols"]))


@pytest.mark.parametrize("address", ["", "hooks.example.com", "ftp://example.com"])
def test_an_address_that_is_none(address: str) -> None:
    """What is no http address is refused in one line that says what to type."""
    with pytest.raises(BadParameter, match=r"^'.*' is no http:// or https:// address: klines alarms https://…$"):
        main(address)


def test_a_server_with_a_password(alarms: Alarms, listener: Listener) -> None:
    """Where the server answers 401 there is one line that says what to set, and status 1."""
    listener.status = 401
    made = alarms(f"http://127.0.0.1:{listener.server_port}/api", "http://127.0.0.1:1/")
    assert (1, 1) == (made.status, made.error.count("\n"))
    assert "PREFECT_API_AUTH_STRING" in made.error


def test_no_server(alarms: Alarms) -> None:
    """Where no server answers there is one line that says where was asked, and status 1."""
    api = f"http://127.0.0.1:{free_port()}/api"
    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):
        made = alarms(api, "http://127.0.0.1:1/")
    assert (1, 1) == (made.status, made.error.count("\n"))
    assert api in made.error
