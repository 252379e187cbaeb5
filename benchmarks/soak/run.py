"""One soak, from the first run to the last comparison."""

from __future__ import annotations

import random
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks import recorded
from benchmarks.soak import processes
from benchmarks.soak.exchange import Exchange, Series, exchange
from benchmarks.soak.faults import Faults
from benchmarks.soak.figures import Look, Part
from benchmarks.soak.stack import Stack
from benchmarks.soak.truth import Compared, compare
from klines.errors import KlinesError
from klines.storage.access import connect

SERIES = [Series("spot", f"{base}USDT", "1m") for base in ("BTC", "ETH", "SOL", "XRP", "LTC", "NEAR")]
SERIES += [Series("usdm", f"{base}USDT", "5m") for base in ("DOT", "UNI")]
COLLECTED_DAYS, FILLED_DAYS = 2, 35
"""How far back collecting begins, and backfilling."""
DAY_MS, MINUTE_MS = 86_400_000, 60_000
EVENT_S, CALM_S = 14.0, 75.0
"""Seconds between what happens, on average; and after a kill of more than a run, until the next."""
FAULT, JOB, KILL = "fault", "job", "kill"
SHARES = {FAULT: 80, JOB: 9, KILL: 11}
KILLS = {"flow": 9, "worker": 3, "server": 2, "explorer": 1, "reader": 1, "stack": 2, "all": 2}
STARTED_S, HEALED_S = 400, 900
PEAK_S = 3
QUARTERS = 4
WAITING = ("Scheduled", "Late")
ACTIVE = ("Pending", "Submitting", "InfrastructurePending", "Running", "Cancelling", "AwaitingConcurrencySlot")
STATES = {
    *("Completed", "Degraded", "ExchangeDown", "RateLimited", "Blocked", "DatabaseBusy", "Crashed", "Cancelled"),
    *(*WAITING, *ACTIVE),
}
"""In which a run may be, whatever happens to it."""
RUNS = """SELECT flow.name, state_name, coalesce(state.message, '')
          FROM flow_run JOIN flow ON flow.id = flow_id LEFT JOIN flow_run_state AS state ON state.id = state_id
          WHERE coalesce(end_time, '9') >= ? ORDER BY coalesce(end_time, '9') DESC"""
WITHIN = """SELECT flow.name, state_name, coalesce(state.message, '')
            FROM flow_run JOIN flow ON flow.id = flow_id LEFT JOIN flow_run_state AS state ON state.id = state_id
            WHERE flow.name IN ('collect', 'backfill', 'audit') AND start_time >= ? AND end_time <= ?"""
"""Runs that read the clocks, from beginning to end between two times."""


class Soak:
    """A soak in a folder, which writes what it sees into a part."""

    def __init__(self, folder: Path, part: Part, hours: float) -> None:
        self.part = part
        self.hours = hours
        self.chance = random.Random(part.seed)
        self.folder = folder
        self.since_ms = (int(time.time() * 1000) // DAY_MS - FILLED_DAYS) * DAY_MS
        self._began_s = time.monotonic()
        self._hunt_s = self._calm_s = self._peak_s = 0.0
        self.exchange: Exchange
        self.stack: Stack
        self.faults: Faults

    def run(self) -> None:
        """All of it; Ctrl-C leaves out what has not come yet."""
        since = f"{datetime.now(UTC) - timedelta(days=COLLECTED_DAYS):%Y-%m-%d}"
        with exchange(SERIES) as self.exchange:
            self.stack = Stack(self.folder, self.exchange.url, SERIES, since, self.part.seed)
            self.faults = Faults(self.exchange, SERIES, self.chance, self.since_ms)
            try:
                self._begin()
                self._watch()
                self._heal()
                self._close()
            except KeyboardInterrupt:
                self._say("ended early: what is stored is compared, what lacks is not looked for")
                self.faults.lift()
                self._note("found", self._compare(time.time() * 1000, time.time() * 1000))
            finally:
                self._end()

    def _end(self) -> None:
        """Write down what was seen, and leave nothing running."""
        self.part.hours = (time.monotonic() - self._began_s) / 3600
        try:
            self._look()
            self._conclude()
        finally:
            self.part.complaints += [f"left running: {left}" for left in self.stack.stop()]

    def _say(self, words: str) -> None:
        print(f"{datetime.now(UTC):%H:%M:%S} {words}", flush=True)

    def _begin(self) -> None:
        """Start, and wait until every series has been collected once."""
        self.stack.start()
        self._wait(lambda: len(self._states_of_series()) == len(SERIES), STARTED_S, "nothing is collected")
        self._began_s = time.monotonic()
        self.faults.ends_s = self._began_s + self.hours * 3600
        self._look()

    def _wait(self, is_so: Callable[[], bool], seconds: float, else_: str) -> bool:
        """Wait for something, seeing to it that all runs; a complaint if it does not come."""
        until_s = time.monotonic() + seconds
        while not is_so():
            if time.monotonic() > until_s:
                self.part.complaints.append(f"{else_} after {seconds:.0f} s")
                return False
            self._tick()
            time.sleep(2)
        return True

    def _tick(self) -> None:
        """What is to be done all the time."""
        self.stack.start()
        if time.monotonic() > self._peak_s:
            self._peak_s = time.monotonic() + PEAK_S
            self._peaks()

    def _peaks(self) -> None:
        found = self.stack.processes()
        for name, pids in found.items():
            peak_mb = max(processes.peak_mb(pid) for pid in pids)
            self.part.peaks_mb[name] = max(peak_mb, self.part.peaks_mb.get(name, 0.0))
        if self._hunt_s and time.monotonic() > self._hunt_s and found.get("flow"):
            self._hunt_s = 0.0
            time.sleep(self.chance.uniform(0, PEAK_S))
            self._killed("flow", processes.kill(*found["flow"]))

    def _watch(self) -> None:
        """Let things happen until the time is over, and look at each quarter."""
        next_s, looked = time.monotonic() + 10, 0
        while (now_s := time.monotonic()) < self.faults.ends_s:
            self._tick()
            for sort in self.faults.end_what_is_over():
                self._say(f"over: {sort}")
            if now_s > next_s:
                next_s = now_s + self.chance.expovariate(1 / EVENT_S)
                self._event()
            if now_s > self._began_s + (looked + 1) * self.hours * 3600 / QUARTERS:
                looked += 1
                self._look()
            time.sleep(0.5)

    def _event(self) -> None:
        [what] = self.chance.choices(list(SHARES), list(SHARES.values()))
        if what == FAULT:
            self._fault()
        elif what == JOB:
            self._job()
        else:
            self._kill()

    def _fault(self) -> None:
        sorts = self.faults.sorts()
        free = self.faults.free()
        [sort] = self.chance.choices(free, [sorts[name][1] for name in free])
        if words := self.faults.make(sort):
            self.part.faults[sort] += 1
            if sort == "answer":
                self.part.kinds.update(one.split()[0] for one in words.split(" and "))
            self._say(f"{sort}: {words}")

    def _kill(self) -> None:
        [name] = self.chance.choices(list(KILLS), list(KILLS.values()))
        if name == "flow":
            self._hunt_s = time.monotonic()
        elif time.monotonic() > self._calm_s:
            self._calm_s = time.monotonic() + CALM_S
            self._killed(name, self.stack.kill(name))

    def _killed(self, name: str, count: int) -> None:
        if count:
            self.part.kills[name] += 1
            self._say(f"killed: {name} ({count})")

    def _job(self) -> None:
        chance = self.chance
        job = chance.choice(["backfill"] * 6 + ["audit"] * 2 + ["maintain", "publish"])
        if job == "backfill":
            asked = self._backfill()
            is_taken = self.stack.run("backfill/ad-hoc", **asked)
            job += f" from {asked['start'][:10]} {asked['source']}{' refresh' * asked['refresh']}"
        elif job == "audit":
            is_taken = self.stack.run("audit/daily", force=chance.random() < 0.3)
        else:
            is_taken = self.stack.run({"maintain": "maintain/weekly", "publish": "publish/hourly"}[job])
        self.part.jobs[job.split()[0]] += is_taken
        self._say(f"asked for: {job}" if is_taken else f"not taken: {job}")

    def _backfill(self) -> dict[str, Any]:
        """Of some symbols of a market, some days."""
        chance, one = self.chance, self.chance.choice(SERIES)
        names = [other.symbol for other in SERIES if other[::2] == one[::2]]
        start = datetime.fromtimestamp(self.since_ms / 1000, UTC) + timedelta(days=FILLED_DAYS * chance.random())
        end = start + timedelta(days=chance.choice([0.1, 1, 3, 8]))
        return {
            "symbols": chance.sample(names, chance.randint(1, len(names))),
            "start": f"{start:%Y-%m-%dT%H:%M}",
            "end": f"{end:%Y-%m-%dT%H:%M}",
            "market": one.market,
            "interval": one.interval,
            "source": chance.choice(["auto", "auto", "archive", "rest"]),
            "refresh": chance.random() < 0.2,
        }

    def _states_of_series(self) -> list[str]:
        """fresh, late, … of each series that is stored; nothing while the file is in use for long, or absent."""
        try:
            with connect(live=True, database=self.stack.database) as connection:
                return [state for (state,) in connection.execute("SELECT state FROM freshness").fetchall()]
        except KlinesError:
            return []

    def _runs(self, since: str = "") -> list[tuple[str, str, str]]:
        """Flow, state and message of the runs that ended since, the last first; and of those that did not end."""
        return self._recorded(RUNS, since)

    def _recorded(self, sql: str, *values: str) -> list[tuple[str, str, str]]:
        """Of Prefect's database; nothing while there is none."""
        try:
            return recorded.query(self.stack.home / "prefect.db", sql, *values)
        except sqlite3.OperationalError:
            return []

    def _heal(self) -> None:
        """Lift all faults, and wait until every series is fresh and the last runs of both have completed."""
        self.faults.lift()
        self._hunt_s = 0.0
        began = datetime.now(UTC)
        self._say("all faults are lifted")

        def is_healed() -> bool:
            runs = self._runs(f"{began:%Y-%m-%d %H:%M:%S}")
            ended = [state for flow, state, _ in runs if flow == "collect" and state not in (*WAITING, *ACTIVE)]
            if any(flow != "collect" and state in ACTIVE for flow, state, _ in runs):
                return False
            states = self._states_of_series()
            is_fresh = len(states) == len(SERIES) and set(states) <= {"fresh", "late"}
            return is_fresh and len(ended) >= 3 and set(ended[:3]) == {"Completed"}

        if self._wait(is_healed, HEALED_S, "not healed"):
            healed_s = (datetime.now(UTC) - began).total_seconds()
            self._say(f"healed after {healed_s:.0f} s")

    def _close(self) -> None:
        """What an operator does in the end, and what is true then."""
        for one in (SERIES[0], SERIES[-1]):
            self._shell("backfill", *self._everything(one))
        self._shell("audit", "--force")
        end_ms = (time.time() - 180) * 1000
        self._note("healed", self._compare(self.since_ms, end_ms))
        for one in (SERIES[0], SERIES[-1]):
            self._shell("backfill", *self._everything(one), "--refresh", "--source", "rest")
        self.faults.earlier.clear()
        end_ms = (time.time() - 180) * 1000
        self._note("found", self._compare(self.since_ms, end_ms))

    def _everything(self, one: Series) -> list[str]:
        names = [other.symbol for other in SERIES if other[::2] == one[::2]]
        start = datetime.fromtimestamp(self.since_ms / 1000, UTC)
        end = datetime.now(UTC) + timedelta(days=1)
        dates = ["--start", f"{start:%Y-%m-%d}", "--end", f"{end:%Y-%m-%d}"]
        return [*names, "--market", one.market, "--interval", one.interval, *dates]

    def _shell(self, *arguments: str) -> None:
        done = self.stack.shell(*arguments)
        said = " ".join((done.stdout or done.stderr).split())
        self._say(f"klines {' '.join(arguments)}: {said}")
        if done.returncode:
            self.part.complaints.append(f"klines {arguments[0]} ended with {done.returncode}: {said[:600]}")

    def _compare(self, start_ms: float, end_ms: float) -> Compared:
        """Whole slots of every series."""
        day_ms = int(end_ms) // (5 * MINUTE_MS) * (5 * MINUTE_MS)
        first_ms = min(int(start_ms) // (5 * MINUTE_MS) * (5 * MINUTE_MS), day_ms)
        return compare(self.exchange, self.stack.database, SERIES, first_ms, day_ms, self.faults.earlier)

    def _note(self, when: str, compared: Compared) -> None:
        setattr(self.part, when, compared.faces)
        self._say(f"{when}: {dict(compared.faces)}")
        self.part.complaints += [f"{when}: {told}" for told in compared.told]

    def _look(self) -> None:
        """What everything holds just now."""
        self.part.served += Counter({str(status): count for status, count in self.exchange.served().items()})
        held = {name: [processes.held(pid) for pid in pids] for name, pids in self.stack.processes().items()}
        place = self.stack.database
        sizes = {
            "klines.duckdb": processes.size_mb(*place.parent.glob(f"{place.name}*.wal"), place),
            "its snapshots": processes.size_mb(place.with_name(f"{place.name}.snapshots")),
            "Prefect's database": recorded.file_mb(self.stack.home / "prefect.db"),
            "logs": processes.size_mb(self.stack.home / "logs"),
            "temporary files": processes.size_mb(self.folder / "tmp"),
        }
        look = Look(
            (time.monotonic() - self._began_s) / 3600,
            {name: sum(rss_mb for rss_mb, _ in found) for name, found in held.items()},
            {name: sum(count for _, count in found) for name, found in held.items()},
            sizes,
            self._count(),
        )
        self.part.looks.append(look)
        self._say(f"{look}")

    def _count(self) -> int:
        try:
            with connect(live=True, database=self.stack.database) as connection:
                [(rows,)] = connection.execute("SELECT count(*) FROM klines").fetchall()
            return int(rows)
        except KlinesError:
            return 0

    def _conclude(self) -> None:
        """What is written down of runs and readers."""
        part, runs = self.part, self._runs()
        part.states = Counter(f"{flow} {state}" for flow, state, _ in runs if state not in WAITING)
        odd = [f"{flow} {state}: {message[:400]}" for flow, state, message in runs if state not in STATES]
        part.complaints += [*self.stack.complaints, *odd]
        self._doubt()
        lines = read_lines(self.folder / "reader.log")
        part.read = Counter(" ".join(line.split()[1 : 3 if " refused " in line else 2]).rstrip(":") for line in lines)
        part.complaints += [line for line in lines if " wrong " in f" {line} " or "Traceback" in line]

    def _doubt(self) -> None:
        """No run in a doubtful clock is Completed."""
        for bounds in self.faults.doubtful:
            times = [f"{datetime.fromtimestamp(time_s, UTC):%Y-%m-%d %H:%M:%S.%f}" for time_s in bounds]
            for flow, state, message in self._recorded(WITHIN, *times):
                self.part.doubtful[state] += 1
                if state == "Completed":
                    told = f"{flow} Completed while clocks differed, {times[0]}: {message[:400]}"
                    self.part.complaints.append(told)


def read_lines(file: Path) -> Sequence[str]:
    """Of a log, if there is one."""
    return file.read_text(errors="replace").splitlines() if file.exists() else []
