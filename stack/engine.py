"""The process of a flow run, as a worker starts it: Prefect's engine, in a session of its own.

    python -m stack.engine

Without a command of ours Prefect starts a process that looks for the code, and then another one in its place: each
imports all of Prefect, which takes more than most runs. Ours begins where the code is, so there is nothing to look for.
"""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Mapping
from typing import Any

from klines.cli import be_lean
from klines.cli.server import ASK_VERSION
from stack import CHECKOUT

PYTHON = "STACK_PYTHON"
"""The variable that says with which Python a worker runs, which is another one on another machine."""
_COMMAND = f"sh -c 'exec \"${{{PYTHON}:-python}}\" -m stack.engine'"


def environment() -> dict[str, str]:
    """What a worker's environment has besides, so that its runs find our Python."""
    return {PYTHON: sys.executable}


def job_variables(given: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a deployment: `given`, and for the rest that its runs are this program."""
    return {"command": _COMMAND, "working_dir": str(CHECKOUT)} | dict(given)


def main() -> None:
    """Be the engine. Whoever ends a run by its process id ends the group, in which nobody else may be."""
    be_lean()
    os.environ.setdefault(ASK_VERSION, "false")  # its worker has asked
    import flows  # noqa: F401 - sets what must stand before Prefect is imported

    if os.getpgrp() != os.getpid():
        os.setsid()
    from stack.due import announce
    from tasks.alive import signs_are_ours

    announce(os.environ.get("PREFECT__FLOW_RUN_ID", ""))
    with signs_are_ours():
        runpy.run_module("prefect.engine", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
