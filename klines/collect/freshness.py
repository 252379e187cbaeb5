"""How fresh symbols are, in words. Pure; no clock. What decides it is the macro `freshness_of` of views.sql."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from klines.clock import clock_s
from klines.interval import Interval
from klines.market import series_name
from klines.outcome import counted, names

FRESH, LATE, STALE, SILENT, UNKNOWN = "fresh", "late", "stale", "not trading", "unknown"
"""All that is due is stored; some is not; that closed over 5 minutes ago, while it trades; the exchange has none; the
exchange does not know the symbol."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One symbol: its state, the open time of the first kline that it lacks, and the error of its last request."""

    symbol: str
    state: str
    lacks_from_ms: int | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Freshness:
    """Symbols at a time, worst first; of a shard it says which, as in `3/10`."""

    market: str
    kind: str
    interval: str
    standings: Sequence[Standing]
    at_ms: int
    shard: str = ""

    def of(self, *states: str) -> list[Standing]:
        """Those in one of the states."""
        return [standing for standing in self.standings if standing.state in states]

    @property
    def stale(self) -> list[str]:
        """The symbols that trade but have had no kline for 5 minutes."""
        return [standing.symbol for standing in self.of(STALE)]

    @property
    def said(self) -> str:
        """`spot 1m: 597 of 600 symbols are fresh; 2 late: …; 1 stale: …`; of a shard `spot 1m 3/10: …`."""
        whole = len(self.standings) - len(self.of(SILENT, UNKNOWN))
        are = "is" if whole == 1 else "are"
        about = " ".join(filter(None, (series_name(self.market, self.kind, self.interval), self.shard)))
        parts = [f"{about}: {len(self.of(FRESH))} of {counted(whole, 'symbol')} {are} fresh"]
        for state in (STALE, LATE, UNKNOWN, SILENT):
            listed = [standing.symbol for standing in self.of(state)]
            parts += [f"{len(listed)} {state}: {names(listed)}"] if listed else []
        return "; ".join(parts)

    @property
    def told(self) -> str:
        """`2026-11-24 07:31:08 UTC: spot 1m: …`, which stays true."""
        return f"{clock_s(self.at_ms)} UTC: {self.said}"

    @property
    def is_well(self) -> bool:
        """Whether every symbol that trades is fresh."""
        return not self.of(LATE, STALE)


_WORST_FIRST = (STALE, LATE, UNKNOWN, SILENT, FRESH)


def freshness(
    market: str, kind: str, interval: Interval, standings: Sequence[Standing], at_ms: int, shard: str = ""
) -> Freshness:
    """The standings at `at_ms`, worst first; those of a state by how far they are behind."""
    ordered = sorted(
        standings,
        key=lambda standing: (_WORST_FIRST.index(standing.state), standing.lacks_from_ms or 0, standing.symbol),
    )
    return Freshness(market, kind, interval.name, ordered, at_ms, shard)
