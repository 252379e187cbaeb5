"""The request weight of a pool: what may still be asked in this minute of the exchange's clock.

Binance counts weight per address and minute and tells the sum in `X-MBX-USED-WEIGHT-1M` of every answer; the header
steers, our own count only bridges the time until the next answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from klines.errors import Blocked, RateLimited, Spent, Stop
from klines.interval import MINUTE

ROLL_MS = 250
"""How long after the full minute asking goes on, so that the exchange's counter has surely begun anew."""


YIELD = 0.1
"""A yielding run leaves this part of the limit over what others used in the last minute."""
KEPT, KEPT_UNTIL_MS = 0.05, 50_000
"""A yielding run keeps this part of the limit for the last ten seconds of the minute: the answers then tell what others
used in it."""


class Budget:
    """One pool's weight, shared by all requests of a run on one event loop; waiting is first come, first served.

    One that is `yielding` leaves to others on this address what they used in the last minute, a third of the limit
    until that is known, and a tenth of the limit besides.
    """

    def __init__(self, per_minute: int, share: float, now_ms: Callable[[], int], *, yielding: bool = False) -> None:
        self.per_minute = per_minute
        self.used = 0
        self.stopped: Stop | None = None
        self._share = share
        self._now_ms = now_ms
        self._minute = -1
        self._paused_until_ms = 0
        self._turn = asyncio.Lock()
        self._yielding = yielding
        self._answered = 0
        self._others = 0
        self._others_before = per_minute * share / 3
        self._saw_the_end = False

    @property
    def ceiling(self) -> float:
        """Up to which sum of this minute, everybody's requests counted, this run goes on asking."""
        if not self._yielding:
            return self.per_minute * self._share
        kept = 0 if self._is_ending() else KEPT
        return self.per_minute * (self._share - YIELD - kept) - max(0, self._others_before - self._others)

    def learn(self, used: int, weight: int = 0, sent_ms: int | None = None) -> None:
        """Take over the sum that the exchange stated in the answer to a request of `weight`, sent at `sent_ms`."""
        self._roll()
        if sent_ms is not None and self._minute_of(sent_ms) == self._minute - 1:  # the sum is that of the last minute
            return
        self.used = max(self.used, used)
        self._answered += weight
        self._others = max(self._others, used - self._answered)
        self._saw_the_end |= self._is_ending()

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
        full = self.used + weight > self.ceiling
        return max(0, paused_ms, MINUTE - (now_ms - ROLL_MS) % MINUTE if full else 0)

    def _roll(self) -> None:
        minute = self._minute_now()
        if minute != self._minute:
            if self._saw_the_end:
                self._others_before = self._others
            self._minute, self.used, self._answered, self._others = minute, 0, 0, 0
            self._saw_the_end = False

    def _minute_now(self) -> int:
        return self._minute_of(self._now_ms())

    def _minute_of(self, time_ms: int) -> int:
        return (time_ms - ROLL_MS) // MINUTE

    def _is_ending(self) -> bool:
        return self._now_ms() % MINUTE >= KEPT_UNTIL_MS
