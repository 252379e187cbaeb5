"""Scheduled minutes of many symbols: scheduled second → committed, beside the same work without Prefect.

    python -m benchmarks.minute [--symbols 600] [--usdm 0] [--kinds mark index] [--minutes 6] [--rows 10_000_000]
    python -m benchmarks.minute --symbols 0 --usdm 600 --kinds mark index premium --addresses 2 --together --no-floor

It starts the exchange stand-in, fills a database, and lets the stack collect the markets for some scheduled minutes,
by patterns, in a temporary folder and on ports of its own. What comes before the first whole minute is left out.
Kinds begin at seconds of their own, as in prefect.yaml, or `--together`. `--addresses` deals the kinds of usdm out to
so many addresses of loopback (Linux), as each may use 2,400 weight a minute: a series costs 1.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import yaml

from benchmarks import CHECKOUT, recorded
from benchmarks.floor import floor
from benchmarks.table import line, machine
from klines.interval import MINUTE
from klines.market import KLINES, market_of, series_name
from klines.storage.database import opened
from stack.temporary import free_port

IDLE_SHARE = 0.25
"""The server is idle in a second in which it takes less than this of a core."""
AT_ONCE = 4_000
"""Minutes that are generated together."""
TOGETHER = "2026-01-01T00:00:05+00:00"
"""The second of each minute at which all begin, where they begin together."""
STEPS = ("due → first line", "health", "plan", "fetch", "upsert")


@dataclass(frozen=True, slots=True)
class Part:
    """The symbols of one market and kind, and the address that its requests leave by, if one is named."""

    market: str
    names: Sequence[str]
    kind: str = KLINES.name
    egress: str = ""

    @property
    def name(self) -> str:
        """`usdm`, `usdm mark`."""
        return series_name(self.market, self.kind, "")


@dataclass(slots=True)
class Observed:
    """What the scheduled minutes were like: the moments of each run, by part; the share of each minute that Prefect's
    server was idle; by how much its database grew in a minute."""

    moments: dict[str, list[list[float]]] = field(default_factory=dict)
    states: list[str] = field(default_factory=list)
    idle: list[float] = field(default_factory=list)
    grown_mb: float = 0.0

    def whole_s(self) -> list[float]:
        """Of each minute the seconds from the first scheduled second to the last commit of all parts."""
        minutes: dict[int, list[list[float]]] = {}
        for times in self.moments.values():
            for time_ in times:
                minutes.setdefault(int(time_[0] // 60), []).append(time_)
        complete = [runs for runs in minutes.values() if len(runs) == len(self.moments)]
        return [max(run[-1] for run in runs) - min(run[0] for run in runs) for runs in complete]


def main() -> None:
    """Run it and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--symbols", type=int, default=600, help="of spot")
    parser.add_argument("--usdm", type=int, default=0, help="of USDS-M futures; 0: spot alone")
    parser.add_argument("--kinds", nargs="*", default=[], help="of usdm beside klines, each with the same symbols")
    parser.add_argument("--addresses", type=int, default=0, help="that the kinds of usdm share; 0: none is named")
    parser.add_argument("--together", action="store_true", help="all at one second, and not those of prefect.yaml")
    parser.add_argument("--no-floor", action="store_true", help="without the bare work, of three minutes a part")
    parser.add_argument("--minutes", type=int, default=6)
    parser.add_argument("--rows", type=int, default=10_000_000)
    options = parser.parse_args()
    of_usdm = dealt_out(names("U", options.usdm), (KLINES.name, *options.kinds), options.addresses)
    of_spot = [Part("spot", names("S", options.symbols))]
    parts = [*(of_spot if options.symbols else []), *(of_usdm if options.usdm else [])]
    print(machine())
    print(
        f"{options.symbols} symbols of spot, {options.usdm} of usdm {' '.join(options.kinds)}, {options.rows:,} rows, "
        f"{options.minutes} minutes, {options.addresses or 1} addresses{', together' * options.together}"
    )
    listed = list(dict.fromkeys(name for part in parts for name in part.names))
    with tempfile.TemporaryDirectory() as folder, exchange(listed) as url:
        database = Path(folder) / "klines.duckdb"
        fill(database, parts, options.rows, int(time.time() * 1000) // MINUTE * MINUTE)
        described = deployments(parts, is_together=options.together)
        show(collected(Path(folder), database, parts, url, options.minutes, described))
        for part in [] if options.no_floor else parts:
            requests_s, upsert_s = floor(database, market_of(part.market, part.kind), part.names, url)
            line(f"{part.name}: floor: the same requests by bare asyncio", requests_s)
            line(f"{part.name}: floor: the same upsert without Prefect", upsert_s)


def dealt_out(symbols: Sequence[str], kinds: Sequence[str], addresses: int) -> list[Part]:
    """A part for each kind, on the addresses in turn."""
    return [
        Part("usdm", symbols, kind, f"127.0.0.{2 + number % addresses}" if addresses else "")
        for number, kind in enumerate(kinds)
    ]


def names(letter: str, count: int) -> list[str]:
    """`S0000USDT`, …"""
    return [f"{letter}{n:04}USDT" for n in range(count)]


def show(observed: Observed) -> None:
    """The lines of the stack."""
    for part, times in observed.moments.items():
        line(f"{part}: runs that were Completed", len(times), "")
        if not times:
            continue
        show_latencies(f"{part}: scheduled second → committed", [time[-1] - time[0] for time in times])
        steps = [[b - a for a, b in pairwise(time)] for time in times]
        for step, seconds in zip(STEPS, zip(*steps, strict=True), strict=True):
            line(f"{part}: of it {step}, median", statistics.median(seconds))
    if len(observed.moments) > 1 and (whole := observed.whole_s()):
        show_latencies(f"all {len(observed.moments)}: first scheduled second → last committed", whole, limits=("", ""))
    others = [state for state in observed.states if state != "Completed"]
    line(f"runs that were not Completed {others or ''}".rstrip(), len(others), "", limit="0")
    line("Prefect's server idle, share of a minute, median", statistics.median(observed.idle), "", limit="≥ 0.67")
    line("Prefect's server idle, share of a minute, worst", min(observed.idle), "")
    line("Prefect's database, a day at this pace", observed.grown_mb * 1440, "MB", limit="≤ 500")


def show_latencies(what: str, seconds: Sequence[float], limits: tuple[str, str] = ("≤ 4", "≤ 8")) -> None:
    """Median, p95 and the worst; the limits are of the first two."""
    line(f"{what}, median", statistics.median(seconds), limit=limits[0])
    late = [seconds[0], *seconds] if len(seconds) == 1 else seconds
    line(f"{what}, p95", statistics.quantiles(late, n=20, method="inclusive")[-1], limit=limits[1])
    line(f"{what}, worst", max(seconds))


@contextmanager
def exchange(symbols: Sequence[str]) -> Iterator[str]:
    """The stand-in in a process of its own; its address."""
    port = free_port()
    command = [sys.executable, "-m", "tests.exchange", "--port", str(port), "--symbols", *symbols]
    with subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def fill(database: Path, parts: Sequence[Part], rows: int, end_ms: int) -> None:
    """So many rows up to then, as the minutes would have written them: ordered by time."""
    series = [(part.market, part.kind, name) for part in parts for name in part.names]
    first_ms = end_ms - rows // len(series) * MINUTE
    with opened(database, time.monotonic() + 10) as connection:
        connection.execute("SET enable_progress_bar = false")
        connection.execute("CREATE TEMP TABLE series (n INTEGER, market VARCHAR, kind VARCHAR, symbol VARCHAR)")
        connection.executemany("INSERT INTO series VALUES (?, ?, ?, ?)", [(n, *one) for n, one in enumerate(series)])
        for start_ms in range(first_ms, end_ms, AT_ONCE * MINUTE):
            until_ms = min(start_ms + AT_ONCE * MINUTE, end_ms)
            connection.execute(
                f"""
                INSERT INTO klines
                SELECT market, symbol, '1m', epoch_ms(t), 1 + random(), 3, 0.5, 1 + random(), random() * 100,
                       epoch_ms(t + 59999), random() * 1000, 5, random(), random(), 'rest', epoch_ms(t), kind
                FROM range({start_ms}::BIGINT, {until_ms}::BIGINT, {MINUTE}) times(t), series ORDER BY t, n
                """
            )


def collected(
    folder: Path, database: Path, parts: Sequence[Part], url: str, minutes: int, described: dict[str, Any]
) -> Observed:
    """Let the stack collect by such a prefect.yaml, and look at it."""
    port = free_port()
    environment = os.environ | {
        "KLINES_SPOT_URL": url,
        "KLINES_USDM_URL": url,
        "KLINES_DATABASE": str(database),
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_API_URL": "",
    }
    (folder / "prefect.yaml").write_text(yaml.safe_dump(described))
    command = [sys.executable, "-m", "stack", "--prefect-file", str(folder / "prefect.yaml")]
    with subprocess.Popen(command, cwd=CHECKOUT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            began = started(process)
            observed = watched(folder / "prefect", minutes, began)
            look_up(observed, port, parts, began, began + timedelta(minutes=minutes))
        finally:
            process.send_signal(signal.SIGINT)
    return observed


def deployments(parts: Sequence[Part], *, is_together: bool) -> dict[str, Any]:
    """prefect.yaml with the schedules of the markets on, a pattern for the symbols of each, and its address."""
    found: dict[str, Any] = yaml.safe_load((CHECKOUT / "prefect.yaml").read_text())
    for deployment in found["deployments"]:
        for schedule in deployment.get("schedules", ()) if "collect" in deployment["entrypoint"] else ():
            schedule["active"] = False
    for part in parts:
        name = "every-minute" if part.market == "spot" else part.name.replace(" ", "-")
        [deployment] = [one for one in found["deployments"] if one["name"] == name]
        parameters = {"market": part.market, "kind": part.kind, "symbols": [f"{part.names[0][0]}*USDT"]}
        deployment["parameters"] = parameters
        deployment["schedules"][0]["active"] = True
        if is_together:
            deployment["schedules"][0]["anchor_date"] = TOGETHER
        if part.egress:
            deployment["work_pool"]["job_variables"] = {"env": {"KLINES_EGRESS": part.egress}}
    return found


def started(process: subprocess.Popen[str]) -> datetime:
    """The minute after that in which the first run ended: from then on it is measured."""
    assert process.stdout is not None
    for text in process.stdout:
        print(text, end="", flush=True)
        if " stored " in text:
            threading.Thread(target=relay, args=(process.stdout,), daemon=True).start()
            return datetime.now().astimezone().replace(second=0, microsecond=0) + timedelta(minutes=1)
    raise SystemExit("the stack ended")


def relay(lines: Iterator[str]) -> None:
    """Print what comes, until the stack ends and its output is closed."""
    with contextlib.suppress(ValueError):
        for text in lines:
            print(text, end="", flush=True)


def watched(home: Path, minutes: int, began: datetime) -> Observed:
    """What can be seen of the server meanwhile."""
    observed = Observed()
    pid = int((home / "stack.pids").read_text().split()[1])  # the stack notes itself, then the server
    time.sleep(max(0.0, began.timestamp() - time.time()))
    before_mb = used_mb(home / "prefect.db")
    for minute in range(minutes):
        until_s, idle, seconds = began.timestamp() + 60 * (minute + 1), 0, 0
        while time.time() < until_s:
            idle, seconds = idle + is_idle(pid), seconds + 1
        observed.idle.append(idle / seconds)
    observed.grown_mb = (used_mb(home / "prefect.db") - before_mb) / minutes
    return observed


def used_mb(database: Path) -> float:
    """The pages of the file that hold something."""
    [(pages,)], [(bytes_,)] = (recorded.query(database, f"PRAGMA {name}") for name in ("page_count", "page_size"))
    return float(pages * bytes_ / 1e6) - recorded.free_mb(database)


def look_up(observed: Observed, port: int, parts: Sequence[Part], began: datetime, ended: datetime) -> None:
    """What the server has recorded of the runs that were due meanwhile."""
    body = {"sort": "EXPECTED_START_TIME_ASC", "flow_runs": {"state": {"type": {"not_any_": ["SCHEDULED"]}}}}
    runs = [run for run in ask(port, "/flow_runs/filter", body) if began <= time_of(run["expected_start_time"]) < ended]
    observed.states = [run["state_name"] for run in runs]
    for part in parts:
        whose = {"market": part.market, "kind": part.kind}.items()
        here = [run for run in runs if whose <= run["parameters"].items() and run["state_name"] == "Completed"]
        observed.moments[part.name] = [moments(port, run) for run in here]


def moments(port: int, run: dict[str, Any]) -> list[float]:
    """When a run was due, began, had its health, began to fetch, had fetched, had committed; epoch seconds."""
    tasks = ask(port, "/task_runs/filter", {"flow_runs": {"id": {"any_": [run["id"]]}}})
    ends = {name: [task for task in tasks if task["name"].startswith(name)] for name in ("health", "fetch", "upsert")}
    return [
        time_of(run["expected_start_time"]).timestamp(),
        time_of(run["start_time"]).timestamp(),
        max(time_of(end["end_time"]).timestamp() for end in ends["health"]),
        min(time_of(end["start_time"]).timestamp() for end in ends["fetch"]),
        max(time_of(end["end_time"]).timestamp() for end in ends["fetch"]),
        max(time_of(end["end_time"]).timestamp() for end in ends["upsert"]),
    ]


def time_of(text: str) -> datetime:
    """A time of Prefect's API."""
    return datetime.fromisoformat(text)


def ask(port: int, path: str, body: dict[str, Any]) -> Any:
    """The server's answer."""
    api = f"http://127.0.0.1:{port}/api"
    with urlopen(f"{api}/csrf-token?client=benchmarks") as answer:
        token = json.loads(answer.read())["token"]
    headers = {"Content-Type": "application/json", "Prefect-Csrf-Client": "benchmarks", "Prefect-Csrf-Token": token}
    with urlopen(Request(api + path, json.dumps(body).encode(), headers)) as answer:
        return json.loads(answer.read())


def idle_after(pid: int, moment: datetime) -> float:
    """Seconds from the moment until a second in which the server takes less than IDLE_SHARE of a core."""
    while True:
        began = datetime.now(moment.tzinfo)
        if is_idle(pid):
            return max(timedelta(0), began - moment).total_seconds()


def is_idle(pid: int) -> bool:
    """Whether the process takes less than IDLE_SHARE of a core in the next second."""
    used = cpu_s(pid)
    time.sleep(1)
    return cpu_s(pid) - used < IDLE_SHARE


def cpu_s(pid: int) -> float:
    """CPU seconds that a process has taken (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
