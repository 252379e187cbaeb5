"""The lines of all benchmarks: printed, and kept for `make bench`, which says by BENCH_FILE where."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

KEPT = "BENCH_FILE"
"""The variable that names the file of the lines, one JSON object each."""


@dataclass(frozen=True, slots=True)
class Line:
    """A measured number; what the same costs a peer, or a bare limit; and what is asked for, as `≤ 4`."""

    what: str
    ours: float
    unit: str = "s"
    peer: str = ""
    other: float | None = None
    limit: str = ""
    ratio: str = ""

    def show(self) -> None:
        """Print it, and keep it."""
        beside = "" if self.other is None else f"; {self.peer}: {number(self.other)} {self.unit}, ratio {self.ratio}"
        limit = f" (limit {self.limit})" if self.limit else ""
        print(f"{self.what:76} {number(self.ours):>11} {self.unit}{beside}{limit}", flush=True)
        if kept := os.environ.get(KEPT):
            with Path(kept).open("a") as file:
                file.write(json.dumps(asdict(self)) + "\n")


def line(
    what: str, ours: float, unit: str = "s", *, peer: str = "", other: float | None = None, limit: str = ""
) -> None:
    """Show a line with one number, or with two and their ratio."""
    Line(what, ours, unit, peer, other, limit, f"{ours / other:.2f}" if other else "").show()


def kept(file: Path) -> Iterator[Line]:
    """The lines of a file."""
    for text in file.read_text().splitlines():
        yield Line(**json.loads(text))


def number(value: float) -> str:
    """Three digits or more, with thousands set apart."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def machine() -> str:
    """Of what machine and versions the numbers are."""
    model = next(
        (line.split(":")[1].strip() for line in _cpu_info() if line.startswith("model name")), platform.machine()
    )
    versions = ", ".join(f"{name} {version(name)}" for name in ("duckdb", "polars", "prefect", "python-binance"))
    return f"{os.cpu_count()} × {model}, {platform.platform()}, Python {platform.python_version()}, {versions}"


def _cpu_info() -> list[str]:
    file = Path("/proc/cpuinfo")
    return file.read_text().splitlines() if file.exists() else []
