"""A snapshot made in advance, where making one takes longer than whoever wants to read likes to wait."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from klines.outcome import Outcome
from klines.settings import Settings
from klines.storage.access import stored_at
from klines.storage.place import Place


@dataclass(frozen=True, slots=True)
class PublishJob:
    """Which database is to be published."""

    place: Place

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The job that the settings describe: the flow has no parameters. Raises NotStored where there is none."""
        return cls(stored_at(settings.database))

    def run(self) -> Outcome:
        """Make what is stored as of now readable at once; raises NoRoom, DatabaseBusy, BadParameter."""
        began, began_s = datetime.now(UTC), time.monotonic()
        said = self.place.publish(began)
        return Outcome("Completed", f"{said}, in {time.monotonic() - began_s:.1f} s")
