"""Checks of a market's klines: what is answered to what is asked. What they ask for is yesterday's, and costs little.

A check says what is so, or raises Differs with what that means and what to do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from klines.binance.clocks import LATEST_MS
from klines.binance.totals import of_days, of_rows
from klines.clock import clock, duration
from klines.doctor.diagnosis import REPORT, Differs, NotAsked
from klines.doctor.patient import Patient
from klines.errors import BadAnswer, GiveUp, RequestRefused, UnknownSymbol
from klines.interval import DAY, INTERVALS, MINUTE, SECOND
from klines.outcome import counted
from klines.rows import Row, frame, sift
from klines.window import Window, subtract

M1, D1 = INTERVALS["1m"], INTERVALS["1d"]
EVER = Window(0, LATEST_MS)
ARCHIVED_DAYS = 12
"""So many days' 1d klines are asked for: those of the archive's files, too."""
MOST_PAGES = 5
"""So many requests at most for the minutes of a day that the first page left."""
NOBODY = "NOSYMBOLUSDT"
MISREAD = f"what comes would be refused, not stored wrong, and the audit would name it as missing; {REPORT}"


def yesterday(patient: Patient) -> Window:
    """By the exchange's clock."""
    today_ms = D1.floor(patient.now_ms())
    return Window(today_ms - DAY, today_ms)


def asked_page(patient: Patient) -> Window:
    """One minute more than a page has, from yesterday's beginning."""
    start_ms = yesterday(patient).start_ms
    return Window(start_ms, start_ms + (patient.market.most_rows + 1) * MINUTE)


async def rows_are_readable(patient: Patient) -> str:
    """A row has twelve fields of the types that are documented, and its times are in milliseconds."""
    patient.unreadable = "the rows can't be read"
    asked = asked_page(patient)
    patient.page = await patient.klines(M1, asked.start_ms, asked.end_ms, patient.market.most_rows)
    if not patient.page:
        raise Differs(f"{patient.symbol} has no klines of yesterday", f"nothing could be stored; {REPORT}")
    _, rejects = sift(patient.page, M1, EVER)
    if rejects:
        raise Differs(f"{rejects.total:,} of {len(patient.page):,} rows: {rejects[0].reason}", MISREAD)
    patient.unreadable = ""
    return "12 fields: times in ms, amounts as text, trades as a number"


async def page_is_full(patient: Patient) -> str:
    """A page holds as many klines as the market's row says, and never more than were asked for."""
    most = patient.market.most_rows
    if len(patient.page) != most:
        raise Differs(
            f"{counted(len(patient.page), 'kline')} where {most:,} were asked for, of {most + 1:,} minutes",
            "fewer: an outage yesterday, or pages are shorter now, and runs go on from what was answered; more: runs "
            f"refuse such answers; {REPORT}",
        )
    return f"{most:,} klines where {most:,} were asked for, of {most + 1:,} minutes"


async def page_ascends(patient: Patient) -> str:
    """A page is ascending, no kline twice."""
    if _opens(patient.page) != sorted(set(_opens(patient.page))):
        raise Differs(
            "the klines of a page are not in the order of time", f"runs put them in order themselves; {REPORT}"
        )
    return "ascending"


async def page_has_its_side(patient: Patient) -> str:
    """Of more klines than fit into a page spot and usdm give the first, coinm the last."""
    asked, opens = asked_page(patient), _opens(patient.page)
    has_first, has_last = min(opens) == asked.start_ms, max(opens) == asked.end_ms - MINUTE
    is_newest = has_last and not has_first
    if has_first == has_last:
        raise NotAsked("the page has both ends of what was asked for, or neither")
    which = {True: "the last", False: "the first"}
    if is_newest != patient.market.gives_newest:
        raise Differs(
            f"of more klines than fit into a page come {which[is_newest]}, not {which[not is_newest]}",
            f"runs ask for as many as fit, but an answer that is cut would be gone on from at the wrong end; {REPORT}",
        )
    return f"of more klines than fit into a page come {which[is_newest]}"


async def ends_are_included(patient: Patient) -> str:
    """startTime and endTime are both included, and are of the open time."""
    start_ms = yesterday(patient).start_ms
    body = await patient.klines(M1, start_ms, start_ms + 2 * MINUTE + 1, 10)
    expected, found = [start_ms, start_ms + MINUTE, start_ms + 2 * MINUTE], sorted(_opens(body))
    if found != expected:
        told = " ".join(clock(time_ms)[-5:] for time_ms in found[:5]) or "nothing"
        raise Differs(
            f"from 00:00 to 00:02 come {told}",
            f"each request would miss a kline at its ends, or have one too many, which is refused; {REPORT}",
        )
    return "startTime and endTime are both included, by open time"


async def end_stands_alone(patient: Patient) -> str:
    """With endTime alone comes the last kline that opens until then."""
    end_ms = yesterday(patient).start_ms
    found = _opens(await patient.klines(M1, None, end_ms, 1))
    if found != [end_ms - MINUTE]:
        told = clock(found[-1]) if found else "nothing"
        raise Differs(
            f"endTime {clock(end_ms - MINUTE)} alone gives {told}",
            f"when a symbol's klines begin and end is asked so; the audit would leave gaps unexplained; {REPORT}",
        )
    return "endTime alone gives the last kline until then"


async def beginning_is_given(patient: Patient) -> str:
    """startTime 0 gives the first kline of all, or, of COIN-M, there is none from before its onboard date."""
    first_ms = await patient.first_ms(patient.symbol)
    if not first_ms:
        begins = "it is not said when they begin" if first_ms is None else "there are some of before its onboardDate"
        raise Differs(
            f"klines of {patient.symbol}: {begins}",
            f"history before a symbol's first kline would not be settled; {REPORT}",
        )
    return f"{patient.symbol} begins {clock(first_ms)}"


async def newest_is_open(patient: Patient) -> str:
    """The last kline that is answered is the open one, and only that is open."""
    for pause_s in (patient.open_pause_s, None):
        body = await patient.klines(M1, None, None, 3)
        open_ones = [row[6] >= patient.now_ms() for row in body]
        if open_ones[-1:] == [True] and not any(open_ones[:-1]):
            return "the open kline is the last one answered, and closes in the future"
        if pause_s is not None and not any(open_ones):
            await asyncio.sleep(pause_s)
        else:
            break
    if any(open_ones):
        said = "the open kline is not the last one answered, or not the only one"
    else:
        last_ms = max((row[6] for row in body), default=0)
        said = f"the open kline is not shown; the newest closed {duration((patient.now_ms() - last_ms) / SECOND)} ago"
    raise Differs(
        said,
        f"a kline is stored once it has closed by its own close time; the newest one is a clock besides; {REPORT}",
    )


async def stranger_is_refused(patient: Patient) -> str:
    """A symbol that does not exist is refused with -1121."""
    advice = f"misspelt symbols go by that: a run would fail for them instead of asking again hourly; {REPORT}"
    try:
        body = await patient.klines(M1, None, None, 1, symbol=NOBODY)
    except UnknownSymbol:
        return "an unknown symbol is refused with -1121"
    except GiveUp as error:
        raise Differs(f"an unknown symbol is refused otherwise: {error}", advice) from None
    raise Differs(f"an unknown symbol has {counted(len(body), 'kline')}", advice)


async def grids_hold(patient: Patient) -> str:
    """3d opens on some whole day, 1w on Mondays, 1M on the first of the month."""
    phase_ms = await patient.phase_ms(patient.symbol, INTERVALS["3d"])
    if phase_ms is None:
        raise BadAnswer("there is no kline of 3d")
    for name in ("1w", "1M"):
        _, rejects = sift(await patient.klines(INTERVALS[name], None, None, 1), INTERVALS[name], EVER)
        if rejects:
            raise Differs(f"a kline of {name}: {rejects[0].reason}", f"klines of {name} would be refused; {REPORT}")
    return f"1w opens on Mondays, 1M on the first, 3d as those from 1970-01-0{1 + phase_ms // DAY} on"


async def page_is_longest(patient: Patient) -> str:
    """No more klines than a page are given to who asks for one more."""
    asked, most = asked_page(patient), patient.market.most_rows
    try:
        body = await patient.klines(M1, asked.start_ms, asked.end_ms, most + 1)
    except RequestRefused:
        return f"a limit of {most + 1:,} is refused"
    if len(body) > most:
        raise Differs(f"a page may have {len(body):,} klines now", f"nothing is wrong, it could be faster; {REPORT}")
    return f"a limit of {most + 1:,} gives {len(body):,}"


async def window_is_widest(patient: Patient) -> str:
    """COIN-M answers for 200 days, and refuses more."""
    days = (patient.market.widest_ms or 0) // DAY
    end_ms = D1.floor(patient.now_ms())
    try:
        await patient.klines(D1, end_ms - days * DAY, end_ms, days)
    except RequestRefused as error:
        raise Differs(f"{days} days are refused: {error}", f"long intervals can't be had; {REPORT}") from None
    try:
        await patient.klines(D1, end_ms - (days + 1) * DAY, end_ms, 99)
    except RequestRefused:
        return f"{days} days are answered, more are refused"
    raise Differs(f"more than {days} days are answered", f"nothing is wrong, requests could be wider; {REPORT}")


async def day_adds_up(patient: Patient) -> str:
    """Yesterday's minutes add up to its 1d kline."""
    whole = yesterday(patient)
    rows = await _minutes(patient, whole)
    oldest_ms = whole.end_ms - ARCHIVED_DAYS * DAY
    days, _ = sift(await patient.klines(D1, oldest_ms, whole.end_ms, ARCHIVED_DAYS), D1, EVER)
    patient.days = days
    ours, stated = of_rows(frame(rows)).get(whole.start_ms), of_days(days).get(whole.start_ms)
    if ours is None or stated is None:
        raise Differs("yesterday has no 1d kline, or no minutes", f"days of the archive can't be checked; {REPORT}")
    if not ours.agrees(stated):
        raise Differs(
            f"yesterday's minutes add up to {ours.trades:,} trades and a volume of {ours.volume:,.8g}, "
            f"its 1d kline has {stated.trades:,} and {stated.volume:,.8g}",
            f"days of the archive would be taken from REST instead, and audits name them; {REPORT}",
        )
    return f"yesterday's {len(rows):,} minutes add up to its 1d kline"


async def _minutes(patient: Patient, whole: Window) -> list[Row]:
    """All of a day: the page that is there already, and page after page what that and each answer left of it."""
    bodies, left = [patient.page], subtract([whole], _covered(patient.page))
    for _ in range(MOST_PAGES):
        if not left:
            break
        start_ms = left[0].start_ms
        end_ms = min(left[0].end_ms, start_ms + patient.market.most_rows * MINUTE)
        body = await patient.klines(M1, start_ms, end_ms, (end_ms - start_ms) // MINUTE)
        bodies.append(body)
        left = subtract(left, _covered(body) or [Window(start_ms, end_ms)])
    rows, _ = sift([row for body in bodies for row in body], M1, whole)
    return rows


def _covered(body: Sequence[Any]) -> list[Window]:
    """The time from the first to the last kline of an answer."""
    opens = _opens(body)
    return [Window(min(opens), max(opens) + MINUTE)] if opens else []


def _opens(body: Sequence[Any]) -> list[int]:
    """The open times of rows that were looked at; of others those that are times."""
    return [row[0] for row in body if row and type(row[0]) is int]
