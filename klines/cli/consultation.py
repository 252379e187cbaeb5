"""What `klines doctor` does: every check of the doctor's, and those of the Prefect server; a line for each."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Sequence
from dataclasses import asdict
from importlib import metadata
from urllib.parse import urlsplit

from rich.console import Console
from rich.text import Text

from klines.binance.proxies import check_proxies, is_this_machine
from klines.cli import environment, server
from klines.doctor.diagnosis import Diagnosis, Differs, NotAsked, examine_here
from klines.doctor.run import Examination
from klines.errors import BadParameter

_COLOURS = {"ok": "green", "differs": "red", "not asked": "yellow"}
_PORT = 4200
"""Where Prefect's server listens, unless PREFECT_SERVER_API_PORT says another."""


def consult(*, as_json: bool) -> int:
    """Examine, and print a line for each check, or all of it as JSON; the exit status, 0 where all is ok."""
    environment.heed_interrupts()
    console = Console(highlight=False, soft_wrap=True)
    examination = Examination(tell=None if as_json else lambda findings: _print(console, findings))
    examination.note([examine_here("machine environment", _environment)])
    examination.note([examine_here("prefect server", prefect_answers), examine_here("prefect door", door_is_closed)])
    examination.run()
    print(_as_json(examination)) if as_json else console.print(last_line(examination))
    return 0 if examination.is_well else 1


def last_line(examination: Examination) -> str:
    """The last line: how many checks, and for what."""
    states = [str(finding.state) for finding in examination.findings]
    odd = [f"{states.count(state)} {said}" for state, said in (("differs", "differ"), ("not asked", "not asked"))]
    told = ", ".join(text for text in odd if not text.startswith("0 ")) or "all ok"
    return f"{len(states)} checks: {told}; {examination.weight} weight, {examination.time.passed_s:.0f} s"


def prefect_answers() -> str:
    """The Prefect server that a flow would use answers, in the version that is installed; or none runs."""
    url = server.api_in_use()
    if url is None:
        return _none_runs()
    version = server.version_of(url)
    whose = "ours" if url == environment.running(environment.home()) else "the one that PREFECT_API_URL names"
    said = f"{whose}, Prefect {version} at {url}"
    installed = _installed()
    if installed and version.split(".")[:2] != installed.split(".")[:2]:
        raise Differs(f"{said}; here Prefect {installed} is installed", "runs may fail: start it again, or upgrade it")
    return said


def _none_runs() -> str:
    if environment.running(environment.home()) == "":
        raise NotAsked("one is starting")
    port = os.environ.get("PREFECT_SERVER_API_PORT") or str(_PORT)
    if not (port.isascii() and port.isdecimal() and len(port) < 6 and 0 < int(port) < 65536):
        raise BadParameter(f"PREFECT_SERVER_API_PORT: {port!r:.40} is no port; write a number up to 65535")
    with socket.socket() as probe:
        probe.settimeout(1)
        if probe.connect_ex(("127.0.0.1", int(port))) == 0:
            raise Differs(
                f"none of ours runs, and another program listens on port {port}",
                "`klines run` could not start there: end it, or set PREFECT_SERVER_API_PORT to a free one",
            )
    return f"none runs, and port {port} is free: `klines run` starts one there"


def door_is_closed() -> str:
    """The Prefect server, if it is on this machine, refuses foreign names and pages."""
    url = server.api_in_use()
    if url is None:
        return "there is no server"
    if not is_this_machine(urlsplit(url).hostname or ""):
        return "the server is on another machine, whose door it is"
    for name, value in (("Host", "rebound.example"), ("Origin", "http://page.example")):
        if server.lets_in(url, name, value):
            raise Differs(
                f"it lets in whoever asks with {name}: {value}",
                "a page in your browser could run commands here: start the server by `klines run`, which has a door",
            )
    return "foreign names and pages are refused"


def _environment() -> str:
    environment.complete()
    check_proxies()
    return f"Prefect's things are in {environment.home()}"


def _installed() -> str | None:
    try:
        return metadata.version("prefect")
    except metadata.PackageNotFoundError:
        return None


def _print(console: Console, findings: Sequence[Diagnosis]) -> None:
    for finding in findings:
        console.print(Text(f"{finding.state:<10}", _COLOURS[finding.state]), Text(line_of(finding)), sep="")


def line_of(finding: Diagnosis) -> str:
    """A check, what is so, and where that differs what it means and what to do."""
    text = f"{finding.check:<22} {finding.said}" + (f": {finding.advice}" if finding.advice else "")
    return " ".join(text.splitlines())


def _as_json(examination: Examination) -> str:
    told = {
        "ok": examination.is_well,
        "weight": examination.weight,
        "seconds": round(examination.time.passed_s, 1),
        "findings": [asdict(finding) for finding in examination.findings],
    }
    return json.dumps(told, ensure_ascii=False)
