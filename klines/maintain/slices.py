"""Klines that lie as minutes wrote them, put in order within the file: a slice of the table at a time goes, sorted, to
its end, in one transaction, so that a kill loses and doubles nothing.

A slice is whole row groups, nearly: what is left of one would be written anew at every checkpoint. As minutes follow
upon each other, it holds all series of some days.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from klines.columns import in_sql
from klines.errors import BadDatabase
from klines.maintain.survey import CHUNK
from klines.storage.database import opened
from klines.storage.live import FREE_S, WAIT_S
from klines.tables.transaction import transaction

FIRST_CHUNKS, LEAST_CHUNKS, MOST_CHUNKS = 2, 2, 8
"""Chunks of a slice: at first, as nobody knows yet how fast the machine is; as many fit into HELD_S later, within these
bounds."""
MOST_SERIES = 64
"""Series of a slice: of more, each has so few klines in it that they take as much room as before. DuckDB packs 2,048
values together, by the largest and the smallest of them."""
HELD_S = 1.0
"""How long the file should be held for a slice."""
_ORDER = in_sql(("market", "kind", "interval", "symbol", "open_time"))


@dataclass(slots=True)
class Slices:
    """Puts chunks of the file in order; `wait` returns when a slice may begin, and `longest_s` is how long the file was
    held at most."""

    database: Path
    wait: Callable[[], None]
    longest_s: float = 0.0
    _chunks: int = FIRST_CHUNKS

    def order(self, chunks: Iterable[int], note: Callable[[int], None]) -> None:
        """Sort these chunks, numbers of CHUNK rows each; `note` is told of each slice how many klines it had.

        The last ones come first: what lies before them keeps its place. Where others have deleted rows meanwhile, other
        klines are sorted than was meant, and none is lost. Raises as `opened`, and BadDatabase.
        """
        left = deque(sorted(set(chunks), reverse=True))
        while left:
            first = last = left.popleft()
            while left and left[0] == first - 1 and last - first + 1 < self._chunks:
                first = left.popleft()
            self.wait()
            moved, held_s = _move(self.database, first * CHUNK, (last + 1) * CHUNK)
            note(moved)
            self.longest_s = max(self.longest_s, held_s)
            self._adapt(last - first + 1, held_s)
            if left:
                time.sleep(FREE_S)

    def _adapt(self, chunks: int, held_s: float) -> None:
        """As many as would have fitted, when it took longer; more again when it took less than half."""
        if held_s > HELD_S:
            self._chunks = max(LEAST_CHUNKS, int(chunks * HELD_S / held_s))
        elif held_s < HELD_S / 2 and chunks >= self._chunks:
            self._chunks = min(MOST_CHUNKS, self._chunks * 2)


def _move(database: Path, first: int, end: int) -> tuple[int, float]:
    """Let the klines of the rows [first, end) lie at the end, in order; how many, and how long the file was held."""
    which = f"WHERE rowid >= {first} AND rowid < {end}"
    with opened(database, time.monotonic() + WAIT_S) as connection:
        began_s = time.monotonic()
        with transaction(connection):
            added = connection.execute(f"INSERT INTO klines FROM klines {which} ORDER BY {_ORDER}").fetchall()
            if added != connection.execute(f"DELETE FROM klines {which}").fetchall():
                raise BadDatabase("klines could not be moved within the file; it is as it was, run maintain again")
    return int(added[0][0]), time.monotonic() - began_s
