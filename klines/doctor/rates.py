"""A check of funding rates: whether they are asked for, and stand in their hours, as klines takes it."""

from __future__ import annotations

from klines.binance.funding.grid import hour_of
from klines.binance.funding.rate import LONGEST_PAGE, rates_answered
from klines.doctor.diagnosis import REPORT, Differs
from klines.doctor.patient import Patient
from klines.errors import BadAnswer
from klines.interval import DAY, MINUTE
from klines.window import Window

DAYS_OF_RATES = 2


async def rates_stand_in_their_hours(patient: Patient) -> str:
    """Funding rates ascend, are answered from end to end, and are of some ms after a full hour."""
    now_ms = patient.now_ms()
    whole = Window(now_ms - DAYS_OF_RATES * DAY, now_ms)
    rates, rejects = rates_answered(await patient.rates(whole), patient.symbol, whole, LONGEST_PAGE, now_ms)
    if rejects:
        raise Differs(f"a funding rate: {rejects[0].reason}", f"rates would be refused; {REPORT}")
    if len(rates) < DAYS_OF_RATES * 3 - 1:
        raise BadAnswer(f"there are {len(rates)} funding rates of the last {DAYS_OF_RATES} days")
    late_ms = max(rate.time_ms - hour_of(rate.time_ms) for rate in rates)
    if late_ms > MINUTE:
        raise Differs(
            f"a funding rate is of {late_ms:,} ms after the full hour", f"an hour is taken for its slot; {REPORT}"
        )
    ends = Window(rates[0].time_ms, rates[-1].time_ms + 1)
    again, _ = rates_answered(await patient.rates(ends), patient.symbol, ends, LONGEST_PAGE, now_ms)
    if again != rates:
        raise Differs(
            f"from the first of {len(rates)} funding rates to the last there are {len(again)}",
            f"rates at the ends of what is asked for would be missed; {REPORT}",
        )
    return f"{len(rates)} rates of {DAYS_OF_RATES} days, {late_ms} ms after the full hour at most, both ends included"
