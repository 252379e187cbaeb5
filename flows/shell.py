"""A flow as a shell command: its final state is printed, and becomes the exit status."""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import os
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast, get_type_hints

from klines.cli.environment import heed_interrupts
from klines.cli.server import chosen_api
from klines.errors import BadParameter, NoServer, Unusable
from klines.settings import Settings
from klines.storage.access import settings_to_write
from stack.temporary import address, free_port, log_file, temporary_server

if TYPE_CHECKING:
    from prefect import Flow
    from prefect.client.schemas.objects import State

JOBS = {
    "audit": ("klines.audit.run", "AuditJob"),
    "backfill": ("klines.backfill.job", "BackfillJob"),
    "collect": ("klines.collect.run", "CollectJob"),
    "funding": ("klines.rates.job", "FundingJob"),
    "maintain": ("klines.maintain.run", "MaintainJob"),
    "publish": ("klines.reading.publish", "PublishJob"),
}
"""What checks, given the settings and a flow's parameters, whether they go together: a class with the method `of`. Each
is named with its module, so that a command imports no other flow's."""


def run(name: str, given: Mapping[str, Any], *, as_json: bool) -> int:
    """Run the flow `name` and print its final state, as JSON if so asked; the exit status: 0 when it Completed, 1 when
    not, 2 for bad parameters, 130 after Ctrl-C.

    Settings and parameters are checked before any server is started or a flow begins. Raises NoServer.
    """
    until_the_end = contextlib.ExitStack()
    atexit.register(until_the_end.close)  # called after what Prefect, imported later, registers to send its last logs
    try:
        settings, api_url = settings_to_write(), chosen_api()
        port = free_port()
        if not api_url:
            log_file().close()  # before Prefect says in its own way that it has no home
        os.environ["PREFECT_API_URL"] = api_url or address(port)  # Prefect reads its settings while it is imported
        flow: Flow[..., State[Any]] = getattr(import_module(f"flows.{name}"), name)
        parameters = validated(flow, given)
        job_of(name, settings, **parameters)
        flow.serialize_parameters = as_json_has  # type: ignore[method-assign]
    except NoServer:
        raise
    except Unusable as error:
        print(f"klines: {error}", file=sys.stderr)
        return 2
    heed_interrupts()
    try:
        if not api_url:
            _be_plain()
            until_the_end.enter_context(temporary_server(port))
        until_the_end.enter_context(import_module("tasks.alive").signs_are_ours())
        state: State[Any] = flow(**parameters, return_state=True)
    except KeyboardInterrupt:
        print("klines: stopped; what is stored stays, and another run goes on from there", file=sys.stderr)
        return 130
    if as_json:
        print(json.dumps(fields(name, state, settings), default=str, ensure_ascii=False))
    else:
        print(f"{state.name}: {state.message}")
    return 0 if state.is_completed() else 1


def as_json_has(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as Prefect's server is told them. Prefect's own method imports FastAPI for that, a library of servers,
    which takes 0.12 s of CPU."""
    from pydantic import TypeAdapter

    return cast(dict[str, Any], TypeAdapter(dict[str, Any]).dump_python(dict(parameters), mode="json"))


def job_of(name: str, settings: Settings, **parameters: object) -> Any:
    """What a flow is asked to do; raises BadParameter where parameters do not go together."""
    module, job = JOBS[name]
    return getattr(import_module(module), job).of(settings, **parameters)


def _be_plain() -> None:
    """With a temporary server: tell who waits at a terminal what takes long, and no address of a page that is none."""
    if sys.stderr.isatty():
        print("starting a temporary Prefect server …", file=sys.stderr)
    logging.getLogger("prefect.flow_runs").addFilter(lambda record: not record.getMessage().startswith("View at "))


def validated(flow: Flow[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters as the flow's annotations have them; raises BadParameter in one line."""
    from pydantic import TypeAdapter, ValidationError

    hints = get_type_hints(flow.fn, include_extras=True)
    found = {}
    for name, value in given.items():
        try:
            found[name] = TypeAdapter(hints[name]).validate_python(value)
        except ValidationError as error:
            first = error.errors()[0]
            said = first["msg"].removeprefix("Value error, ")
            raise BadParameter(f"{name}: {said} (given: {first['input']!r})") from None
    return found


def fields(name: str, state: State[Any], settings: Settings) -> dict[str, Any]:
    """What a program wants to know of a run that has ended: its numbers, and of an audit the certificate."""
    from prefect.exceptions import MissingResult

    from tasks.report import numbers

    told: dict[str, Any] = {"state": state.name, "message": state.message}
    with contextlib.suppress(MissingResult):
        told |= numbers(state)
    return told | ({"certificate": job_of(name, settings).certificate()} if name == "audit" else {})
