"""What has been wrong for a while, so that it is told when it begins, comes to more symbols, and ends."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from klines.collect.freshness import STALE
from klines.market import FUNDING
from klines.outcome import counted, names
from klines.tables.alarms import Alarm
from klines.tables.incidents import Incident

TOLD_AFTER = {"ExchangeDown": 1, "Blocked": 1, STALE: 1, "Degraded": 3}
"""The kinds of incident: final states of runs, and symbols that are stale; each is told after so many runs in a row."""
ALWAYS_LOUD = ("ExchangeDown", "Blocked")
REACHED = ("Completed", "Degraded")
"""Final states of a run to which the exchange has answered."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What one run saw: its final state and message; the stale symbols, None if it did not come that far; those that
    failed."""

    state: str
    message: str
    stale: Sequence[str] | None = None
    failed: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Spread:
    """Symbols that an incident which was told has come to, too."""

    incident: Incident
    symbols: Sequence[str]

    @property
    def said(self) -> str:
        """`spot: 2 more symbols trading without a 1m kline for 5 minutes: …`."""
        more = f"{len(self.symbols)} more {'symbol' if len(self.symbols) == 1 else 'symbols'}"
        lacking = _lacking(dict.fromkeys(_name_and_shard(part)[0] for part in self.incident.intervals))
        return f"{self.incident.market}: {more} trading without {lacking}: {names(self.symbols)}"


@dataclass(slots=True)
class Followed:
    """What a run changes: the incidents to write, of these the ones to tell the beginning and the end of, and where one
    has spread. `waiting` says that alarms wait to be delivered."""

    changed: list[Incident] = field(default_factory=list)
    began: list[Incident] = field(default_factory=list)
    ended: list[Incident] = field(default_factory=list)
    spread: list[Spread] = field(default_factory=list)
    waiting: bool = False

    def alarms(self, now_ms: int) -> list[Alarm]:
        """What of it deserves an alarm, at `now_ms`."""
        told = [(incident, incident.said) for incident in self.began if incident.loud]
        told += [(spread.incident, spread.said) for spread in self.spread]
        told += [(incident, incident.said) for incident in self.ended if incident.loud]
        return [
            Alarm(one.market, one.kind, one.began_ms, said, now_ms, is_end=one.ended_ms is not None)
            for one, said in told
        ]


def follow(before: Sequence[Incident], market: str, part: str, seen: Seen, now_ms: int) -> Followed:
    """What a run means for the incidents of its market that went on before it.

    `part` is what of the market the run is about: `1m`, `mark 1m`, or of a shard `1m 3/10`. All parts share an
    incident, which ends when the last of them is well.
    """
    going_on = {incident.kind: incident for incident in before}
    followed = Followed()
    for kind in TOLD_AFTER:
        was = going_on.get(kind)
        incident = _next(was, market, part, kind, seen, now_ms)
        if incident is None or incident == was:
            continue
        if incident.ended_ms is not None and _is_told(incident):
            followed.ended.append(incident)
        elif _is_told(incident):
            others = [other for other in going_on.values() if other.loud and other.ended_ms is None and other != was]
            incident = _told(was, incident, others, followed, _said(kind, part, seen))
        followed.changed.append(incident)
        going_on[kind] = incident
    return followed


def _told(
    was: Incident | None, incident: Incident, others: Sequence[Incident], followed: Followed, said: str
) -> Incident:
    """The incident as it is once its news is noted in `followed`; beside `others` that are loud. `said` is what the run
    says of it."""
    before = was if was and _is_told(was) else None
    is_loud = incident.kind in ALWAYS_LOUD or not _is_known(incident.symbols, others)
    if before is None or (is_loud and not before.loud):
        incident = replace(incident, loud=is_loud, message=said if before else incident.message)
        followed.began.append(incident)
    elif incident.kind == STALE and before.loud:
        more = [symbol for symbol in incident.symbols if symbol not in before.symbols]
        if more and _is_known(more, others):  # they are told later, if they are still stale then
            return replace(incident, symbols=before.symbols)
        followed.spread += [Spread(incident, more)] if more else []
    return incident


def _is_known(symbols: Sequence[str], others: Sequence[Incident]) -> bool:
    """Whether others are loud already, of the same symbols, or of nobody in particular."""
    concerned = {symbol for other in others for symbol in other.symbols}
    return bool(others) and ({*symbols} <= concerned or any(not other.symbols for other in others))


def _is_told(incident: Incident) -> bool:
    """Whether it has lasted long enough to be told."""
    return incident.runs >= TOLD_AFTER[incident.kind]


def _next(was: Incident | None, market: str, part: str, kind: str, seen: Seen, now_ms: int) -> Incident | None:
    """The incident after the run; None where there is none."""
    is_on = _is_on(kind, seen, is_told=bool(was and _is_told(was)))
    if is_on is None:
        return was
    if not is_on:
        return was and _without(was, part, now_ms)
    symbols = list({STALE: seen.stale or (), "Degraded": seen.failed}.get(kind, ()))
    if was is None:
        return Incident(market, kind, [part], symbols, now_ms, _said(kind, part, seen))
    parts = list(dict.fromkeys([*_still_there(was, part), part]))
    return replace(
        was,
        intervals=parts,
        symbols=list(dict.fromkeys([*was.symbols, *symbols])),
        runs=was.runs + (part == parts[0]),
    )


def _without(was: Incident, part: str, now_ms: int) -> Incident:
    """The incident when a run of `part` does not see it any more: over, unless another part still does."""
    left = [other for other in _still_there(was, part) if other != part]
    return replace(was, intervals=left) if left else replace(was, ended_ms=now_ms)


def _still_there(was: Incident, part: str) -> list[str]:
    """Its parts without those that no run is about any more, as the interval has another number of shards now."""
    return [other for other in was.intervals if not _is_replaced(other, part)]


def _is_replaced(other: str, part: str) -> bool:
    """`1m 3/10` is by `1m 1/5`, and by `1m`."""
    (name, shard), (other_name, other_shard) = _name_and_shard(part), _name_and_shard(other)
    return name == other_name and shard.partition("/")[2] != other_shard.partition("/")[2]


def _name_and_shard(part: str) -> tuple[str, str]:
    """`mark 1m 3/10` without the shard, and that, empty for none."""
    name, _, last = part.rpartition(" ")
    return (name, last) if "/" in last else (part, "")


def _is_on(kind: str, seen: Seen, *, is_told: bool) -> bool | None:
    """Whether the run saw it; None if it can't tell. Some states in a row are no row when another comes between."""
    if kind == STALE:
        return None if seen.stale is None else bool(seen.stale)
    if kind == seen.state:
        return True
    if kind == "Degraded":
        return False if seen.state == "Completed" or not is_told else None
    return False if seen.state in REACHED else None


def _said(kind: str, part: str, seen: Seen) -> str:
    if kind != STALE:
        return f"{part} is {seen.state}: {seen.message}"
    listed = list(seen.stale or ())
    name, _ = _name_and_shard(part)
    return f"{counted(len(listed), 'symbol')} trading without {_lacking([name])}: {names(listed)}"


def _lacking(parts: Collection[str]) -> str:
    """`a 1m, mark 1m kline for 5 minutes, or a funding rate that is due`."""
    intervals = ", ".join(part for part in parts if part != FUNDING.name)
    what = [f"a {intervals} kline for 5 minutes"] if intervals else []
    return ", or ".join([*what, *["a funding rate that is due"] * (FUNDING.name in parts)])
