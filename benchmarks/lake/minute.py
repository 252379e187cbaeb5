"""The minute of many symbols: on a lake by three workers on schedule, and without Prefect beside a file."""

from __future__ import annotations

import contextlib
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from benchmarks.growth import Writer, writer_of
from benchmarks.lake.ground import Ground, fill, settings_of
from benchmarks.measure import exchange
from benchmarks.minute import STEPS, moments, names, relay, time_of
from benchmarks.table import line
from benchmarks.warm import Minutes
from klines.interval import MINUTE
from klines.settings import LakeAddress
from tests import stacks
from tests.exchange import StandIn
from tests.lakes import PASSWORD
from tests.stacks import ask, elsewhere, read_until, stack, worker

SHARDS = 3
ADDRESSES = ["127.0.0.2", "127.0.0.3", "127.0.0.4"]
START_S = 240
"""How long the workers may take until all shards have stored something."""
ROUNDS = 5


def measure_minute(ground: Ground, sizes: Sequence[int], rows: int, minutes: int) -> None:
    """Minutes of so many symbols, at so many rows that are stored already."""
    for size in sizes:
        beside_a_file(ground, size, rows)
        scheduled(ground, size, rows, minutes)


def beside_a_file(ground: Ground, size: int, rows: int) -> None:
    """Runs of `collect` without Prefect in a lake and in a file, in turns, each with two minutes to fetch."""
    database, address = ground.file(), ground.lake(ground.stock.others(rows))
    fill(database, [])
    symbols = names("T", size)
    with StandIn(symbols, ["spot"]) as stand_in, contextlib.ExitStack() as stack:
        made = Minutes(ground.folder, stand_in, symbols, 0)
        writers = [stack.enter_context(writer_of(made, place)) for place in (address, database)]
        in_lake, in_file = zip(*(took(made, writers) for _ in range(ROUNDS + 1)), strict=True)
    line(
        f"two minutes of {size:,} symbols without Prefect, by one worker",
        statistics.median(in_lake[1:]),
        peer="the file",
        other=statistics.median(in_file[1:]),
    )
    ground.drop(address)
    database.unlink()


def took(minutes: Minutes, writers: Sequence[Writer]) -> list[float]:
    """The seconds of the next run in each place, a minute after the one before: one minute's weight is not enough for
    2,100 symbols in two of them."""
    seconds = []
    for writer in writers:
        minutes.next()
        seconds.append(writer.run().seconds)
    return seconds


def scheduled(ground: Ground, size: int, rows: int, minutes: int) -> None:
    """The stack and two workers on one lake, for so many whole minutes."""
    address = ground.lake(ground.stock.others(rows))
    prefect = ground.postgres.create()
    folder = ground.folder / f"stack-{size}"
    folder.mkdir()
    with exchange(names("T", size)) as url:
        first = environment(ground, folder, url, address, prefect)
        with workers(first, prefect_file(folder)):
            show(first, size, *whole_minutes(first, minutes))
    ground.drop(address)
    ground.postgres.drop(prefect)


def environment(ground: Ground, folder: Path, url: str, address: LakeAddress, prefect: str) -> dict[str, str]:
    """The settings of the first machine, whose Prefect is on the same PostgreSQL."""
    login = f"klines:{quote(PASSWORD, safe='')}@127.0.0.1:{ground.postgres.port}/{prefect}"
    found = stacks.environment(folder, url, ["*USDT"]) | settings_of(address)
    del found["PREFECT_WORKER_QUERY_SECONDS"]
    return found | {
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"postgresql+asyncpg://{login}",
        "KLINES_EGRESS": ADDRESSES[0],
    }


def prefect_file(folder: Path) -> Path:
    """The project's minute as it is, in three shards; it looks back ten minutes."""
    path = stacks.prefect_file(folder, "every-minute")
    content = yaml.safe_load(path.read_text())
    [section] = content["deployments"]
    section |= {"shards": SHARDS, "parameters": {"lookback": "PT10M"}}
    section["schedules"][0]["interval"] = MINUTE // 1000
    path.write_text(yaml.safe_dump(content))
    return path


@contextlib.contextmanager
def workers(first: dict[str, str], file: Path) -> Iterator[None]:
    """The stack, and the two other machines as soon as it has said when the next run is; all that they say is shown."""
    with contextlib.ExitStack() as all_of:
        here = all_of.enter_context(stack(first, file, "--queue", "shard-1"))
        read_until(here, lambda text: text.startswith("next "))
        others = [
            all_of.enter_context(worker(elsewhere(first, f"worker-{number}", egress), f"shard-{number}"))
            for number, egress in zip((2, 3), ADDRESSES[1:], strict=True)
        ]
        for process in (here, *others):
            assert process.stdout is not None
            threading.Thread(target=relay, args=(process.stdout,), daemon=True).start()
        yield


def whole_minutes(first: dict[str, str], minutes: int) -> tuple[float, float]:
    """Wait for so many, which begin when each shard has stored something; epoch seconds of their beginning and end."""
    until_s = time.monotonic() + START_S
    while len({run["name"].split()[-1] for run in runs(first, "COMPLETED")}) < SHARDS:
        if time.monotonic() > until_s:
            raise SystemExit(f"no run of some shard is Completed in {START_S} s")
        time.sleep(1)
    began_s = (time.time() // 60 + 1) * 60
    time.sleep(began_s + 60 * minutes - time.time())
    return began_s, began_s + 60 * minutes


def show(first: dict[str, str], size: int, began_s: float, ended_s: float) -> None:
    """The lines of the runs that were due between these times."""
    due = [run for run in runs(first, "COMPLETED") if began_s <= due_s(run) < ended_s]
    times = [moments(int(first["PREFECT_SERVER_API_PORT"]), run) for run in due]
    latencies = [each[-1] - each[0] for each in times]
    what = f"{size:,} symbols, {SHARDS} workers: scheduled second → committed"
    line(f"{what}, median", statistics.median(latencies))
    line(f"{what}, p95 of {len(due)} runs", statistics.quantiles(latencies, n=20, method="inclusive")[-1], limit="≤ 5")
    steps = zip(*([after - before for before, after in pairwise(each)] for each in times), strict=True)
    for step, seconds in zip(STEPS, steps, strict=True):
        line(f"{size:,} symbols: of it {step}, median", statistics.median(seconds))
    line(
        f"{size:,} symbols: runs that were due and not Completed", expected(began_s, ended_s) - len(due), "", limit="0"
    )


def due_s(run: dict[str, Any]) -> float:
    """The scheduled second of a run, epoch seconds."""
    return time_of(run["expected_start_time"]).timestamp()


def expected(began_s: float, ended_s: float) -> int:
    """How many runs are due between two whole minutes."""
    return round(ended_s - began_s) // 60 * SHARDS


def runs(first: dict[str, str], *states: str) -> list[dict[str, Any]]:
    """All runs in these states."""
    wanted = {"flow_runs": {"state": {"type": {"any_": list(states)}}}}
    found: list[dict[str, Any]] = ask(first, "POST", "/flow_runs/filter", wanted)
    return found
