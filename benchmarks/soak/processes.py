"""The processes of a soak, found in /proc by the home that they were started with, and what they hold (Linux)."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from benchmarks.measure import rss_mb

ROLES = {
    "stack.serve": "server",
    "worker start": "worker",
    "stack.early prefect.cli.worker": "worker",
    "-m stack ": "stack",
    "klines.cli explore": "explorer",
    "benchmarks.soak.readers": "reader",
    "klines.storage.duplicate": "duplicate",
    "stack.engine": "flow",
    "prefect.engine": "flow",
    "prefect.flow_engine": "flow",
    "flow-run execute": "flow",
}
"""What a command line holds, and what that process is."""
OTHER = "other"


def running(home: str) -> dict[str, list[int]]:
    """The ids of the processes with this PREFECT_HOME, by what they are."""
    mark = f"PREFECT_HOME={home}".encode()
    found: dict[str, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if command and mark in (entry / "environ").read_bytes().split(b"\0"):
                found.setdefault(role(command), []).append(int(entry.name))
    return found


def role(command: str) -> str:
    """What the process with this command line is."""
    return next((name for words, name in ROLES.items() if words in command), OTHER)


def kill(*pids: int) -> int:
    """SIGKILL to each; how many there were."""
    killed = 0
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            killed += 1
    return killed


def held(pid: int) -> tuple[float, int]:
    """Memory (MB) and open file descriptors; nothing of a process that has ended."""
    try:
        return rss_mb(pid), len(list(Path(f"/proc/{pid}/fd").iterdir()))
    except OSError:
        return 0.0, 0


def peak_mb(pid: int) -> float:
    """The most memory that a process has held."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1e3
    return 0.0


def size_mb(*places: Path) -> float:
    """Files, and all that folders hold."""
    found = [path for place in places for path in ([place] if place.is_file() else place.rglob("*"))]
    total = 0
    for path in found:
        with contextlib.suppress(OSError):
            total += 0 if path.is_dir() else path.lstat().st_size
    return total / 1e6
