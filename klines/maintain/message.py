"""The final state of maintenance and its message, from what happened. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from klines.maintain.plan import span
from klines.outcome import Outcome, counted


@dataclass(frozen=True, slots=True)
class MaintainFacts:
    """What maintenance found and did: months that were put in order by name, klines that were moved for that within the
    file, slots with one kline and with more; whether amounts became decimals, how many klines may have one that is not
    Binance's, how many days had another number of klines in the table daily_counts, and of how many months of series
    hours were made."""

    reclustered: Sequence[str]
    is_replaced: bool
    klines: int
    proved: int
    bytes_before: int
    bytes_after: int
    pruned: int
    doubles: int
    examples: Sequence[str]
    seconds: float
    held_s: float
    brought_over: bool = False
    doubtful: int = 0
    miscounted: int = 0
    moved: int = 0
    hours: int = 0


def maintain_outcome(facts: MaintainFacts) -> Outcome:
    """Completed, or Degraded where slots have more than one kline."""
    if not facts.doubles:
        return Outcome("Completed", _said(facts), _numbers(facts))
    more = facts.doubles - len(facts.examples)
    named = ", ".join(facts.examples) + (f" and {more:,} more" if more else "")
    advice = "None was deleted: compare them in the table klines, and delete the wrong ones"
    return Outcome(
        "Degraded",
        f"{counted(facts.doubles, 'slot')} with more than one kline: {named}. {advice}. {_said(facts)}.",
        _numbers(facts),
    )


def _numbers(facts: MaintainFacts) -> dict[str, float]:
    return {
        "klines": facts.klines,
        "proved": facts.proved,
        "doubles": facts.doubles,
        "months_ordered": len(facts.reclustered),
        "moved": facts.moved,
        "hours": facts.hours,
        "rejects": facts.pruned,
        "before_mb": round(facts.bytes_before / 1e6, 3),
        "after_mb": round(facts.bytes_after / 1e6, 3),
        "held_s": round(facts.held_s, 3),
        "seconds": round(facts.seconds, 3),
    }


def _said(facts: MaintainFacts) -> str:
    """`re-clustered 5 months of 2026-06 to 2026-10; 100,254,500 klines in 4,174.9 → 1,764.8 MB, …`."""
    parts = [_reclustered(facts), _size(facts)]
    parts += [f"{counted(facts.proved, 'slot')} proved unique, {counted(facts.pruned, 'reject')} pruned"]
    parts += (
        [f"the counts of {counted(facts.miscounted, 'day')} were wrong, and are right now"] if facts.miscounted else []
    )
    parts += [f"made the hours of {counted(facts.hours, 'month')} of series"] if facts.hours else []
    parts += _exactness(facts)
    parts += [f"took {facts.seconds:.0f} s, the file was held for {facts.held_s:.1f} s at most"]
    return "; ".join(parts)


def _exactness(facts: MaintainFacts) -> list[str]:
    """What became of amounts that were doubles."""
    brought = ["amounts are decimals now"] if facts.brought_over else []
    advice = "`klines status` says how to fetch them anew"
    doubt = f"{counted(facts.doubtful, 'kline')} may not have Binance's last digits: {advice}"
    return [*brought, doubt] if facts.doubtful else brought


def _reclustered(facts: MaintainFacts) -> str:
    months = facts.reclustered
    if facts.moved:
        return f"put {counted(facts.moved, 'kline')} of {span(months)} in order within the file"
    if not facts.is_replaced:
        return "nothing to do: every closed month is clustered"
    if not months and facts.brought_over:
        return "copied every month"
    if not months:
        return "compacted, every closed month was clustered"
    if len(months) == 1:
        return f"re-clustered {span(months)}"
    return f"re-clustered {len(months)} months of {span(months)}"


def _size(facts: MaintainFacts) -> str:
    is_changed = facts.is_replaced or facts.moved
    before = f"{facts.bytes_before / 1e6:,.1f} → " if is_changed else ""
    a_kline = f", {facts.bytes_after / facts.klines:.1f} bytes a kline" if facts.klines else ""
    return f"{counted(facts.klines, 'kline')} in {before}{facts.bytes_after / 1e6:,.1f} MB{a_kline}"
