"""Reading never stops collecting: an hour of minutes, with readers all over it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import klines
from tests import CHECKOUT
from tests.drive import at, collect_once, query
from tests.exchange import StandIn

SYMBOLS = [f"S{n}USDT" for n in range(10)]
READER = """
import json, sys, threading, time
import klines
counts = []
def read():
    while not ended.is_set():
        found = klines.read(["S1USDT", "S2USDT"], database=sys.argv[1])
        counts.append(found.height)
        time.sleep(0.1)
ended = threading.Event()
threads = [threading.Thread(target=read) for _ in range(2)]
for thread in threads:
    thread.start()
print("ready", flush=True)
sys.stdin.read()
ended.set()
for thread in threads:
    thread.join()
print(json.dumps([len(counts), counts[-1]]))
"""


@pytest.mark.timeout(300)
def test_an_hour_with_a_snapshot_open_and_ten_that_read(exchange: StandIn, database: Path) -> None:
    """Sixty minutes one after the other, while one reader has a snapshot open and ten in five processes call `read` all
    the time: every run is Completed, no reader fails, and at the end all see the last minute."""
    collect_once(exchange, database, SYMBOLS)
    command = [sys.executable, "-c", READER, str(database)]
    readers = [
        subprocess.Popen(
            command, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(5)
    ]
    with klines.connect(database=database) as snapshot:
        for reader in readers:
            assert reader.stdout is not None
            assert "ready\n" == reader.stdout.readline()
        states = []
        for minute in range(1, 61):
            exchange.freeze(at(minute) + 5_000)
            states.append(collect_once(exchange, database, SYMBOLS).state)
        assert [(300,)] == snapshot.sql("SELECT count(*) FROM klines").fetchall()
    said = [reader.communicate(timeout=60) for reader in readers]
    assert ["Completed"] * 60 == states
    assert [""] * 5 == [errors for _, errors in said]
    assert [180] * 5 == [json.loads(printed)[1] for printed, _ in said]
    assert [(900,)] == query(database, "SELECT count(*) FROM klines")
