"""Stacks of a test's own: what `make run` starts, against the stand-in."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import yaml

from stack.temporary import free_port
from tests import CHECKOUT

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
            "PREFECT_API_URL": "",
            "TZ": "Asia/Tokyo",
        }
        | dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy"), "http://127.0.0.1:9")
    )


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


def read_until(process: subprocess.Popen[str], wanted: Callable[[str], Any]) -> list[str]:
    """The lines that the process prints, up to the first that is wanted."""
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
        if wanted(lines[-1]):
            return lines
    raise AssertionError(f"it ended before that: {lines}")


def wait_for_server(environment: dict[str, str]) -> None:
    """Wait until the Prefect server answers: a minute where it makes its database first."""
    until_s = time.monotonic() + 120
    while True:
        try:
            ask(environment, "GET", "/health")
            return
        except URLError:
            assert time.monotonic() < until_s, "no Prefect server answers"
            time.sleep(0.2)


def ask(environment: dict[str, str], method: str, path: str, body: Any = None) -> Any:
    """A request to the stack's Prefect server, as the UI makes it: with a token, where it may change something; again
    while that says that it is locked (503), or that its database is too slow (500)."""
    api = f"http://127.0.0.1:{environment['PREFECT_SERVER_API_PORT']}/api"
    headers = {"Content-Type": "application/json"}
    if method != "GET":
        client = uuid.uuid4().hex
        token = _answer(Request(f"{api}/csrf-token?client={client}"))["token"]
        headers |= {"Prefect-Csrf-Token": token, "Prefect-Csrf-Client": client}
    return _answer(Request(api + path, None if body is None else json.dumps(body).encode(), headers, method=method))


def _answer(request: Request) -> Any:
    until_s = time.monotonic() + 20
    while True:
        try:
            with urlopen(request, timeout=90) as answer:
                text = answer.read()
            return json.loads(text) if text else None
        except HTTPError as error:
            if error.code not in (500, 503) or time.monotonic() > until_s:
                raise
            error.close()
            time.sleep(0.5)
