"""A snapshot made in advance, where making one takes longer than whoever wants to read likes to wait."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from klines.outcome import Outcome
from klines.settings import Settings
from klines.storage.access import place
from klines.storage.snapshot import take


@dataclass(frozen=True, slots=True)
class PublishJob:
    """Which file is to be published."""

    database: Path

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The job that the settings describe: the flow has no parameters. Raises NotStored where there is no file."""
        return cls(place(settings.database))

    def run(self) -> Outcome:
        """Make a snapshot as of now; raises NoRoom, DatabaseBusy, BadParameter."""
        began, began_s = datetime.now(UTC), time.monotonic()
        snapshot = take(self.database, began)
        size, taken_s = snapshot.stat().st_size / 1e6, time.monotonic() - began_s
        return Outcome(
            "Completed",
            f"published {self.database.name} as of {began:%H:%M:%S} UTC, {size:,.1f} MB, in {taken_s:.1f} s",
        )
