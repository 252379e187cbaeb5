"""A check of the kinds of klines that futures have beside those of trades: whether they are as klines takes them."""

from __future__ import annotations

from klines.binance.totals import Totals, of_days, of_rows
from klines.doctor.diagnosis import REPORT, Differs
from klines.doctor.klines import MISREAD, yesterday
from klines.doctor.patient import Patient
from klines.interval import DAY, INTERVALS, Interval
from klines.market import KINDS, KLINES, Kind
from klines.rows import Row, frame, sift

QUARTERS = 96
"""Quarters of an hour in a day, whose klines cost the least weight."""


async def kinds_add_up(patient: Patient) -> str:
    """Of each kind yesterday's klines of 15 minutes can be read, and add up to its 1d kline."""
    kinds = [kind for kind in KINDS.values() if kind != KLINES and patient.market.name in kind.markets]
    for kind in kinds:
        quarters = await _rows(patient, kind, INTERVALS["15m"], QUARTERS)
        [stated] = of_days(await _rows(patient, kind, INTERVALS["1d"], 1)).values()
        ours = of_rows(frame([row._replace(open_time=row.open_time // DAY * DAY) for row in quarters]))
        if not any(total.agrees(stated) for total in ours.values()):
            raise Differs(
                f"yesterday's {kind.name} klines of 15 minutes go from {_said(*ours.values())}, its 1d kline says "
                f"{_said(stated)}",
                f"days of the archive would be taken from REST instead, and backfills name them; {REPORT}",
            )
    return f"{', '.join(kind.name for kind in kinds)}: yesterday's {QUARTERS} klines add up to the 1d kline"


async def _rows(patient: Patient, kind: Kind, interval: Interval, limit: int) -> list[Row]:
    """Yesterday's; raises Differs where there are others, or fewer."""
    whole = yesterday(patient)
    body = await patient.klines_of(kind, interval, whole, limit)
    rows, rejects = sift(body, interval, whole, kind)
    if rejects:
        raise Differs(f"{rejects.total:,} of {len(body):,} {kind.name} klines: {rejects[0].reason}", MISREAD)
    if len(rows) != limit:
        raise Differs(
            f"yesterday has {len(rows)} {kind.name} klines of {interval.name}, not {limit}",
            f"an audit would name what is missing; {REPORT}",
        )
    return rows


def _said(totals: Totals) -> str:
    trades = "" if totals.trades is None else f" in {totals.trades:,} trades"
    return f"{totals.low:,.8g} to {totals.high:,.8g}{trades}"
