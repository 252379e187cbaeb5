"""A flow as a shell command: its parameters are the options, its final state is the exit status."""

from __future__ import annotations

import argparse
import inspect
import json
import sys
from collections.abc import Callable
from typing import Any, NoReturn, cast, get_type_hints

from prefect import Flow
from prefect.client.schemas.objects import State
from pydantic import TypeAdapter, ValidationError

from klines.errors import BadParameter, Unusable
from klines.storage.database import settings_to_write

JSON = "--json"


def main(flow: Flow[..., Any], prepare: Callable[..., object], more: Callable[[], dict[str, Any]] = dict) -> NoReturn:
    """Run `flow` with the command line's parameters and exit: 0 when it Completed, 1 when not, 2 for bad parameters,
    130 after Ctrl-C.

    Parameters and settings are checked before Prefect starts; `prepare`, given the settings and all the parameters,
    checks what goes together. With `--json` state and message are printed as JSON, together with what `more` returns.
    """
    arguments = [argument for argument in sys.argv[1:] if argument != JSON]
    try:
        parameters = parse(flow, arguments)
        whole = inspect.signature(flow.fn).bind(**parameters)
        whole.apply_defaults()
        prepare(settings_to_write(), **whole.arguments)
    except Unusable as error:
        print(f"klines: {error}", file=sys.stderr)
        sys.exit(2)
    try:
        state: State[Any] = cast(Any, flow)(**parameters, return_state=True)
    except KeyboardInterrupt:
        print("klines: stopped; what is stored stays, and another run goes on from there", file=sys.stderr)
        sys.exit(130)
    if len(arguments) < len(sys.argv) - 1:
        print(json.dumps({"state": state.name, "message": state.message, **more()}, default=str))
    else:
        print(f"{state.name}: {state.message}")
    sys.exit(0 if state.is_completed() else 1)


def parse(flow: Flow[..., Any], arguments: list[str]) -> dict[str, Any]:
    """The flow's parameters that the command line gives, validated; raises BadParameter in one line.

    `--help` explains every parameter with the flow's docstring, and exits.
    """
    hints = get_type_hints(flow.fn, include_extras=True)
    description = (flow.description or "").split("\nArgs:")[0]
    parser = _Parser(prog=f"python -m flows.{flow.name}", description=description, allow_abbrev=False)
    parser.add_argument(JSON, action="store_const", const=None, help="Print the result as JSON.")
    for name, schema in flow.parameters.properties.items():
        option, text = f"--{name.replace('_', '-')}", _help(schema).replace("%", "%%")
        if schema.get("type") == "boolean":
            parser.add_argument(option, action=argparse.BooleanOptionalAction, default=None, help=text)
        else:
            nargs, metavar = ("+", name.upper().rstrip("S")) if "array" in str(schema) else (None, name.upper())
            is_needed = name in (flow.parameters.required or ())
            parser.add_argument(option, nargs=nargs, help=text, metavar=metavar, required=is_needed)
    given = {name: value for name, value in vars(parser.parse_args(arguments)).items() if value is not None}
    return {name: _valid(name, hints[name], value) for name, value in given.items()}


class _Parser(argparse.ArgumentParser):
    """argparse that raises BadParameter where it would print its usage."""

    def error(self, message: str) -> NoReturn:
        raise BadParameter(f"{message}; see {self.prog} --help")


def _help(schema: dict[str, Any]) -> str:
    """The parameter's description with its choices and default."""
    parts = [" ".join(schema.get("description", "").split())]
    if "enum" in schema:
        parts.append(f"One of {', '.join(schema['enum'])}.")
    if schema.get("default") is not None:
        parts.append(f"Default: {schema['default']}.")
    return " ".join(parts)


def _valid(name: str, hint: Any, value: Any) -> Any:
    try:
        return TypeAdapter(hint).validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        raise BadParameter(
            f"{name}: {first['msg'].removeprefix('Value error, ')} (given: {first['input']!r})"
        ) from None
