"""Reading never stops collecting: minute after minute, with readers all over it."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

import klines
from tests.children import child
from tests.drive import at, collect_once, query
from tests.exchange import StandIn

SYMBOLS = [f"S{n}USDT" for n in range(10)]


def reading(pipe: Connection, database: Path) -> None:
    """In a child: two threads that read once a minute, that is whenever the test speaks; what they saw at last."""

    def read(_: int) -> int:
        return klines.read(["S1USDT", "S2USDT"], database=database).height

    with ThreadPoolExecutor(2) as threads:
        while pipe.recv() == "minute":
            list(threads.map(read, range(2)))
        pipe.send(list(threads.map(read, range(2))))


@pytest.mark.timeout(300)
def test_a_snapshot_open_and_ten_that_read(exchange: StandIn, database: Path, full: bool) -> None:
    """Minutes one after the other, with --full an hour of them, while one reader has a snapshot open and ten in five
    processes call `read` as each is collected: every run is Completed, no reader fails, and at the end all see the last
    minute."""
    collect_once(exchange, database, SYMBOLS)
    minutes = 60 if full else 6
    with contextlib.ExitStack() as stack:
        readers = [stack.enter_context(child(reading, database)) for _ in range(5)]
        snapshot = stack.enter_context(klines.connect(database=database))
        for minute in range(1, minutes + 1):
            exchange.freeze(at(minute) + 5_000)
            for reader in readers:
                reader.tell("minute")
            assert "Completed" == collect_once(exchange, database, SYMBOLS).state
        assert [(300,)] == snapshot.sql("SELECT count(*) FROM klines").fetchall()
        for reader in readers:
            reader.tell("end")
        assert [[2 * (30 + minutes)] * 2] * 5 == [reader.hear() for reader in readers]
    assert [(10 * (30 + minutes),)] == query(database, "SELECT count(*) FROM klines")
