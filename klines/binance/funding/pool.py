"""The pool of requests that usdm's funding rates have for themselves: 500 in five minutes of an address.

Source: Binance's REST docs, "Get Funding Rate History" and "Get Funding Rate Info", which share it. No header says how
much of it is used, nor is it documented when its five minutes begin: so a run makes no more in any five minutes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from klines.errors import Blocked, RateLimited, Spent, Stop
from klines.interval import MINUTE

FUNDING_POOL = "funding"
"""Its name in the table bans."""
MOST_REQUESTS, PERIOD_MS = 500, 5 * MINUTE
SHARE = 0.9
"""The part of it that a run takes."""


class RequestPool:
    """At most so many requests in any `period_ms`, of a run's tasks on one event loop; first come, first served."""

    def __init__(self, most: int, period_ms: int, now_ms: Callable[[], int]) -> None:
        self.stopped: Stop | None = None
        self._most, self._period_ms, self._now_ms = most, period_ms, now_ms
        self._sent_ms: deque[int] = deque()
        self._paused_until_ms = 0
        self._turn = asyncio.Lock()

    def pause(self, until_ms: int) -> None:
        """Nobody asks before `until_ms` (the answer was 429)."""
        self._paused_until_ms = max(self._paused_until_ms, until_ms)

    def stop(self, reason: Stop) -> None:
        """Nobody asks any more in this run; the first reason stays, but a block outranks a limit."""
        if self.stopped is None or (isinstance(reason, Blocked) and isinstance(self.stopped, RateLimited)):
            self.stopped = reason

    async def spend(self, weight: int, deadline_ms: int) -> None:  # noqa: ARG002 - each request is one
        """Return once a request may be sent; raises Spent when that is after `deadline_ms`, and the reason once the run
        is stopped."""
        async with self._turn:
            while wait_ms := self._wait_ms():
                if self._now_ms() + wait_ms >= deadline_ms:
                    raise Spent
                await asyncio.sleep(min(wait_ms, 1000) / 1000)
            if self._now_ms() >= deadline_ms:
                raise Spent
            self._sent_ms.append(self._now_ms())

    def _wait_ms(self) -> int:
        if self.stopped:
            raise self.stopped
        now_ms = self._now_ms()
        while self._sent_ms and self._sent_ms[0] + self._period_ms <= now_ms:
            self._sent_ms.popleft()
        is_full = len(self._sent_ms) >= self._most
        return max(0, self._paused_until_ms - now_ms, self._sent_ms[0] + self._period_ms - now_ms if is_full else 0)
