"""Reading never stops collecting: an hour of minutes, with readers all over it."""

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
def test_an_hour_with_a_snapshot_open_and_ten_that_read(exchange: StandIn, database: Path) -> None:
    """Sixty minutes one after the other, while one reader has a snapshot open and ten in five processes call `read` as
    each of them is collected: every run is Completed, no reader fails, and at the end all see the last minute."""
    collect_once(exchange, database, SYMBOLS)
    with contextlib.ExitStack() as stack:
        readers = [stack.enter_context(child(reading, database)) for _ in range(5)]
        snapshot = stack.enter_context(klines.connect(database=database))
        for minute in range(1, 61):
            exchange.freeze(at(minute) + 5_000)
            for reader in readers:
                reader.tell("minute")
            assert "Completed" == collect_once(exchange, database, SYMBOLS).state
        assert [(300,)] == snapshot.sql("SELECT count(*) FROM klines").fetchall()
        for reader in readers:
            reader.tell("end")
        assert [[180, 180]] * 5 == [reader.hear() for reader in readers]
    assert [(900,)] == query(database, "SELECT count(*) FROM klines")
