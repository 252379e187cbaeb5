"""The table `incidents`: what was wrong with a market for a while."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import duckdb

from klines.clock import duration
from klines.market import Market
from klines.outcome import names


@dataclass(frozen=True, slots=True)
class Incident:
    """One kind of trouble of a market, seen by `runs` runs in a row; it goes on while `ended_ms` is None.

    `intervals` are those whose last run saw it, of a shard `1m 3/10`, `symbols` all that were concerned since it began
    (none: all may be). One that is `loud` deserves an alarm: what another alarm that goes on has told of is no news.
    """

    market: str
    kind: str
    intervals: Sequence[str]
    symbols: Sequence[str]
    began_ms: int
    message: str
    runs: int = 1
    loud: bool = False
    ended_ms: int | None = None

    @property
    def said(self) -> str:
        """What it is, or, when it has ended, that it is over."""
        if self.ended_ms is None:
            return f"{self.market}: {self.message}"
        lasted = duration(max(0, self.ended_ms - self.began_ms) / 1000)
        about = f" ({names(self.symbols)})" if self.symbols else ""
        return f"{self.market}: {self.kind} is over after {lasted}{about}"


def going_on(connection: duckdb.DuckDBPyConnection, market: Market) -> list[Incident]:
    """The incidents of a market that have not ended."""
    rows = connection.execute(
        """SELECT market, kind, intervals, symbols, epoch_ms(began_at), message, runs, loud FROM incidents
           WHERE market = ? AND ended_at IS NULL ORDER BY began_at""",
        [market.name],
    ).fetchall()
    return [Incident(*row) for row in rows]


def write_incidents(connection: duckdb.DuckDBPyConnection, changed: Iterable[Incident]) -> None:
    """Enter the incidents, each in the place of itself as it was. Part of the caller's transaction."""
    for incident in changed:
        connection.execute(
            "DELETE FROM incidents WHERE market = ? AND kind = ? AND ended_at IS NULL",
            [incident.market, incident.kind],
        )
        connection.execute(
            """INSERT INTO incidents
               VALUES (?, ?, ?, ?, epoch_ms(?::BIGINT), epoch_ms(?::BIGINT), ?, ?, ?)""",
            [
                *(incident.market, incident.kind, list(incident.intervals), list(incident.symbols)),
                *(incident.began_ms, incident.ended_ms, incident.runs, incident.loud, incident.message),
            ],
        )
