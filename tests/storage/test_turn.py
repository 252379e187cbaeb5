"""Who goes first: bulk work leaves the file and the cores to a minute that is at work."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

import klines
from klines.binance.archive import Archive
from klines.binance.exchange import Exchange
from klines.binance.files import File
from klines.interval import DAY, INTERVALS
from klines.market import MARKETS
from klines.storage.snapshot import take
from klines.storage.turn import Patience, is_minute_at_work, minute_at_work
from klines.want import Want
from klines.window import Window
from tests.children import child
from tests.drive import (
    NOON,
    audit_once,
    backfill_once,
    collect_once,
    maintain_once,
    want_on,
)
from tests.exchange import StandIn

A_WHILE_S = 3.0
"""Each piece of bulk work on a database as small as these takes a fraction of it."""
M1 = INTERVALS["1m"]


def working(pipe: Connection, database: Path) -> None:
    """A minute that is at work until it is told to end."""
    with minute_at_work(database):
        pipe.send("at work")
        pipe.recv()


@pytest.mark.parametrize("is_killed", [False, True], ids=["ends", "is killed"])
def test_bulk_work_waits_until_the_minute_ends(database: Path, is_killed: bool) -> None:
    """However the process of a minute ends, bulk work of another one, which has waited for it, then goes on."""
    with child(working, database) as minute:
        assert "at work" == minute.hear()
        bulk = threading.Thread(target=Patience(database).wait)
        bulk.start()
        bulk.join(0.2)
        assert bulk.is_alive()
        minute.kill() if is_killed else minute.tell("end")
        bulk.join(10)
        assert not bulk.is_alive()


def test_a_minute_that_never_ends_stops_nothing(database: Path) -> None:
    """Patience ends, in a thread and on an event loop, and then is not asked for again for as long; that of a run that
    is stopped ends at once."""
    with minute_at_work(database):
        patience = Patience(database, 0.1)
        patience.wait()
        asyncio.run(Patience(database, 0.1).waited())
        stopped = Patience(database)
        waiting = threading.Thread(target=stopped.wait)
        waiting.start()
        stopped.end()
        waiting.join(10)
        assert not waiting.is_alive()
        assert is_minute_at_work(database)


def test_minutes_do_not_wait_for_each_other(database: Path, tmp_path: Path) -> None:
    """Several are at work at once; a database is the same by whatever link it is reached."""
    link = tmp_path / "link.duckdb"
    link.symlink_to(database)
    with minute_at_work(database):
        with minute_at_work(link):
            pass
        assert is_minute_at_work(link)
    assert not is_minute_at_work(database)


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, None], ids=["a folder", "a fifo", "no folder"])
def test_where_nothing_can_be_locked_nobody_waits(tmp_path: Path, make: Callable[[Path], None] | None) -> None:
    """Whatever is where the lock should be, minutes and bulk work go on."""
    database = tmp_path / "klines.duckdb" if make else tmp_path / "nowhere" / "klines.duckdb"
    if make:
        make(database.with_name("klines.duckdb.minute"))
    with minute_at_work(database):
        pass
    Patience(database).wait()


BULK: dict[str, Callable[[StandIn, Path], object]] = {
    "backfill": partial(backfill_once, symbols=["BTCUSDT"], start="2025-12-28", end="2025-12-29"),
    "audit": lambda exchange, database: audit_once(exchange, database),
    "maintain": lambda _, database: maintain_once(database),
    "publish": lambda _, database: take(database, datetime.now(UTC)),
    "export": lambda _, database: klines.export("csv", database.parent / "csv", "BTCUSDT", database=database),
}


@pytest.mark.slow
def test_all_bulk_work_makes_way(exchange: StandIn, database: Path) -> None:
    """A backfill, an audit, maintenance, a snapshot and an export of a database on which a minute is at work get to
    their ends after it, and not before."""
    collect_once(exchange, database, ["BTCUSDT"])
    want_on(database)
    exchange.freeze(NOON + DAY)
    threads = {}
    with contextlib.ExitStack() as minutes:
        for name, work in BULK.items():
            (folder := database.parent / name).mkdir()
            its = Path(shutil.copy(database, folder))
            minutes.enter_context(minute_at_work(its))
            threads[name] = threading.Thread(target=work, args=(exchange, its))
            threads[name].start()
        threads["backfill"].join(A_WHILE_S)
        assert [*BULK] == [name for name, thread in threads.items() if thread.is_alive()]
    for thread in threads.values():
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads.values())


def test_a_run_that_is_under_way_makes_way_too(exchange: StandIn) -> None:
    """Bulk work looks before each request, and before each file that it opens."""
    looks = []

    async def look() -> None:
        looks.append(len(exchange.requests))

    async def asked() -> None:
        spot, file = MARKETS["spot"], File("spot", "BTCUSDT", "1m", False, NOON // DAY * DAY - 2 * DAY)
        async with Exchange(spot, exchange.url, deadline_s=time.monotonic() + 60, request_timeout_s=60) as line:
            line.may_ask = look
            await line.fetch(Want("BTCUSDT", [Window(NOON - DAY, NOON)], listed_ms=0), M1)
        assert [*range(len(exchange.requests))] == looks
        looks.clear()
        async with Archive(exchange.url, may_open=look) as archive:
            assert await archive.fetch(file, M1)

    asyncio.run(asked())
    assert [len(exchange.requests)] == looks
