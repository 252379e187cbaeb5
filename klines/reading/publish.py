"""A snapshot made in advance, where making one takes longer than whoever wants to read likes to wait."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

import duckdb

from klines.outcome import Outcome, Plan, counted
from klines.settings import Settings
from klines.storage.access import reading_at, stored_at
from klines.storage.place import Place
from klines.storage.room import rooms
from klines.storage.snapshot import WAIT_S, share_copied

if TYPE_CHECKING:
    from klines.storage.lake.lake import Lake

COPIED_BYTES_A_SECOND = 220e6
"""As benchmarks/read.py measured it: 1,765 MB in 8 s, beside who writes every second."""


@dataclass(slots=True)
class PublishJob:
    """Which database is to be published, or only planned for; and what became of that."""

    place: Place
    dry_run: bool = False
    _outcome: Outcome | None = field(default=None, init=False)

    @classmethod
    def of(cls, settings: Settings, dry_run: bool = False) -> Self:
        """The job that the flow's parameters describe. Raises NotStored where there is no database."""
        return cls(stored_at(settings.database), dry_run)

    def plan(self) -> Plan:
        """What is to be copied: all of a file, and nothing of a lake. Raises DatabaseBusy."""
        return self.place.upkeep(self._plan_of_file, _plan_of_lake)

    def _plan_of_file(self, path: Path) -> Plan:
        with reading_at(self.place) as connection:
            klines, size = _count(connection), path.stat().st_size
        return Plan(
            does=f"planned a snapshot of {path.name}, with {counted(klines, 'kline')}",
            counts={"klines": klines},
            reads=size,
            writes=size,
            seconds=size / COPIED_BYTES_A_SECOND,
            by=f"{COPIED_BYTES_A_SECOND / 1e6:,.0f} MB a second",
            rooms=rooms([(path.resolve().parent, size * 21 // 20)]),
        )

    @property
    def wanted(self) -> int:
        """Bytes to copy."""
        return self.place.size()

    @property
    def left(self) -> int:
        """Those that are not yet."""
        share = 1.0 if self._outcome else self.place.upkeep(share_copied, lambda _: 1.0) or 0.0
        return int(self.wanted * (1 - share))

    def run(self) -> Outcome:
        """Make what is stored as of now readable at once; raises NoRoom, DatabaseBusy, BadParameter."""
        began, began_s = datetime.now(UTC), time.monotonic()
        said = self.place.publish(began)
        seconds = time.monotonic() - began_s
        with contextlib.closing(self.place.version(began, WAIT_S)) as made:
            klines = _count(made)
        numbers = {"klines": klines, "mb": round(self.place.size() / 1e6, 3), "seconds": round(seconds, 3)}
        self._outcome = Outcome("Completed", f"{said}, {counted(klines, 'kline')}, in {seconds:.1f} s", numbers)
        return self._outcome


def _plan_of_lake(lake: Lake) -> Plan:
    return Plan(f"planned to publish nothing of {lake.name}: readers have a version of the lake at once")


def _count(connection: duckdb.DuckDBPyConnection) -> int:
    [(klines,)] = connection.execute("SELECT count(*) FROM klines").fetchall()
    return int(klines)
