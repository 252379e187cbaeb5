"""Klines that lie as minutes wrote them, put in order within the file: a slice of the table at a time goes, sorted, to
its end, in one transaction, so that a kill loses and doubles nothing.

A slice is whole row groups, nearly: what is left of one would be written anew at every checkpoint. As minutes follow
upon each other, it holds all series of some days. DuckDB packs PACKED values together, by the largest and the smallest
of them; so each series lies first in whole packs, none of which has another's, and what is left of all comes last.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb

from klines.columns import in_sql
from klines.errors import BadDatabase
from klines.maintain.survey import CHUNK
from klines.storage.beside import most_threads
from klines.storage.database import opened
from klines.storage.literal import literal
from klines.storage.live import FREE_S, WAIT_S
from klines.tables.transaction import transaction

PACKED, PACKS, PACKS_CHUNKS = 2_048, 4, 21
"""Values that are packed together; so many packs each series should have in a slice, fewer where that would be more
chunks than these, which give 600 series two: 28.4 bytes a kline, where one pack takes 31.6, a month that is sorted as a
whole 27.7, and minutes 40.1."""
COMPLETE = 0.98
"""Of the klines that all series would have together, so many are reckoned with: one that lacks fewer has its packs."""
FIRST_CHUNKS, LEAST_CHUNKS, MOST_CHUNKS = 2, 2, 8
"""Chunks of the first slice, as nobody knows yet how fast the machine is; and of those of few series that follow, as
many as fit into HELD_S, within these bounds."""
LARGEST_CHUNKS, MORE_CHUNKS = 40, 2
"""Chunks of a slice of many series: 4.9 million klines, which 1.6 GB of memory sort; and how many it may have beside
those that are enough, where fewer klines are left over then."""
MOST_SERIES = int(LARGEST_CHUNKS * CHUNK * COMPLETE) // PACKED
"""Series of a slice: of more, none has a whole pack, and they take as much room as before."""
HELD_S, LONGEST_S = 1.5, 8.0
"""How long the file should be held for a slice of few series, and of many at most."""
CHUNK_S = LONGEST_S / FIRST_CHUNKS
"""What a chunk takes, until it is known: so long that the first slice has no more than these."""
_SERIES = in_sql(("market", "kind", "interval", "symbol"))


@dataclass(slots=True)
class Slices:
    """Puts chunks of the file in order; what does not fit into memory is in the folder `temporary` meanwhile. `wait`
    returns when the file may be held for so many seconds, and `longest_s` is how long it was held at most."""

    database: Path
    temporary: Path
    wait: Callable[[float], None]
    longest_s: float = 0.0
    _chunks: int = FIRST_CHUNKS
    _chunk_s: float = CHUNK_S

    def order(self, series: Mapping[int, int], note: Callable[[int], None]) -> None:
        """Sort these chunks, numbers of CHUNK rows each, which have so many series; `note` is told of each slice how
        many klines it had.

        The last ones come first: what lies before them keeps its place. Where others have deleted rows meanwhile, other
        klines are sorted than was meant, and none is lost. Raises as `opened`, and BadDatabase.
        """
        left = deque(sorted(series, reverse=True))
        while left:
            run = next((n for n in range(1, len(left)) if left[n] != left[0] - n), len(left))
            chunks = [left.popleft() for _ in range(min(run, self._wanted(series[left[0]])))]
            self.wait(len(chunks) * self._chunk_s)
            moved, held_s = self._move(chunks[-1] * CHUNK, (chunks[0] + 1) * CHUNK)
            note(moved)
            self._learn(len(chunks), held_s)
            if left:
                time.sleep(FREE_S)

    def _wanted(self, series: int) -> int:
        """How many chunks of so many series: as fit, or more where series have their packs only then; and where that
        takes too long, as have one pack of each."""
        longest = int(LONGEST_S / self._chunk_s)
        least = max(1, self._chunks * 3 // 4, enough(series) if enough(series) <= longest else longest * 2 // 3)
        most = min(LARGEST_CHUNKS, enough(series) + MORE_CHUNKS, longest)
        return best(series, least, max(least, self._chunks, most))

    def _move(self, first: int, end: int) -> tuple[int, float]:
        """Let the klines of rows [first, end) lie at the end, in order; how many, and how long the file was held."""
        which = f"rowid >= {first} AND rowid < {end}"
        with opened(self.database, time.monotonic() + WAIT_S) as connection:
            began_s = time.monotonic()
            connection.execute(f"SET threads = {most_threads()}; SET temp_directory = {literal(self.temporary)}")
            with transaction(connection):
                added = _append(connection, which)
                if added != connection.execute(f"DELETE FROM klines WHERE {which}").fetchall()[0][0]:
                    raise BadDatabase("klines could not be moved within the file; it is as it was, run maintain again")
        return added, time.monotonic() - began_s

    def _learn(self, chunks: int, held_s: float) -> None:
        """Of few series as many chunks as would have fitted, when it took longer; more again when it took less than
        half."""
        self.longest_s = max(self.longest_s, held_s)
        self._chunk_s = held_s / chunks
        if held_s > HELD_S:
            self._chunks = min(self._chunks, max(LEAST_CHUNKS, int(chunks * HELD_S / held_s)))
        elif held_s < HELD_S / 2 and chunks >= self._chunks:
            self._chunks = min(MOST_CHUNKS, self._chunks * 2)


def enough(series: int) -> int:
    """Chunks in which so many series have the packs each that they should have, at least one."""
    packs = max(1, min(PACKS, int(PACKS_CHUNKS * CHUNK * COMPLETE) // (series * PACKED)))
    return min(LARGEST_CHUNKS, math.ceil(series * packs * PACKED / COMPLETE / CHUNK))


def best(series: int, least: int, most: int) -> int:
    """Of so many chunks the largest number of which the smallest share of klines is in no whole pack."""

    def left(chunks: int) -> float:
        rows = chunks * CHUNK * COMPLETE / series
        return rows % PACKED / rows

    return min(range(most, least - 1, -1), key=left)


def most_chunks(series: int) -> int:
    """Chunks of a slice of so many series at most."""
    return max(MOST_CHUNKS, min(LARGEST_CHUNKS, enough(series) + MORE_CHUNKS))


def _append(connection: duckdb.DuckDBPyConnection, which: str) -> int:
    """Store the klines of these rows once more, in order; how many there are."""
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE whole AS  -- numbers are sorted faster than names
            SELECT {_SERIES}, row_number() OVER (ORDER BY {_SERIES}) AS place,
                   list_sort(list(open_time))[count(*) // {PACKED} * {PACKED}] AS until  -- NULL: no pack
            FROM klines WHERE {which} GROUP BY {_SERIES}"""
    )
    [(added,)] = connection.execute(
        f"""INSERT INTO klines SELECT k.* FROM (FROM klines WHERE {which}) k LEFT JOIN whole USING ({_SERIES})
            ORDER BY (open_time <= until) IS NOT TRUE, place, open_time"""
    ).fetchall()
    return int(added)
