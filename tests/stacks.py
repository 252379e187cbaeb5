"""Stacks of a test's own: what `make run` starts, against the stand-in."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import yaml

from stack.temporary import free_port
from tests import CHECKOUT, LONGEST_S
from tests.exchange import StandIn

LINE = re.compile(r"\d\d:\d\d stored [\d,]+ klines? of (\d+) symbols? in [\d.]+ s")


def environment(folder: Path, url: str, symbols: Sequence[str]) -> dict[str, str]:
    """The settings of a stack in a folder, in another time zone, against the stand-in at an address, behind a proxy
    that lets nothing through."""
    return (
        os.environ
        | {f"KLINES_{name}_URL": url for name in ("SPOT", "USDM", "COINM", "ARCHIVE")}
        | {
            "KLINES_DATABASE": str(folder / "klines.duckdb"),
            "KLINES_SYMBOLS": " ".join(symbols),
            "PREFECT_HOME": str(folder / "prefect"),
            "PREFECT_SERVER_API_PORT": str(free_port()),
            "PREFECT_WORKER_QUERY_SECONDS": "2",
            "PREFECT_API_URL": "",
            "TZ": "Asia/Tokyo",
        }
        | dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy"), "http://127.0.0.1:9")
    )


class Running:
    """A stack that runs, with its settings and its exchange, and begins a run when it is asked to."""

    def __init__(self, process: subprocess.Popen[str], environment: dict[str, str], exchange: StandIn) -> None:
        self.environment = environment
        self.exchange = exchange
        self.said: list[str] = []
        self.ran_s = time.monotonic()  # again once it has had a run, for which server and worker live
        self._process = process
        self._news = threading.Condition()
        self._heard = 0
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with suppress(ValueError):  # it was closed
            for line in self._process.stdout:
                with self._news:
                    self.said.append(line.rstrip("\n"))
                    self._news.notify_all()

    def hear(self, wanted: Callable[[str], Any]) -> str:
        """The next line that is wanted, of those after the last that was heard."""
        while True:
            with self._news:
                assert self._news.wait_for(lambda: len(self.said) > self._heard, LONGEST_S), self.said
                line, self._heard = self.said[self._heard], self._heard + 1
            if wanted(line):
                return line

    def deployment(self) -> dict[str, Any]:
        """The minute's, as the server has it."""
        found: dict[str, Any] = ask(self.environment, "GET", "/deployments/name/collect/every-minute")
        return found

    def pause(self) -> None:
        """No more runs on schedule, which cost more than most tests."""
        pause(self.environment, self.deployment()["id"])

    def ended(self, run: dict[str, Any]) -> dict[str, Any]:
        """A run, once it has ended."""
        while run["state_type"] in ("SCHEDULED", "PENDING", "RUNNING"):
            time.sleep(0.5)
            run = ask(self.environment, "GET", f"/flow_runs/{run['id']}")
        return run

    def run(self, wanted: Callable[[str], Any]) -> None:
        """One run, whose line is as wanted."""
        run = self.ended(ask(self.environment, "POST", f"/deployments/{self.deployment()['id']}/create_flow_run", {}))
        said = " ".join(run["state"]["message"].split())
        assert wanted(self.hear(lambda line: line.endswith(said))), self.said


def pause(environment: dict[str, str], deployment: str) -> None:
    """No more runs of a deployment on schedule, and none under way, beside which another would be skipped. The server
    may be about to schedule some: it is asked again, which deletes those."""
    states = {"state": {"type": {"any_": ["SCHEDULED", "PENDING", "RUNNING"]}}}
    left = {"flow_runs": states, "deployments": {"id": {"any_": [deployment]}}}
    while True:
        ask(environment, "PATCH", f"/deployments/{deployment}", {"paused": True})
        time.sleep(2)
        if not ask(environment, "POST", "/flow_runs/count", left):
            return


def copy_home(prefect_db: Path, home: Path) -> None:
    """A PREFECT_HOME with a database in it, as it is after a first start."""
    home.mkdir(mode=0o700, parents=True)
    shutil.copy(prefect_db, home / "prefect.db")


def prefect_file(folder: Path, *names: str) -> Path:
    """The project's prefect.yaml with a schedule of fifteen seconds, and with these deployments alone, or all."""
    content = yaml.safe_load((CHECKOUT / "prefect.yaml").read_text())
    content["deployments"] = [section for section in content["deployments"] if not names or section["name"] in names]
    content["deployments"][0]["schedules"][0]["interval"] = 15
    path = folder / "prefect.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@contextmanager
def stack(environment: dict[str, str], prefect_file: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """The stack; asked to end at the end of the block if it still runs."""
    arguments = [sys.executable, "-m", "stack", "--prefect-file", str(prefect_file), *options]
    with subprocess.Popen(arguments, cwd=CHECKOUT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()


@contextmanager
def worker(environment: dict[str, str], *queues: str) -> Iterator[subprocess.Popen[str]]:
    """`klines worker`, which is asked to end at the end of the block if it still runs."""
    command = [sys.executable, "-m", "klines.cli", "worker", *(word for queue in queues for word in ("--queue", queue))]
    with subprocess.Popen(command, cwd=CHECKOUT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)


def elsewhere(environment: dict[str, str], name: str, address: str) -> dict[str, str]:
    """The settings of another machine, which reaches the server of the first."""
    home = Path(environment["PREFECT_HOME"]).with_name(name)
    api = f"http://127.0.0.1:{environment['PREFECT_SERVER_API_PORT']}/api"
    return environment | {"PREFECT_HOME": str(home), "PREFECT_API_URL": api, "KLINES_EGRESS": address}


def left_running(environment: dict[str, str]) -> list[str]:
    """The command lines of processes that were started with the stack's PREFECT_HOME."""
    mark = f"PREFECT_HOME={environment['PREFECT_HOME']}".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark in (entry / "environ").read_bytes().split(b"\0") and (entry / "cmdline").read_bytes():
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found


def read_until(process: subprocess.Popen[str], wanted: Callable[[str], Any]) -> list[str]:
    """The lines that the process prints, up to the first that is wanted."""
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
        if wanted(lines[-1]):
            return lines
    raise AssertionError(f"it ended before that: {lines}")


def ask(environment: dict[str, str], method: str, path: str, body: Any = None) -> Any:
    """A request to the stack's Prefect server, as the UI makes it: with a token, where it may change something; again
    while that says that it is locked (503), or that its database is too slow (500)."""
    api = f"http://127.0.0.1:{environment['PREFECT_SERVER_API_PORT']}/api"
    headers = {"Content-Type": "application/json"}
    if method != "GET":
        headers |= _token(api, environment.get("PREFECT_HOME", ""))
    return _answer(Request(api + path, None if body is None else json.dumps(body).encode(), headers, method=method))


@cache
def _token(api: str, home: str) -> dict[str, str]:  # noqa: ARG001 - another home is another server, maybe at this port
    """What a server wants to be told by who may change something; it keeps it for an hour, in its home."""
    client = uuid.uuid4().hex
    token = _answer(Request(f"{api}/csrf-token?client={client}"))["token"]
    return {"Prefect-Csrf-Token": token, "Prefect-Csrf-Client": client}


def _answer(request: Request) -> Any:
    until_s = time.monotonic() + LONGEST_S
    while True:
        try:
            with urlopen(request, timeout=LONGEST_S) as answer:
                text = answer.read()
            return json.loads(text) if text else None
        except HTTPError as error:
            if error.code not in (500, 503) or time.monotonic() > until_s:
                raise
            error.close()
            time.sleep(0.5)
