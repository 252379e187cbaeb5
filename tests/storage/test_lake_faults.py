"""Many writers of one lake, and their ends: nothing is lost, and nothing is stored twice.

In the suite each has a small count; `--full` has those of docs/many-machines.md.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import duckdb
import pytest

from klines.settings import LakeAddress
from klines.storage.access import place_of
from klines.storage.lake.credentials import Login
from klines.storage.lake.lake import Lake
from klines.storage.lake.lake_errors import Again, named_lake_errors
from klines.storage.place import Scope
from klines.tables.transaction import transaction
from tests import CHECKOUT
from tests.children import Child, child, killed_after, lasts_s
from tests.drive import Fixed, at, audit_once, backfill_once, collect_once, ms, published, query, stored
from tests.exchange import StandIn
from tests.lakes import Lakes, skip_unless_there

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
SYMBOLS = [f"S{number}USDT" for number in range(6)]
TWICE = "SELECT count(*) - count(DISTINCT (market, symbol, interval, open_time)) FROM klines"


def by_chance(pipe: Connection, exchange: Fixed, lake: LakeAddress, seed: int) -> None:
    """In a child: collect, backfill or audit some of the symbols, until it is told to end; says each final state."""
    chance = random.Random(seed)
    while not pipe.poll():
        some = chance.sample(SYMBOLS, chance.randint(2, len(SYMBOLS)))
        kind = chance.choice(["collect", "collect", "backfill", "audit"])
        if kind == "collect":
            pipe.send(collect_once(exchange, lake, some).state)
        elif kind == "backfill":
            source = chance.choice(["auto", "rest"])
            pipe.send(backfill_once(exchange, lake, some, "2026-01-01", "2026-01-02T12:00", source=source).state)
        else:
            pipe.send(audit_once(exchange, lake, symbols=some).state)


def test_processes_on_the_same_symbols(exchange: StandIn, lake: LakeAddress, full: bool) -> None:
    """Four processes, in full eight, collect, backfill and audit the same symbols, as it comes: no kline is there
    twice, none is lost, and all have the values that the exchange published."""
    collect_once(exchange, lake, SYMBOLS)
    count = 8 if full else 4
    children: list[Any] = [child(by_chance, Fixed(exchange.url), lake, seed) for seed in range(count)]
    workers: list[Child] = [one.__enter__() for one in children]
    until_s, minute = time.monotonic() + (120 if full else 4), 0
    while time.monotonic() < until_s:
        time.sleep(1)
        minute += 1
        exchange.freeze(at(minute) + 5_000)
    for worker in workers:
        worker.tell("enough")
    states = [state for worker in workers for state in worker.rest()]
    for one in children:
        one.__exit__(None, None, None)

    assert len(states) >= count
    # a minute of the exchange lasts a second: the machine's clock is in doubt, and a run of five has no due kline
    assert {"Completed", "Degraded", "DatabaseBusy", "ExchangeDown"} >= set(states), states
    assert [(0,)] == query(lake, TWICE)
    start, end = "2026-01-01", "2026-01-02T12:00"
    assert "Completed" == backfill_once(exchange, lake, SYMBOLS, start, end).state
    assert "Completed" == collect_once(exchange, lake, SYMBOLS).state
    for symbol in SYMBOLS:
        assert published(exchange.klines(symbol, ms(start), at(minute))) == stored(lake, symbol)
    assert [(0,)] == query(lake, TWICE)
    assert [] == query(lake, "FROM gaps")


def collecting(_: Connection, exchange: Fixed, lake: LakeAddress) -> None:
    """In a child: one run."""
    collect_once(exchange, lake, SYMBOLS)


def test_killed_at_any_moment(exchange: StandIn, lake: LakeAddress, full: bool) -> None:
    """Runs that catch up 60 minutes each are killed at random moments; no slot has two rows, whoever comes next waits
    for nobody, and the run after the last has everything."""
    collect_once(exchange, lake, SYMBOLS)
    moments = random.Random(100)
    exchange.freeze(at(60) + 5_000)
    whole_s = lasts_s(collecting, Fixed(exchange.url), lake)
    kills = 100 if full else 4
    for kill in range(kills):
        exchange.freeze(at(60 * (kill + 2)) + 5_000)
        killed_after(moments.uniform(whole_s / 4, whole_s), collecting, Fixed(exchange.url), lake)
        assert [(0,)] == query(lake, TWICE)

    assert "Completed" == collect_once(exchange, lake, SYMBOLS).state
    for symbol in SYMBOLS:
        assert published(exchange.klines(symbol, at(-30), at(60 * (kills + 1)))) == stored(lake, symbol)
    assert [] == query(lake, "FROM gaps")


def cut_off(lakes: Lakes, lake: LakeAddress) -> None:
    """End the sessions that have the locks of a lake, as PostgreSQL does with those of a machine that stands still."""
    locks = f"datname = '{lake.name}' AND application_name LIKE 'klines lock %'"
    assert lakes.postgres.ask("postgres", f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {locks}")


def test_locks_that_were_lost_are_noticed(lake: LakeAddress, lakes: Lakes) -> None:
    """Whoever has them may go on; once they are gone he is told, before he commits."""
    place = place_of(lake)
    assert isinstance(place, Lake)
    with place.turns.taken(["spot 1m 7"], time.monotonic() + 30) as turn:
        turn.check()
        cut_off(lakes, lake)
        with pytest.raises(Again, match="terminating connection"):
            turn.check()


def test_nothing_is_committed_without_locks(lake: LakeAddress, lakes: Lakes) -> None:
    """What was done when the locks went is taken back, and done again with new ones: it is there once."""
    tries, time_ = list[int](), "TIMESTAMP '2026-01-01'"

    def do(connection: duckdb.DuckDBPyConnection) -> int:
        with transaction(connection):
            connection.execute(f"INSERT INTO bans VALUES ('spot', {time_}, '', 'RateLimited', {time_}, '')")
            tries.append(len(tries) + 1)
            if tries == [1]:
                cut_off(lakes, lake)
        return tries[-1]

    assert 2 == place_of(lake).write(time.monotonic() + 60, Scope("spot", "klines", "1m", ["BTCUSDT"]), do)
    assert [(1,)] == query(lake, "SELECT count(*) FROM bans")


def test_what_cannot_be_reached_says_what_to_do(lake: LakeAddress) -> None:
    """An error without a word, and one whose words nobody knows, say what failed and what to do."""
    from psycopg import OperationalError

    login = Login.of(lake.catalog)
    for error, said in (
        (OperationalError(), "OperationalError, and no word why"),
        (OperationalError("sad"), r"\(sad\)"),
    ):
        with pytest.raises(Again, match=f"can't be reached.*{said}.*see whether PostgreSQL"), named_lake_errors(login):
            raise error


def test_servers_end_with_who_started_them() -> None:
    """PostgreSQL does not outlive a run of tests that was killed."""
    skip_unless_there()
    code = (
        "import time; from tests.lakes import Postgres\n"
        "with Postgres() as postgres:\n"
        "    print(postgres.data, flush=True)\n"
        "    time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        data = Path(process.stdout.readline().strip())
        server = int((data / "postmaster.pid").read_text().split()[0])
        process.kill()
    until_s = time.monotonic() + 60
    while Path(f"/proc/{server}").exists():
        assert time.monotonic() < until_s
        time.sleep(0.1)
    shutil.rmtree(data.parent)
