"""The final state of a backfill and its message, from what happened. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from klines.errors import KlinesError, Stop, UnknownSymbol, Unreachable
from klines.outcome import RUN_AGAIN, Outcome, Stored, add, counted, fail, names, reason
from klines.window import Window, merge


@dataclass(slots=True)
class Account:
    """What happened to a run's files, for its message: how many were loaded and not verified, which could not be used,
    or only in part, and why; how many refused rows were not kept; the days of files that differ from 1d klines; and the
    slots that such days, or files that could not be used, have or may have."""

    monthly: int = 0
    daily: int = 0
    unverified: int = 0
    troubles: list[str] = field(default_factory=list)
    partly: list[str] = field(default_factory=list)
    unkept: int = 0
    doubted: dict[str, set[Window]] = field(default_factory=dict)
    claimed: dict[str, list[Window]] = field(default_factory=dict)

    def doubt(self, symbol: str, days: Sequence[Window], slots: Sequence[Window]) -> None:
        """Note days on which a file disagrees with the exchange's 1d kline, and which of their slots the file has."""
        if days:
            self.doubted.setdefault(symbol, set()).update(days)
            self.claim(symbol, slots)

    def claim(self, symbol: str, slots: Sequence[Window]) -> None:
        """Note slots of which a file has klines, or may have, that were not taken from it."""
        if slots:
            self.claimed[symbol] = merge([*self.claimed.get(symbol, []), *slots])


@dataclass(frozen=True, slots=True)
class BackfillFacts:
    """What one backfill found; klines are counted in slots. `failed` has an error for each part that failed, by name;
    `doubted` the days whose stored klines do not add up to the exchange's own 1d kline; `contested` klines are not
    stored, as REST has none, though the archive has, or has a file that could not be used; `nearest` are the symbols
    that are spelt most like the unknown ones."""

    symbols: int
    wanted: int
    left: int
    seconds: float
    stored: Stored
    files: Account
    is_from_archive: bool = False
    is_refresh: bool = False
    failed: Mapping[str, Exception] = field(default_factory=dict)
    unknown: Sequence[str] = ()
    stale: Sequence[str] = ()
    not_trading: Sequence[str] = ()
    doubted: Sequence[str] = ()
    contested: int = 0
    unchecked: KlinesError | None = None
    stopped: Stop | None = None
    nearest: Sequence[str] = ()


def backfill_outcome(facts: BackfillFacts) -> Outcome:
    """The final state of a backfill that came to its end."""
    return replace(_judged(facts), numbers=_numbers(facts))


def _judged(facts: BackfillFacts) -> Outcome:
    said = _said(facts)
    if facts.stopped:
        return add(fail(facts.stopped), said)
    errors = [error for error in facts.failed.values() if not isinstance(error, UnknownSymbol)]
    if errors and not facts.stored.inserted and all(isinstance(error, Unreachable) for error in errors):
        return Outcome("ExchangeDown", f"Binance can't be reached: {reason(errors[0])}. {said}. {RUN_AGAIN}")
    advice = []
    if errors or facts.stale or facts.contested or (facts.left and not facts.is_from_archive):
        advice.append("Run it again: only what is missing is fetched.")
    elif facts.left:
        advice.append("The archive has a day some hours after it; what it never has comes with --source auto.")
    if facts.unknown:
        near = f"; the nearest are {names(facts.nearest)}" if facts.nearest else ""
        advice.append(f"Check the spelling: Binance knows none of {names(facts.unknown)}{near}.")
    return Outcome("Degraded", f"{said}. {' '.join(advice)}") if advice else Outcome("Completed", said)


def _numbers(facts: BackfillFacts) -> dict[str, float]:
    return {
        "symbols": facts.symbols,
        "wanted": facts.wanted,
        "stored": facts.stored.inserted,
        "restated": facts.stored.restated,
        "rejected": facts.stored.rejected + facts.files.unkept,
        "due": facts.left,
        "monthly_files": facts.files.monthly,
        "daily_files": facts.files.daily,
        "failed": len(facts.failed),
        "unknown": len(facts.unknown),
        "seconds": round(facts.seconds, 3),
    }


def _said(facts: BackfillFacts) -> str:
    stored, files = facts.stored, facts.files
    parts = [
        f"stored {counted(stored.inserted, 'kline')} of {counted(facts.symbols, 'symbol')} in {facts.seconds:.1f} s"
    ]
    absent = facts.wanted - facts.left - facts.contested - stored.inserted
    parts += [f"{stored.restated:,} restated"] if stored.restated else []
    parts += stored.refused(files.unkept)
    parts += [f"{absent:,} that Binance does not have, see gaps"] if absent > 0 and not facts.is_refresh else []
    parts += [_files(facts)] if files.monthly or files.daily else []
    if facts.left:
        where = "not in the archive, " if facts.is_from_archive else ""
        parts += [f"{facts.left:,} {where}still due"]
    if facts.contested:
        parts += [f"{counted(facts.contested, 'kline')} that REST does not have, but the archive may: not stored"]
    if facts.failed:
        parts += [f"{len(facts.failed)} failed: {names(facts.failed)} ({reason(next(iter(facts.failed.values())))})"]
    for what, listed in (
        ("trading without a kline for 5 minutes", facts.stale),
        ("no longer trading", facts.not_trading),
        ("unknown to Binance", facts.unknown),
    ):
        parts += [f"{len(listed)} {what}: {names(listed)}"] if listed else []
    for thing, what, named in (
        ("file", "that could not be used", files.troubles),
        ("file", "used in part", files.partly),
        ("day", "differing from Binance's own 1d kline", facts.doubted),
    ):
        parts += [f"{counted(len(named), thing)} {what}: {names(named)}"] if named else []
    return "; ".join(parts)


def _files(facts: BackfillFacts) -> str:
    files = facts.files
    loaded = f"{files.monthly:,} monthly and {files.daily:,} daily files"
    if not files.unverified:
        return f"{loaded}, their days checked against 1d klines"
    why = f" ({reason(facts.unchecked)})" if facts.unchecked else ""
    return f"{loaded}, {files.unverified} of them not checked against 1d klines{why}"
