"""Maintenance, as it is asked for: of which database, and by which steps, whichever kind of database it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from klines.maintain.file_upkeep import FileMaintenance
from klines.maintain.lake_upkeep import LakeMaintenance
from klines.outcome import Outcome, Plan
from klines.settings import Settings
from klines.storage.access import place_of, stored_at
from klines.storage.lake.lake import Lake
from klines.storage.place import Place


class Upkeep(Protocol):
    """The steps of maintenance, of either kind of database, in order: those up to the plan change nothing."""

    place: Place

    @property
    def wanted(self) -> int:
        """How many klines there are to prove and to copy; known from `begin` on."""

    @property
    def left(self) -> int:
        """How many of them are not yet."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...

    def survey(self) -> None:
        """Find what there is."""

    def plan(self) -> Plan:
        """What is to be done with it."""

    def prune(self) -> int:
        """Forget what is old; how many rejects there were."""

    def begin(self) -> list[str]:
        """Make ready what months go into; the months to work on."""

    def prove(self) -> int:
        """How many slots have more than one kline."""

    def cluster(self, name: str) -> None:
        """Work on one of them."""

    def swap(self) -> None:
        """Make what was done what is read."""

    def outcome(self) -> Outcome:
        """The final state, with counts."""


@dataclass(frozen=True, slots=True)
class MaintainJob:
    """Which database is to be maintained, or only planned for."""

    place: Place
    dry_run: bool = False

    @classmethod
    def of(cls, settings: Settings, dry_run: bool = False) -> Self:
        """The job that the flow's parameters describe; raises NotStored where there is nothing to plan for."""
        if dry_run:
            stored_at(settings.database)
        return cls(place_of(settings.database), dry_run)

    def begin(self, now_ms: int) -> Upkeep:
        """The maintenance of that kind of database, which began at `now_ms`."""
        of_file: Callable[[Path], Upkeep] = lambda path: FileMaintenance(path, now_ms)  # noqa: E731
        of_lake: Callable[[Lake], Upkeep] = lambda lake: LakeMaintenance(lake, now_ms)  # noqa: E731
        return self.place.upkeep(of_file, of_lake)
