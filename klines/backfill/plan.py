"""What a backfill will do: its chunks, and what it costs, by symbol. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

from klines.backfill.chunks import KLINES_A_SECOND, NOTHING, Chunk, Work
from klines.outcome import Plan, Room, counted
from klines.window import Window

STORED_BYTES = 50
"""What a kline takes in the database at most, but for values of noise."""


@dataclass(frozen=True, slots=True)
class BackfillPlan:
    """What a backfill will do: its chunks, and all of it for people and programs."""

    chunks: Sequence[Chunk]
    whole: Plan


def backfill_plan(
    symbols: int, works: Mapping[str, Work], weight_per_minute: float, rooms: Callable[[int], Sequence[Room]]
) -> Plan:
    """The plan for so many symbols, of those of which anything is missing; `rooms` are those for bytes to store."""
    total = sum(works.values(), NOTHING)
    bytes_stored = total.klines * STORED_BYTES
    largest = sorted(works.items(), key=lambda item: -item[1].klines)
    return Plan(
        does=_does(symbols, total),
        counts={"symbols": symbols, **asdict(total)},
        reads=total.megabytes * 1e6,
        writes=bytes_stored,
        seconds=total.seconds(weight_per_minute),
        by=f"{KLINES_A_SECOND:,} klines a second and {weight_per_minute:,.0f} weight a minute" if total.klines else "",
        rooms=rooms(bytes_stored),
        parts=[{"symbol": symbol} | _row(work) for symbol, work in largest],
    )


def _does(symbols: int, total: Work) -> str:
    """One line."""
    if not total.klines:
        return f"nothing to do: of {counted(symbols, 'symbol')} nothing is missing that Binance has"
    return (
        f"planned {counted(total.klines, 'kline')} of {counted(symbols, 'symbol')}: {total.monthly:,} monthly and "
        f"{total.daily:,} daily files, {counted(total.pages, 'REST page')}, weight {total.weight:,}"
    )


def _row(work: Work) -> dict[str, str | float]:
    return {
        "klines": work.klines,
        "monthly files": work.monthly,
        "daily files": work.daily,
        "about MB": round(work.megabytes, 1),
        "REST pages": work.pages,
        "weight": work.weight,
    }


class Missing(NamedTuple):
    """Of one symbol: what is neither stored nor in the ledger for another reason than due; what to work off; what is
    stored; and what REST has answered to be empty."""

    owed: list[Window]
    gaps: list[Window]
    there: list[Window]
    empty: list[Window]
