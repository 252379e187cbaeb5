"""What has been wrong for a while, so that it is told once when it begins and once when it ends. `follow` is pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import duckdb

from klines.freshness import STALE
from klines.outcome import duration, names

TOLD_AFTER = {"ExchangeDown": 1, "Blocked": 1, "Degraded": 3, STALE: 1}
"""The kinds of incident: final states of runs, and symbols that are stale; each is told after so many runs in a row."""
ALWAYS_LOUD = ("ExchangeDown", "Blocked")
REACHED = ("Completed", "Degraded")
"""Final states of a run to which the exchange has answered."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What one run saw: its final state and message; the stale symbols, None if it did not come that far."""

    state: str
    message: str
    stale: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class Incident:
    """One kind of trouble of a market, seen by `runs` runs in a row; it goes on while `ended_ms` is None.

    `intervals` are those whose last run saw it, `symbols` all that were concerned since it began (none: all are). One
    that is `loud` deserves an alarm: a symbol's trouble is no news where an alarm goes on already.
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
    def is_told(self) -> bool:
        """Whether it has lasted long enough to be told."""
        return self.runs >= TOLD_AFTER[self.kind]

    @property
    def said(self) -> str:
        """What it is, or, when it has ended, that it is over."""
        if self.ended_ms is None:
            return f"{self.market}: {self.message}"
        lasted = duration(max(0, self.ended_ms - self.began_ms) / 1000)
        about = f" ({names(self.symbols)})" if self.symbols else ""
        return f"{self.market}: {self.kind} is over after {lasted}{about}"


@dataclass(slots=True)
class Followed:
    """What a run changes: the incidents to write, and of these the ones to tell the beginning and the end of."""

    changed: list[Incident] = field(default_factory=list)
    began: list[Incident] = field(default_factory=list)
    ended: list[Incident] = field(default_factory=list)


def follow(before: Sequence[Incident], market: str, interval: str, seen: Seen, now_ms: int) -> Followed:
    """What a run means for the incidents of its market that went on before it."""
    going_on = {it.kind: it for it in before}
    followed = Followed()
    for kind in TOLD_AFTER:
        was = going_on.get(kind)
        it = _next(was, market, interval, kind, seen, now_ms)
        if it is None or it == was:
            continue
        if it.is_told and not (was and was.is_told):
            is_news = not any(other.loud and other.ended_ms is None for other in going_on.values())
            it = replace(it, loud=is_news or kind in ALWAYS_LOUD)
            followed.began.append(it)
        if it.ended_ms is not None and it.is_told:
            followed.ended.append(it)
        followed.changed.append(it)
        going_on[kind] = it
    return followed


def _next(was: Incident | None, market: str, interval: str, kind: str, seen: Seen, now_ms: int) -> Incident | None:
    """The incident after the run; None where there is none."""
    is_on = _is_on(kind, seen, is_told=bool(was and was.is_told))
    if is_on is None:
        return was
    if not is_on:
        return was and _without(was, interval, now_ms)
    symbols = list(seen.stale or ()) if kind == STALE else []
    if was is None:
        return Incident(market, kind, [interval], symbols, now_ms, _said(kind, interval, seen))
    return replace(
        was,
        intervals=list(dict.fromkeys([*was.intervals, interval])),
        symbols=list(dict.fromkeys([*was.symbols, *symbols])),
        runs=was.runs + (interval == was.intervals[0]),
    )


def _without(was: Incident, interval: str, now_ms: int) -> Incident:
    """The incident when a run of `interval` does not see it any more: over, unless another interval still does."""
    left = [it for it in was.intervals if it != interval]
    return replace(was, intervals=left) if left else replace(was, ended_ms=now_ms)


def _is_on(kind: str, seen: Seen, *, is_told: bool) -> bool | None:
    """Whether the run saw it; None if it can't tell. Some states in a row are no row when another comes between."""
    if kind == STALE:
        return None if seen.stale is None else bool(seen.stale)
    if kind == seen.state:
        return True
    if kind == "Degraded":
        return False if seen.state == "Completed" or not is_told else None
    return False if seen.state in REACHED else None


def _said(kind: str, interval: str, seen: Seen) -> str:
    if kind != STALE:
        return f"{interval} is {seen.state}: {seen.message}"
    listed = list(seen.stale or ())
    return f"{len(listed)} symbols trade but have had no {interval} kline for 5 minutes: {names(listed)}"


def going_on(connection: duckdb.DuckDBPyConnection, market: str) -> list[Incident]:
    """The incidents of a market that have not ended."""
    rows = connection.execute(
        """SELECT market, kind, intervals, symbols, epoch_ms(began_at), message, runs, loud FROM incidents
           WHERE market = ? AND ended_at IS NULL ORDER BY began_at""",
        [market],
    ).fetchall()
    return [Incident(*row) for row in rows]


def write(connection: duckdb.DuckDBPyConnection, changed: Iterable[Incident]) -> None:
    """Enter the incidents, each in the place of itself as it was."""
    connection.begin()
    for it in changed:
        connection.execute(
            "DELETE FROM incidents WHERE market = ? AND kind = ? AND ended_at IS NULL", [it.market, it.kind]
        )
        connection.execute(
            """INSERT INTO incidents
               VALUES (?, ?, ?, ?, epoch_ms(?::BIGINT), epoch_ms(?::BIGINT), ?, ?, ?)""",
            [
                *(it.market, it.kind, list(it.intervals), list(it.symbols)),
                *(it.began_ms, it.ended_ms, it.runs, it.loud, it.message),
            ],
        )
    connection.commit()
