"""What a run of funding rates says before it asks: the hours that may lack a rate, and what they cost."""

from __future__ import annotations

import pytest

from klines.errors import NoRoom
from klines.interval import DAY, HOUR, MINUTE
from klines.ledger import DELISTED, DUE, FOREVER_MS, NOT_LISTED, Gap
from klines.outcome import Room
from klines.rates.plan import STORED_BYTES, RatesWork, funding_plan, may_lack, rates_work
from klines.window import Window
from tests.drive import ms

JANUARY, NOW = ms("2026-01-01"), ms("2026-06-11") + 4 * HOUR
UNTIL = NOW + HOUR
OWN = (450, 5 * MINUTE)


def test_what_may_lack() -> None:
    """All since a time, where nothing is stored; else what is around that and what the ledger owes: not what waits for
    its next check, nor what has no rate for ever."""
    assert [Window(JANUARY, UNTIL)] == may_lack(None, [], JANUARY, NOW)
    stored = Window(JANUARY + 30 * DAY, NOW - DAY)
    before, after = Window(JANUARY, stored.start_ms), Window(stored.end_ms, UNTIL)
    assert [before, after] == may_lack(stored, [], JANUARY, NOW)
    assert [after] == may_lack(stored, [Gap(before, NOT_LISTED, NOW)], JANUARY, NOW)
    hole = Window(JANUARY + 40 * DAY, JANUARY + 41 * DAY)
    owed = [Gap(hole, DUE, NOW, next_check_ms=NOW)]
    assert [before, hole, after] == may_lack(stored, owed, JANUARY, NOW)
    waiting = [Gap(hole, DUE, NOW, next_check_ms=NOW + DAY)]
    assert [before, after] == may_lack(stored, waiting, JANUARY, NOW)
    ended = [Gap(Window(stored.end_ms, FOREVER_MS), DELISTED, NOW)]
    assert [before] == may_lack(stored, ended, JANUARY, NOW)


def test_what_hours_cost() -> None:
    """Whole months of what lacks for long are in files, the rest by REST, a request for each thousand; of less than an
    interval nothing is asked for."""
    assert RatesWork() == rates_work([Window(NOW, NOW + 4 * HOUR)], 8)
    assert RatesWork(rates=3, by_rest=3, requests=1) == rates_work([Window(NOW, NOW + DAY)], None)
    assert RatesWork(rates=24, by_rest=24, requests=1) == rates_work([Window(NOW, NOW + DAY)], 1)
    months = rates_work([Window(JANUARY + DAY, UNTIL)], 8)
    assert RatesWork(rates=160 * 3 + 1, by_rest=(30 + 10) * 3 + 1, files=4, requests=1) == months
    parts = [Window(JANUARY - 27 * DAY, JANUARY), Window(JANUARY, JANUARY + 45 * DAY)]
    assert RatesWork(rates=72 * 24, by_rest=41 * 24, files=1, requests=2) == rates_work(parts, 1)


def test_a_plan_in_words() -> None:
    """It has rates, files, requests, MB, the time that the pool takes, and the disk that is needed; it is refused where
    that has no room; where nothing lacks, it says so."""
    works = [RatesWork(5_000, 200, 60, 1)] * 600
    free = 10**9
    told = funding_plan(works, 25, OWN, lambda size: [Room("/home", size, free)])
    assert (
        "planned up to 3,000,000 funding rates of 600 symbols, 25 at a time: 36,000 monthly files and 600 requests; "
        "reads about 58 MB; writes about 90 MB; takes at least 5 min, by 450 requests in 5 minutes; needs up to 90 "
        "MB free in /home, which has 1,000 MB"
    ) == told.said
    assert {"symbols": 600, "batches": 24, "rates": 3_000_000, "files": 36_000} == {
        name: told.counts[name] for name in ("symbols", "batches", "rates", "files")
    }
    with pytest.raises(NoRoom):
        funding_plan(works, 25, OWN, lambda size: [Room("/home", size, size - 1)]).check()
    assert 3_000_000 * STORED_BYTES == told.writes
    nothing = funding_plan([RatesWork()], 25, OWN, lambda _: []).said
    assert "planned to ask 1 symbol for what is new; no funding rate is known to lack" == nothing
