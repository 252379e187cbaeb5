"""The final state of a run and its message, from what happened: in the contract's order of precedence. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from klines.errors import (
    Blocked,
    DatabaseBusy,
    ExchangeDown,
    KlinesError,
    Later,
    RateLimited,
    Retry,
    Stop,
    UnknownSymbol,
    Unreachable,
)
from klines.store import Stored

NAMED = 20
"""How many symbols a message names at most."""
GEO_ADVICE = (
    "Binance does not serve this place. Spot: set KLINES_SPOT_URL=https://data-api.binance.vision; "
    "futures: let KLINES_USDM_URL or KLINES_COINM_URL name a proxy in a place that it serves."
)
STATES: dict[type[KlinesError], str] = {
    Blocked: "Blocked",
    RateLimited: "RateLimited",
    ExchangeDown: "ExchangeDown",
    Retry: "ExchangeDown",
    Later: "ExchangeDown",
    DatabaseBusy: "DatabaseBusy",
}
"""The state that an error which ends a run leaves behind; any other error is a plain Failed."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A final state: Completed, or a failure with this name; the message is for people."""

    state: str
    message: str

    @property
    def is_completed(self) -> bool:
        """Whether everything due is stored, as far as the exchange has it."""
        return self.state == "Completed"


@dataclass(frozen=True, slots=True)
class Facts:
    """What one run found: each symbol of `errors` failed, `stale` ones trade but lack a kline over 5 minutes old,
    of `unasked` ones not even the newest page was asked for."""

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


def conclude(facts: Facts) -> Outcome:
    """The final state of a run that came to its end."""
    unknown = sorted({*facts.quarantined, *(s for s, e in facts.errors.items() if isinstance(e, UnknownSymbol))})
    failed = {s: e for s, e in facts.errors.items() if s not in unknown and not isinstance(e, Stop)}
    said = _said(facts, failed, unknown)
    if facts.stopped:
        return add(fail(facts.stopped), said)
    everybody_failed = len(failed) + len(unknown) == facts.symbols
    if failed and everybody_failed and all(isinstance(error, Unreachable) for error in failed.values()):
        return Outcome("ExchangeDown", f"Binance can't be reached: {_first(failed)}. {said}. The next run tries again.")
    if facts.is_silent:
        return Outcome("ExchangeDown", f"no symbol has a new kline for 5 minutes. {said}. The next run tries again.")
    if failed or facts.stale or facts.unasked or (unknown and len(unknown) == facts.symbols):
        return Outcome("Degraded", f"{said}. {_advice([*failed, *facts.stale, *facts.unasked], unknown)}")
    return Outcome("Completed", said)


def fail(error: KlinesError) -> Outcome:
    """The final state of a run that `error` ended."""
    state = next((name for kind, name in STATES.items() if isinstance(error, kind)), "Failed")
    return Outcome(state, f"{str(error).rstrip('.')}. {_next_step(error)}".strip())


def _next_step(error: KlinesError) -> str:
    if isinstance(error, RateLimited):
        until = datetime.fromtimestamp(error.until_ms / 1000, UTC)
        return f"No request is made before {until:%Y-%m-%d %H:%M:%S} UTC; then collecting goes on by itself."
    if isinstance(error, Blocked) and "HTTP 451" in str(error):
        return GEO_ADVICE
    if isinstance(error, Blocked):
        return "Binance's firewall refuses this address; it is asked again after 5 minutes, doubling up to 6 hours."
    return "The next run tries again." if isinstance(error, ExchangeDown | Retry | Later) else ""


def add(outcome: Outcome, said: str) -> Outcome:
    """The outcome of a run that was stopped, with what it had done before."""
    return Outcome(outcome.state, f"{outcome.message} Before that: {said}.")


def _said(facts: Facts, failed: Mapping[str, Exception], unknown: Sequence[str]) -> str:
    """`stored 597 klines of 600 symbols in 1.4 s; 3 late: …`: past-tense facts with their numbers."""
    stored = facts.stored
    parts = [f"stored {stored.inserted:,} klines of {facts.symbols} symbols in {facts.seconds:.1f} s"]
    parts += [f"{stored.restated} restated"] if stored.restated else []
    parts += [f"{stored.rejected} rejected"] if stored.rejected else []
    parts += [f"{facts.klines_left:,} older ones still due"] if facts.klines_left else []
    parts += [f"{len(failed)} failed: {names(failed)} ({_first(failed)})"] if failed else []
    for what, listed in (
        ("trade but have no kline for 5 minutes", facts.stale),
        ("not asked for, as weight or time ran out", facts.unasked),
        ("published late", facts.late),
        ("not trading", facts.not_trading),
        ("unknown to Binance, asked again in an hour", unknown),
    ):
        parts += [f"{len(listed)} {what}: {names(listed)}"] if listed else []
    return "; ".join(parts)


def _advice(missing: Sequence[str], unknown: Sequence[str]) -> str:
    if missing:
        return "The rest is stored; the next run asks for these again."
    return f"Check the spelling: Binance knows none of {names(unknown)}."


def _first(failed: Mapping[str, Exception]) -> str:
    return reason(next(iter(failed.values())))


def duration(seconds: float) -> str:
    """`12 s`, `3 min`, `2 h 5 min`."""
    if seconds < 100:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def clock(ms: int) -> str:
    """`2026-11-24 07:31`, in UTC."""
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M}"


def reason(error: Exception) -> str:
    """Why something failed: our errors are sentences, of others the kind is said."""
    return str(error).rstrip(".") if isinstance(error, KlinesError) else f"unexpected {type(error).__name__}: {error}"


def names(listed: Sequence[str] | Mapping[str, object]) -> str:
    """At most NAMED of them, and how many more there are."""
    more = len(listed) - NAMED
    return ", ".join(list(listed)[:NAMED]) + (f" and {more} more" if more > 0 else "")
