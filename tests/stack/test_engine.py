"""How the process of a flow run begins."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from typing import Any

import pytest

from stack import engine
from tests import CHECKOUT


@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, ["-m", "stack.engine"]), ({"command": "echo mine", "env": {"A": "1"}}, ["mine"])],
    ids=["ours", "the user's"],
)
def test_a_worker_starts_our_program(given: dict[str, Any], expected: list[str]) -> None:
    """A deployment's runs are our program in the checkout, by the worker's own Python, unless its section of
    prefect.yaml has another command; whatever else the section has stays."""
    variables = engine.job_variables(given)
    assert given.get("env") == variables.get("env")
    environment = os.environ | engine.environment() | {engine.PYTHON: "echo"}
    done = subprocess.run(
        shlex.split(variables["command"]), cwd=variables["working_dir"], env=environment, capture_output=True, text=True
    )
    assert (0, expected) == (done.returncode, done.stdout.split())


def test_a_run_leads_a_group_of_its_own() -> None:
    """Whoever ends the run by its process id, as its group, ends nobody else; nor does what ends its worker's."""
    environment = os.environ | engine.environment()
    command = shlex.split(engine.job_variables({})["command"])
    with subprocess.Popen(command, cwd=CHECKOUT, env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            while (group := os.getpgid(process.pid)) != process.pid and process.poll() is None:
                time.sleep(0.02)
        finally:
            process.kill()
    assert process.pid == group
    assert sys.executable == engine.environment()[engine.PYTHON]
