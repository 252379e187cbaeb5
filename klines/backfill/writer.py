"""The one writer of a backfill: what the loaders hand over goes into the file in few, big, short transactions.

The file is held for about a second, and left free in between for so long that whoever waits for it looks at least once.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Self

from anyio import to_thread

from klines.storage.live import FREE_S
from klines.tables.archive_files import Loaded
from klines.tables.merge import ROW_GROUP
from klines.want import Want

FIRST_ROWS, MOST_ROWS = 2 * ROW_GROUP, 5 * ROW_GROUP
"""Klines of a transaction: at first two row groups, as nobody knows yet how fast the disk is; up to five as long as
they fit into HELD_S. They are whole groups, filled as far as files go: what ends in the first one, or early in another,
is hardly shorter, and costs three times as much a kline, as the checkpoint writes the groups beside it again."""
HELD_S, LONGEST_WAIT_S = 1.0, 2.0
"""How long the file should be held at most, and how long handed-over rows wait for more."""

Item = Loaded | Want


@dataclass(slots=True)
class _Handed:
    item: Item
    rows: int
    done: asyncio.Future[None] = field(default_factory=asyncio.Future)


class Writer:
    """Use as `async with`. `write` is called in a thread with the items of a transaction; it opens the file, and
    returns for how many seconds it held it.

    `is_free` is set while no transaction is being written: who takes the cores then makes none last longer.
    """

    def __init__(self, write: Callable[[Sequence[Item]], float]) -> None:
        self._write = write
        self._handed: list[_Handed] = []
        self._working = 0
        self._has_ended = False
        self._most_rows = FIRST_ROWS
        self._wake = asyncio.Event()
        self.is_free = asyncio.Event()
        self.is_free.set()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._has_ended = True
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        for handed in self._handed:
            handed.done.cancel()

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """While somebody works on rows, a transaction waits for them; when nobody does, it begins at once."""
        self._working += 1
        try:
            yield
        finally:
            self._working -= 1
            self._wake.set()

    async def put(self, item: Item, rows: int) -> None:
        """Hand over, and wait until it is committed; raises what the transaction raised, or CancelledError when the
        writer has ended."""
        if self._has_ended:
            raise asyncio.CancelledError
        handed = _Handed(item, rows)
        self._handed.append(handed)
        self._wake.set()
        await handed.done

    async def _run(self) -> None:
        while True:
            await self._enough()
            batch = self._take()
            self.is_free.clear()
            try:
                held_s = await to_thread.run_sync(self._write, [handed.item for handed in batch])
            except Exception as error:
                held_s = 0.0
                self._settle(batch, error)
            else:
                self._adapt(sum(handed.rows for handed in batch), held_s)
                self._settle(batch, None)
            self.is_free.set()
            await asyncio.sleep(min(held_s, FREE_S))

    async def _enough(self) -> None:
        """Wait until there are enough rows, or nobody works on more, or the first has waited long enough."""
        since: float | None = None
        while True:
            rows = sum(handed.rows for handed in self._handed)
            if self._handed and since is None:
                since = time.monotonic()
            waited_s = 0.0 if since is None else time.monotonic() - since
            if self._handed and (rows >= self._most_rows or not self._working or waited_s >= LONGEST_WAIT_S):
                return
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if since is None else LONGEST_WAIT_S - waited_s):
                    await self._wake.wait()

    def _take(self) -> list[_Handed]:
        """The next transaction: at least one item, at most so many rows as fit."""
        batch, rows = [self._handed.pop(0)], 0
        rows = batch[0].rows
        while self._handed and rows + self._handed[0].rows <= self._most_rows:
            batch.append(self._handed.pop(0))
            rows += batch[-1].rows
        return batch

    def _adapt(self, rows: int, held_s: float) -> None:
        """As many row groups as fit into HELD_S, after a transaction that took longer; more again, twice as many at
        most, after one that was not too small to tell."""
        fitting = int(rows * min(HELD_S / held_s, 2.0) if held_s else rows * 2) // ROW_GROUP * ROW_GROUP
        if held_s > HELD_S or (rows * 2 > self._most_rows and fitting > self._most_rows):
            self._most_rows = max(FIRST_ROWS, min(MOST_ROWS, fitting))

    @staticmethod
    def _settle(batch: Sequence[_Handed], error: Exception | None) -> None:
        for handed in batch:
            if handed.done.done():
                continue
            if error is None:
                handed.done.set_result(None)
            else:
                handed.done.set_exception(error)
