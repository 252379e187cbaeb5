"""The final state of a collect run and its message: in the contract's order of precedence. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from klines.errors import Stop, UnknownSymbol, Unreachable
from klines.outcome import NEXT_RUN, Outcome, Stored, add, counted, fail, names, reason


@dataclass(frozen=True, slots=True)
class CollectFacts:
    """What one run found: each symbol of `errors` failed, `stale` ones trade but lack a kline over 5 minutes old,
    `unclear` ones lack it, too, and nobody could say whether they trade, of `unasked` ones not even the newest page was
    asked for; `dropped` counts the entries of exchangeInfo that are no symbols, `unkept` the refused
    rows that were not kept; `left_out` symbols were collected until now. `shard` is the part of the market's symbols
    that it is about; empty: of all."""

    symbols: int
    seconds: float
    stored: Stored = field(default_factory=Stored)
    errors: Mapping[str, Exception] = field(default_factory=dict)
    late: Sequence[str] = ()
    stale: Sequence[str] = ()
    not_trading: Sequence[str] = ()
    quarantined: Sequence[str] = ()
    klines_left: int = 0
    stopped: Stop | None = None
    is_silent: bool = False
    unasked: Sequence[str] = ()
    unclear: Sequence[str] = ()
    dropped: int = 0
    unkept: int = 0
    shard: str = ""
    left_out: Sequence[str] = ()


def collect_outcome(facts: CollectFacts) -> Outcome:
    """The final state of a run that came to its end."""
    return replace(_judged(facts), numbers=_numbers(facts))


def _numbers(facts: CollectFacts) -> dict[str, float]:
    return {
        "symbols": facts.symbols,
        "stored": facts.stored.inserted,
        "restated": facts.stored.restated,
        "rejected": facts.stored.rejected + facts.unkept,
        "due": facts.klines_left,
        "failed": len(facts.errors),
        "late": len(facts.late),
        "stale": len(facts.stale),
        "seconds": round(facts.seconds, 3),
    }


def _judged(facts: CollectFacts) -> Outcome:
    unknown = sorted({*facts.quarantined, *(s for s, e in facts.errors.items() if isinstance(e, UnknownSymbol))})
    failed = {s: e for s, e in facts.errors.items() if s not in unknown and not isinstance(e, Stop)}
    said = _said(facts, failed, unknown)
    if facts.stopped:
        return add(fail(facts.stopped, NEXT_RUN), said)
    everybody_failed = len(failed) + len(unknown) == facts.symbols
    if failed and everybody_failed and all(isinstance(error, Unreachable) for error in failed.values()):
        return Outcome("ExchangeDown", f"Binance can't be reached: {_first(failed)}. {said}. {NEXT_RUN}")
    if facts.is_silent:
        of = f" of shard {facts.shard}" if facts.shard else ""
        return Outcome("ExchangeDown", f"no symbol{of} has a new kline for 5 minutes. {said}. {NEXT_RUN}")
    lacking = [*failed, *facts.stale, *facts.unclear, *facts.unasked]
    if lacking or (unknown and len(unknown) == facts.symbols):
        return Outcome("Degraded", f"{said}. {_advice(facts, lacking, unknown)}")
    return Outcome("Completed", said)


def _said(facts: CollectFacts, failed: Mapping[str, Exception], unknown: Sequence[str]) -> str:
    """`stored 597 klines of 600 symbols in 1.4 s; 3 late: …`: past-tense facts with their numbers."""
    stored = facts.stored
    parts = [
        f"stored {counted(stored.inserted, 'kline')} of {counted(facts.symbols, 'symbol')} in {facts.seconds:.1f} s"
    ]
    parts += [f"{stored.restated} restated"] if stored.restated else []
    parts += stored.refused(facts.unkept)
    parts += [f"{counted(facts.klines_left, 'older one')} still due"] if facts.klines_left else []
    parts += [f"{len(failed)} failed: {names(failed)} ({_first(failed)})"] if failed else []
    for what, listed in (
        ("trading without a kline for 5 minutes", facts.stale),
        ("without a kline for 5 minutes, and whether they trade could not be asked", facts.unclear),
        ("not asked for, as weight or time ran out", facts.unasked),
        ("published late", facts.late),
        ("not trading", facts.not_trading),
        ("unknown to Binance, asked again in an hour", unknown),
        ("no longer collected, whose klines stay", facts.left_out),
    ):
        parts += [f"{len(listed)} {what}: {names(listed)}"] if listed else []
    parts += [f"{facts.dropped:,} entries of exchangeInfo are no symbols, and left out"] if facts.dropped else []
    return "; ".join(parts)


def _advice(facts: CollectFacts, missing: Sequence[str], unknown: Sequence[str]) -> str:
    if missing:
        has_rest = len({*missing, *unknown}) < facts.symbols
        return f"The {'rest is stored; the ' if has_rest else ''}next run asks for these again."
    return f"Check the spelling: Binance knows none of {names(unknown)}."


def _first(failed: Mapping[str, Exception]) -> str:
    return reason(next(iter(failed.values())))
