"""The database in use, read for long: in short turns, so that those who write every minute get theirs."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import duckdb

from klines.storage.database import attached
from klines.storage.turn import Patience

HELD_S, OWED_S, FREE_S = 0.3, 0.1, 0.3
"""A turn keeps the file for about HELD_S. After OWED_S of turns the file stays free for as long, at least for FREE_S:
whoever waits for it looks four times a second."""
WAIT_S = 300.0
"""For how long others may keep the file before a turn gives up."""
T = TypeVar("T")


class Live:
    """The database as `live` of another connection, attached only while it is `held`."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, database: Path) -> None:
        self.connection = connection
        self.database = database
        self.patience = Patience(database)
        self.longest_s = 0.0
        self._owed_s = 0.0
        self._released_s = 0.0

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Nobody writes the database until this ends. Raises DatabaseBusy."""
        self._give_way()
        self.patience.wait()
        with attached(self.connection, self.database, time.monotonic() + WAIT_S, "live"):
            began_s = time.monotonic()
            yield
        self._released_s = time.monotonic()
        self._owed_s += self._released_s - began_s
        self.longest_s = max(self.longest_s, self._released_s - began_s)

    def _give_way(self) -> None:
        if self._owed_s >= OWED_S:
            time.sleep(max(0.0, self._released_s + max(self._owed_s, FREE_S) - time.monotonic()))
            self._owed_s = 0.0

    def in_turns(self, parts: Iterable[T], read: Callable[[T], object]) -> None:
        """Call `read` with each part, in as many turns as it takes."""
        left = deque(parts)
        while left:
            with self.held():
                self.some(left, read)

    def some(self, left: deque[T], read: Callable[[T], object]) -> None:
        """Take parts from the left and call `read` with each, as long as another one fits into the turn."""
        began_s = now_s = time.monotonic()
        last_s = 0.0
        while left and now_s - began_s + last_s < HELD_S:
            read(left.popleft())
            last_s, now_s = time.monotonic() - now_s, time.monotonic()
