"""Three workers, each with an address and a queue of its own, on one lake; one is gone, and another has its shard."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
import yaml

from klines.settings import LakeAddress
from klines.shard import Shard
from tests import CHECKOUT, LONGEST_S, stacks
from tests.drive import MINUTE, published, queries, query
from tests.exchange import StandIn
from tests.lakes import PASSWORD, Postgres
from tests.stacks import ask, elsewhere, read_until, stack, worker

SHARDS = [Shard(number, 3) for number in (1, 2, 3)]
ADDRESSES = ["127.0.0.2", "127.0.0.3", "127.0.0.4"]
AGAIN_S = 20


class Size(NamedTuple):
    """How much of it: in the suite small, where each run is asked for, with --full what a user has."""

    symbols: int
    heartbeat_s: int
    is_scheduled: bool
    taken_over_s: int


SMALL, FULL = Size(300, 5, False, 400), Size(2100, 20, True, 180)
"""Where each run is asked for, another machine is given longer than the three minutes: many tests run beside it."""


@pytest.fixture
def size(full: bool) -> Size:
    """That of the suite, or the full one."""
    return FULL if full else SMALL


@pytest.fixture
def environment(
    tmp_path: Path, lake: LakeAddress, postgres: Postgres, exchange_of_many: StandIn, size: Size
) -> dict[str, str]:
    """The settings of all machines: one lake, and Prefect's server on the same PostgreSQL."""
    prefect = f"klines:{quote(PASSWORD, safe='')}@127.0.0.1:{postgres.port}/{postgres.create()}"
    return stacks.environment(tmp_path, exchange_of_many.url, ["*USDT"]) | {
        "KLINES_DATABASE": f"ducklake:postgres:{lake.catalog}",
        "KLINES_DATA_PATH": str(lake.data),
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"postgresql+asyncpg://{prefect}",
        "PREFECT_WORKER_HEARTBEAT_SECONDS": str(size.heartbeat_s),
        "PREFECT_SERVER_SERVICES_FOREMAN_LOOP_SECONDS": "5",
        "PREFECT_SERVER_DATABASE_TIMEOUT": "60",  # on PostgreSQL it is 10 s, and a slow machine takes longer
    }


@pytest.fixture
def exchange_of_many(size: Size) -> Iterator[StandIn]:
    """An exchange whose clock runs."""
    with StandIn([f"S{number:04}USDT" for number in range(size.symbols)], markets=["spot"]) as exchange:
        yield exchange


def lose(environment: dict[str, str]) -> None:
    """The machine is gone: every process of it at once, its runs' too."""
    mark = f"PREFECT_HOME={environment['PREFECT_HOME']}".encode()
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                os.kill(int(entry.name), signal.SIGKILL)


def begin(environment: dict[str, str], size: Size, *shards: Shard) -> list[str]:
    """Ask for a run of each of these shards, unless they are on schedule; the runs' ids."""
    wanted = [] if size.is_scheduled else [str(shard) for shard in shards]
    found = ask(environment, "POST", "/deployments/filter", {}) if wanted else []
    of_these = [deployment["id"] for deployment in found if deployment["parameters"]["shard"] in wanted]
    return [ask(environment, "POST", f"/deployments/{name}/create_flow_run", {})["id"] for name in of_these]


def has_ended(environment: dict[str, str], runs: list[str]) -> bool:
    """Whether all of these runs are over."""
    states = {ask(environment, "GET", f"/flow_runs/{run}")["state_type"] for run in runs}
    return not states & {"SCHEDULED", "PENDING", "RUNNING"}


def newest(environment: dict[str, str], shard: Shard, state: str) -> list[dict[str, Any]]:
    """The runs of a shard in a state, the newest first."""
    wanted = {
        "flow_runs": {"state": {"type": {"any_": [state]}}, "name": {"like_": f"{shard}"}},
        "sort": "EXPECTED_START_TIME_DESC",
    }
    found: list[dict[str, Any]] = ask(environment, "POST", "/flow_runs/filter", wanted)
    return found


def collected(environment: dict[str, str], size: Size, *shards: Shard, seconds: float) -> dict[Shard, float]:
    """Wait until a run of each shard has been Completed from now on; when it was. In the suite they are asked for, and
    again every 20 s where a run was cancelled, as a shard has one at a time."""
    began_s, until_s, again_s = time.time(), time.monotonic() + seconds, time.monotonic() + AGAIN_S
    ends: dict[Shard, float] = {}
    asked = {shard: begin(environment, size, shard) for shard in shards}
    while len(ends) < len(shards):
        assert time.monotonic() < until_s, f"of {shards} these have a run: {ends}"
        time.sleep(2)
        for shard in set(shards) - set(ends):
            done_s = [as_epoch(run["state"]["timestamp"]) for run in newest(environment, shard, "COMPLETED")]
            if max(done_s, default=0) > began_s:
                ends[shard] = max(done_s)
            elif time.monotonic() > again_s and asked[shard] and has_ended(environment, asked[shard]):
                asked[shard], again_s = begin(environment, size, shard), time.monotonic() + AGAIN_S
    return ends


def run_of_one(environment: dict[str, str], size: Size, shard: Shard, exchange: StandIn) -> str:
    """Wait until the worker that has this shard alone runs it, and asks for klines; the run's id."""
    until_s, runs = time.monotonic() + LONGEST_S, begin(environment, size, shard)
    while time.monotonic() < until_s:
        if runs and has_ended(environment, runs):
            runs = begin(environment, size, shard)  # the other worker of its queue had the one before
        for run in newest(environment, shard, "RUNNING"):
            is_of_one = run["labels"].get("prefect.worker.name", "").endswith(f"{CHECKOUT.name} shard-{shard.number}")
            began_ms = 1000 * as_epoch(run["state"]["timestamp"])
            asked = [one for one in exchange.kline_requests() if one.address == ADDRESSES[1] and one.at_ms > began_ms]
            if is_of_one and asked:
                return str(run["id"])
        time.sleep(0.5)
    raise AssertionError(f"the worker that has {shard} alone runs nothing")


def as_epoch(text: str) -> float:
    """Epoch seconds of an ISO time."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def prefect_file(folder: Path, size: Size) -> Path:
    """The project's minute in three shards, which looks back ten minutes."""
    path = stacks.prefect_file(folder, "every-minute")
    content = yaml.safe_load(path.read_text())
    [section] = content["deployments"]
    section |= {"shards": 3, "parameters": {"lookback": "PT10M"}}
    section["schedules"][0] |= {"interval": 60, "active": size.is_scheduled}
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are looked up in /proc")
def test_a_worker_is_gone(
    environment: dict[str, str], lake: LakeAddress, tmp_path: Path, exchange_of_many: StandIn, size: Size
) -> None:
    """Each address asks for its shard alone, within its limit. A machine that is gone in the middle of a run leaves it
    Crashed, and another that has the queue, too, collects its shard, with --full within three minutes. Nothing is
    lost, doubled or different in the lake."""
    exchange, file = exchange_of_many, prefect_file(tmp_path, size)
    first = environment | {"KLINES_EGRESS": ADDRESSES[0]}
    second = elsewhere(environment, "second", ADDRESSES[1])
    third = elsewhere(environment, "third", ADDRESSES[2]) | {"PREFECT_WORKER_QUERY_SECONDS": "15"}  # seldom the first
    with stack(first, file, "--queue", "shard-1") as here:
        read_until(here, lambda line: line.startswith("next "))
        with worker(second, "shard-2") as lost, worker(third, "shard-3", "shard-2") as there:
            if size.is_scheduled:
                collected(first, size, *SHARDS, seconds=400)
            exchange.latency_s = 2.0
            half = run_of_one(first, size, SHARDS[1], exchange)
            lose(second)
            lost.wait()
            exchange.latency_s = 0.0
            gone_s = time.time()
            taken_s = collected(first, size, *SHARDS, seconds=size.taken_over_s)[SHARDS[1]] - gone_s
            print(f"taken over after {taken_s:.0f} s")
            assert "CRASHED" == ask(first, "GET", f"/flow_runs/{half}")["state_type"]
            if size.is_scheduled:
                collected(first, size, *SHARDS, seconds=200)
            there.send_signal(signal.SIGINT)
            assert 0 == there.wait(LONGEST_S)
    assert taken_s < size.taken_over_s
    within_limits(exchange)
    as_published(lake, exchange)


def within_limits(exchange: StandIn) -> None:
    """No address was told that it asks too much, or did."""
    assert set(ADDRESSES) == {request.address for request in exchange.requests}
    assert {200} == {request.status for request in exchange.requests}
    used: Counter[tuple[str, int]] = Counter()
    for request in exchange.requests:
        weight = {"klines": 2, "exchangeInfo": 20}.get(request.path.rpartition("/")[2], 1)
        used[request.address, request.at_ms // MINUTE] += weight if request.path.startswith(("/api", "/sapi")) else 0
    print({address: max(weight for (of, _), weight in used.items() if of == address) for address in ADDRESSES})
    assert max(used.values()) <= 0.9 * exchange.weight_limit["spot"]


def as_published(lake: LakeAddress, exchange: StandIn) -> None:
    """Every kline from a symbol's first to the newest that all have is there once, with its values."""
    [[(symbols, klines, distinct)], ends] = queries(
        lake,
        "SELECT count(DISTINCT symbol), count(*), count(DISTINCT (symbol, open_time)) FROM klines",
        "SELECT symbol, epoch_ms(min(open_time)), epoch_ms(max(open_time)) FROM klines GROUP BY symbol",
    )
    assert (len(exchange.listings), klines) == (symbols, distinct)
    rows = query(
        lake,
        """SELECT symbol, epoch_ms(open_time), open, high, low, close, volume, epoch_ms(close_time), quote_volume,
           trades, taker_buy_volume, taker_buy_quote_volume FROM klines ORDER BY symbol, open_time""",
    )
    held: dict[str, list[tuple[Any, ...]]] = {}
    for symbol, *row in rows:
        held.setdefault(symbol, []).append(tuple(row))
    for symbol, first_ms, last_ms in ends:
        assert published(exchange.klines(symbol, first_ms, last_ms + MINUTE)) == held[symbol], symbol
    lasts = {last_ms for *_, last_ms in ends}
    assert max(lasts) - min(lasts) <= MINUTE, "the newest is there of all, but for what was published within the minute"
    print(f"{klines:,} klines of {symbols:,} symbols are as published")
