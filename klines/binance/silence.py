"""A ban that can't be entered into the database, as somebody holds that: it waits beside it for the next run."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import NamedTuple

from klines.binance.waiting import leave_waiting, read_waiting
from klines.errors import Blocked, RateLimited, Stop
from klines.interval import DAY
from klines.ledger import FOREVER_MS

LONGEST_BAN_MS = 3 * DAY
"""The longest ban that Binance documents for a 418."""
_LONGEST = 2**16
"""Bytes of the file that are looked at; it has a line a ban."""


class Kept(NamedTuple):
    """A ban of a pool, for requests that leave by the address `egress`; `met_ms` is by this machine's clock."""

    pool: str
    egress: str
    error: Stop
    met_ms: int


def keep(database: Path, pool: str, egress: str, error: Stop, now_ms: int, exchange_now_ms: int) -> None:
    """Leave a ban, met at `now_ms` of this machine's clock, beside the database."""
    until_ms = now_ms + error.until_ms - exchange_now_ms if isinstance(error, RateLimited) else None
    if until_ms is None and not (isinstance(error, Blocked) and error.remember):
        return
    line = json.dumps([pool, str(error), now_ms, until_ms, egress])
    leave_waiting(_place(database), f"{line}\n", "a")


def kept(database: Path) -> list[Kept]:
    """The bans beside the database; what can't be read is none."""
    found = []
    for line in read_waiting(_place(database), _LONGEST).decode(errors="replace").splitlines():
        with contextlib.suppress(ValueError, TypeError, OverflowError, RecursionError):
            pool, message, met_ms, until_ms, *rest = json.loads(line)
            [egress] = rest or [""]  # one that an older version left has no address
            is_ban = all(isinstance(text, str) for text in (pool, message, egress)) and 0 < int(met_ms) < FOREVER_MS
            if is_ban and (until_ms is None or 0 < int(until_ms) - int(met_ms) <= LONGEST_BAN_MS):
                found.append(Kept(pool, egress, _error(message, until_ms), int(met_ms)))
    return found


def forget(database: Path) -> None:
    """They are in the database now."""
    with contextlib.suppress(OSError):
        os.unlink(_place(database))


def _place(database: Path) -> Path:
    return database.with_name(f"{database.name}.bans")


def _error(message: str, until_ms: int | None) -> Stop:
    return Blocked(message, remember=True) if until_ms is None else RateLimited(message, int(until_ms), banned=True)
