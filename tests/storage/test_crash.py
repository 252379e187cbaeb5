"""What a run leaves behind that was killed at any moment, or ran out of disk: nothing lost, nothing doubled."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest

from tests import CHECKOUT
from tests.drive import at, collect_once, published, query, stored
from tests.exchange import StandIn

SYMBOLS = [f"S{n}USDT" for n in range(5)]
CHILD = """
import sys
from pathlib import Path
from tests.drive import Fixed, collect_once
print("ready", flush=True)
collect_once(Fixed(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
"""


@pytest.mark.timeout(180)
def test_killed_twenty_times(exchange: StandIn, database: Path) -> None:
    """Twenty runs that catch up 600 minutes each are killed at random moments; after each the file opens and no slot
    has two rows; the run after that has everything, and the ledger is empty."""
    collect_once(exchange, database, SYMBOLS)
    moments = random.Random(20)
    for kill in range(20):
        exchange.freeze(at(600 * (kill + 1)) + 5_000)
        command = [sys.executable, "-c", CHILD, exchange.url, str(database), *SYMBOLS]
        with subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            assert "ready\n" == child.stdout.readline()
            time.sleep(moments.uniform(0, 0.4))
            child.kill()
        counts = query(database, "SELECT count(*), count(DISTINCT (symbol, open_time)) FROM klines")
        assert 1 == len(set(counts[0]))

    assert "Completed" == collect_once(exchange, database, SYMBOLS).state
    for symbol in SYMBOLS:
        assert published(exchange.klines(symbol, at(-30), at(600 * 20))) == stored(database, symbol)
    assert [] == query(database, "FROM gaps")


def test_disk_full(exchange: StandIn, small_disk: Path) -> None:
    """A full disk fails the run with that error; what was stored stays, and with room again the next run has all."""
    database = small_disk / "klines.duckdb"
    collect_once(exchange, database, SYMBOLS)
    exchange.freeze(at(20_000) + 5_000)
    with pytest.raises(duckdb.Error, match=r"(?i)space|write"):
        collect_once(exchange, database, SYMBOLS)
    subprocess.run(["mount", "-o", "remount,size=100m", str(small_disk)], check=True)
    assert 5 * 30 <= query(database, "SELECT count(*) FROM klines")[0][0]

    while "due" in collect_once(exchange, database, SYMBOLS).message:
        pass
    for symbol in SYMBOLS:
        assert published(exchange.klines(symbol, at(-30), at(20_000))) == stored(database, symbol)
