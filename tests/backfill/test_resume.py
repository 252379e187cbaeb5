"""A backfill that is stopped anywhere goes on where it was, and leaves the minute its time and weight."""

from __future__ import annotations

import contextlib
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from klines.backfill.job import BackfillJob
from klines.backfill.run import Backfill
from klines.errors import DatabaseBusy, Interrupted, NoRoom
from klines.outcome import Outcome
from klines.settings import Settings
from tests.children import child, killed_after
from tests.drive import NOON, Fixed, backfill_once, collect_once, ms, published, query, remember_no_clocks, stored
from tests.exchange import StandIn
from tests.storage.test_database import held, make

pytestmark = pytest.mark.file

SYMBOLS = [f"S{n}USDT" for n in range(3)]
RANGE = ("2025-10-01", "2025-12-01")
SLOTS = 3 * 61 * 1440
COUNTS = "SELECT count(*), count(DISTINCT (symbol, open_time)) FROM klines"


def filling(pipe: Connection, exchange: Fixed, database: Path) -> None:
    """In a child: one backfill; it says its state."""
    pipe.send(backfill_once(exchange, database, SYMBOLS, *RANGE).state)


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    """The stand-in with its files made beforehand, so that the tests meet the work and not the wait for a file."""
    with StandIn(any_symbol=True) as exchange:
        exchange.freeze(NOON + 5_000)
        warm = tmp_path_factory.mktemp("warm") / "klines.duckdb"
        assert "Completed" == backfill_once(exchange, warm, SYMBOLS, *RANGE, request_timeout_s=30).state
        yield exchange


@pytest.mark.timeout(300)
def test_killed_at_any_moment(exchange: StandIn, database: Path, full: bool) -> None:
    """Two months of three symbols, killed again and again: each time the file opens, no slot has two rows, and
    every missing slot is in the ledger; the run after that fetches only the rest, and everything is there."""
    make(database)
    moments = random.Random(10)
    for _ in range(10 if full else 4):
        killed_after(moments.uniform(0.1, 1.2), filling, Fixed(exchange.url), database)
        [(rows, keys)] = query(database, COUNTS)
        [(due,)] = query(database, "SELECT coalesce(sum(epoch(end_time - start_time)) / 60, 0)::BIGINT FROM gaps")
        assert (rows, SLOTS if due or rows else 0) == (keys, rows + due)

    exchange.forget()
    outcome = backfill_once(exchange, database, SYMBOLS, *RANGE)
    assert "Completed" == outcome.state
    assert f"stored {SLOTS - rows:,} klines" in outcome.message
    start_ms, end_ms = map(ms, RANGE)
    assert [(SLOTS, SLOTS)] == query(database, COUNTS)
    for symbol in SYMBOLS[: len(SYMBOLS) if full else 1]:
        assert published(exchange.klines(symbol, start_ms, end_ms)) == stored(database, symbol)
    assert [] == query(database, "FROM gaps")


def test_beside_collect(exchange: StandIn, database: Path) -> None:
    """Collect runs all the time beside a backfill: each of its runs is Completed, and no minute is missing; what the
    backfill works on is not fetched twice."""
    remember_no_clocks(database)
    collect_once(exchange, database, SYMBOLS)
    exchange.forget()
    states = []
    with child(filling, Fixed(exchange.url), database) as process:
        while process.is_alive:
            states.append(collect_once(exchange, database, SYMBOLS).state)
        assert ["Completed"] == process.rest()
    assert {"Completed"} == set(states)
    assert SLOTS + 3 * 30 == query(database, "SELECT count(*) FROM klines")[0][0]
    assert [] == [request for request in exchange.kline_requests() if request.status != 200]
    # a page of REST would be one of the minute's that took the backfill's work: it asks for days only
    asked = [r for r in exchange.kline_requests() if r.params["interval"] == "1m" and int(r.params["limit"]) > 100]
    assert [] == asked


@pytest.mark.parametrize("after_s", [0.0, 0.3, *(pytest.param(s, marks=pytest.mark.full) for s in (0.6, 1.0))])
def test_left_early(exchange: StandIn, database: Path, after_s: float) -> None:
    """A run that is cut short, as by Ctrl-C, ends whatever it was at; what is left is anybody's again."""
    settings = Settings(database=database, spot_url=exchange.url, archive_url=exchange.url)
    start, end = map(datetime.fromisoformat, RANGE)
    job = BackfillJob.of(settings, SYMBOLS, start, end)
    with ThreadPoolExecutor(8) as threads:
        with contextlib.suppress(KeyboardInterrupt), Backfill(settings, job) as run:
            run.health()
            loading = [threads.submit(run.load, chunk) for chunk in run.plan().chunks]
            time.sleep(after_s)
            raise KeyboardInterrupt
        errors = [future.exception(timeout=60) for future in loading]
    assert {Interrupted} >= {type(error) for error in errors if error}
    leased = "count(*) FILTER (next_check > first_seen + INTERVAL 1 MINUTE)"
    [(due, leases)] = query(database, f"SELECT count(*), {leased} FROM gaps")
    assert 0 == leases
    assert due or not any(errors)


def loaded(exchange: StandIn, database: Path, before: Callable[[], object], wait_s: float = 0.5) -> Outcome:
    """The outcome of a backfill between whose plan and loads `before` is called."""
    settings = Settings(database=database, spot_url=exchange.url, archive_url=exchange.url)
    start, end = map(datetime.fromisoformat, RANGE)
    job = BackfillJob.of(settings, SYMBOLS, start, end)
    with Backfill(settings, job, wait_s=wait_s) as run, ThreadPoolExecutor(8) as threads:
        run.health()
        chunks = run.plan().chunks
        before()
        for loading in [threads.submit(run.load, chunk) for chunk in chunks]:
            loading.exception()
        return run.outcome()


def test_a_file_that_is_held_all_the_time(exchange: StandIn, database: Path) -> None:
    """A file that another process keeps open ends the run with DatabaseBusy, naming the process; the next run has
    everything."""
    with (
        contextlib.ExitStack() as stack,
        pytest.raises(DatabaseBusy, match=r"python.*pid \d+.* has .*klines.duckdb open"),
    ):
        loaded(exchange, database, lambda: stack.enter_context(held(database, "read")))
    assert "Completed" == loaded(exchange, database, lambda: None, wait_s=60).state


def test_a_disk_that_fills(exchange: StandIn, small_disk: Path) -> None:
    """A disk that is too small is refused before anything is done. One that fills ends the run with that error; what
    was stored stays, and with room again another run has the rest."""

    def resize(size: str) -> None:
        subprocess.run(["mount", "-o", f"remount,size={size}", str(small_disk)], check=True)

    database = small_disk / "klines.duckdb"
    with pytest.raises(NoRoom, match="needs up to 13 MB there: nothing was done; make room first"):
        loaded(exchange, database, lambda: None)
    resize("200m")
    with pytest.raises(NoRoom, match="is full"):
        loaded(exchange, database, lambda: resize("6m"))
    resize("200m")
    assert "Completed" == loaded(exchange, database, lambda: None, wait_s=60).state
    assert [(SLOTS,)] == query(database, "SELECT count(DISTINCT (symbol, open_time)) FROM klines")
