"""Signs of life, from runs on a real Prefect server to who listens to its events."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from importlib import import_module
from uuid import UUID

import pytest
from prefect import Flow, flow, runtime
from prefect.events.clients import get_events_subscriber
from prefect.events.filters import EventFilter, EventNameFilter
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, get_current_settings, temporary_settings

from tasks.alive import SIGN, alive, signs_are_ours
from tests import CHECKOUT, LONGEST_S


class Listening:
    """Hears signs of life, from when it `is_ready` until the first one."""

    def __init__(self) -> None:
        self.is_ready, self.has_heard = threading.Event(), threading.Event()
        self.of = ""

    async def listen(self) -> None:
        """Until it has heard one."""
        async with get_events_subscriber(EventFilter(event=EventNameFilter(name=[SIGN]))) as events:
            self.is_ready.set()
            async with asyncio.timeout(LONGEST_S):
                self.of = (await anext(events)).resource.id
        self.has_heard.set()


@pytest.fixture
def listening() -> Iterator[Listening]:
    """It listens."""
    listening = Listening()
    with ThreadPoolExecutor() as threads:
        heard = threads.submit(copy_context().run, asyncio.run, listening.listen())
        assert listening.is_ready.wait(LONGEST_S)
        yield listening
        heard.result()


@pytest.mark.usefixtures("prefect_server")
def test_a_run_gives_signs_of_life_while_it_lasts(listening: Listening) -> None:
    """Whoever listens on the server hears of a run that it lives, before it ends; at its end it stops, at once."""

    @alive
    @flow
    def lasting() -> UUID:
        assert listening.has_heard.wait(LONGEST_S)
        return UUID(runtime.flow_run.id)

    run = lasting()
    assert f"prefect.flow-run.{run}" == listening.of
    for thread in threading.enumerate():
        if thread.name == "signs of life":
            thread.join(LONGEST_S)
            assert not thread.is_alive()


def test_prefect_gives_none_beside_ours() -> None:
    """While signs are ours Prefect starts no thread of its own, whose end each run would wait for."""
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: 60}), signs_are_ours():
        assert get_current_settings().flows.heartbeat_frequency is None


@pytest.mark.parametrize(
    "name", [path.stem for path in sorted((CHECKOUT / "flows").glob("*.py")) if "\n@flow" in path.read_text()]
)
def test_every_flow_gives_them(name: str) -> None:
    """No flow is without signs of life, and Prefect is told its own parameters, and the version of its own file."""
    ours: Flow[..., object] = getattr(import_module(f"flows.{name}"), name)
    body = inspect.unwrap(ours.fn)
    assert body is not ours.fn
    assert inspect.signature(body).parameters.keys() == inspect.signature(ours.fn).parameters.keys()
    assert Flow(body).version == ours.version
