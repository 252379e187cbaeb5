"""What maintenance is going to do, of either kind of database, from what was found. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from klines.outcome import Plan, Room, counted

COPIED_A_SECOND, PROVED_A_SECOND = 175_000, 1_000_000
"""Klines where they are copied, as benchmarks/maintain.py measured it on two cores beside who writes every second while
amounts were doubles; and where they are only looked through, by the CPU time of smaller files."""
MOVED_A_SECOND = 700_000
"""So where they are put in order within the file: of 50 or 600 series, of benchmarks/maintain.py --second."""


@dataclass(frozen=True, slots=True)
class Upkept:
    """What there is to do: klines to prove unique, rejects to forget; the klines of each month to copy, or to move
    `within` the file, the months that come in order by a copy, what is read and written, in bytes, and what disks need;
    whether amounts become decimals; and klines of a minute whose hours are made."""

    proved: int
    old_rejects: int = 0
    months: Mapping[str, int] = field(default_factory=dict)
    loose: Sequence[str] = ()
    reads: int = 0
    writes: int = 0
    rooms: Sequence[Room] = ()
    brings_over: bool = False
    within: bool = False
    without_hours: int = 0

    @property
    def copied(self) -> int:
        """Klines of all months to copy, or to move."""
        return sum(self.months.values())


def maintain_plan(found: Upkept) -> Plan:
    """The plan, with the months that are copied as its parts."""
    of_speed, what = _pace(found)
    return Plan(
        does="; ".join([_does(found), *_besides(found)]),
        counts={
            "klines": found.proved,
            "copied": 0 if found.within else found.copied,
            "moved": found.copied if found.within else 0,
            "months": len(found.months),
            "months_to_order": len(found.months if found.within else found.loose),
            "rejects": found.old_rejects,
            "without_hours": found.without_hours,
        },
        reads=found.reads,
        writes=found.writes,
        seconds=max(found.proved, found.copied) / of_speed,
        by=f"{of_speed:,} klines a second {what}",
        rooms=found.rooms,
        parts=[{"month": name, "klines": rows} for name, rows in found.months.items()],
    )


def _pace(found: Upkept) -> tuple[int, str]:
    """How many klines a second are worked on, and what is done to them."""
    if not found.months:
        return PROVED_A_SECOND, "proved unique"
    return (MOVED_A_SECOND, "put in order within the file") if found.within else (COPIED_A_SECOND, "copied")


def _does(found: Upkept) -> str:
    """`planned to copy 101,050 klines of 3 months, of which 2 are put in order: 2025-11 to 2025-12`."""
    if not found.months:
        return "planned to copy nothing: every closed month is clustered"
    if found.within:
        return f"planned to put {counted(found.copied, 'kline')} of {span(list(found.months))} in order within the file"
    months = counted(len(found.months), "month")
    said = f"planned to copy {counted(found.copied, 'kline')} of {months}"
    if found.loose:
        are = "is" if len(found.loose) == 1 else "are"
        said += f", of which {len(found.loose):,} {are} put in order: {span(found.loose)}"
    return said


def _besides(found: Upkept) -> list[str]:
    decimals = ["makes decimals of all amounts"] if found.brings_over else []
    forgets = [f"forgets {counted(found.old_rejects, 'reject')}"] if found.old_rejects else []
    hours = [f"makes hours of {counted(found.without_hours, 'kline')} of 1m"] if found.without_hours else []
    return [f"proves {counted(found.proved, 'slot')} unique", *decimals, *hours, *forgets]


def span(names: Sequence[str]) -> str:
    """`2025-11 to 2026-01`, or `2025-11`."""
    return names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"
