"""After a run of collect: how fresh its symbols are, and what is entered of incidents, alarms and the schedule.

All of it raises DatabaseBusy where others hold the file for a second, unless it says otherwise: it is news alone, and
the next run tells it.
"""

from __future__ import annotations

import duckdb

from klines.collect.following import Following
from klines.collect.freshness import Freshness, Standing, freshness
from klines.collect.incidents import Followed, Seen
from klines.collect.run import Collect
from klines.collect.standings import all_standings, standings
from klines.collect.timeliness import Timeliness, timeliness
from klines.errors import UnknownSymbol
from klines.interval import MINUTE
from klines.outcome import Outcome, reason
from klines.tables.schedules import Schedule, note_schedule
from klines.tables.transaction import transaction

SCHEDULE_MS = 10 * MINUTE
"""So often is asked when the runs are due."""


class Review(Following):
    """Of a run that has ended, however that was."""

    def __init__(self, run: Collect) -> None:
        super().__init__(run, run.job.part)
        self.run = run
        self._shard = str(run.job.shard or "")

    def freshness(self) -> Freshness | None:
        """How fresh each of its symbols is now, by what is stored; of all that are wanted on and on, where the run did
        not come so far as to know its own. None where nothing is."""
        run, now_ms = self.run, self.run.exchange.now_ms()
        with run.opened_afterwards() as connection:
            if run.has_plan:
                found = self._standings(connection, now_ms)
            else:
                found = all_standings(connection, run.market, run.interval, now_ms, run.job.shard)
        return freshness(*run.market.key, run.interval, found, now_ms, self._shard) if found else None

    def _standings(self, connection: duckdb.DuckDBPyConnection, now_ms: int) -> list[Standing]:
        run = self.run
        unknown = [symbol for symbol, error in run.errors.items() if isinstance(error, UnknownSymbol)]
        return standings(
            connection,
            run.market,
            run.interval,
            run.newest_ms(),
            now_ms,
            unknown=[*run.quarantined, *unknown],
            why={symbol: reason(error) for symbol, error in run.errors.items()},
        )

    def timeliness(self) -> Timeliness:
        """How soon klines were stored in the last hour, of a shard its own."""
        run = self.run
        symbols = None if run.job.shard is None else run.job.symbols
        with run.opened_afterwards() as connection:
            now_ms = run.exchange.now_ms()
            return timeliness(connection, run.market, run.interval, now_ms, symbols, self._shard)

    def is_schedule_old(self) -> bool:
        """Whether nobody has entered for ten minutes when the runs of this shard are due."""
        if self.run.noted is None or not self.run.has_plan:
            return False
        entered_ms = self.run.noted.schedule_ms
        return entered_ms is None or self.run.exchange.now_ms() - entered_ms >= SCHEDULE_MS

    def note_schedule(self, schedule: Schedule) -> None:
        """Enter it."""
        run, now_ms = self.run, self.run.exchange.now_ms()

        def note(connection: duckdb.DuckDBPyConnection) -> None:
            with transaction(connection):
                note_schedule(connection, run.market, run.interval, schedule, run.asked, now_ms)

        run.change_afterwards(run.scope(notes=True), note)

    def follow(self, outcome: Outcome, known: Freshness | None) -> Followed:
        """Enter what the run means for the incidents of its market; nothing while others hold the file."""
        run = self.run
        came_far = run.is_done and run.has_plan and not run.exchange.budget.stopped
        failed = [*run.errors] if run.is_done else []
        seen = Seen(outcome.state, outcome.message, known.stale if known and came_far else None, failed)
        is_quiet = run.noted is not None and not run.noted.incidents and not run.noted.alarms_wait
        if outcome.is_completed and not seen.stale and is_quiet:
            return Followed()
        return self.enter(seen)
