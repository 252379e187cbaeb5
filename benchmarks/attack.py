"""Every kind of hostile answer beside collect, backfill and audit of three symbols: what it costs, and what it spoils.

    python -m benchmarks.attack [--only flood huge …]

The stand-in answers wrongly, each kind from the first request to the last; a process of its own for each kind collects,
backfills two days and audits. Then the fault is over, and every kline that is stored is compared with the truth.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from operator import methodcaller
from pathlib import Path
from typing import Any

from benchmarks import CHECKOUT
from benchmarks.audit import peak_mb
from benchmarks.soak.exchange import Exchange, Series, exchange
from benchmarks.soak.faults import DATES, LIES, NAMES, SERVER_TIMES
from benchmarks.soak.truth import compare
from benchmarks.table import line, machine
from klines.errors import KlinesError
from klines.outcome import Outcome, fail
from tests.drive import Fixed, audit_once, backfill_once, collect_once
from tests.exchange.archives import KINDS as SPOILED
from tests.exchange.faults import KINDS

DAY_MS, MINUTE_MS = 86_400_000, 60_000
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
SERIES = [Series("spot", symbol, "1m") for symbol in SYMBOLS]
LISTED_DAYS, FILLED_DAYS = 3, 2
WRONG = ("doubled", "different", "invented", "while open", "stored and a gap")
MANY = 100_000
"""Symbols of an exchangeInfo that never ends."""
LIMIT_MB, LIMIT_S, REQUEST_S = 1_500, 300, 6
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "status": [{"status": status} for status in (418, 403, 451, 500, 503)] + [{"status": 429, "retry_after": 5}],
    "code": [{"code": code} for code in (-1000, -1121)] + [{"code": -1003, "status": 503}],
    "latency": [{"seconds": 5}],
    "age": [{"seconds": 3600}],
    "body": [{"body": body} for body in ("", "[[]]", "[" * 10**6, "[" + "[]," * 600_000 + "[]]", '{"a":' * 300_000)],
    "listed": [{"entries": json.dumps([{"symbol": name, "status": "TRADING"} for name in NAMES])}],
}
"""What differs within a kind; the soak has more of them."""
PLACES = {"age": "time", "listed": "exchangeInfo"}
"""Which questions are answered so, where it is not those for klines."""


@dataclass(frozen=True)
class Case:
    """A kind, what differs within it, and how the exchange comes to answer so; `entries` are what is collected."""

    kind: str
    name: str
    begin: Callable[[Exchange], object]
    entries: Sequence[str] = SYMBOLS


@dataclass(frozen=True)
class Suffered:
    """What a process says of the runs that met it."""

    states: list[str]
    seconds: float
    peak_mb: float
    foreign: list[str]


def cases() -> Iterator[Case]:
    """All of them."""
    for kind in KINDS:
        for options in OPTIONS.get(kind, [{}]) if kind not in LIES else []:
            name, path = " ".join(str(value)[:24] for value in options.values()), PLACES.get(kind, "klines")
            yield Case(kind, name, partial(_fault, kind=kind, path=path, options=options))
    for kind in SPOILED:
        yield Case(f"archive {kind}", "", partial(_spoil, kind=kind))
    many = json.dumps([{"symbol": f"S{n}USDT", "status": "TRADING"} for n in range(MANY)])
    yield Case("listed", f"{MANY:,} symbols, of which *", partial(_fault, kind="listed", path="exchangeInfo",
                                                               options={"entries": many}), ("*",))  # fmt: skip
    for text in SERVER_TIMES[:4]:
        yield Case("clock", f"serverTime {text}", methodcaller("put", server_time=text))
    for date in DATES[:2]:
        yield Case("clock", f"Date {date!r}", methodcaller("put", date=date))
    for by_ms in (-10 * MINUTE_MS, 10 * MINUTE_MS):
        yield Case("clock", f"Date by {by_ms // 1000} s", methodcaller("put", date_offset_ms=by_ms))
        yield Case("clock", f"all by {by_ms // 1000} s", methodcaller("set_clock", offset_ms=by_ms))
    for name in ("startTime", "endTime", "limit", "interval", "symbol"):
        value = {"interval": "1h", "symbol": "BTCUSDT"}.get(name)
        yield Case("ignored", f"{name} as {value}", methodcaller("ignore", name, value))
    yield Case("down", "", methodcaller("put", down=True))
    yield Case("maintenance", "", methodcaller("put", maintenance=True))


def _fault(it: Exchange, kind: str, path: str, options: dict[str, Any]) -> None:
    it.fault(None, kind, path=path, **options)


def _spoil(it: Exchange, kind: str) -> None:
    for days in range(1, LISTED_DAYS + 1):
        for symbol in SYMBOLS:
            it.spoil(f"{symbol}-1m-{datetime.now(UTC) - timedelta(days=days):%Y-%m-%d}", kind)


def main() -> None:
    """Attack, and show the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="KIND", help="some kinds, as the table calls them")
    parser.add_argument("--suffer", nargs="+", metavar="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.suffer:
        url, database, *entries = options.suffer
        print(json.dumps(asdict(suffered(url, Path(database), entries))))
        return
    print(machine())
    with tempfile.TemporaryDirectory() as folder, exchange([]) as it:
        attack(it, Path(folder), [case for case in cases() if not options.only or case.kind in options.only])


def attack(it: Exchange, folder: Path, chosen: Sequence[Case]) -> None:
    """One case after the other, each on a copy of the same database."""
    since_ms = int(time.time() * 1000) // DAY_MS * DAY_MS - LISTED_DAYS * DAY_MS
    for symbol in SYMBOLS:
        it.list(symbol, since_ms=since_ms, markets=("spot",))
    begun = folder / "begun.duckdb"
    collect_once(Fixed(it.url), begun, SYMBOLS, lookback=timedelta(hours=2))
    found = []
    for case in chosen:
        database = folder / "klines.duckdb"
        for old in folder.glob("klines.duckdb*"):
            shutil.rmtree(old) if old.is_dir() else old.unlink()
        shutil.copy(begun, database)
        found.append((case, *one(it, case, database, since_ms)))
    show(found)


def one(it: Exchange, case: Case, database: Path, since_ms: int) -> tuple[Suffered, int, Counter[str]]:
    """What the runs say, how many requests there were, and what the klines that are stored turn out to be."""
    it.served()
    case.begin(it)
    command = [sys.executable, "-m", "benchmarks.attack", "--suffer", it.url, str(database), *case.entries]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True)
    last = (done.stdout.splitlines() or [""])[-1]
    said = (done.stderr.splitlines() or ["nothing"])[-1]
    its = Suffered(**json.loads(last)) if done.returncode == 0 else Suffered([], 0, 0, [f"{done.returncode}: {said}"])
    requests = it.served().total()
    it.lift()
    now_ms = int(time.time() * 1000) // MINUTE_MS * MINUTE_MS
    faces = compare(it, database, SERIES, since_ms, now_ms, {}).faces
    print(f"{case.kind} {case.name}: {', '.join(its.states)}, {requests} requests, {its.seconds:.0f} s, "
          f"{its.peak_mb:.0f} MB, {dict(+faces)} {' '.join(its.foreign)}".replace("\n", " "), flush=True)  # fmt: skip
    return its, requests, faces


def suffered(url: str, database: Path, entries: Sequence[str]) -> Suffered:
    """Three runs against whatever is there, in this process."""
    it, now = Fixed(url), datetime.now(UTC)
    start, end = (f"{now - timedelta(days=days):%Y-%m-%d}" for days in (FILLED_DAYS, 0))
    runs: dict[str, Callable[[], Outcome]] = {
        "collect": lambda: collect_once(it, database, entries, request_timeout_s=REQUEST_S),
        "backfill": lambda: backfill_once(it, database, SYMBOLS, start, end, request_timeout_s=REQUEST_S),
        "audit": lambda: audit_once(it, database, request_timeout_s=REQUEST_S),
    }
    states, foreign, began_s = [], [], time.monotonic()
    for name, run in runs.items():
        try:
            outcome = run()
        except KlinesError as error:
            outcome = fail(error)
        except Exception as error:  # what this looks for
            outcome = Outcome("foreign", "")
            foreign.append(f"{name}: {type(error).__name__}: {error}")
        states.append(outcome.state)
        foreign += [f"{name}: {outcome.message}"] if "unexpected" in outcome.message else []
    return Suffered(states, time.monotonic() - began_s, peak_mb(), foreign)


def show(found: Sequence[tuple[Case, Suffered, int, Counter[str]]]) -> None:
    """A line a kind, with the most that any of its cases took; and their sums."""
    for kind in dict.fromkeys(case.kind for case, *_ in found):
        its = [(suffered, requests) for case, suffered, requests, _ in found if case.kind == kind]
        sides = [", ".join(sorted({one.states[at] for one, _ in its if one.states})) for at in range(3)]
        states = "; ".join(f"{run} {side}" for run, side in zip(("collect", "backfill", "audit"), sides, strict=True))
        requests, seconds = max(number for _, number in its), max(one.seconds for one, _ in its)
        counted = f"{len(its)} × " if len(its) > 1 else ""
        line(f"{counted}{kind}: {states}: {requests:,} requests, {seconds:.0f} s, peak memory",
             max(one.peak_mb for one, _ in its), "MB", limit=f"≤ {LIMIT_MB:,}")  # fmt: skip
    line("hostile answers, of all kinds", len(found), "")
    line("runs of them", sum(len(its.states) for _, its, *_ in found), "")
    line("the longest of three runs in a row", max(its.seconds for _, its, *_ in found), limit=f"≤ {LIMIT_S}")
    line("the most memory that a process held", max(its.peak_mb for _, its, *_ in found), "MB", limit=f"≤ {LIMIT_MB:,}")
    line("errors that are none of ours", sum(len(its.foreign) for _, its, *_ in found), "", limit="0")
    total: Counter[str] = sum((faces for *_, faces in found), Counter())
    line("klines stored and compared", total["compared"], "")
    for face in WRONG:
        line(f"klines stored: {face}", total[face], "", limit="0")


if __name__ == "__main__":
    main()
