"""Scheduled minutes alone, then beside an audit and a backfill that each have millions of klines to fetch, and beside
maintenance of all that is stored then.

    python -m benchmarks.beside [--symbols 600] [--rows 10_000_000] [--minutes 4] [--lacking 3_000_000] [--rounds 2]

The stack collects `--symbols` symbols of spot on its schedule, as in benchmarks.minute. After `--minutes` minutes
alone an audit begins of what lacks of other symbols, from the archive's files; when it has ended the next one, of as
much, for `--rounds` rounds; then as many backfills by REST, which want the weight that the minute needs; then one
maintenance. A minute is beside one if its scheduled second is. The stand-in runs on the same cores: the archive's files
are made beforehand, and the 1d klines; what REST answers is made while it is asked. About 15 minutes.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import yaml

from benchmarks import measure
from benchmarks.minute import STEPS, Part, deployments, fill, moments, names, started, time_of
from benchmarks.table import line, machine
from klines.backfill.chunks import Piece, pick
from klines.binance.files import Life
from klines.interval import DAY, INTERVALS, MINUTE
from klines.market import MARKETS
from klines.storage.database import opened
from klines.tables.promise import PERSON
from klines.tables.wanted import note_range
from klines.window import Window, subtract
from tests import stacks

SPOT, MINUTES = MARKETS["spot"], INTERVALS["1m"]
SYMBOLS = 50
"""So many have the klines of a round."""
OVER = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
PAUSE_S, AFTERWARDS_S = 0.5, 60
"""How often is looked for the end of a run; and after the last one what began beside it ends, too."""
Ask = Callable[..., Any]
FIGURES: Mapping[str, Callable[[Sequence[float]], float]] = {
    "p50": statistics.median,
    "p95": lambda found: statistics.quantiles([*found, found[-1]], n=20, method="inclusive")[-1],
    "worst": max,
}


@dataclass(frozen=True, slots=True)
class Bulk:
    """A run that fetches what lacks of `symbols`, of `window`, or one about all that is stored, with neither: of which
    deployment, with which parameters."""

    name: str
    deployment: str
    symbols: Sequence[str] = ()
    window: Window = field(default_factory=lambda: Window(0, DAY))
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def span(self) -> tuple[int, int]:
        """The window in epoch ms."""
        return self.window.start_ms, self.window.end_ms

    @property
    def parameters(self) -> dict[str, Any]:
        """Of the flow run."""
        if not self.symbols:
            return {**self.more}
        start, end = (f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%dT%H:%M:%S}" for ms in self.span)
        return {"symbols": [*self.symbols], "start": start, "end": end, **self.more}


@dataclass(slots=True)
class Phase:
    """The minutes whose scheduled second is in one of the spans: seconds from that to the commit of those that
    Completed, and the states of all; of what ran beside them the states, and the klines that are stored now."""

    spans: list[tuple[datetime, datetime]] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    states: Counter[str] = field(default_factory=Counter)
    bulk_states: Counter[str] = field(default_factory=Counter)
    klines: int = 0


def main() -> None:
    """Run it and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--symbols", type=int, default=600)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--minutes", type=int, default=4, help="alone")
    parser.add_argument("--lacking", type=int, default=3_000_000, help="klines that each audit and backfill fetches")
    parser.add_argument("--rounds", type=int, default=2, help="audits, and backfills, one after the other")
    options = parser.parse_args()
    print(machine())
    print(f"{options.symbols} symbols of spot, {options.rows:,} rows, {options.lacking:,} klines that lack")
    found = measured(options)
    for name, phase in found.items():
        show(name, phase, found["alone"].latencies)


def measured(options: argparse.Namespace) -> dict[str, Phase]:
    """The minutes alone, and beside each kind of run."""
    part = Part("spot", names("S", options.symbols))
    bulks = [*lacking(options)]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        database, archives = folder / "klines.duckdb", folder / "archives"
        measure.make_archives(archives, [path for bulk in bulks if bulk.name == "audit" for path in files(bulk)])
        listed = [*part.names, *(symbol for bulk in bulks for symbol in bulk.symbols)]
        with measure.exchange(listed, "--archives", str(archives)) as url:
            fill(database, [part], options.rows, int(time.time() * 1000) // MINUTE * MINUTE)
            for bulk in bulks:
                measure.warm(url, bulk.symbols, *bulk.span)
            want(database, [bulk for bulk in bulks if bulk.name == "audit"])
            return run(folder, stacks.environment(folder, url, part.names), part, bulks, options.minutes)


def lacking(options: argparse.Namespace) -> Iterator[Bulk]:
    """What is to be fetched, each of symbols of its own, up to the midnight before yesterday's."""
    end_ms = int(time.time() * 1000) // DAY * DAY - 2 * DAY
    count = min(SYMBOLS, max(1, options.lacking // 1440))
    whole = Window(end_ms - options.lacking // count * MINUTE // DAY * DAY, end_ms)
    for kind, deployment, more in (
        ("audit", "audit/daily", {"market": "spot", "interval": "1m"}),
        ("backfill by REST", "backfill/ad-hoc", {"source": "rest"}),
    ):
        for number in range(options.rounds):
            symbols = [f"{kind[0].upper()}{number}N{n:02}USDT" for n in range(count)]
            yield Bulk(kind, deployment, symbols, whole, more)
    yield Bulk("maintenance", "maintain/weekly")


def files(bulk: Bulk) -> Iterator[str]:
    """The addresses of the archive's files that it will ask for."""
    now_ms = int(time.time() * 1000)
    for symbol in bulk.symbols:
        left, piece = [bulk.window], Piece(symbol, [bulk.window], Life(bulk.window.start_ms, now_ms, now_ms), "auto")
        for is_month in (True, False):
            picked = pick(left, piece, SPOT, MINUTES, is_month=is_month)
            left = subtract(left, [file.window for file in picked])
            yield from (f"/{file.path.lstrip('/')}" for file in picked)


def want(database: Path, bulks: Sequence[Bulk]) -> None:
    """Let somebody want what lacks, so that an audit fetches it."""
    with opened(database, time.monotonic() + 10) as connection:
        for bulk in bulks:
            note_range(connection, SPOT, MINUTES, bulk.symbols, bulk.window, PERSON, int(time.time() * 1000))


def run(folder: Path, environment: dict[str, str], part: Part, bulks: Sequence[Bulk], minutes: int) -> dict[str, Phase]:
    """Let the stack collect, alone for so many minutes and then beside each of the runs, and look at it."""
    del environment["PREFECT_WORKER_QUERY_SECONDS"]  # as prefect.toml has it
    file = folder / "prefect.yaml"
    file.write_text(yaml.safe_dump(undisturbed(part)))
    with stacks.stack(environment, file) as process:
        began = started(process)
        alone = Phase(spans=[(began, began + timedelta(minutes=minutes))])
        time.sleep(max(0.0, alone.spans[0][1].timestamp() - time.time()))
        phases = {"alone": alone, **beside(partial(stacks.ask, environment), bulks)}
        time.sleep(AFTERWARDS_S)
        for name, phase in phases.items():
            look_up(environment, name, phase)
    for bulk in [bulk for bulk in bulks if bulk.symbols]:
        phases[bulk.name].klines += count(folder / "klines.duckdb", bulk.symbols)
    return phases


def beside(ask: Ask, bulks: Sequence[Bulk]) -> dict[str, Phase]:
    """The runs, one after the other, and when each was under way."""
    phases: dict[str, Phase] = {}
    for bulk in bulks:
        phase = phases.setdefault(bulk.name, Phase())
        ended = ended_run(ask, bulk)
        print(f"{bulk.name}: {ended['state_name']}: {' '.join(ended['state']['message'].split())}", flush=True)
        phase.bulk_states[ended["state_name"]] += 1
        phase.spans.append((time_of(ended["start_time"]), time_of(ended["end_time"])))
    return phases


def undisturbed(part: Part) -> dict[str, Any]:
    """prefect.yaml with the minute alone on schedule."""
    found = deployments([part], is_together=False)
    for deployment in found["deployments"]:
        for schedule in deployment.get("schedules", ()) if "collect" not in deployment["entrypoint"] else ():
            schedule["active"] = False
    return found


def ended_run(ask: Ask, bulk: Bulk) -> dict[str, Any]:
    """Begin the run, and wait for its end."""
    deployment = ask("GET", f"/deployments/name/{bulk.deployment}")
    flow_run = ask("POST", f"/deployments/{deployment['id']}/create_flow_run", {"parameters": bulk.parameters})
    while flow_run["state_type"] not in OVER:
        time.sleep(PAUSE_S)
        flow_run = ask("GET", f"/flow_runs/{flow_run['id']}")
    return dict(flow_run)


def look_up(environment: dict[str, str], name: str, phase: Phase) -> None:
    """What the server has recorded of the minutes whose scheduled second was in one of the spans."""
    body = {"sort": "EXPECTED_START_TIME_ASC", "flow_runs": {"state": {"type": {"not_any_": ["SCHEDULED"]}}}}
    for run in stacks.ask(environment, "POST", "/flow_runs/filter", body):
        due = time_of(run["expected_start_time"])
        if run["name"].startswith("spot 1m ") and any(start <= due < end for start, end in phase.spans):
            phase.states[run["state_name"]] += 1
            if run["state_name"] == "Completed":
                times = moments(int(environment["PREFECT_SERVER_API_PORT"]), run)
                phase.latencies.append(times[-1] - times[0])
                steps = ", ".join(f"{what} {b - a:.1f}" for what, (a, b) in zip(STEPS, pairwise(times), strict=True))
                print(f"{name}: {run['name']}: {times[-1] - times[0]:.1f} s: {steps}", flush=True)


def count(database: Path, symbols: Sequence[str]) -> int:
    """How many klines of these symbols are stored."""
    with duckdb.connect(str(database), read_only=True) as connection:
        [(klines,)] = connection.execute(
            "SELECT count(*) FROM klines WHERE symbol IN (SELECT unnest(?))", [[*symbols]]
        ).fetchall()
    return int(klines)


def show(name: str, phase: Phase, alone: Sequence[float]) -> None:
    """The lines of some minutes, and of what ran beside them; `alone` are the seconds of those alone."""
    told = "minutes alone" if name == "alone" else f"minutes beside the {name}"
    print(f"{told}: {dict(phase.states)}; {name}: {dict(phase.bulk_states)}")
    for what, figure in FIGURES.items() if phase.latencies else ():
        other = figure(alone) if alone and name != "alone" else None
        line(f"{told}: scheduled second → committed, {what}", figure(phase.latencies), peer="alone", other=other)
    line(f"{told}: how many", phase.states.total(), "")
    line(f"{told}: of these not Completed", phase.states.total() - len(phase.latencies), "", limit="0")
    if name != "alone":
        if phase.klines:
            line(f"{name}: klines fetched", phase.klines, "")
        line(f"{name}: seconds, all rounds", sum((end - start).total_seconds() for start, end in phase.spans))


if __name__ == "__main__":
    main()
