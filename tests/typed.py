"""Commands of `klines`, typed one after the other in one interpreter: a new one reads code for two seconds."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests import CHECKOUT

_CODE = """if True:
    import contextlib, io, json, os, shlex, sys, traceback
    from klines.cli import exit_status
    lines, answers = json.load(sys.stdin), os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    folder, before, told = os.getcwd(), dict(os.environ), []
    for line, variables in lines:
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(before | variables)
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as error:
            try:
                status = exit_status(shlex.split(line))
            except Exception:
                status = 1
                traceback.print_exc()
        told.append([status, out.getvalue(), error.getvalue(), "prefect" in sys.modules])
    json.dump(told, answers)
    answers.close()"""


class Refused(NamedTuple):
    """A command that can't be: its line, the settings that it has besides, how it ends, and what it says."""

    line: str
    settings: dict[str, str]
    status: int
    said: str


class Ended(NamedTuple):
    """How a command ended, what it said, and whether it, or one before it, has imported Prefect."""

    status: int
    out: str
    error: str
    has_prefect: bool


def typed(
    commands: Sequence[tuple[str, Mapping[str, str]]],
    *,
    within: str = "",
    folder: Path = CHECKOUT,
    environment: Mapping[str, str] | None = None,
) -> list[Ended]:
    """How commands, without the word `klines`, end, each with settings of its own besides those of the shell that has
    run the line `within` before."""
    shell = ["sh", "-c", f'{within or ":"}; exec "$0" "$@"', sys.executable, "-c", _CODE]
    done = subprocess.run(
        shell, cwd=folder, env=environment, input=json.dumps(commands), capture_output=True, text=True
    )
    assert 0 == done.returncode, done.stderr
    return [Ended(*one) for one in json.loads(done.stdout)]
