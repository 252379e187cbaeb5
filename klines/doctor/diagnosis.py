"""What a check has found, in one line; and a check made within its time, from which no foreign error gets out."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from klines.errors import KlinesError, Spent
from klines.outcome import next_step, plain

State = Literal["ok", "differs", "not asked"]
Check = Callable[[], str]
REPORT = "please report it with this line: https://github.com/everykline/klines/issues"
SLOW_S = 10.0
"""How long a check may take that needs few answers."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One line: `said` is what is so, or what differs, or why it was not asked; `advice` is what a difference means and
    what to do."""

    check: str
    state: State
    said: str
    advice: str = ""


class Differs(Exception):
    """Raised by a check: something is not as klines takes it to be, and what that means."""

    def __init__(self, said: str, advice: str) -> None:
        super().__init__(said)
        self.advice = advice


class NotAsked(Exception):
    """Raised by a check that can't be made, and why."""


async def examine(check: str, call: Callable[[], Awaitable[str]], within_s: float) -> Diagnosis:
    """What a check finds; it ends within the time, whatever it meets."""
    if within_s <= 0:
        return Diagnosis(check, "not asked", "there was no time left")
    try:
        async with asyncio.timeout(within_s):
            return Diagnosis(check, "ok", await call())
    except Exception as error:
        return _finding(check, error, within_s)


def examine_here(check: str, call: Check, within_s: float = SLOW_S) -> Diagnosis:
    """`examine` for a check of this machine, which may block: it is then left behind in its thread."""
    found: queue.SimpleQueue[Diagnosis] = queue.SimpleQueue()
    threading.Thread(target=lambda: found.put(_made(check, call, within_s)), daemon=True).start()
    try:
        return found.get(timeout=within_s)
    except queue.Empty:
        return _finding(check, TimeoutError(), within_s)


def _made(check: str, call: Check, within_s: float) -> Diagnosis:
    try:
        return Diagnosis(check, "ok", call())
    except Exception as error:
        return _finding(check, error, within_s)


def _finding(check: str, error: Exception, within_s: float) -> Diagnosis:
    if isinstance(error, NotAsked):
        return Diagnosis(check, "not asked", str(error))
    if isinstance(error, Differs):
        return Diagnosis(check, "differs", str(error), error.advice)
    if isinstance(error, Spent):
        return Diagnosis(check, "not asked", "there was no time left")
    if isinstance(error, TimeoutError):
        return Diagnosis(
            check, "differs", f"no answer within {max(1, round(within_s))} s", "ask again; if it stays, something hangs"
        )
    if isinstance(error, KlinesError):
        return Diagnosis(check, "differs", str(error), next_step(error) or REPORT)
    return Diagnosis(check, "differs", f"unexpected {type(error).__name__}: {plain(str(error))}", REPORT)


class Clockwork:
    """The time of all checks together, in seconds from now; each, and each request, may take `patience` times as long
    as usual."""

    def __init__(self, whole_s: float, patience: float = 1.0) -> None:
        self.patience = patience
        self._began_s = time.monotonic()
        self.until_s = self._began_s + whole_s

    def left_s(self, most_s: float) -> float:
        """What a check may take, usually `most_s` at most."""
        return min(most_s * self.patience, self.until_s - time.monotonic())

    @property
    def passed_s(self) -> float:
        """How long it has taken until now."""
        return time.monotonic() - self._began_s
