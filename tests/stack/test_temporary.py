"""The server of a run from the shell: behind the door, in the home that is set, and gone afterwards however it ends."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from klines.errors import NoServer
from stack.temporary import free_port, temporary_server
from tests import CHECKOUT, LONGEST_S, stacks


def wait_until_gone(api: str) -> None:
    """Wait until nothing answers there any more."""
    until_s = time.monotonic() + LONGEST_S
    with suppress(OSError):  # nobody listens, or who does is ending
        while True:
            urlopen(f"{api}/health", timeout=LONGEST_S).close()
            assert time.monotonic() < until_s
            time.sleep(0.1)


def test_it_is_private_and_ends_with_who_started_it(prefect_db: Path, tmp_path: Path) -> None:
    """Foreign names are refused; what it wrote is its owner's; it is gone when the process that has started it is, even
    killed. Runs on one are in tests/flows/test_shell.py."""
    home = tmp_path / "home"
    stacks.copy_home(prefect_db, home)
    code = """from stack.temporary import free_port, temporary_server
with temporary_server(free_port()) as api:
    print(api, flush=True)
    input()"""
    environment = os.environ | {"PREFECT_HOME": str(home)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], cwd=CHECKOUT, env=environment, text=True, **pipes) as process:  # type: ignore[call-overload]
        api = process.stdout.readline().strip()
        urlopen(f"{api}/health", timeout=LONGEST_S).close()
        with pytest.raises(HTTPError, match="400") as refused:
            urlopen(Request(f"{api}/health", headers={"Host": "evil.example"}), timeout=LONGEST_S)
        refused.value.close()
        process.kill()
    wait_until_gone(api)
    open_to_others = [path for path in home.rglob("*") if path.stat().st_mode & 0o077]
    assert [] == open_to_others


def test_a_home_that_can_not_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where its home can't be made, one sentence says so and what to set; so it does where the home is none:
    tests/flows/test_shell.py."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(NoServer, match="set PREFECT_HOME"), temporary_server(free_port()):
        pass
