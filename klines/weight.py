"""The request weight of a pool: what may still be asked in this minute of the exchange's clock.

Binance counts weight per address and minute and tells the sum in `X-MBX-USED-WEIGHT-1M` of every answer; the header
steers, our own count only bridges the time until the next answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from klines.errors import Blocked, RateLimited, Stop
from klines.interval import MINUTE

ROLL_MS = 250
"""How long after the full minute asking goes on, so that the exchange's counter has surely begun anew."""


class Spent(Exception):
    """The deadline has come, or will have before there is weight again."""


class Budget:
    """One pool's weight, shared by all requests of a run on one event loop; waiting is first come, first served."""

    def __init__(self, per_minute: int, share: float, now_ms: Callable[[], int]) -> None:
        self.per_minute = per_minute
        self.used = 0
        self.stopped: Stop | None = None
        self._share = share
        self._now_ms = now_ms
        self._minute = -1
        self._paused_until_ms = 0
        self._turn = asyncio.Lock()

    def learn(self, used: int) -> None:
        """Take over the sum that the exchange stated."""
        self._roll()
        self.used = max(self.used, used)

    def rebase(self) -> None:
        """The clock was set: what has been used counts for the minute that it shows now."""
        self._minute = self._minute_now()

    def pause(self, until_ms: int) -> None:
        """Nobody asks before `until_ms` (the answer was 429)."""
        self._paused_until_ms = max(self._paused_until_ms, until_ms)

    def stop(self, reason: Stop) -> None:
        """Nobody asks any more in this run; the first reason stays, but a block outranks a limit."""
        outranks = isinstance(reason, Blocked) and isinstance(self.stopped, RateLimited)
        if self.stopped is None or outranks:
            self.stopped = reason

    async def spend(self, weight: int, deadline_ms: int) -> None:
        """Return once a request of `weight` may be sent.

        Raises Spent when that is after `deadline_ms` (the exchange's clock), and the reason once the run is stopped.
        """
        async with self._turn:
            while True:
                wait_ms = self._wait_ms(weight)
                if self._now_ms() + wait_ms >= deadline_ms:
                    raise Spent
                if wait_ms == 0:
                    break
                await asyncio.sleep(min(wait_ms, 1000) / 1000)
            self.used += weight

    def _wait_ms(self, weight: int) -> int:
        if self.stopped:
            raise self.stopped
        self._roll()
        now_ms = self._now_ms()
        paused_ms = self._paused_until_ms - now_ms
        full = self.used + weight > self.per_minute * self._share
        return max(0, paused_ms, MINUTE - (now_ms - ROLL_MS) % MINUTE if full else 0)

    def _roll(self) -> None:
        minute = self._minute_now()
        if minute != self._minute:
            self._minute, self.used = minute, 0

    def _minute_now(self) -> int:
        return (self._now_ms() - ROLL_MS) // MINUTE
