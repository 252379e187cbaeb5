"""What `klines export` shows: how far it is, and at the end what there is now."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from klines.cli.bar import Bar
from klines.exports.job import ExportJob
from klines.exports.run import Export
from klines.outcome import counted


def export_all(
    to: str,
    folder: Path,
    symbols: Sequence[str] | None,
    start: str | None,
    end: str | None,
    market: str,
    interval: str,
    kind: str,
    *,
    as_json: bool,
) -> int:
    """Export, and say so; the exit status, 0 when every series was written."""
    job = ExportJob.of(None, to, folder, symbols, start, end, market, interval, kind)
    with Export(job) as run:
        planned = run.plan()
        _print_line(run.told(planned).said)
        with Bar(len(planned), _print_line) as bar:
            for number, found in enumerate(planned, 1):
                run.write(found)
                bar(number, f"{found.subject.symbol}, {number} of {counted(len(planned), 'symbol')}")
        outcome = run.outcome()
    if as_json:
        print(json.dumps({"state": outcome.state, "message": outcome.message, **outcome.numbers}, ensure_ascii=False))
    else:
        print(f"{outcome.state}: {outcome.message}")
    return 0 if outcome.is_completed else 1


def _print_line(said: str) -> None:
    print(said, file=sys.stderr)
