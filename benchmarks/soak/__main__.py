"""Hours of the whole stack in a hostile world, and then every kline beside the truth.

    python -m benchmarks.soak --hours 1.5 [--seed 1] [--folder DIR] [--keep FILE]
    python -m benchmarks.soak --parts FILE FILE …

The stack runs as `klines run` starts it, in a folder and on ports of its own, against the stand-in. By chance, from a
seed, the exchange answers wrongly, falls silent, puts its clock, corrects itself; runs, the worker, the server and all
are killed; readers read; backfills, audits, maintenance and publishing run. Then all faults are lifted, it is waited
until everything has healed, an audit and a backfill are run from the shell, and every kline is compared.

--keep writes the figures of one part, --parts shows the sum of several. Ctrl-C ends it with what was seen so far.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import signal
import tempfile
from pathlib import Path

from benchmarks.soak.figures import Part, kept, show
from benchmarks.soak.run import Soak
from benchmarks.table import machine


def main() -> None:
    """Run one, or add up those that have run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=1.5, help="of faults, before the closing")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where everything is, and stays; else a temporary one")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="write the figures of this part, as JSON")
    parser.add_argument("--parts", type=Path, nargs="+", metavar="FILE", help="the parts to add up")
    options = parser.parse_args()
    if options.parts:
        report([kept(file) for file in options.parts])
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)  # who is started in the background ignores it
    print(machine())
    folder = options.folder or Path(tempfile.mkdtemp(prefix="soak-"))
    folder.mkdir(parents=True, exist_ok=True)
    part = Part(options.seed)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            Soak(folder, part, options.hours).run()
    finally:
        if options.keep:
            part.keep(options.keep)
        if not options.folder:
            shutil.rmtree(folder, ignore_errors=True)
    report([part])


def report(parts: list[Part]) -> None:
    """The table, and what is to be looked at."""
    show(parts)
    for part in parts:
        for complaint in part.complaints:
            print(f"seed {part.seed}: {complaint}")


if __name__ == "__main__":
    main()
