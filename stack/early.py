"""A program that is started before it is needed: it reads its code meanwhile, which takes Prefect's seconds.

    python -m stack.early MODULES…

Its standard input then names the program and its arguments, in a line of JSON, as Children writes it. Where that ends
without a line, so does this.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
from importlib import import_module

FOR_WORKER = ("prefect.cli.worker", "prefect.cli._worker_utils", "prefect.workers.process")
FOR_DEPLOY = ("prefect.cli.deploy", "klines.audit.run", "klines.maintain.run", "tasks.review", "tasks.load")
"""What these programs spend most of their start with."""


def main() -> None:
    """Import the modules, wait, and be the program."""
    for module in sys.argv[1:]:
        import_module(module)
    line = sys.stdin.readline()
    if line:
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, sys.stdin.fileno())
        sys.argv = json.loads(line)
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
