"""A day of minutes, accelerated: what it takes of Prefect's server and disk, and what retention leaves of it.

    python -m benchmarks.day [--runs 1440] [--symbols 50] [--after 200] [--set PREFECT_…=… …] [--day FILE]

One warm process runs `collect` as its deployment's runs (benchmarks/warm.py says what that leaves out), one after the
other, --pause seconds apart, against the exchange stand-in, whose clock is a minute further each time. Prefect's
server has the settings that ship, and then those of --set.

Then all that was recorded is moved two days into the past, and the server is started again, whose vacuum begins at
once: first alone, with --after runs when it has ended; then, on a copy, while the runs go on. In both, a whole day
expires at the same moment; in a day that is not accelerated the vacuum deletes an hour of it every hour.

--day keeps Prefect's database as it was after the day, and takes it from there the next time.
"""

from __future__ import annotations

import argparse
import re
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import recorded, table
from benchmarks.measure import Server, count, prefect_server, rss_mb
from benchmarks.minute import cpu_s
from benchmarks.warm import Driver, Minutes, driving
from tests.exchange import StandIn
from tests.exchange.__main__ import symbols as named

DAY = 1440
QUARTERS = 4
IDLE_S = 30
AGED_DAYS = 2
LOCKED = "database is locked"
TOLD = {"PREFECT_SERVER_LOG_RETRYABLE_ERRORS": "true"}
"""Without it a request that meets the lock is answered by 503, which the client waits out, and no line tells of it."""
VACUUM = {"PREFECT_SERVER_SERVICES_DB_VACUUM_LOOP_SECONDS": "60"}
VACUUM_S = 3600
"""How long the vacuum may take."""
FLOW_STATES, TASK_STATES = 4, 3
"""Scheduled, which task runs are not, Pending, Running, Completed; with an event each."""


@dataclass
class Stretch:
    """What some runs took: seconds of each, CPU seconds of both processes; and what those not Completed said."""

    walls_s: list[float] = field(default_factory=list)
    wall_s: float = 0.0
    server_cpu_s: float = 0.0
    driver_cpu_s: float = 0.0
    complaints: list[str] = field(default_factory=list)


def main() -> None:
    """Run it and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=DAY)
    parser.add_argument("--symbols", type=int, default=50)
    parser.add_argument("--after", type=int, default=200, help="runs after, or beside, the vacuum; 0: no vacuum")
    parser.add_argument("--pause", type=float, default=1.5, help="seconds between runs, for the server to record")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="settings of Prefect's server")
    parser.add_argument("--day", type=Path, help="where Prefect's database is after the day: kept, or taken from there")
    options = parser.parse_args()
    settings = TOLD | dict(setting.split("=", 1) for setting in options.set)
    symbols = named([str(options.symbols)])
    print(table.machine())
    print(f"{options.symbols} symbols, Prefect's settings: those that ship {' '.join(options.set)}")
    with tempfile.TemporaryDirectory() as folder, StandIn(symbols, ["spot"]) as exchange:
        minutes = Minutes(Path(folder), exchange, symbols, options.pause)
        day = options.day or minutes.folder / "day.db"
        if not day.exists():
            collect_all(minutes, options.runs, settings, day)
        if options.after:
            retain(minutes, options.after, settings, day)


def collect_all(minutes: Minutes, runs: int, settings: dict[str, str], day: Path) -> None:
    """The day; leaves Prefect's database as `day`."""
    (home := minutes.folder / "day").mkdir()
    database = home / "prefect.db"
    with prefect_server(home, settings) as server:
        share = idle_share(server)
        keep(database, database)
        empty_mb = recorded.file_mb(database)
        with driving(minutes, server) as driver:
            head("the day", "runs", "server CPU", "driver CPU", "slowest", "server RSS", "database")
            stretches = list(quarters(driver, server, database, runs, share))
        found = recorded.drained(database)
    keep(database, day)
    grown_mb = recorded.file_mb(day) - empty_mb
    net_s = sum(net_cpu_s(stretch, share) for stretch in stretches) / runs
    line("Prefect's server idle", f"{share:.1%}", "of a core")
    tasks = f"a run of {driver.tasks} task runs"
    table.line(f"Prefect's server, CPU of {tasks}", net_s)
    table.line("Prefect's server, one such run a minute, share of a core", net_s / 60 + share, "")
    line("driver, a run", f"{sum(stretch.driver_cpu_s for stretch in stretches) / runs:.3f}", "CPU s")
    table.line(f"Prefect's database, {tasks}", grown_mb / runs * 1000, "kB")
    table.line("Prefect's database, a day of them", grown_mb / runs * DAY, "MB")
    shares = [f"{name} {mb / grown_mb:.0%}" for name, mb in recorded.shares_mb(day).items() if mb > grown_mb / 50]
    line("of it", "", ", ".join(shares))
    expect(found, runs, driver.tasks)
    wanted = (DAY - 1 + runs) * len(minutes.symbols)
    line("klines stored", f"{count(minutes.database):,}", f"of {wanted:,}, the day before the first run included")
    complain(home, stretches)
    shutil.rmtree(home)


def quarters(driver: Driver, server: Server, database: Path, runs: int, share: float) -> Iterator[Stretch]:
    """The stretches of a day, each recorded to its end; prints a line each."""
    for quarter in range(QUARTERS):
        here = runs * (quarter + 1) // QUARTERS - runs * quarter // QUARTERS
        stretch = Stretch()
        with measured(stretch, server):
            for _ in range(here):
                add_run(stretch, driver)
            recorded.drained(database)
        yield stretch
        row(
            f"   quarter {quarter + 1}",
            f"{here}",
            f"{net_cpu_s(stretch, share) / here:.3f} s",
            f"{stretch.driver_cpu_s / here:.3f} s",
            f"{max(stretch.walls_s):.1f} s",
            f"{rss_mb(server.pid):.0f} MB",
            f"{recorded.file_mb(database):,.0f} MB",
        )


def add_run(stretch: Stretch, driver: Driver) -> None:
    """One more run."""
    ran = driver.run()
    stretch.walls_s.append(ran.wall_s)
    stretch.driver_cpu_s += ran.cpu_s
    stretch.complaints += [ran.complaint] * bool(ran.complaint)


@contextmanager
def measured(stretch: Stretch, server: Server) -> Iterator[None]:
    """Adds to the stretch what passes, and what the server takes."""
    began_s, cpu_before_s = time.monotonic(), cpu_s(server.pid)
    yield
    stretch.wall_s += time.monotonic() - began_s
    stretch.server_cpu_s += cpu_s(server.pid) - cpu_before_s


def net_cpu_s(stretch: Stretch, share: float) -> float:
    """What the server took for the runs: without what it takes idle."""
    return stretch.server_cpu_s - share * stretch.wall_s


def idle_share(server: Server) -> float:
    """The share of a core that the server takes when nothing is asked of it."""
    before_s = cpu_s(server.pid)
    time.sleep(IDLE_S)
    return (cpu_s(server.pid) - before_s) / IDLE_S


def expect(found: Mapping[str, int], runs: int, tasks: int) -> None:
    """Print what is recorded beside what must be."""
    wanted = {
        "flow_run": runs,
        "flow_run_state": runs * FLOW_STATES,
        "task_run": runs * tasks,
        "task_run_state": runs * tasks * TASK_STATES,
        "events": runs * FLOW_STATES,  # those of task runs are not kept
    }
    for name, number in wanted.items():
        missing = number - found.get(name, 0)
        line(
            f"recorded: {name}",
            f"{found.get(name, 0):,}",
            f"of {number:,}" + (f": {missing:,} MISSING" * (missing > 0)),
        )
    others = [f"{number:,} {name}" for name, number in found.items() if name not in wanted]
    line("recorded beside", "", ", ".join(others))


def retain(minutes: Minutes, after: int, settings: dict[str, str], day: Path) -> None:
    """Both parts of the vacuum, each on a copy of the day."""
    aged = minutes.folder / "aged.db"
    shutil.copy(day, aged)
    recorded.age(aged, AGED_DAYS)
    keep(aged, aged)
    for name, is_beside in (("the vacuum, then runs", False), ("the vacuum beside runs", True)):
        (home := minutes.folder / name.replace(" ", "-")).mkdir()
        shutil.copy(aged, home / "prefect.db")
        with prefect_server(home, VACUUM | settings, idle=False) as server:
            print(f"\n{name}")
            stretches = vacuumed(minutes, server, home / "prefect.db", after, is_beside)
        complain(home, stretches)
        shutil.rmtree(home)


def vacuumed(minutes: Minutes, server: Server, database: Path, after: int, is_beside: bool) -> list[Stretch]:
    """See the vacuum through, with runs beside it or none, then make as many as are left of `after`; both stretches."""
    beside, later = Stretch(), Stretch()
    before, before_mb = recorded.rows(database), recorded.file_mb(database)
    with ExitStack() as stack:
        driver = stack.enter_context(driving(minutes, server)) if is_beside else None
        with measured(beside, server):
            peak_mb = wait_for_vacuum(database, driver, beside)
        left, left_free_mb = recorded.rows(database), recorded.free_mb(database)
        driver = driver or stack.enter_context(driving(minutes, server))
        for _ in range(after - len(beside.walls_s)):
            add_run(later, driver)
        end = recorded.drained(database)
    line("the vacuum took", f"{beside.wall_s:,.0f}", "s")
    line("Prefect's server meanwhile", f"{beside.server_cpu_s:,.0f}", f"CPU s, {len(beside.walls_s)} runs included")
    for said, walls_s in (("beside it", beside.walls_s), ("after it", later.walls_s)):
        if walls_s:
            line(f"runs {said}: median, slowest", f"{statistics.median(walls_s):.2f}", f"s, {max(walls_s):.1f} s")
    line("Prefect's server in memory", f"{rss_mb(server.pid):,.0f}", "MB")
    line("file before, highest", f"{before_mb:,.0f}", f"MB, {peak_mb:,.0f} MB with its log")
    line("of it free after the vacuum", f"{left_free_mb:,.0f}", "MB")
    table.line(
        "Prefect's database after its day has expired and runs went on, without its log",
        database.stat().st_size / 1e6,
        "MB",
        peer="before",
        other=before_mb,
        limit="ratio ≤ 1.05",
    )
    line("of it free then", f"{recorded.free_mb(database):,.0f}", "MB")
    head("rows", "before", "vacuumed", "after runs")
    for name in sorted(before | left | end):
        row(f"   {name}", *(f"{rows.get(name, 0):,}" for rows in (before, left, end)))
    return [beside, later]


def wait_for_vacuum(database: Path, driver: Driver | None, stretch: Stretch) -> float:
    """Wait, making runs if there is a driver, until nothing expired is left; the largest the file was, in MB."""
    until_s, peak_mb = time.monotonic() + VACUUM_S, 0.0
    while tables := recorded.expired(database, AGED_DAYS - 1):
        if time.monotonic() > until_s:
            raise SystemExit(f"the vacuum has not come to an end of {', '.join(tables)}")
        if driver:
            add_run(stretch, driver)
        else:
            time.sleep(0.5)
        peak_mb = max(peak_mb, recorded.file_mb(database))
    return peak_mb


def keep(database: Path, place: Path) -> None:
    """Bring the write-ahead log into the file, and copy that."""
    recorded.query(database, "PRAGMA wal_checkpoint(TRUNCATE)")
    if database != place:
        shutil.copy(database, place)


def complain(home: Path, stretches: list[Stretch]) -> None:
    """What the server's log says of locks and errors, and how many runs were not Completed; with the first of each."""
    records = re.split(r"^(?=\d\d:\d\d:\d\d\.\d{3} \| )", (home / "server.log").read_text(), flags=re.MULTILINE)
    errors = [record for record in records if re.match(r".{12} \| (ERROR|CRITICAL)", record)]
    refused = [record for record in errors if "retryable exception in request" in record]
    locked = [record for record in errors if LOCKED in record and record not in refused]
    others = [record for record in errors if record not in refused and record not in locked]
    line("requests refused as the file was locked", f"{len(refused)}", "asked again by the client")
    line(f'"{LOCKED}" otherwise', f"{len(locked)}", first(locked))
    line("other ERROR lines in the log", f"{len(others)}", first(others))
    failed = [complaint for stretch in stretches for complaint in stretch.complaints]
    line("runs not Completed", f"{len(failed)}", first(failed))


def first(records: list[str]) -> str:
    """The first line of the first of them."""
    return records[0].splitlines()[0][:120] if records else ""


def head(what: str, *columns: str) -> None:
    """The heads of a table."""
    print(f"\n{what:24}" + "".join(f"{column:>13}" for column in columns), flush=True)


def row(what: str, *columns: str) -> None:
    """A row of a table."""
    print(f"{what:24}" + "".join(f"{column:>13}" for column in columns), flush=True)


def line(what: str, value: str, unit: str = "") -> None:
    """A line with one number."""
    print(f"{what:40} {value:>9} {unit}".rstrip(), flush=True)


if __name__ == "__main__":
    main()
