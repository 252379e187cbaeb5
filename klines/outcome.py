"""What a run says: its plan before, its final state and message after, and the words that all messages share. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from reprlib import Repr
from typing import Any, Self

from klines.clock import duration
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
    return Outcome(state, f"{outcome.message.rstrip('.')}. {doubt}.", outcome.numbers)


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
class Tally:
    """What has numbers for fields: where two are added, each is the sum of both."""

    def __add__(self, other: Self) -> Self:
        return type(self)(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))


@dataclass(frozen=True, slots=True)
class Stored(Tally):
    """What one transaction changed: klines new to the file, klines whose values were corrected, rows refused."""

    inserted: int = 0
    restated: int = 0
    rejected: int = 0

    def refused(self, unkept: int) -> list[str]:
        """`44,640 rejected, the first 20 kept`, where any was; `unkept` were counted only."""
        kept = f", the first {self.rejected:,} kept" if unkept else ""
        return [f"{self.rejected + unkept:,} rejected{kept}"] if self.rejected + unkept else []


NOTHING_DONE = "nothing was done"
"""What ends the message of a run that only planned."""


@dataclass(frozen=True, slots=True)
class Room:
    """What a run needs free on the disk of a folder, at most, and what is free there now; in bytes."""

    folder: str
    needed: int
    free: int

    @property
    def said(self) -> str:
        """`up to 22 MB free in /home/you/klines, which has 4,560 MB`."""
        return f"up to {megabytes(self.needed)} free in {self.folder}, which has {megabytes(self.free)}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be done, in words and numbers. Bytes to read and to write are about right; `seconds` are the least that
    it takes, by the speed that `by` names. `parts` are the symbols or months that it consists of, a row each."""

    does: str
    counts: Mapping[str, float] = field(default_factory=dict)
    reads: float = 0.0
    writes: float = 0.0
    seconds: float = 0.0
    by: str = ""
    rooms: Sequence[Room] = ()
    parts: Sequence[Mapping[str, str | float]] = ()

    @property
    def lines(self) -> dict[str, str]:
        """What follows on the words, by the verb that it begins with; nothing of what is not to be done."""
        found = {
            "reads": f"about {megabytes(self.reads)}" if self.reads else "",
            "writes": f"about {megabytes(self.writes)}" if self.writes else "",
            "takes": f"at least {duration(self.seconds)}, by {self.by}" if self.by else "",
            "needs": " and ".join(room.said for room in self.rooms),
        }
        return {verb: said for verb, said in found.items() if said}

    @property
    def said(self) -> str:
        """All of it in one line."""
        return "; ".join([self.does, *(f"{verb} {said}" for verb, said in self.lines.items())])

    @property
    def numbers(self) -> dict[str, float]:
        """The same for programs."""
        sizes = {"read_mb": self.reads / 1e6, "written_mb": self.writes / 1e6}
        disk = {"needed_mb": sum(room.needed for room in self.rooms) / 1e6}
        free = {"free_mb": min(room.free for room in self.rooms) / 1e6} if self.rooms else {}
        rounded = {name: round(number, 3) for name, number in (sizes | disk | free).items()}
        return {**self.counts, **rounded, "planned_s": round(self.seconds, 3)}

    def check(self) -> None:
        """Raises NoRoom where a disk has less than what is needed."""
        for room in self.rooms:
            if room.free < room.needed:
                raise NoRoom(
                    f"{room.folder} has {megabytes(room.free)} free, and this needs up to {megabytes(room.needed)} "
                    "there: nothing was done; make room first"
                )


def megabytes(size: float) -> str:
    """`4,560 MB`, and of less than ten one decimal place."""
    return f"{size / 1e6:,.1f} MB" if size < 9.95e6 else f"{size / 1e6:,.0f} MB"
