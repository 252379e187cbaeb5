"""An examination: every check once, in under a minute, for at most MOST_WEIGHT of request weight."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from klines import settings
from klines.doctor import machine
from klines.doctor.diagnosis import Check, Clockwork, Diagnosis, examine_here
from klines.errors import Stop
from klines.settings import Settings
from klines.storage.access import place_of
from klines.storage.place import Place

MOST_WEIGHT = 120
"""Of all markets together."""
ALL_S = 50.0
"""How long all checks together may take."""
NETWORK = ("aiohttp", "anyio", "binance", "isal")
"""What asking the exchange takes; who only reads need not have it."""


@dataclass
class Examination:
    """What was found, for how much weight; `tell` is given each group of findings as soon as it is there.

    `clock` stands for this machine's, in epoch ms. An open kline that is not shown is looked for again after
    `open_pause_s`.
    """

    tell: Callable[[Sequence[Diagnosis]], None] | None = None
    clock: Callable[[], int] | None = None
    open_pause_s: float = 4.0
    findings: list[Diagnosis] = field(default_factory=list)
    weight: int = 0
    time: Clockwork = field(default_factory=lambda: Clockwork(ALL_S))

    @property
    def is_well(self) -> bool:
        """Whether everything is as klines takes it to be."""
        return all(finding.state == "ok" for finding in self.findings)

    def note(self, findings: Iterable[Diagnosis]) -> None:
        """More findings, of one subject."""
        group = list(findings)
        self.findings += group
        if self.tell:
            self.tell(group)

    def run(self) -> None:
        """Make every check; no error gets out."""
        self.note(
            [
                examine_here("machine python", machine.python_is_supported),
                examine_here("machine packages", machine.packages_are_tested),
            ]
        )
        loaded: list[Settings] = []
        bans: dict[str, Stop] = {}
        self.note([examine_here("machine settings", partial(_load, loaded))])
        for found in loaded:
            checks = _here(place_of(found.database), bans, self._now_ms(), found.egress)
            self.note([examine_here(name, call) for name, call in checks])
            if all(map(find_spec, NETWORK)):
                self._visit(found, bans)

    def _visit(self, found: Settings, bans: dict[str, Stop]) -> None:
        from klines.doctor.visit import Visit

        visit = Visit(found, self.note, self.time, bans, MOST_WEIGHT, open_pause_s=self.open_pause_s, clock=self.clock)
        asyncio.run(visit.run())
        self.weight = visit.purse.spent

    def _now_ms(self) -> int:
        return self.clock() if self.clock else time.time_ns() // 1_000_000


def _load(loaded: list[Settings]) -> str:
    found = settings.load()
    found.check_egress()
    loaded.append(found)
    said = f"the database at {found.database}; symbols {' '.join(found.symbols[:5])}{' …' if found.symbols[5:] else ''}"
    return f"{said}; requests leave by {found.egress}" if found.egress else said


def _here(place: Place, bans: dict[str, Stop], now_ms: int, egress: str) -> list[tuple[str, Check]]:
    return [
        ("machine memory", machine.memory_is_enough),
        *place.upkeep(_of_file, _of_lake),
        ("database bans", partial(machine.no_ban_holds, place, bans, now_ms, egress)),
    ]


def _of_file(database: Path) -> list[tuple[str, Check]]:
    return [
        ("database place", partial(machine.database_opens, database)),
        ("database locks", partial(machine.place_has_locks, database)),
        ("database disk", partial(machine.disk_has_room, database)),
    ]


def _of_lake(lake: Place) -> list[tuple[str, Check]]:
    return [("database place", partial(machine.lake_opens, lake))]
