"""Hours of closed months, from their klines of a minute, in short turns: see klines/tables/hours.py."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import duckdb

from klines.maintain.survey import Month
from klines.storage.live import FREE_S, WAIT_S
from klines.storage.place import Done, Place
from klines.tables.hours import AT_ONCE, HOURS_OF, make_hours, note_hours_to_make

TURN_S = 1.5
"""How long the file is held for the hours of a turn, about."""
HOURS_BYTES = 2
"""What the hours of a kline of a minute take, at most: 0.7 bytes of made-up values of five decimals."""


@dataclass(slots=True)
class Hours:
    """Makes hours as of `now_ms`; `wait` returns when the file may be held for so many seconds. `made` is of how many
    months of series, and `longest_s` how long the file was held at most."""

    place: Place
    now_ms: int
    wait: Callable[[float], None]
    made: int = 0
    longest_s: float = 0.0

    def make(self) -> None:
        """Make what is missing, or is not what the counted klines say, at the beginning of this: what others change
        meanwhile is left to the next run. Raises as `Place.alone`, and BadDatabase."""
        wanted = self._turn(partial(note_hours_to_make, now_ms=self.now_ms))
        for start in range(0, len(wanted), AT_ONCE):
            some = wanted[start : start + AT_ONCE]
            self._turn(partial(make_hours, wanted=some))
            self.made += len(some)
            time.sleep(FREE_S)

    def _turn(self, do: Callable[[duckdb.DuckDBPyConnection], Done]) -> Done:
        self.wait(TURN_S)

        def timed(connection: duckdb.DuckDBPyConnection) -> Done:
            began_s = time.monotonic()
            try:
                return do(connection)
            finally:
                self.longest_s = max(self.longest_s, time.monotonic() - began_s)

        return self.place.alone(time.monotonic() + WAIT_S, timed)


def klines_without_hours(connection: duckdb.DuckDBPyConnection, months: Iterable[Month], changed: Iterable[str]) -> int:
    """How many klines of a minute closed months have of which hours are to be made, about: of the attached database
    `live`, months that have `changed` and those of which a run has noted it."""
    sql = "SELECT coalesce(epoch_ms(max(hours_until)), 0) FROM live.counted"
    [(until_ms,)] = connection.execute(sql).fetchall()
    noted = {ms for (ms,) in connection.execute("SELECT DISTINCT epoch_ms(month) FROM live.hours_to_make").fetchall()}
    names = set(changed)
    return sum(
        month.counts[HOURS_OF.name]
        for month in months
        if month.window.end_ms > until_ms or month.window.start_ms in noted or month.name in names
    )
