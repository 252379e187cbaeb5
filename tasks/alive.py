"""Signs of life of a run, as Prefect's own, but that its end waits for none: Prefect's thread sleeps for whole seconds,
and is waited for when the run ends, which was half a second of each minute."""

from __future__ import annotations

import functools
import inspect
from contextvars import copy_context
from threading import Event, Thread
from typing import ParamSpec, TypeVar

from prefect import Flow, __version__
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext, SettingsContext, get_settings_context
from prefect.events import emit_event

EVERY_S = 30.0
"""Between two of them. The automation of Prefect's documents takes a run for dead after 90 s without one."""
SIGN = "prefect.flow-run.heartbeat"
"""The event, as automations of Prefect know it."""

_Given = ParamSpec("_Given")
_Returned = TypeVar("_Returned")


def signs_are_ours() -> SettingsContext:
    """While this lasts, as a context, Prefect gives no signs of life of runs in this thread, and flows give their own.

    Neither a variable nor prefect.toml can say so, where Prefect's setting is a number.
    """
    now = get_settings_context()
    silent = now.settings.flows.model_copy(update={"heartbeat_frequency": None})
    return SettingsContext(profile=now.profile, settings=now.settings.model_copy(update={"flows": silent}))


def alive(flow: Flow[_Given, _Returned]) -> Flow[_Given, _Returned]:
    """The flow; its runs give a sign of life when they begin, and then every EVERY_S until they end, unless Prefect
    does."""
    body = flow.fn

    @functools.wraps(body)
    def living(*given: _Given.args, **named: _Given.kwargs) -> _Returned:
        ended = Event()
        context = FlowRunContext.get()
        if context and context.flow_run and not get_settings_context().settings.flows.heartbeat_frequency:
            _begin(context.flow_run, ended)
        try:
            return body(*given, **named)
        finally:
            ended.set()

    living.__signature__ = inspect.signature(body, eval_str=True)  # type: ignore[attr-defined]  # names of its own module
    flow.fn = living
    return flow


def _begin(run: FlowRun, ended: Event) -> None:
    """Give a sign at once, so that none comes when the run has ended, and others in a thread that nobody waits for."""
    _sign(run)
    Thread(target=copy_context().run, args=(_go_on, run, ended), name="signs of life", daemon=True).start()


def _go_on(run: FlowRun, ended: Event) -> None:
    """Until the run has ended."""
    while not ended.wait(EVERY_S):
        _sign(run)


def _sign(run: FlowRun) -> None:
    """It raises nothing; Prefect adds flow, deployment, work pool and tags."""
    resource = {"prefect.resource.id": f"prefect.flow-run.{run.id}", "prefect.resource.name": run.name}
    emit_event(SIGN, resource | {"prefect.version": __version__})
