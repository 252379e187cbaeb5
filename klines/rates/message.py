"""The final state of a run of funding rates, and its message. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from klines.clock import clock
from klines.errors import Stop, UnknownSymbol, Unreachable
from klines.outcome import RUN_AGAIN, Outcome, Stored, add, counted, fail, names, reason
from klines.rates.ledger import RatesSum


@dataclass(frozen=True, slots=True)
class FundingFacts:
    """What one run found. `sums` has each symbol of which anything is stored, each of `errors` failed, `empty` ones
    have no rate at all, `gone` ones are known to the archive alone, of `unasked` ones not all was asked for before the
    run's time was over; `troubles` are files of the archive, or listings, that could not be used, and why; `unkept`
    refused rows were counted only."""

    symbols: int
    seconds: float
    stored: Stored = field(default_factory=Stored)
    files: int = 0
    sums: Mapping[str, RatesSum] = field(default_factory=dict)
    errors: Mapping[str, Exception] = field(default_factory=dict)
    empty: Sequence[str] = ()
    gone: Sequence[str] = ()
    unasked: Sequence[str] = ()
    troubles: Sequence[str] = ()
    unkept: int = 0
    stopped: Stop | None = None


def funding_outcome(facts: FundingFacts) -> Outcome:
    """The final state of a run that came to its end."""
    return replace(_judged(facts), numbers=_numbers(facts))


def _total(facts: FundingFacts) -> RatesSum:
    """Of all symbols."""
    sums = facts.sums.values()
    return RatesSum(**{name: sum(getattr(one, name) for one in sums) for name in _COUNTED})


_COUNTED = ("expected", "stored", "explained", "unexplained")


def _numbers(facts: FundingFacts) -> dict[str, float]:
    total = _total(facts)
    return {
        "symbols": facts.symbols,
        "stored": facts.stored.inserted,
        "restated": facts.stored.restated,
        "rejected": facts.stored.rejected + facts.unkept,
        "files": facts.files,
        "failed": len(facts.errors),
        "expected": total.expected,
        "there": total.stored,
        "explained": total.explained,
        "unexplained": total.unexplained,
        "seconds": round(facts.seconds, 3),
    }


def _judged(facts: FundingFacts) -> Outcome:
    unknown = [symbol for symbol, error in facts.errors.items() if isinstance(error, UnknownSymbol)]
    failed = {s: e for s, e in facts.errors.items() if s not in unknown and not isinstance(e, Stop)}
    said = _said(facts, failed, unknown)
    if facts.stopped:
        return add(fail(facts.stopped), said)
    if (
        failed
        and len(failed) + len(unknown) == facts.symbols
        and all(isinstance(error, Unreachable) for error in failed.values())
    ):
        return Outcome("ExchangeDown", f"Binance can't be reached: {_first(failed)}. {said}. {RUN_AGAIN}")
    lacking = any(one.unexplained for one in facts.sums.values())
    if failed or facts.unasked or lacking:
        return Outcome("Degraded", f"{said}. {RUN_AGAIN}")
    if len(unknown) + len(facts.empty) == facts.symbols:
        return Outcome("Degraded", f"{said}. Check the spelling, and the market.")
    return Outcome("Completed", said)


def _said(facts: FundingFacts, failed: Mapping[str, Exception], unknown: Sequence[str]) -> str:
    """Past-tense facts with their numbers: `stored 3 funding rates of 3 symbols in 0.4 s; of 9,120 expected …`."""
    stored, total = facts.stored, _total(facts)
    rates = counted(stored.inserted, "funding rate")
    parts = [f"stored {rates} of {counted(facts.symbols, 'symbol')} in {facts.seconds:.1f} s"]
    parts += [f"{counted(facts.files, 'monthly file')} of the archive"] if facts.files else []
    parts += [f"{stored.restated} restated"] if stored.restated else []
    parts += stored.refused(facts.unkept)
    parts += [
        f"of {total.expected:,} expected {total.stored:,} are stored, {total.explained:,} explained, "
        f"{total.unexplained:,} unexplained"
    ]
    parts += [f"{len(failed)} failed: {names(failed)} ({_first(failed)})"] if failed else []
    for what, listed in (
        ("lack a rate, and nobody could say why", [_lack(*one) for one in facts.sums.items() if one[1].unexplained]),
        ("not asked for all that lacks, as time ran out", facts.unasked),
        ("without a rate so far", facts.empty),
        ("from the archive alone, as REST knows them no more", facts.gone),
        ("unknown to Binance", unknown),
    ):
        parts += [f"{len(listed)} {what}: {names(listed)}"] if listed else []
    parts += [f"{len(facts.troubles)} of the archive not used: {names(facts.troubles)}"] if facts.troubles else []
    return "; ".join(parts)


def _lack(symbol: str, found: RatesSum) -> str:
    """`BTCUSDT 2 since 2026-01-02 08:00`."""
    since = "" if found.first_unexplained_ms is None else f" since {clock(found.first_unexplained_ms)}"
    return f"{symbol} {found.unexplained:,}{since}"


def _first(failed: Mapping[str, Exception]) -> str:
    return reason(next(iter(failed.values())))
