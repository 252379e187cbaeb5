"""The writer of a backfill: few, big, short transactions, and the file free in between."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from itertools import pairwise
from typing import Any

import pytest

from klines.backfill.writer import FIRST_ROWS, MOST_ROWS, Item, Writer
from klines.storage.database import _LONGEST_WAIT_S
from klines.want import Want
from klines.window import Window


def item(n: int) -> Want:
    """Something to write."""
    return Want(f"S{n}USDT", [Window(0, 1)])


def run(scenario: Callable[[Writer], Coroutine[Any, Any, None]], held_s: Sequence[float] = ()) -> list[list[str]]:
    """The transactions of a scenario, by the symbols in them; they say that they held the file for so long, each."""
    batches: list[list[str]] = []
    held = iter(held_s)

    def write(items: Sequence[Item]) -> float:
        batches.append([item.symbol for item in items if isinstance(item, Want)])
        return next(held, 0.0)

    async def whole() -> None:
        async with Writer(write) as writer:
            await scenario(writer)

    asyncio.run(asyncio.wait_for(whole(), 10))
    return batches


def test_what_is_handed_over_together_is_one_transaction() -> None:
    """While somebody works, rows wait for more; when nobody does, all of them are written at once."""

    async def scenario(writer: Writer) -> None:
        with writer.working():
            puts = [asyncio.create_task(writer.put(item(n), 1440)) for n in range(20)]
            await asyncio.sleep(0.05)
            assert not any(put.done() for put in puts)
        await asyncio.gather(*puts)

    assert [[f"S{n}USDT" for n in range(20)]] == run(scenario)


def test_a_full_transaction_does_not_wait() -> None:
    """Enough rows are written while others work on more, and never more than fit into a transaction."""

    async def scenario(writer: Writer) -> None:
        with writer.working():
            await asyncio.gather(*(writer.put(item(n), FIRST_ROWS // 2) for n in range(4)))

    assert [2, 2] == [len(batch) for batch in run(scenario)]


def test_the_file_is_free_for_a_while() -> None:
    """After a transaction the next one waits until whoever waits for the file has looked, however long it took."""
    moments = []

    async def scenario(writer: Writer) -> None:
        for n in range(3):
            await writer.put(item(n), 1)
            moments.append(time.monotonic())

    assert 3 == len(run(scenario, [60.0] * 3))
    assert all(after - before >= _LONGEST_WAIT_S for before, after in pairwise(moments))


@pytest.mark.slow
def test_transactions_get_smaller_when_they_take_too_long() -> None:
    """A fast disk makes the next transactions larger, a slow one smaller again, in whole row groups, of which there are
    two at first and at least, so that no disk holds the minute up for long."""
    held_s = [0.0, 0.0, 2.0, 2.0, 2.0, 2.0]

    async def scenario(writer: Writer) -> None:
        for _ in range(2):
            await writer.put(item(0), MOST_ROWS)
        for rows in (MOST_ROWS // 4, FIRST_ROWS // 4):
            await asyncio.gather(*(writer.put(item(n), rows) for n in range(5)))

    assert [1, 1, 4, 1, 4, 1] == [len(batch) for batch in run(scenario, held_s)]


def test_a_transaction_that_fails_fails_those_who_are_in_it() -> None:
    """Everybody in a failed transaction is told, and the next one is tried all the same."""
    calls = []

    def write(items: Sequence[Item]) -> float:
        calls.append(len(items))
        if len(calls) == 1:
            raise OSError("disk full")
        return 0.0

    async def whole() -> None:
        async with Writer(write) as writer:
            with writer.working():
                puts = [asyncio.create_task(writer.put(item(n), 1)) for n in range(2)]
                await asyncio.sleep(0)
            results = await asyncio.gather(*puts, return_exceptions=True)
            assert ["disk full"] * 2 == [str(result) for result in results]
            await writer.put(item(3), 1)

    asyncio.run(asyncio.wait_for(whole(), 10))
    assert [2, 1] == calls


def test_nobody_waits_for_a_writer_that_has_ended() -> None:
    """Left early, as by Ctrl-C, what was not written yet is cancelled and not waited for."""

    async def whole() -> None:
        async with Writer(lambda _: 60.0) as writer:
            await writer.put(item(0), 1)
            waiting = asyncio.create_task(writer.put(item(1), 1))
            await asyncio.sleep(0.01)
        for late in (waiting, writer.put(item(2), 1)):
            with pytest.raises(asyncio.CancelledError):
                await late

    asyncio.run(asyncio.wait_for(whole(), 5))
