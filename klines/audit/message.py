"""The final state of an audit and its message, from what happened. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from klines.backfill.chunks import Work
from klines.clock import duration
from klines.market import FUNDING
from klines.outcome import Outcome, counted, names

WORST = ("Blocked", "RateLimited", "ExchangeDown", "DatabaseBusy", "Failed", "Degraded")
"""States that a part of an audit can end in, worst first."""
UNEXPLAINED = "See gaps: what is due is fetched by the next audit, what is unresolved is asked about at its next_check."


@dataclass(frozen=True, slots=True)
class Finding:
    """What a query of quality.sql found among the klines of some days: how often, and the first of them as
    `BTCUSDT 1m 2018-02-08 00:28 (detail)`."""

    name: str
    count: int
    examples: Sequence[str]
    days: str


@dataclass(frozen=True, slots=True)
class Offer:
    """What lies between the ranges of some series, which nobody wants, what it would cost to want that, too, and the
    command that does so."""

    symbols: int
    work: Work
    seconds: float
    command: str

    @property
    def said(self) -> str:
        """`1,234,567 klines lie between, of 1 symbol, …, and are wanted by nobody: klines wanted … wants them`."""
        cost = (
            f"{self.work.monthly:,} monthly and {self.work.daily:,} daily files, about {self.work.megabytes:,.0f} MB, "
            f"weight {self.work.weight:,}, at least {duration(self.seconds)}"
        )
        return (
            f"{counted(self.work.klines, 'kline')} of {counted(self.symbols, 'symbol')} lie between what is wanted "
            f"({cost}), and were not fetched: `{self.command}` wants them"
        )


@dataclass(frozen=True, slots=True)
class SeriesOutcome:
    """What became of one market and interval; of each symbol of `unexplained` so many klines are neither stored nor
    explained, but for those that are only late. `fetched` klines were missing and are stored now; `refused` are the
    files of the archive that were not used for that, or only in part, and why; `outvoted` those with klines that are
    neither stored nor what REST gives; `offer` is about what lies between the ranges that are wanted."""

    name: str
    outcome: Outcome
    agreeing: int = 0
    corrected: int = 0
    disputed: Sequence[str] = ()
    troubles: Sequence[str] = ()
    added: int = 0
    unexplained: Mapping[str, int] = field(default_factory=dict)
    fetched: int = 0
    refused: Sequence[str] = ()
    outvoted: Sequence[str] = ()
    offer: Offer | None = None


def audit_outcome(
    parts: Sequence[SeriesOutcome], rows: Sequence[Mapping[str, Any]], found: Sequence[Finding]
) -> Outcome:
    """The final state: the worst of the parts', and what the whole file is like now."""
    said = summary(parts, rows, found)
    failed = sorted((part for part in parts if not part.outcome.is_completed), key=_rank)
    if failed:
        return Outcome(failed[0].outcome.state, f"{failed[0].name}: {failed[0].outcome.message} {said}.")
    if any(part.unexplained for part in parts):
        return Outcome("Degraded", f"{said}. {UNEXPLAINED}")
    return Outcome("Completed", said)


def audit_plan(parts: Sequence[SeriesOutcome]) -> Outcome:
    """The final state of an audit that only says what it would do: of each market and interval what a backfill says."""
    said = "; ".join(
        f"{part.name}: {part.outcome.message}" + (f"; {part.offer.said}" if part.offer else "") for part in parts
    )
    failed = sorted((part for part in parts if not part.outcome.is_completed), key=_rank)
    numbers: Counter[str] = Counter()
    for part in parts:
        numbers.update(part.outcome.numbers)
    return Outcome(failed[0].outcome.state if failed else "Completed", said or "nothing is wanted yet", numbers)


def _rank(part: SeriesOutcome) -> int:
    return WORST.index(part.outcome.state) if part.outcome.state in WORST else 0


def summary(parts: Sequence[SeriesOutcome], rows: Sequence[Mapping[str, Any]], found: Sequence[Finding]) -> str:
    """`audited 12 series: of 5,256,000 klines 5,255,120 are stored, 880 explained, 0 unexplained; …`. What the
    certificate has of funding rates is told by their own runs."""
    rows = [row for row in rows if row["kind"] != FUNDING.name]
    expected, stored, unexplained = (sum(row[name] for row in rows) for name in ("expected", "stored", "unexplained"))
    said = [
        f"audited {len(rows)} series: of {counted(expected, 'kline')} {stored:,} are stored, "
        f"{expected - stored - unexplained:,} explained, {unexplained:,} unexplained"
    ]
    fetched, refused = sum(part.fetched for part in parts), [name for part in parts for name in part.refused]
    said += [f"{counted(fetched, 'kline')} fetched"] if fetched else []
    said += (
        [f"{counted(len(refused), 'file')} that could not be used, or only in part: {names(refused)}"]
        if refused
        else []
    )
    lacking = [f"{symbol} {count:,}" for part in parts for symbol, count in part.unexplained.items()]
    said += [f"nobody could say why these are missing: {names(lacking)}"] if lacking else []
    reasons = ("exchange_outage", "exchange_hole", "not_listed", "delisted", "rejected")
    counts = {name: sum(row[name] for row in rows) for name in reasons}
    said += [", ".join(f"{name} {count:,}" for name, count in counts.items() if count)] if any(counts.values()) else []
    corrected, agreeing = sum(part.corrected for part in parts), sum(part.agreeing for part in parts)
    disputed = [name for part in parts for name in part.disputed]
    troubles = [name for part in parts for name in part.troubles]
    agree = "agrees" if agreeing == 1 else "agree"
    said += [f"{counted(agreeing, 'daily file')} {agree} with what was collected live"] if agreeing else []
    said += [f"{counted(corrected, 'kline')} corrected, as two of three sources agree"] if corrected else []
    added = sum(part.added for part in parts)
    said += (
        [f"{counted(added, 'more kline')} from the archive, before or between those that were stored"] if added else []
    )
    said += [f"{len(disputed)} disputed, kept as stored: {names(disputed)}"] if disputed else []
    outvoted = [name for part in parts for name in part.outvoted]
    said += (
        [f"{counted(len(outvoted), 'file')} with klines that REST does not confirm, not taken: {names(outvoted)}"]
        if outvoted
        else []
    )
    said += [f"{counted(len(troubles), 'file')} not compared: {names(troubles)}"] if troubles else []
    said += [part.offer.said for part in parts if part.offer]
    said += [
        f"{finding.count:,} × {finding.name} in {finding.days}: {', '.join(finding.examples[:3])}" for finding in found
    ]
    return "; ".join(said)
