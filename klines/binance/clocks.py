"""Which klines are closed, by four clocks of which none is believed alone. Pure; no clock.

The exchange's serverTime, the Date of its answers, this machine's clock, and the newest kline, whose open time has come
for sure. Where the exchange's clocks agree, and the newest kline with them, this machine's is wrong, and does not
matter, unless all of the exchange stands still, which a run before tells. Any other disagreement is a doubt: then only
what is closed by all of them counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from klines.clock import clock, duration
from klines.interval import FRESH_MS, MINUTE, SECOND

AGREE_MS = 5_000
"""Clocks that differ by less agree: a request takes its time, and a Date is a full second."""
LATE_MS = 30_000
"""A kline shows so long after its minute has begun at the latest, where it decides between clocks."""
STANDS_MS = 50_000
"""A clock that has lost so much against another one since a run before stands still; over longer times a tenth of
them, as a clock is put right at up to a twelfth of its pace (chrony)."""
EARLIEST_MS, LATEST_MS = 1_483_228_800_000, 4_102_444_800_000
"""2017 and 2100: between them is every time that a clock can show."""
SERVER, DATE, MACHINE = "Binance's clock (serverTime)", "the Date of Binance's answers", "this machine's clock"


@dataclass(frozen=True, slots=True)
class Shown:
    """What two clocks showed at one moment, in epoch ms: serverTime, and this machine's."""

    server_ms: int
    machine_ms: int

    def after(self, before: Shown | None) -> Shown:
        """What the next run is to compare with: while the exchange's clock stands still, when that was first seen."""
        if before is None or self.machine_ms < before.machine_ms:
            return self
        return before if abs(self.server_ms - before.server_ms) < AGREE_MS else self


@dataclass(frozen=True, slots=True)
class Readings:
    """What the clocks say of one moment, in epoch ms; None for what can't be read.

    `date_ms` is the Date header, a full second; `newest_ms` the open time of the newest 1m kline; `absurd` says which
    clock shows what is no time; a cache had kept the answer for `age_s`; `before` is what a run before has seen.
    """

    machine_ms: int
    server_ms: int | None = None
    date_ms: int | None = None
    newest_ms: int | None = None
    absurd: tuple[str, ...] = ()
    age_s: int = 0
    before: Shown | None = None

    @property
    def shown(self) -> Shown | None:
        """What a run after this one compares with; None where a clock of the two shows no time."""
        if self.server_ms is None or not is_time(self.machine_ms):
            return None
        return Shown(self.server_ms, self.machine_ms).after(self.before)

    @property
    def lost(self) -> tuple[int, int] | None:
        """How much the exchange's clock has lost against this machine's, and in which time of that, in ms, where it
        stands still."""
        if self.before is None or self.server_ms is None:
            return None
        passed_ms = self.machine_ms - self.before.machine_ms
        lost_ms = passed_ms - (self.server_ms - self.before.server_ms)
        return (lost_ms, passed_ms) if lost_ms >= max(STANDS_MS, passed_ms // 10) else None

    @property
    def exchanges(self) -> list[tuple[str, int]]:
        """The exchange's clocks; of a Date the last moment of its second."""
        server = [] if self.server_ms is None else [(SERVER, self.server_ms)]
        return server + ([] if self.date_ms is None else [(DATE, self.date_ms + SECOND - 1)])

    @property
    def clocks(self) -> list[tuple[str, int]]:
        """All that show a time."""
        return [*self.exchanges, *([(MACHINE, self.machine_ms)] if is_time(self.machine_ms) else [])]

    @property
    def agree(self) -> bool:
        """Whether the exchange's clocks and this machine's show the same."""
        return self.server_ms is not None and is_time(self.machine_ms) and _spread(self.clocks) < AGREE_MS

    @property
    def is_machines_fault(self) -> bool:
        """Whether the exchange's clocks go on and agree, and the newest kline with them: more than with this machine's,
        where serverTime is alone."""
        if self.server_ms is None or _spread(self.exchanges) >= AGREE_MS or not self._supports(self.server_ms):
            return False
        if self.lost:
            return False
        return self.date_ms is not None or not self._supports(self.machine_ms)

    def _supports(self, time_ms: int) -> bool:
        """Whether the newest kline would be the newest one at that time."""
        newest_ms = self.newest_ms
        return newest_ms is not None and newest_ms - AGREE_MS <= time_ms <= newest_ms + MINUTE + LATE_MS

    def support(self, time_ms: int) -> int:
        """How many clocks show this time; the newest kline counts for more than one, and before it no time counts."""
        if self.newest_ms is not None and self.newest_ms > time_ms + AGREE_MS:
            return 0
        return 2 * sum(abs(other - time_ms) < AGREE_MS for _, other in self.clocks) + 3 * self._supports(time_ms)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The time to go on with; klines that close before `closed_ms` are closed, None: before that time. `doubt` is a
    sentence for people, empty where there is none."""

    now_ms: int
    closed_ms: int | None = None
    doubt: str = ""


def is_time(value: Any) -> bool:
    """Whether a clock can show it: an integer of ms in this century."""
    return type(value) is int and EARLIEST_MS <= value < LATEST_MS


def header_ms(header: str) -> int | None:
    """A Date header in epoch ms; None where it is no time that a clock can show."""
    try:
        time_ms = int(parsedate_to_datetime(header).timestamp()) * 1000
    except (ValueError, TypeError, OverflowError, OSError):
        return None
    return time_ms if is_time(time_ms) else None


def judge_clocks(readings: Readings) -> Verdict:
    """The time before which klines are certainly closed, and which clock differs by how much."""
    now_ms = min((time_ms for _, time_ms in readings.clocks), default=0)
    doubts = list(readings.absurd)
    if readings.age_s * SECOND >= AGREE_MS:
        doubts.append(f"a cache had kept the exchange's time for {readings.age_s} s")
    if readings.is_machines_fault and not readings.agree:
        proven_ms = max(readings.machine_ms, readings.newest_ms or 0)
        now_ms = min(*(time_ms for _, time_ms in readings.exchanges), proven_ms)
    elif not readings.agree:
        doubts += _differing(readings)
    doubts += _newest(now_ms, readings.newest_ms) if not doubts else []
    late_ms = LATE_MS if doubts else FRESH_MS
    is_late = readings.newest_ms is not None and now_ms > readings.newest_ms + MINUTE + late_ms
    return Verdict(now_ms, readings.newest_ms if is_late else None, _sentence(doubts))


def _newest(now_ms: int, newest_ms: int | None) -> list[str]:
    """How the newest kline alone differs from all clocks."""
    if newest_ms is None:
        return []
    if newest_ms > now_ms + AGREE_MS:
        return [f"the newest kline opens at {clock(newest_ms)}, {_apart(newest_ms - now_ms)} after every clock's time"]
    old_ms = now_ms - newest_ms - MINUTE
    said = f"the newest kline is of {clock(newest_ms)}, {_apart(old_ms)} ago by every clock"
    return [said] if old_ms > FRESH_MS else []


def _apart(by_ms: int) -> str:
    return duration(abs(by_ms) / SECOND)


def archive_doubt(skew_ms: int) -> str:
    """A sentence about this machine's clock, where a run goes on with it alone and the Date of the archive's answers is
    so far ahead; empty where they agree."""
    which = "behind" if skew_ms > 0 else "ahead of"
    doubts = [f"{MACHINE} is {_apart(skew_ms)} {which} the Date of the archive's answers"]
    return _sentence(doubts) if abs(skew_ms) >= AGREE_MS else ""


def _spread(clocks: list[tuple[str, int]]) -> int:
    times = [time_ms for _, time_ms in clocks]
    return max(times) - min(times) if times else 0


def _differing(readings: Readings) -> list[str]:
    """How much each clock differs from the one that most others show."""
    if not readings.clocks:
        return ["no clock shows a time"]
    name, right_ms = max(reversed(readings.clocks), key=lambda entry: readings.support(entry[1]))
    others = {other: time_ms - right_ms for other, time_ms in readings.clocks if abs(time_ms - right_ms) >= AGREE_MS}
    if not others and _spread(readings.clocks) >= AGREE_MS:  # it is between two others, near enough to each
        (name, right_ms), (last, last_ms) = (end(readings.clocks, key=lambda entry: entry[1]) for end in (min, max))
        others = {last: last_ms - right_ms}
    found = [
        f"{other} is {_apart(by_ms)} {'ahead of' if by_ms > 0 else 'behind'} {name}" for other, by_ms in others.items()
    ]
    return found + ([_standing(*readings.lost)] if readings.lost else [])


def _standing(lost_ms: int, passed_ms: int) -> str:
    return f"{SERVER} has lost {_apart(lost_ms)} against {MACHINE} in the {_apart(passed_ms)} since a run before"


def _sentence(doubts: list[str]) -> str:
    if not doubts:
        return ""
    return (
        f"The clocks are in doubt: {'; '.join(doubts)}. Only klines that are closed by all of them are stored. "
        "Set this machine's clock; if it is right, a proxy or the exchange shows a wrong time, and it heals with that"
    )
