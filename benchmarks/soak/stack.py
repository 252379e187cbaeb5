"""The stack of a soak, the explorer and the readers beside it: started, killed, started again, and asked for runs."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError

import yaml

from benchmarks import CHECKOUT
from benchmarks.soak import processes
from benchmarks.soak.exchange import Series
from tests import stacks

STOP_S, AGAIN_S = 30, 10
FIRST_PORT = 21_000
"""Two for each seed, below those that connections get, one of which could have it while a server is started again."""
SHORT_S = 60
"""A stack that was started again so short ago, or hit by a kill, may end by itself: it says so and is started again."""


class Stack:
    """All that runs in one folder, but for the exchange."""

    def __init__(self, folder: Path, url: str, series: Sequence[Series], since: str, seed: int) -> None:
        self.folder = folder
        self.database = folder / "klines.duckdb"
        self.home = folder / "prefect"
        (temporary := folder / "tmp").mkdir()
        names = [one.symbol for one in series if one.market == "spot"]
        self.environment = stacks.environment(folder, url, names)
        port = FIRST_PORT + seed % 1000 * 2
        self.environment |= {"KLINES_SINCE": since, "TMPDIR": str(temporary), "PREFECT_SERVER_API_PORT": str(port)}
        self.explorer = port + 1
        self.seed = seed
        self.complaints: list[str] = []
        self._file = folder / "prefect.yaml"
        self._file.write_text(yaml.safe_dump(deployments(series, seed)))
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._ids: dict[str, str] = {}
        self._again_s: dict[str, float] = {}
        self._hit_s = 0.0

    def start(self) -> None:
        """Whatever does not run."""
        spare = ["--port", str(self.explorer), "--no-browser"]
        read = ["--explorer", f"http://127.0.0.1:{self.explorer}", "--seed", str(self.seed)]
        self._start("stack", "stack", "--prefect-file", str(self._file))
        self._start("explorer", "klines.cli", "explore", *spare)
        self._start("reader", "benchmarks.soak.readers", *read)

    def _start(self, name: str, *arguments: str) -> None:
        before = self._running.get(name)
        if (before and before.poll() is None) or time.monotonic() < self._again_s.get(name, 0):
            return
        self._again_s[name] = time.monotonic() + AGAIN_S
        if before and name == "stack":
            if before.returncode != -signal.SIGKILL and time.monotonic() - self._hit_s > SHORT_S:
                self.complaints.append(f"the stack ended by itself ({before.returncode}): {self.last_line()}")
            self._hit_s = time.monotonic()
        elif before and before.returncode != -signal.SIGKILL:
            self.complaints.append(f"the {name} ended by itself ({before.returncode}): see {name}.log")
        with (self.folder / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                cwd=CHECKOUT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def last_line(self) -> str:
        """What the stack said last."""
        lines = (self.folder / "stack.log").read_text(errors="replace").splitlines()
        return lines[-1] if lines else ""

    def processes(self) -> dict[str, list[int]]:
        """What runs, by what it is."""
        return processes.running(str(self.home))

    def kill(self, name: str) -> int:
        """SIGKILL to what is so called, `all` to everything of the stack; how many processes there were."""
        found = self.processes()
        names = ["stack", "server", "worker", "flow", "duplicate", processes.OTHER] if name == "all" else [name]
        self._hit_s = time.monotonic()
        return processes.kill(*(pid for one in names for pid in found.get(one, [])))

    def stop(self) -> list[str]:
        """End everything in order; what is left after that is killed, and returned."""
        for name in ("reader", "explorer", "stack"):
            if process := self._running.get(name):
                process.send_signal(signal.SIGINT if name == "stack" else signal.SIGTERM)
        for process in self._running.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_S)
        left = self.processes()
        processes.kill(*(pid for pids in left.values() for pid in pids))
        for process in self._running.values():
            process.wait()
        return [f"{name} {pid}" for name, pids in left.items() for pid in pids]

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """What the server answers; None where it does not, as it was killed."""
        try:
            return stacks.ask(self.environment, method, path, body)
        except (URLError, HTTPError, ConnectionError, TimeoutError):
            return None

    def run(self, deployment: str, **parameters: Any) -> bool:
        """Ask for a run of a deployment; whether the server took it."""
        if deployment not in self._ids:
            found = self.ask("GET", f"/deployments/name/{deployment}")
            if found is None:
                return False
            self._ids[deployment] = found["id"]
        path = f"/deployments/{self._ids[deployment]}/create_flow_run"
        state = {"type": "SCHEDULED"}
        return self.ask("POST", path, {"parameters": parameters, "state": state}) is not None

    def shell(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command of klines, from a shell beside the stack."""
        command = [sys.executable, "-m", "klines.cli", *arguments]
        return subprocess.run(command, cwd=CHECKOUT, env=self.environment, capture_output=True, text=True, timeout=1800)


def deployments(series: Sequence[Series], seed: int) -> dict[str, Any]:
    """prefect.yaml, with usdm every five minutes, and with seconds that differ from soaks beside this one."""
    found: dict[str, Any] = yaml.safe_load((CHECKOUT / "prefect.yaml").read_text())
    found["deployments"] = [section for section in found["deployments"] if section["name"] != "coinm"]
    futures = [one for one in series if one.market != "spot"]
    for number, section in enumerate(found["deployments"][:2]):
        second = 5 + seed % 4 * 12 + 7 * number
        section["schedules"][0] |= {"anchor_date": f"2026-01-01T00:00:{second:02}+00:00", "interval": (60, 300)[number]}
        section["schedules"][0]["active"] = True
    found["deployments"][1]["parameters"] = {
        "market": futures[0].market,
        "interval": futures[0].interval,
        "symbols": [one.symbol for one in futures],
    }
    return found
