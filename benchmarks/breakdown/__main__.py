"""Where a minute's time goes, from the start of its process to the end, beside its bare requests.

    python -m benchmarks.breakdown [--symbols 2100] [--rows 3_100_000] [--rounds 3]

A round is three processes, each in a minute of the stand-in's clock: bare requests; the imports of `klines collect`,
its steps outside of Prefect, and a flow run with as many task runs and nothing to do; `klines collect` itself.
Prefect's server runs beside them. Lines are medians: the CPU seconds of the process, which other programs on the
machine change least, beside seconds by the clock. The lines of the second process are all of it, as its end is the rest
of the whole; so what the third one takes more is in no line.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.breakdown.steps import Cost, Costs
from benchmarks.measure import Server, Taken, client, prefect_server, process
from benchmarks.minute import Part, cpu_s, fill, idle_after, names
from benchmarks.table import line, machine
from benchmarks.warm import START_MS, Minutes
from klines.interval import MINUTE
from stack.template import begin
from tests.exchange import StandIn

PATTERN = "S*USDT"
WITNESS = "BTCUSDT"
"""Its newest kline shows runs that the stand-in's clock, which is another than this machine's, is right."""


def main() -> None:
    """Run it and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--symbols", type=int, default=2100)
    parser.add_argument("--rows", type=int, default=3_100_000)  # all of the lookback: nothing older is asked for
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(machine())
    print(f"{options.symbols} symbols, {options.rows:,} rows, medians of {options.rounds} rounds")
    symbols = names("S", options.symbols)
    with tempfile.TemporaryDirectory() as folder, StandIn([*symbols, WITNESS], ["spot"]) as exchange:
        minutes = Minutes(Path(folder), exchange, symbols, 0)
        fill(minutes.database, [Part("spot", symbols)], options.rows, START_MS)
        begin(Path(folder))
        with prefect_server(Path(folder)) as server:
            one_round(minutes, server)  # finds out what there is, and is left out
            show([one_round(minutes, server) for _ in range(options.rounds)])


def show(found: Sequence[Costs]) -> None:
    """A line for each step."""
    for step in found[0]:
        cpu_s, wall_s = (statistics.median(part) for part in zip(*(costs[step] for costs in found), strict=True))
        line(step, cpu_s, "s", peer="by the clock", other=wall_s)


def one_round(minutes: Minutes, server: Server) -> Costs:
    """What the three processes took."""
    return steps(minutes, server, "bare") | steps(minutes, server, "run") | collect(minutes, server)


def steps(minutes: Minutes, server: Server, which: str) -> Costs:
    """What a process says of its steps, what it took besides, and the whole of it."""
    minutes.next()
    end_ms = minutes.exchange.now_ms() // MINUTE * MINUTE
    command = [sys.executable, "-m", "benchmarks.breakdown.steps", which, str(len(minutes.symbols)), str(end_ms)]
    taken = process(command, minutes.folder, environment(minutes) | client(server, minutes.folder / "client"))
    told = {name: Cost(*cost) for name, cost in json.loads(taken.printed.splitlines()[-1]).items()}
    cpu_s, wall_s = (sum(part) for part in zip(*told.values(), strict=True))
    rest = Cost(taken.cpu_s - cpu_s, taken.wall_s - wall_s)
    return told | {f"the rest of the process ({which})": rest, f"the whole process ({which})": whole(taken)}


def collect(minutes: Minutes, server: Server) -> Costs:
    """`klines collect`, and what Prefect's server took for it."""
    minutes.next()
    before_s = cpu_s(server.pid)
    command = [sys.executable, "-m", "klines.cli", "collect"]
    taken = process(command, minutes.folder, environment(minutes) | client(server, minutes.folder / "client"))
    idle_after(server.pid, datetime.now(UTC))
    used_s = cpu_s(server.pid) - before_s
    print(taken.printed.splitlines()[-1], flush=True)
    return {"klines collect": whole(taken), "Prefect's server meanwhile": Cost(used_s, taken.wall_s)}


def whole(taken: Taken) -> Cost:
    """Of a process, from its start to its end."""
    return Cost(taken.cpu_s, taken.wall_s)


def environment(minutes: Minutes) -> dict[str, str]:
    """Whom a process asks, and where it stores."""
    return {
        "KLINES_SPOT_URL": minutes.exchange.url,
        "KLINES_DATABASE": str(minutes.database),
        "KLINES_SYMBOLS": PATTERN,
    }


if __name__ == "__main__":
    main()
