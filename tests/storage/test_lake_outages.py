"""What of a lake goes away and comes back: PostgreSQL, the bucket, a machine. Nothing is lost, or stored twice."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import duckdb
import pytest

from klines.errors import DatabaseBusy
from klines.interval import INTERVALS
from klines.market import MARKETS
from klines.settings import LakeAddress
from klines.storage.access import forget_lakes, place_of
from klines.storage.lake.turns import SILENT_S
from klines.storage.place import Scope
from klines.storage.store import store
from tests.children import Child, child
from tests.drive import at, query
from tests.lakes import Bucket, Lakes, Postgres, skip_unless_there
from tests.storage.test_lake import minutes
from tests.storage.test_lake_faults import SYMBOLS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """One that a test may stop."""
    skip_unless_there()
    with Postgres() as postgres:
        yield postgres
    forget_lakes()


def storing(pipe: Connection, lake: LakeAddress, symbols: list[str], count: int) -> None:
    """In a child: store a minute of the symbols after the other, and the three before it again; says each that is
    committed, or that it was not to be."""
    minute = 0
    while not pipe.poll() and minute < count:
        try:
            _store(lake, symbols, minute)
        except DatabaseBusy as error:
            pipe.send(str(error))
        else:
            pipe.send(minute)
            minute += 1


def _store(lake: LakeAddress, symbols: list[str], minute: int) -> None:
    wants = [minutes(symbol, max(0, minute - 3), min(minute, 3) + 1) for symbol in symbols]
    scope = Scope("spot", "klines", "1m", symbols)
    put: Callable[[duckdb.DuckDBPyConnection], object] = lambda to: store(  # noqa: E731
        to, MARKETS["spot"], INTERVALS["1m"], wants, now_ms=at(minute + 1)
    )
    place_of(lake).write(time.monotonic() + 45, scope, put)


def _all_there(lake: LakeAddress, symbols: list[str], said: list[Any]) -> int:
    """How many minutes were committed: each of them is stored once, of every symbol."""
    committed = [minute for minute in said if isinstance(minute, int)]
    assert committed, said
    rows = query(lake, "SELECT symbol, count(*), count(DISTINCT open_time) FROM klines GROUP BY ALL ORDER BY ALL")
    for symbol, count, distinct in rows:
        assert count == distinct, symbol
        assert count in (len(committed), len(committed) + 1), (symbol, count, len(committed))
    assert set(symbols) == {symbol for symbol, *_ in rows}
    return len(committed)


def test_postgres_is_restarted_under_load(own_postgres: Postgres, tmp_path: Path, full: bool) -> None:
    """PostgreSQL goes and comes back while a writer stores minute after minute: what it was told is committed is
    there once. It goes on by itself; only where DuckDB's extension has ended the process, another begins anew."""
    lake = Lakes(own_postgres, str(tmp_path / "data")).make()
    restarts, ends = 10 if full else 3, 0
    while restarts:
        with child(storing, lake, SYMBOLS, 10_000) as writer:
            try:
                while restarts:
                    _restart(own_postgres, writer, ("immediate", "fast")[restarts % 2])
                    restarts -= 1
                writer.tell("enough")
                writer.rest()
            except EOFError:
                ends += 1
                assert (1, -signal.SIGABRT) == (ends, writer.exit_code())
    [(newest,)] = query(lake, "SELECT max(epoch_ms(open_time)) FROM klines")
    _all_there(lake, SYMBOLS, list(range((newest - at(0)) // 60_000 + 1)))


def _restart(postgres: Postgres, writer: Child, how: str) -> None:
    """Stop PostgreSQL while the writer is at work, start it, and wait until he has stored again."""
    writer.skip()
    assert isinstance(writer.hear(), int)
    time.sleep(0.7)
    postgres.stop(how)
    time.sleep(1.0)
    postgres.start()
    writer.skip()
    writer.hear()


def test_the_bucket_is_away(lakes: Lakes, full: bool, tmp_path: Path) -> None:
    """While S3 can't be reached the minute goes on, for writers and for readers of what is new; nothing is lost."""
    with Bucket() as bucket, bucket.keys():
        name = lakes.postgres.create()
        lake = LakeAddress(lakes.postgres.catalog(name), f"s3://klines/{tmp_path.name}")
        _store(lake, SYMBOLS, 0)
        with child(storing, lake, SYMBOLS, 10_000) as writer:
            said = [writer.hear()]
            bucket.stop()
            until_s = time.monotonic() + (60 if full else 6)
            while time.monotonic() < until_s:
                said.append(writer.hear())
            during = len(said)
            bucket.start()
            writer.tell("enough")
            said += writer.rest()
        assert during > 3
        assert [] == [text for text in said if not isinstance(text, int)]
        _all_there(lake, SYMBOLS, said)
        forget_lakes()
        lakes.postgres.drop(name)


def stopped_before_its_commit(pipe: Connection, lake: LakeAddress) -> None:
    """In a child: store a minute, but fall asleep after all is written, before the commit; the second time at once."""
    tries = 0

    def put(connection: duckdb.DuckDBPyConnection) -> None:
        nonlocal tries
        tries += 1
        to: Any = _Sleepy(connection, pipe) if tries == 1 else connection
        store(to, MARKETS["spot"], INTERVALS["1m"], [minutes("BTCUSDT", 0, 1)], now_ms=at(1))

    place_of(lake).write(time.monotonic() + 120, Scope("spot", "klines", "1m", ["BTCUSDT"]), put)
    pipe.send(tries)


class _Sleepy:
    """A connection that says so before it commits, and waits for a word."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, pipe: Connection) -> None:
        self._connection = connection
        self._pipe = pipe

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def commit(self) -> None:
        """Not at once."""
        self._pipe.send("before its commit")
        self._pipe.recv()
        self._connection.commit()


def test_a_machine_that_stands_still_and_comes_back(lake: LakeAddress) -> None:
    """A writer is stopped just before its commit. Another takes over the symbol within a minute; when the first goes
    on, it commits nothing of before, does it again, and finds everything stored."""
    query(lake, "FROM klines")
    with child(stopped_before_its_commit, lake) as first:
        assert "before its commit" == first.hear()
        os.kill(first.pid, signal.SIGSTOP)
        began_s = time.monotonic()
        place_of(lake).write(
            began_s + 2 * SILENT_S,
            Scope("spot", "klines", "1m", ["BTCUSDT"]),
            lambda to: store(to, MARKETS["spot"], INTERVALS["1m"], [minutes("BTCUSDT", 0, 2)], now_ms=at(2)),
        )
        os.kill(first.pid, signal.SIGCONT)
        first.tell("go on")
        assert 2 == first.hear()
    assert [(2, 2)] == query(lake, "SELECT count(*), count(DISTINCT open_time) FROM klines")
