"""A run's final state and its message, and the words that all messages share. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from reprlib import Repr
from typing import Any

from klines.errors import Blocked, DatabaseBusy, ExchangeDown, KlinesError, Later, NoRoom, RateLimited, Retry

NAMED = 20
"""How many symbols a message names at most."""
GEO_ADVICE = (
    "Binance does not serve this place. Spot: set KLINES_SPOT_URL=https://data-api.binance.vision; "
    "futures: let KLINES_USDM_URL or KLINES_COINM_URL name a proxy in a place that it serves."
)
NEXT_RUN = "The next run goes on by itself."
"""After a run of a flow that has a schedule of a minute or so."""
RUN_AGAIN = "Run it again later: what is stored stays, and only what is missing is fetched."
"""After one that was asked for, or has a schedule of a day."""
REDO = "Run it again later."
"""After one that fetches nothing."""
UNBAN = "If this machine has another address now, `klines unban` lets the next run ask at once."
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
    """A final state: Completed, or a failure with this name; the message is for people, `numbers` for programs."""

    state: str
    message: str
    numbers: Mapping[str, float] = field(default_factory=dict, compare=False)

    @property
    def is_completed(self) -> bool:
        """Whether everything due is stored, as far as the exchange has it."""
        return self.state == "Completed"


def fail(error: KlinesError, again: str = RUN_AGAIN) -> Outcome:
    """The final state of a run that `error` ended; `again` says what comes after a run of its kind."""
    state = next((name for kind, name in STATES.items() if isinstance(error, kind)), "Failed")
    return Outcome(state, f"{str(error).rstrip('.')}. {next_step(error, again)}".strip())


def next_step(error: KlinesError, again: str = "") -> str:
    """What heals by itself after an error that ended a run, or what to do; empty where the error says it."""
    if isinstance(error, RateLimited):
        until = datetime.fromtimestamp(error.until_ms / 1000, UTC)
        return f"No request is made before {until:%Y-%m-%d %H:%M:%S} UTC. {again} {UNBAN}".replace("  ", " ")
    if isinstance(error, Blocked) and "HTTP 451" in str(error):
        return GEO_ADVICE
    if isinstance(error, Blocked):
        pause = "for 5 minutes, doubling up to 6 hours, no run asks"
        return f"Binance's firewall refuses this address; {pause}. {again} {UNBAN}".replace("  ", " ")
    return again if isinstance(error, ExchangeDown | Retry | Later | DatabaseBusy | NoRoom) else ""


def add(outcome: Outcome, said: str) -> Outcome:
    """The outcome of a run that was stopped, with what it had done before."""
    return Outcome(outcome.state, f"{outcome.message} Before that: {said}.")


def doubted(outcome: Outcome, doubt: str) -> Outcome:
    """The outcome of a run whose clocks are in doubt, in a sentence: it is not Completed. Unchanged without a doubt."""
    if not doubt:
        return outcome
    state = "Degraded" if outcome.is_completed else outcome.state
    return Outcome(state, f"{outcome.message.rstrip('.')}. {doubt}.")


def reason(error: Exception) -> str:
    """Why something failed: our errors are sentences, of others the kind is said."""
    return str(error).rstrip(".") if isinstance(error, KlinesError) else f"unexpected {type(error).__name__}: {error}"


def counted(number: int, thing: str) -> str:
    """`1 symbol`, `1,200 symbols`."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def names(listed: Sequence[str] | Mapping[str, object]) -> str:
    """At most NAMED of them, and how many more there are."""
    more = len(listed) - NAMED
    return ", ".join(list(listed)[:NAMED]) + (f" and {more} more" if more > 0 else "")


_SHOWN = Repr()
_SHOWN.maxlevel, _SHOWN.maxlist, _SHOWN.maxdict, _SHOWN.maxstring, _SHOWN.maxother = 3, 4, 6, 150, 60


def shown(answer: Any) -> str:
    """The beginning of an answer that is none, in at most 200 characters, however large it is."""
    return _SHOWN.repr(answer)[:200].encode(errors="backslashreplace").decode()


def plain(text: str, longest: int = 300) -> str:
    """Text from outside in one line: what can't be printed, such as a terminal's commands, is a blank."""
    return " ".join("".join(c if c.isprintable() else " " for c in text[: 2 * longest]).split())[:longest]


@dataclass(frozen=True, slots=True)
class Stored:
    """What one transaction changed: klines new to the file, klines whose values were corrected, rows refused."""

    inserted: int = 0
    restated: int = 0
    rejected: int = 0

    def refused(self, unkept: int) -> list[str]:
        """`44,640 rejected, the first 20 kept`, where any was; `unkept` were counted only."""
        kept = f", the first {self.rejected:,} kept" if unkept else ""
        return [f"{self.rejected + unkept:,} rejected{kept}"] if self.rejected + unkept else []

    def __add__(self, other: Stored) -> Stored:
        return Stored(self.inserted + other.inserted, self.restated + other.restated, self.rejected + other.rejected)
