"""What a run of funding rates will ask for at most, and what that costs. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass

from klines.binance.funding.grid import USUAL_HOURS, hour_of
from klines.binance.funding.rate import LONGEST_PAGE
from klines.interval import HOUR, INTERVALS, MINUTE
from klines.ledger import Gap
from klines.outcome import Plan, Room, Tally, counted
from klines.rates.asked import A_MONTH_MS
from klines.rates.ledger import EARLY_MS
from klines.window import Window, intersect, merge, subtract, window

STORED_BYTES = 30
"""What a rate takes in the database, with room to spare: made-up ones took 18."""
_BYTES_OF_FILE, _BYTES_BY_REST = 15, 120
"""What it takes on its way, about: zipped in a month's file, and as JSON."""
_MONTHS = INTERVALS["1M"]


@dataclass(frozen=True, slots=True)
class RatesWork(Tally):
    """What hours cost: rates, if the exchange has one in each of their intervals, those of them that REST is asked for,
    monthly files, and requests."""

    rates: int = 0
    by_rest: int = 0
    files: int = 0
    requests: int = 0


def may_lack(stored: Window | None, gaps: Sequence[Gap], since_ms: int, now_ms: int) -> list[Window]:
    """The hours since a time that may have a rate and have none, as far as the ledger does not say that they wait, or
    that there is none; what is `stored` reaches from the first rate to after the last."""
    until_ms = hour_of(now_ms) + HOUR
    wanted = window(hour_of(since_ms), until_ms)
    due = [gap.window for gap in gaps if gap.is_to_check(now_ms + EARLY_MS)]
    waiting = [gap.window for gap in gaps if not gap.is_to_check(now_ms + EARLY_MS)]
    around = subtract(wanted, [stored] if stored else [])
    return subtract(merge([*around, *intersect(due, wanted)]), waiting)


def rates_work(parts: Iterable[Window], hours: int | None) -> RatesWork:
    """What the hours of a symbol cost whose rates are `hours` apart: whole months of long parts are in files."""
    return sum((_work(part, (hours or USUAL_HOURS) * HOUR) for part in parts), RatesWork())


def _work(part: Window, every_ms: int) -> RatesWork:
    rates = _count(part, every_ms)
    if not rates:
        return RatesWork()
    months = window(_MONTHS.ceil(part.start_ms), _MONTHS.floor(part.end_ms))
    in_files = months if part.end_ms - part.start_ms >= A_MONTH_MS else []
    by_rest = rates - sum(_count(month, every_ms) for month in in_files)
    files = sum(_MONTHS.slots(month.start_ms, month.end_ms) for month in in_files)
    return RatesWork(rates, by_rest, files, requests=max(1, -(-by_rest // LONGEST_PAGE)))


def _count(part: Window, every_ms: int) -> int:
    """The rates of its hours: they stand at whole intervals since midnight."""
    return -(-part.end_ms // every_ms) + -part.start_ms // every_ms


def funding_plan(
    works: Sequence[RatesWork], batch: int, pace: tuple[int, int], rooms: Callable[[int], Sequence[Room]]
) -> Plan:
    """The plan for symbols of these works, `batch` of them at a time, with so many requests in so many ms as `pace`
    says; `rooms` are those for bytes to store."""
    total, symbols = sum(works, RatesWork()), len(works)
    most, period_ms = pace
    bytes_stored = total.rates * STORED_BYTES
    return Plan(
        does=_does(total, symbols, batch),
        counts={"symbols": symbols, "batches": -(-symbols // batch), **asdict(total)},
        reads=(total.rates - total.by_rest) * _BYTES_OF_FILE + total.by_rest * _BYTES_BY_REST,
        writes=bytes_stored,
        seconds=max(0, -(-total.requests // most) - 1) * period_ms / 1000,
        by=f"{most:,} requests in {counted(period_ms // MINUTE, 'minute')}" if total.requests > most else "",
        rooms=rooms(bytes_stored),
    )


def _does(total: RatesWork, symbols: int, batch: int) -> str:
    """One line."""
    if not total.rates:
        return f"planned to ask {counted(symbols, 'symbol')} for what is new; no funding rate is known to lack"
    return (
        f"planned up to {counted(total.rates, 'funding rate')} of {counted(symbols, 'symbol')}, {batch} at a time: "
        f"{counted(total.files, 'monthly file')} and {counted(total.requests, 'request')}"
    )
