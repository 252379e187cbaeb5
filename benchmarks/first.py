"""The first minute of a fresh install: from the command to klines on the screen, step by step.

    python -m benchmarks.first

It starts the stack in a temporary folder against the stand-in, without a database or anything of Prefect's, as `make
run` does after it has installed. Each line is the time since the command.
"""

from __future__ import annotations

import contextlib
import tempfile
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import duckdb

from benchmarks import CHECKOUT
from benchmarks.measure import exchange
from benchmarks.table import line, machine
from klines.settings import TEN_SYMBOLS
from stack import template
from tests import stacks

LIMIT_S = 20
"""Klines are to be on the screen after so many seconds, on two quiet cores."""


def main() -> None:
    """Start it once, and print the table."""
    print(machine())
    template.make(template.place())
    with tempfile.TemporaryDirectory() as folder, exchange(TEN_SYMBOLS) as url:
        environment = stacks.environment(Path(folder), url, TEN_SYMBOLS)
        del environment["PREFECT_WORKER_QUERY_SECONDS"]  # as prefect.toml has it
        for what, seconds in timeline(Path(folder), environment).items():
            line(what, seconds, limit=f"≤ {LIMIT_S}" if what == "its line is printed" else "")


def timeline(folder: Path, environment: Mapping[str, str]) -> dict[str, float]:
    """The seconds from the command to each step."""
    began_s = time.time()
    found: dict[str, float] = {}
    settings = dict(environment)
    with stacks.stack(settings, CHECKOUT / "prefect.yaml") as process:
        threading.Thread(target=_note_server, args=(settings, began_s, found), daemon=True).start()
        stacks.read_until(process, lambda text: text.startswith("Prefect's UI"))
        found["what is where is printed"] = time.time() - began_s
        stacks.read_until(process, stacks.LINE.fullmatch)
        printed_s = time.time() - began_s
        found |= {what: _at(text) - began_s for what, text in _of_prefect(settings).items()}
    [(stored,)] = duckdb.connect(str(folder / "klines.duckdb"), read_only=True).execute(
        "SELECT epoch_ms(max(fetched_at)) FROM klines"
    ).fetchall()  # fmt: skip
    found |= {"its klines are stored": stored / 1000 - began_s, "its line is printed": printed_s}
    return dict(sorted(found.items(), key=lambda step: step[1]))


def _note_server(environment: Mapping[str, str], began_s: float, found: dict[str, float]) -> None:
    while "the server answers" not in found:
        with contextlib.suppress(URLError, OSError):
            urlopen(f"http://127.0.0.1:{environment['PREFECT_SERVER_API_PORT']}/api/health").close()
            found["the server answers"] = time.time() - began_s
        time.sleep(0.1)


def _of_prefect(environment: dict[str, str]) -> dict[str, str]:
    """What the server has the times of."""
    deployment: dict[str, Any] = stacks.ask(environment, "GET", "/deployments/name/collect/every-minute")
    [run] = stacks.ask(environment, "POST", "/flow_runs/filter", {"sort": "START_TIME_ASC", "limit": 1})
    [pool] = stacks.ask(environment, "POST", "/work_pools/filter", {})
    return {
        "the work pool is there": pool["created"],
        "collect/every-minute is deployed": deployment["created"],
        "the first run is asked for": run["created"],
        "it begins": run["start_time"],
        "it ends": run["end_time"],
    }


def _at(text: str) -> float:
    return datetime.fromisoformat(text).astimezone(UTC).timestamp()


if __name__ == "__main__":
    main()
