"""Checks of a market: whether it can be asked, what time it is there, what it allows, what it trades.

A check says what is so, or raises Differs with what that means and what to do.
"""

from __future__ import annotations

import time
from itertools import pairwise
from urllib.parse import urlsplit

from klines.binance.listing import symbol_infos, weight_a_minute
from klines.binance.proxies import proxy_of, without_password
from klines.clock import duration
from klines.doctor.diagnosis import REPORT, Differs, NotAsked
from klines.doctor.patient import Cost, Patient
from klines.errors import Blocked, GiveUp, KlinesError
from klines.outcome import shown

NO_WAY = (
    "is there a network, and does the name resolve? Behind a proxy, set HTTPS_PROXY; what is not asked is not stored, "
    "and the next run fetches it"
)


async def host_answers(patient: Patient) -> str:
    """The host answers, directly or through a proxy; that it refuses is an answer, too."""
    began_s = time.monotonic()
    try:
        await patient.ping()
    except Blocked:  # see the next check
        pass
    except KlinesError as error:
        patient.unreached = "it can't be reached"
        raise Differs(f"{_host(patient.url)}, {way_to(patient.url)}: {error}", NO_WAY) from None
    return f"{_host(patient.url)} answers in {(time.monotonic() - began_s) * 1000:.0f} ms, {way_to(patient.url)}"


async def place_is_served(patient: Patient) -> str:
    """Neither 451 nor 403."""
    if patient.refused:
        raise patient.refused
    return "this place and address are served"


async def exchange_serves(patient: Patient) -> str:
    """No maintenance; where there is no system status, a ping stands for it."""
    try:
        answer = await patient.status()
    except GiveUp:
        return "none at this address; a ping stands for it"
    number = answer.get("status") if isinstance(answer, dict) else None
    if number in (1, "1"):
        raise Differs("Binance says maintenance", "nothing: runs are ExchangeDown until it is over, and catch up then")
    if number not in (0, "0"):
        raise Differs(f"the system status is none: {shown(answer)}", f"runs go by a ping instead; {REPORT}")
    return "normal"


async def clocks_agree(patient: Patient) -> str:
    """serverTime, Date, this machine's clock and the newest kline agree."""
    await patient.read_clocks()
    if patient.doubt:
        raise Differs(patient.doubt, "")
    skew_ms = patient.skew_ms
    if not patient.readings.agree:
        which = "behind" if skew_ms > 0 else "ahead of"
        raise Differs(
            f"this machine's clock is {duration(abs(skew_ms) / 1000)} {which} Binance's",
            "klines goes by Binance's, but schedule and logs go by this machine's: let it be set by NTP",
        )
    return f"this machine's differs from Binance's by {abs(skew_ms)} ms"


async def symbol_is_listed(patient: Patient) -> str:
    """exchangeInfo lists the symbol as trading, with what klines takes from it."""
    patient.stated = await patient.info()
    listing = symbol_infos(patient.stated)
    entry = listing.get(patient.symbol)
    if entry is None or entry.status != "TRADING":
        what = "is not listed" if entry is None else f"is {entry.status}"
        raise Differs(f"{patient.symbol} {what}", f"patterns and `not trading` go by that; {REPORT}")
    if patient.market.name != "spot" and not (entry.onboard_ms and entry.delivery_ms):
        raise Differs(
            f"{patient.symbol} has no onboardDate or deliveryDate", f"when futures begin and end goes by them; {REPORT}"
        )
    odd = f"; {listing.dropped:,} entries have no name that is one, and are left out" if listing.dropped else ""
    return f"{patient.symbol} is {entry.status}{odd}"


async def limit_is_stated(patient: Patient) -> str:
    """exchangeInfo states the weight a minute that the market's row has."""
    if patient.stated is None:
        raise NotAsked("exchangeInfo could not be had")
    a_minute, documented = weight_a_minute(patient.stated), patient.market.weight_per_minute
    if a_minute is None:
        raise Differs("exchangeInfo states no weight a minute", f"runs go by the documented {documented:,}; {REPORT}")
    if a_minute != documented:
        raise Differs(
            f"{a_minute:,} weight a minute, not {documented:,}",
            f"runs go by what is stated, so nothing is wrong; {REPORT}",
        )
    return f"{a_minute:,} weight a minute"


async def weights_are_stated(patient: Patient) -> str:
    """Each answer states the weight used in the minute, and each kind of request costs what the market's row has."""
    if not any(cost.used is not None for cost in patient.costs):
        raise Differs(
            "no answer has X-MBX-USED-WEIGHT-1M",
            f"runs go by their own count, which knows nothing of other programs on this address; {REPORT}",
        )
    least = _least_by_weight(patient.costs)
    if not least:
        raise NotAsked("the minute turned between all requests")
    odd = {weight: cost for weight, cost in least.items() if cost != weight}
    if odd:
        told = ", ".join(f"{cost} where {weight} was expected" for weight, cost in odd.items())
        raise Differs(
            f"a request costs {told}",
            "runs go by the sum that Binance states, so no ban comes of it; if no other program asked from this "
            f"address meanwhile, {REPORT}",
        )
    return f"requests cost {', '.join(map(str, sorted(least)))}, as documented"


def _least_by_weight(costs: list[Cost]) -> dict[int, int]:
    """By the weight that a request should have, the least by which the stated sum grew: others may ask, too."""
    least: dict[int, int] = {}
    for before, after in pairwise(costs):
        is_one_minute = before.minutes[1] == after.minutes[0] == after.minutes[1]
        if is_one_minute and before.used is not None and after.used is not None and after.used >= before.used:
            grown = after.used - before.used
            least[after.weight] = min(grown, least.get(after.weight, grown))
    return least


async def pool_is_shared(patient: Patient) -> str:
    """Both futures markets count in one sum: what one uses is in what the other states."""
    other = patient.neighbour
    if other is None or other.over:
        raise NotAsked("the other futures market can't be asked")
    for _ in range(2):
        await other.ping()
        await patient.ping()
        await other.ping()
        first, last = other.costs[-2:]
        if first.minutes == last.minutes and first.used is not None and last.used is not None:
            if last.used - first.used < 2:
                raise Differs(
                    "usdm and coinm count their weight apart",
                    f"each run goes by its own sum, so nothing is wrong, but a ban of one silences both here; {REPORT}",
                )
            return "usdm and coinm count in one sum"
    raise NotAsked("the minute turned between the requests")


def way_to(url: str) -> str:
    """`directly`, or through which proxy."""
    proxy = proxy_of(url)
    return f"through the proxy {without_password(proxy)}" if proxy else "directly"


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]
