"""The minute at 600 symbols: scheduled second → committed, beside the same work without Prefect.

    python -m benchmarks.minute [--symbols 600] [--minutes 6] [--rows 10_000_000] [--market usdm]

It starts the exchange stand-in, fills a database, and lets `stack.py` collect for some scheduled minutes, in a
temporary folder and on ports of its own. The first minute warms up and is left out.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import aiohttp
import yaml

from klines.database import opened
from klines.interval import INTERVALS, MINUTE
from klines.market import MARKETS, Market
from klines.plan import Want
from klines.rows import sift
from klines.settings import CHECKOUT
from klines.store import store
from klines.window import Window

IDLE_SHARE = 0.25
"""The server is idle in a second in which it takes less than this of a core."""


def main() -> None:
    """Run it and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--symbols", type=int, default=600)
    parser.add_argument("--minutes", type=int, default=6)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--market", choices=list(MARKETS), default="spot")
    options = parser.parse_args()
    names = [f"S{n:04}USDT" for n in range(options.symbols)]
    with tempfile.TemporaryDirectory() as folder, exchange(names) as url:
        database = Path(folder) / "klines.duckdb"
        fill(database, options.market, names, options.rows)
        latencies, drains = collected(Path(folder), database, options.market, names, url, options.minutes)
        requests_s, upsert_s = floor(database, options.market, names, url)
    print(f"{options.symbols} symbols of {options.market}, {options.rows:,} rows, {len(latencies)} scheduled minutes")
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    row("scheduled second → committed, median", statistics.median(latencies))
    row("scheduled second → committed, p95", statistics.quantiles(latencies, n=20, method="inclusive")[-1])
    row("scheduled second → committed, worst", max(latencies))
    row("Prefect's server idle again after the commit, median", statistics.median(drains))
    row("Prefect's server idle again after the commit, worst", max(drains))
    row("floor: the same requests by bare asyncio", requests_s)
    row("floor: the same upsert without Prefect", upsert_s)
    row("median / floor", statistics.median(latencies) / (requests_s + upsert_s), "×")


def row(name: str, value: float, unit: str = "s") -> None:
    """A line of the table."""
    print(f"{name:54} {value:6.2f} {unit}")


@contextmanager
def exchange(names: list[str]) -> Iterator[str]:
    """The stand-in in a process of its own; its address."""
    port = free_port()
    command = [sys.executable, "-m", "tests.exchange", "--port", str(port), "--symbols", *names]
    with subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def fill(database: Path, market: str, names: list[str], rows: int) -> None:
    """So many rows up to now, as the minutes would have written them: ordered by time."""
    end_ms = int(time.time() * 1000) // MINUTE * MINUTE
    start_ms = end_ms - rows // len(names) * MINUTE
    with opened(database, time.monotonic() + 10) as connection:
        connection.execute(
            f"""
            INSERT INTO klines
            SELECT '{market}', 'S' || lpad(n::VARCHAR, 4, '0') || 'USDT', '1m', epoch_ms(t), 1 + random(), 3, 0.5,
                   1 + random(), random() * 100, epoch_ms(t + 59999), random() * 1000, 5, random(), random(),
                   'rest', epoch_ms(t)
            FROM range({start_ms}::BIGINT, {end_ms}::BIGINT, {MINUTE}) times(t), range({len(names)}) symbols(n)
            ORDER BY t, n
            """
        )


def collected(
    folder: Path, database: Path, market: str, names: list[str], url: str, minutes: int
) -> tuple[list[float], list[float]]:
    """Per scheduled minute the seconds to the commit, and from there to an idle server."""
    port = free_port()
    environment = os.environ | {
        "KLINES_SPOT_URL": url,
        "KLINES_USDM_URL": url,
        "KLINES_DATABASE": str(database),
        "KLINES_SYMBOLS": " ".join(names),
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_API_URL": "",
    }
    latencies, drains = [], []
    deployments = yaml.safe_load((CHECKOUT / "prefect.yaml").read_text())
    deployments["deployments"][0]["parameters"] = {"market": market}
    (folder / "prefect.yaml").write_text(yaml.safe_dump(deployments))
    command = [sys.executable, "stack.py", "--prefect-file", str(folder / "prefect.yaml")]
    with subprocess.Popen(command, cwd=CHECKOUT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            for scheduled, committed in commits(process, port, minutes + 1):
                latencies.append((committed - scheduled).total_seconds())
                drains.append(idle_after(server_pid(folder), committed))
        finally:
            process.send_signal(signal.SIGINT)
    return latencies[1:], drains[1:]


def commits(process: subprocess.Popen[str], port: int, count: int) -> Iterator[tuple[datetime, datetime]]:
    """When each of the next runs was due, and when its upsert had ended."""
    assert process.stdout is not None
    for line in process.stdout:
        print(line, end="")
        if " stored " not in line:
            continue
        [run] = ask(port, "/flow_runs/filter", {"limit": 1, "sort": "END_TIME_DESC", "flow_runs": ENDED})
        filters = {"flow_runs": {"id": {"any_": [run["id"]]}}, "task_runs": {"name": {"like_": "upsert"}}}
        while not (found := ask(port, "/task_runs/filter", filters)) or not found[0]["end_time"]:
            time.sleep(0.2)
        yield datetime.fromisoformat(run["expected_start_time"]), datetime.fromisoformat(found[0]["end_time"])
        count -= 1
        if count == 0:
            return


PATHS = {"spot": "/api/v3/klines", "usdm": "/fapi/v1/klines", "coinm": "/dapi/v1/klines"}
ENDED = {"state": {"type": {"any_": ["COMPLETED"]}}}


def ask(port: int, path: str, body: dict[str, Any]) -> Any:
    """The server's answer."""
    data = json.dumps(body).encode()
    with urlopen(Request(f"http://127.0.0.1:{port}/api{path}", data, {"Content-Type": "application/json"})) as answer:
        return json.loads(answer.read())


def server_pid(folder: Path) -> int:
    """The process of Prefect's server: the first that the stack notes after its own."""
    return int((folder / "prefect" / "stack.pids").read_text().split()[1])


def idle_after(pid: int, committed: datetime) -> float:
    """Seconds from the commit until a second in which the server takes less than IDLE_SHARE of a core."""
    while True:
        began, used = datetime.now(committed.tzinfo), cpu_s(pid)
        time.sleep(1)
        if cpu_s(pid) - used < IDLE_SHARE:
            return max(timedelta(0), began - committed).total_seconds()


def cpu_s(pid: int) -> float:
    """CPU seconds that a process has taken (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def floor(database: Path, market: str, names: list[str], url: str) -> tuple[float, float]:
    """The same requests by bare asyncio, and the same upsert without Prefect, in seconds; medians of three.

    They begin with a new minute: they would not fit into the weight that the last run has left of its own.
    """
    time.sleep(61 - time.time() % 60)
    runs = [floor_once(database, MARKETS[market], names, url, minute) for minute in range(3)]
    return statistics.median(r for r, _ in runs), statistics.median(u for _, u in runs)


def floor_once(database: Path, market: Market, names: list[str], url: str, minute: int) -> tuple[float, float]:
    """Four klines of every symbol, of which one is new to the file."""
    interval = INTERVALS["1m"]
    with opened(database, time.monotonic() + 10) as connection:
        [(oldest_ms,)] = connection.execute("SELECT epoch_ms(min(open_time)) FROM klines").fetchall()
    window = Window(oldest_ms - (minute + 1) * MINUTE, oldest_ms - (minute - 3) * MINUTE)
    began = time.monotonic()
    bodies = asyncio.run(ask_all(names, url + PATHS[market.name], window))
    requested = time.monotonic()
    wants = []
    for name, body in zip(names, bodies, strict=True):
        want = Want(name, [window])
        want.rows, want.rejects = sift(body, interval, window)
        want.answered = [window]
        wants.append(want)
    sifted = time.monotonic()
    with opened(database, time.monotonic() + 10) as connection:
        store(connection, market, interval, wants, now_ms=int(time.time() * 1000))
    return requested - began, time.monotonic() - sifted


async def ask_all(names: list[str], url: str, window: Window) -> list[Any]:
    """The answers, over 20 connections."""
    query = f"interval=1m&startTime={window.start_ms}&endTime={window.end_ms - 1}&limit=4"
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=20)) as session:

        async def ask_one(name: str) -> Any:
            async with session.get(f"{url}?symbol={name}&{query}") as answer:
                return await answer.json()

        return await asyncio.gather(*map(ask_one, names))


if __name__ == "__main__":
    main()
