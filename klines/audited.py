"""The final state of an audit and its message, from what happened. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from klines.certificate import Finding
from klines.outcome import Outcome, names

WORST = ("Blocked", "RateLimited", "ExchangeDown", "DatabaseBusy", "Failed", "Degraded")
"""States that a part of an audit can end in, worst first."""


@dataclass(frozen=True, slots=True)
class Part:
    """What became of one market and interval."""

    name: str
    outcome: Outcome
    agreeing: int = 0
    corrected: int = 0
    disputed: Sequence[str] = ()
    troubles: Sequence[str] = ()
    added: int = 0


def conclude(parts: Sequence[Part], rows: Sequence[Mapping[str, Any]], found: Sequence[Finding]) -> Outcome:
    """The final state: the worst of the parts', and what the whole file is like now."""
    said = summary(parts, rows, found)
    failed = sorted((it for it in parts if not it.outcome.is_completed), key=_rank)
    if failed:
        return Outcome(failed[0].outcome.state, f"{failed[0].name}: {failed[0].outcome.message} {said}.")
    return Outcome("Completed", said)


def _rank(part: Part) -> int:
    return WORST.index(part.outcome.state) if part.outcome.state in WORST else 0


def summary(parts: Sequence[Part], rows: Sequence[Mapping[str, Any]], found: Sequence[Finding]) -> str:
    """`audited 12 series: of 5,256,000 klines 5,255,120 are stored, 880 explained, 0 unexplained; …`."""
    expected, stored, unexplained = (sum(row[name] for row in rows) for name in ("expected", "stored", "unexplained"))
    said = [
        f"audited {len(rows)} series: of {expected:,} klines {stored:,} are stored, "
        f"{expected - stored - unexplained:,} explained, {unexplained:,} unexplained"
    ]
    reasons = ("exchange_outage", "exchange_hole", "not_listed", "delisted", "rejected")
    counts = {name: sum(row[name] for row in rows) for name in reasons}
    said += [", ".join(f"{name} {count:,}" for name, count in counts.items() if count)] if any(counts.values()) else []
    corrected, agreeing = sum(it.corrected for it in parts), sum(it.agreeing for it in parts)
    disputed = [name for it in parts for name in it.disputed]
    troubles = [name for it in parts for name in it.troubles]
    said += [f"{agreeing:,} daily files agree with what was collected live"] if agreeing else []
    said += [f"{corrected:,} klines corrected, as two of three sources agree"] if corrected else []
    added = sum(it.added for it in parts)
    said += [f"{added:,} more klines from the archive, before or between those that were stored"] if added else []
    said += [f"{len(disputed)} disputed, kept as stored: {names(disputed)}"] if disputed else []
    said += [f"{len(troubles)} files could not be compared: {names(troubles)}"] if troubles else []
    said += [f"{it.count:,} × {it.name}: {', '.join(it.examples[:3])}" for it in found]
    return "; ".join(said)
