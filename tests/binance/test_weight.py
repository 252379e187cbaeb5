"""The weight budget, on a clock that the test sets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from klines.binance.weight import ROLL_MS, Budget
from klines.errors import Blocked, RateLimited, Spent

MINUTE = 60_000
START = 1_763_881_200_000  # a full minute
FULL, SHARE = 6000, 0.9
BAN = RateLimited("banned", START + 10 * MINUTE, banned=True)


class Clock:
    """The exchange's clock, in epoch ms: stands still until it is set."""

    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        """The time that was set."""
        return self.now_ms


def run(scenario: Callable[[Clock, Budget], Coroutine[Any, Any, None]], at_ms: int = 30_000) -> None:
    """`scenario` on a clock so many ms after a full minute, and a fresh budget of spot's."""
    clock = Clock(START + at_ms)
    asyncio.run(asyncio.wait_for(scenario(clock, Budget(FULL, SHARE, clock)), 5))


async def settle() -> None:
    """Let every other task go as far as it can."""
    for _ in range(5):
        await asyncio.sleep(0)


def test_our_share_is_spent_and_no_more() -> None:
    """Up to 90 % of the limit passes at once, the next request has to wait."""

    async def scenario(clock: Clock, budget: Budget) -> None:
        for _ in range(2700):
            await budget.spend(2, clock.now_ms + 1)
        assert budget.used == FULL * SHARE
        with pytest.raises(Spent):
            await budget.spend(2, clock.now_ms + MINUTE // 2)

    run(scenario)


def test_the_header_steers() -> None:
    """What the exchange counts replaces our count when it is more: others use the address too. A late, smaller
    answer lowers nothing.
    """

    async def scenario(clock: Clock, budget: Budget) -> None:
        budget.learn(5398)
        budget.learn(40)
        await budget.spend(2, clock.now_ms + 1)
        with pytest.raises(Spent):
            await budget.spend(2, clock.now_ms + 1)

    run(scenario)


def test_a_stated_limit_counts() -> None:
    """The limit that the exchange states, once read, is the limit."""

    async def scenario(clock: Clock, budget: Budget) -> None:
        budget.learn(5400)
        budget.per_minute = 12_000
        await budget.spend(5400, clock.now_ms + 1)
        with pytest.raises(Spent):
            await budget.spend(1, clock.now_ms + 1)

    run(scenario)


@pytest.mark.parametrize(("later_ms", "used"), [(30_000 + ROLL_MS - 1, 5400), (30_000 + ROLL_MS, 2)])
def test_the_minute_rolls(later_ms: int, used: int) -> None:
    """A new minute of the exchange's clock begins anew, a quarter of a second after it is full."""

    async def scenario(clock: Clock, budget: Budget) -> None:
        budget.learn(5400)
        clock.now_ms += later_ms
        if used == 2:
            await budget.spend(2, clock.now_ms + 1)
        else:
            with pytest.raises(Spent):
                await budget.spend(2, clock.now_ms + 1)
        assert used == budget.used

    run(scenario)


def test_waiting_ends_with_the_minute() -> None:
    """A full minute is waited out where the deadline allows, and the request counts for the next one."""

    async def scenario(clock: Clock, budget: Budget) -> None:
        budget.learn(5400)
        waiter = asyncio.create_task(budget.spend(2, clock.now_ms + MINUTE))
        await settle()
        assert not waiter.done()
        clock.now_ms = START + MINUTE + ROLL_MS
        await waiter
        assert budget.used == 2

    run(scenario, MINUTE - 1)


@pytest.mark.parametrize(("deadline_ms", "is_spent"), [(MINUTE + ROLL_MS, True), (MINUTE + ROLL_MS + 1, False)])
def test_spent_is_said_at_once(deadline_ms: int, is_spent: bool) -> None:
    """Where the next minute begins after the deadline nobody waits for it."""

    async def scenario(clock: Clock, budget: Budget) -> None:
        budget.learn(5400)
        waiter = asyncio.create_task(budget.spend(2, START + deadline_ms))
        await settle()
        assert is_spent == waiter.done()
        clock.now_ms = START + MINUTE + ROLL_MS
        if is_spent:
            with pytest.raises(Spent):
                await waiter
        else:
            await waiter

    run(scenario, MINUTE - 1)


def test_a_pause_holds_for_everyone() -> None:
    """After a short 429 nobody asks before its end, then everybody goes on; a shorter pause shortens nothing."""

    async def scenario(clock: Clock, budget: Budget) -> None:
        budget.pause(clock.now_ms + 20)
        budget.pause(clock.now_ms + 10)
        waiters = [asyncio.create_task(budget.spend(2, clock.now_ms + 1000)) for _ in range(3)]
        clock.now_ms += 19
        await settle()
        assert not any(waiter.done() for waiter in waiters)
        clock.now_ms += 1
        await asyncio.gather(*waiters)
        assert budget.used == 6

    run(scenario)


def test_a_pause_beyond_the_deadline_is_spent() -> None:
    """Whoever can't go on before the deadline is told so instead of waiting."""

    async def scenario(clock: Clock, budget: Budget) -> None:
        budget.pause(clock.now_ms + 5000)
        with pytest.raises(Spent):
            await budget.spend(2, clock.now_ms + 5000)

    run(scenario)


def test_a_stop_ends_it_for_everyone() -> None:
    """Those who wait and those who come later get the reason."""

    async def scenario(clock: Clock, budget: Budget) -> None:
        budget.pause(clock.now_ms + 20)
        waiters = [asyncio.create_task(budget.spend(2, clock.now_ms + 1000)) for _ in range(3)]
        await settle()
        budget.stop(BAN)
        assert [BAN] * 3 == await asyncio.gather(*waiters, return_exceptions=True)
        with pytest.raises(RateLimited, match="banned"):
            await budget.spend(1, clock.now_ms + 1000)

    run(scenario)


def test_a_stop_is_noticed_during_a_wait() -> None:
    """It ends long before the wait would have."""

    async def scenario(clock: Clock, budget: Budget) -> None:
        budget.pause(clock.now_ms + 40_000)
        waiter = asyncio.create_task(budget.spend(2, clock.now_ms + 50_000))
        await settle()
        budget.stop(BAN)
        began_s = time.monotonic()
        with pytest.raises(RateLimited):
            await waiter
        assert 20 > time.monotonic() - began_s

    run(scenario)


def test_waiting_is_first_come_first_served() -> None:
    """Requests leave in the order in which they came: a light one does not overtake a heavy one that has to wait."""

    async def scenario(clock: Clock, budget: Budget) -> None:
        order: list[int] = []

        async def ask(name: int, weight: int) -> None:
            await budget.spend(weight, clock.now_ms + 1000)
            order.append(name)

        budget.learn(5395)
        waiters = [asyncio.create_task(ask(name, weight)) for name, weight in enumerate([20, 1, 5, 2])]
        await settle()
        assert [] == order
        clock.now_ms = START + MINUTE + ROLL_MS
        await asyncio.gather(*waiters)
        assert [0, 1, 2, 3] == order

    run(scenario, MINUTE - 1)


def test_a_clock_that_is_set_keeps_what_was_used() -> None:
    """When the exchange's clock is learned, in another minute than this machine's, nothing is spent anew."""

    async def scenario(clock: Clock, budget: Budget) -> None:
        budget.learn(5400)
        clock.now_ms += 10 * MINUTE
        budget.rebase()
        with pytest.raises(Spent):
            await budget.spend(1, clock.now_ms + 1)

    run(scenario)


def test_the_first_moments_of_a_minute_are_waited_out() -> None:
    """Just after the full minute only the rest of the quarter second is left to wait."""

    async def scenario(clock: Clock, budget: Budget) -> None:
        clock.now_ms -= 1000
        budget.learn(5400)
        clock.now_ms += 1000
        waiter = asyncio.create_task(budget.spend(2, clock.now_ms + 10_000))
        await settle()
        clock.now_ms = START + ROLL_MS
        await waiter
        assert budget.used == 2

    run(scenario, 245)


def test_after_the_deadline_nothing_is_begun() -> None:
    """With weight to spare too, a request after the deadline is for the next run."""

    async def scenario(clock: Clock, budget: Budget) -> None:
        with pytest.raises(Spent):
            await budget.spend(2, clock.now_ms - 1)

    run(scenario)


def test_a_block_outranks_a_limit() -> None:
    """A 403 that arrives after a 429 is what the run ends with, and what is remembered."""

    async def scenario(_: Clock, budget: Budget) -> None:
        budget.stop(BAN)
        budget.stop(Blocked("HTTP 403", remember=True))
        assert isinstance(budget.stopped, Blocked)

    run(scenario)


def yielding(scenario: Callable[[Clock, Budget], Coroutine[Any, Any, None]], at_ms: int) -> None:
    """`scenario` with a budget that leaves others their share."""
    clock = Clock(START + at_ms)
    asyncio.run(asyncio.wait_for(scenario(clock, Budget(FULL, SHARE, clock, yielding=True)), 5))


async def spend_all(clock: Clock, budget: Budget, others: int = 0) -> int:
    """Spend until there is none left in this minute, each request answered with the sum; how much that was."""
    spent = 0
    while True:
        try:
            await budget.spend(2, clock.now_ms + 1)
        except Spent:
            return spent
        spent += 2
        budget.learn(spent + others, 2, clock.now_ms)


def test_a_yielding_run_leaves_what_others_used() -> None:
    """A backfill leaves the last minute's weight of the others, a tenth of the limit over it, and the tenth that nobody
    uses; a part of its own it spends in the last ten seconds only, when the answers tell what others used."""

    async def scenario(clock: Clock, budget: Budget) -> None:
        clock.now_ms = START + 55_000
        await spend_all(clock, budget, others=1200)
        clock.now_ms = START + MINUTE + 5_000
        assert int(FULL * 0.75) - 1200 == await spend_all(clock, budget)

    yielding(scenario, 5_000)


def test_a_yielding_run_knows_nothing_yet() -> None:
    """Until a minute's end was seen a third of its share is left to others, whoever they are."""

    async def scenario(clock: Clock, budget: Budget) -> None:
        assert int(FULL * 0.75 - FULL * SHARE / 3) == await spend_all(clock, budget)

    yielding(scenario, 5_000)


def test_what_others_use_now_is_not_left_twice() -> None:
    """What others have used in this minute already is not reserved for them again."""

    async def scenario(clock: Clock, budget: Budget) -> None:
        clock.now_ms = START + 55_000
        await spend_all(clock, budget, others=1200)
        clock.now_ms = START + MINUTE + 5_000
        budget.learn(1200)
        assert int(FULL * 0.75) - 1200 == await spend_all(clock, budget, others=1200)

    yielding(scenario, 5_000)


def test_an_answer_from_the_last_minute_says_nothing_of_this_one() -> None:
    """A sum that was counted before the full minute, and arrives after it, is not this minute's."""

    async def scenario(clock: Clock, budget: Budget) -> None:
        sent_ms = clock.now_ms
        clock.now_ms = START + MINUTE + 1_000
        budget.learn(5000, 2, sent_ms)
        assert 0 == budget.used

    yielding(scenario, 59_900)
