"""What a soak has seen, as numbers that add up over its parts, and their table."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.soak.truth import FACES
from benchmarks.table import line, number

ALIVE = ("server", "worker", "explorer", "reader", "stack")
SIZES = ("klines.duckdb", "its snapshots", "Prefect's database", "logs", "temporary files")
LIMIT_MB = 1500


@dataclass(frozen=True)
class Look:
    """One moment: hours since the start; memory (MB) and file descriptors by process; sizes (MB); klines stored."""

    hours: float
    rss_mb: dict[str, float]
    descriptors: dict[str, int]
    sizes_mb: dict[str, float]
    rows: int


@dataclass
class Part:
    """One soak."""

    seed: int
    hours: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    kills: Counter[str] = field(default_factory=Counter)
    jobs: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    served: Counter[str] = field(default_factory=Counter)
    read: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    healed: Counter[str] = field(default_factory=Counter)
    doubtful: Counter[str] = field(default_factory=Counter)
    peaks_mb: dict[str, float] = field(default_factory=dict)
    looks: list[Look] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def keep(self, file: Path) -> None:
        """As JSON."""
        found = vars(self) | {"looks": [asdict(look) for look in self.looks]}
        file.write_text(json.dumps(found, indent=1) + "\n")


def kept(file: Path) -> Part:
    """What `keep` wrote."""
    found: dict[str, Any] = json.loads(file.read_text())
    for name, value in found.items():
        if isinstance(value, dict) and name != "peaks_mb":
            found[name] = Counter(value)
    return Part(**found | {"looks": [Look(**look) for look in found["looks"]]})


def show(parts: Sequence[Part]) -> None:
    """The table of all parts: counts are sums, sizes and memory the largest of any part."""
    line(
        f"hours, from the first klines to the last comparison, in {len(parts)} part{'s' * (len(parts) > 1)}",
        sum(part.hours for part in parts),
        "h",
    )
    for name, title in TITLES.items():
        total: Counter[str] = sum((getattr(part, name) for part in parts), Counter())
        line(title, total.total(), "")
        for word, count in total.most_common():
            line(f"{title}: {word}", count, "")
    kinds: Counter[str] = sum((part.kinds for part in parts), Counter())
    line(f"hostile answers, of {len(kinds)} kinds", kinds.total(), "")
    line("answers of the exchange", sum(part.served.total() for part in parts), "")
    show_found("before the closing correction", [part.healed for part in parts])
    show_found("at the end", [part.found for part in parts])
    doubtful: Counter[str] = sum((part.doubtful for part in parts), Counter())
    if doubtful:
        line("runs while clocks differed", doubtful.total(), "")
        line("of them Completed", doubtful["Completed"], "", limit="0")
    line("complaints", sum(len(part.complaints) for part in parts), "", limit="0")
    for name in ("flow", *ALIVE):
        peak_mb = max(part.peaks_mb.get(name, 0.0) for part in parts)
        line(f"the most memory that a process held: {name}", peak_mb, "MB", limit=f"≤ {LIMIT_MB:,}")
    show_growth(parts)


TITLES = {
    "faults": "faults",
    "kills": "kills",
    "jobs": "runs asked for beside the schedule",
    "states": "runs",
    "read": "questions of readers",
}


def show_found(when: str, found: Sequence[Counter[str]]) -> None:
    """How the klines compare."""
    total: Counter[str] = sum(found, Counter())
    for face in FACES:
        line(f"klines {when}: {face}", total[face], "", limit="" if face == "compared" else "0")


def show_growth(parts: Sequence[Part]) -> None:
    """Each quarter beside the start."""
    looks = [part.looks for part in parts if len(part.looks) > 1]
    if not looks:
        return
    for name in ALIVE:
        growth(f"memory of the {name}", "MB", [[look.rss_mb.get(name, 0.0) for look in part] for part in looks])
    for name in ALIVE:
        counts = [[float(look.descriptors.get(name, 0)) for look in part] for part in looks]
        growth(f"open files of the {name}", "", counts)
    for name in SIZES:
        growth(name, "MB", [[look.sizes_mb.get(name, 0.0) for look in part] for part in looks])
    growth("klines stored", "", [[float(look.rows) for look in part] for part in looks])


def growth(what: str, unit: str, parts: Sequence[Sequence[float]]) -> None:
    """The largest of the parts at the end, beside that of the start; in words those of the quarters."""
    first, *quarters, last = (max(column) for column in zip(*parts, strict=False))
    between = ", ".join(number(value) if value else "–" for value in quarters)  # –: just killed
    line(f"{what}, at the end; at the quarters {between}", last, unit, peer="at the start", other=first)
