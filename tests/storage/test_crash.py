"""What a run leaves behind that was killed at any moment, or ran out of disk: nothing lost, nothing doubled."""

from __future__ import annotations

import random
import shutil
import subprocess
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from tests.children import killed_after, lasts_s
from tests.drive import Fixed, at, collect_once, published, query, stored
from tests.exchange import StandIn

SYMBOLS = [f"S{n}USDT" for n in range(5)]


def collecting(_: Connection, exchange: Fixed, database: Path) -> None:
    """In a child: one run."""
    collect_once(exchange, database, SYMBOLS)


@pytest.mark.timeout(180)
def test_killed_at_any_moment(exchange: StandIn, database: Path, full: bool) -> None:
    """Runs that catch up 600 minutes each are killed at random moments of the time that one takes; after each
    the file opens and no slot has two rows; the run after that has everything, and the ledger is empty."""
    collect_once(exchange, database, SYMBOLS)
    moments = random.Random(20)
    exchange.freeze(at(600) + 5_000)
    whole_s = lasts_s(collecting, Fixed(exchange.url), database)
    kills = 20 if full else 7
    for kill in range(kills):
        exchange.freeze(at(600 * (kill + 2)) + 5_000)
        killed_after(moments.uniform(0, whole_s), collecting, Fixed(exchange.url), database)
        counts = query(database, "SELECT count(*), count(DISTINCT (symbol, open_time)) FROM klines")
        assert 1 == len(set(counts[0]))

    assert "Completed" == collect_once(exchange, database, SYMBOLS).state
    for symbol in SYMBOLS:
        assert published(exchange.klines(symbol, at(-30), at(600 * (kills + 1)))) == stored(database, symbol)
    assert [] == query(database, "FROM gaps")


def test_disk_full(exchange: StandIn, small_disk: Path) -> None:
    """A full disk fails the run, which says so; what was stored stays, and with room again the next run has all."""
    database = small_disk / "klines.duckdb"
    collect_once(exchange, database, SYMBOLS)
    (small_disk / "ballast").write_bytes(bytes(shutil.disk_usage(small_disk).free - 1_800_000))
    exchange.freeze(at(4_000) + 5_000)
    full = collect_once(exchange, database, SYMBOLS)
    assert ("Failed", True) == (full.state, "is full" in full.message), full.message
    subprocess.run(["mount", "-o", "remount,size=100m", str(small_disk)], check=True)
    assert 5 * 30 <= query(database, "SELECT count(*) FROM klines")[0][0]

    while "due" in collect_once(exchange, database, SYMBOLS).message:
        pass
    for symbol in SYMBOLS:
        assert published(exchange.klines(symbol, at(-30), at(4_000))) == stored(database, symbol)
