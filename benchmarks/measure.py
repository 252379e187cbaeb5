"""What benchmarks share: archives on disk, the stand-in, a Prefect server, and what a process takes."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import duckdb

from benchmarks import CHECKOUT
from benchmarks.minute import ask, cpu_s, idle_after
from stack.__main__ import READY_S
from stack.temporary import free_port
from tests.exchange.rules import Rules

DAYS_A_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Taken:
    """What a process took from its start to its end, and `inner_s` what of it was work: the flow run, or what it states
    itself. `server_cpu_s` is what Prefect's server took meanwhile."""

    wall_s: float
    cpu_s: float
    rss_mb: float
    printed: str
    rows: int = 0
    inner_s: float = 0.0
    server_cpu_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Server:
    """A Prefect server that runs."""

    port: int
    pid: int


def make_archives(folder: Path, paths: Sequence[str]) -> None:
    """The files of the archive that are not in `folder` yet; on all cores, for 8 µs a kline."""
    missing = [(folder, path) for path in paths if not (folder / path[1:]).exists()]
    with multiprocessing.get_context("spawn").Pool() as pool:
        for count, _ in enumerate(pool.imap_unordered(_make, missing), 1):
            if sys.stderr.isatty():
                print(f"\rmade {count} of {len(missing)} archive files", end="", file=sys.stderr, flush=True)
    if missing and sys.stderr.isatty():
        print(file=sys.stderr)


def _make(job: tuple[Path, str]) -> None:
    folder, path = job
    exchange = Rules([path.split("/")[5]], ["spot"], any_symbol=False)
    exchange.folder = folder
    exchange.keep(path, exchange.now_ms())


def apart(function: Callable[..., None], *arguments: object) -> None:
    """Call it in a process of its own: what this one holds counts as the peak of every child that is started later."""
    child = multiprocessing.get_context("spawn").Process(target=function, args=arguments)
    child.start()
    child.join()
    if child.exitcode:
        raise SystemExit(f"{function.__name__} failed")


@contextmanager
def exchange(symbols: Sequence[str], *options: str, latency_s: float = 0.0) -> Iterator[str]:
    """The stand-in in a process of its own; its address."""
    port = free_port()
    command = [sys.executable, "-m", "tests.exchange", "--port", str(port), *options, "--symbols", *symbols]
    with subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        url = f"http://127.0.0.1:{port}"
        try:
            slow_down(url, latency_s)
            yield url
        finally:
            process.terminate()


def slow_down(url: str, latency_s: float) -> None:
    """Every answer of the stand-in takes so much longer from now on."""
    got(Request(f"{url}/latency?seconds={latency_s}", method="POST"))


def warm(url: str, symbols: Sequence[str], start_ms: int, end_ms: int) -> None:
    """Let the stand-in make the 1d klines, each of 1,440 minutes, before anybody's time is taken."""
    page_ms = DAYS_A_PAGE * 86_400_000
    for symbol in symbols:
        for page in range(start_ms, end_ms, page_ms):
            last_ms = min(page + page_ms, end_ms) - 1
            query = f"symbol={symbol}&interval=1d&startTime={page}&endTime={last_ms}&limit={DAYS_A_PAGE}"
            got(f"{url}/api/v3/klines?{query}")


def got(request: str | Request) -> Any:
    """The JSON of an answer."""
    with urlopen(request) as answer:
        return json.loads(answer.read())


@contextmanager
def prefect_server(folder: Path, settings: Mapping[str, str] | None = None, *, idle: bool = True) -> Iterator[Server]:
    """Prefect's server with the project's settings and then `settings`, its database and its log in `folder`.

    It answers, and is idle if that is asked for.
    """
    port = free_port()
    ours = {"PREFECT_HOME": str(folder), "PREFECT_SERVER_API_PORT": str(port)}
    environment = os.environ | ours | dict(settings or {})
    environment.pop("PREFECT_API_URL", None)
    command = [sys.executable, "-m", "stack.serve", "--host", "127.0.0.1", "--port", str(port)]
    with (
        (folder / "server.log").open("ab") as log,
        subprocess.Popen(command, cwd=CHECKOUT, env=environment, stdout=log, stderr=log) as process,
    ):
        try:
            _wait_until_it_answers(port)
            if idle:
                idle_after(process.pid, datetime.now(UTC))
            yield Server(port, process.pid)
        finally:
            process.terminate()


def client(server: Server, home: Path) -> dict[str, str]:
    """The environment of a process whose flows run on the server."""
    return {"PREFECT_HOME": str(home), "PREFECT_API_URL": f"http://127.0.0.1:{server.port}/api"}


def _wait_until_it_answers(port: int) -> None:
    until_s = time.monotonic() + READY_S
    while time.monotonic() < until_s:
        try:
            got(f"http://127.0.0.1:{port}/api/health")
            return
        except (URLError, OSError):
            time.sleep(0.2)
    raise SystemExit("Prefect's server does not come up")


def installed(folder: Path, *packages: str) -> Path:
    """The Python of an environment that has some packages; made once."""
    python, whole = folder / "bin" / "python", folder / "installed"
    if not whole.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
        whole.touch()
    return python


def process(command: Sequence[str], folder: Path, environment: dict[str, str] | None = None) -> Taken:
    """Run it to its end and say what it took; its output is kept in `folder`, and ends this process if it fails."""
    log = folder / "output.log"
    with log.open("wb") as output:
        began_s = time.monotonic()
        child = subprocess.Popen(
            command, cwd=CHECKOUT, env=os.environ | (environment or {}), stdout=output, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(child.pid, 0)
        wall_s = time.monotonic() - began_s
    child.returncode = os.waitstatus_to_exitcode(status)
    printed = log.read_text()
    if child.returncode:
        raise SystemExit(f"{' '.join(command)[:300]} ended with {child.returncode}:\n{printed[-4000:]}")
    return Taken(wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, printed)


def peer(command: Sequence[str], folder: Path) -> Taken:
    """`process` of a module of benchmarks.peers."""
    taken = process(command, folder)
    stated = json.loads(taken.printed.splitlines()[-1])
    return replace(taken, inner_s=stated["seconds"], rows=stated["rows"])


def backfill(server: Server, url: str, database: Path, symbols: Sequence[str], *options: str) -> Taken:
    """One backfill from the shell, on the running server; waits until that is idle again."""
    environment = client(server, database.parent) | {
        "KLINES_SPOT_URL": url,
        "KLINES_ARCHIVE_URL": url,
        "KLINES_DATABASE": str(database),
    }
    before, server_cpu_s = count(database), cpu_s(server.pid)
    command = [sys.executable, "-m", "flows.backfill", "--symbols", *symbols, *options]
    taken = process(command, database.parent, environment)
    idle_after(server.pid, datetime.now(UTC))
    [run] = ask(server.port, "/flow_runs/filter", {"limit": 1, "sort": "END_TIME_DESC"})
    began, ended = (datetime.fromisoformat(run[name]) for name in ("created", "end_time"))
    return replace(
        taken,
        inner_s=(ended - began).total_seconds(),
        rows=count(database) - before,
        server_cpu_s=cpu_s(server.pid) - server_cpu_s,
    )


def rss_mb(pid: int) -> float:
    """What a process holds in memory (Linux)."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def count(database: Path) -> int:
    """How many klines are stored."""
    if not database.exists():
        return 0
    with duckdb.connect(database, read_only=True) as connection:
        [(rows,)] = connection.execute("SELECT count(*) FROM klines").fetchall()
    return int(rows)
