"""What `klines move` prints: what will be done, how far it is, and at the end what to set."""

from __future__ import annotations

import shlex
import sys

from rich.progress import TimeRemainingColumn

from klines.cli.bar import Bar
from klines.errors import KlinesError
from klines.move.run import Move, MovePlan
from klines.outcome import Plan, counted
from klines.session import machine_ms
from klines.settings import is_lake
from klines.storage.access import place_to_fill, stored_at
from klines.storage.place import Place


def move_all(to: str, data: str | None, *, is_dry: bool) -> None:
    """Move the database of the settings, and say so."""
    with Move(stored_at(None), place_to_fill(to, data), machine_ms()) as run:
        if not run.is_over:
            plan = run.plan()
            print(_planned(run, plan.whole))
            if is_dry:
                return
            _copy(run, plan)
        run.finish()
        print(f"{run.said()}\n{next_steps(run.source, run.target, data)}")


def _planned(run: Move, plan: Plan) -> str:
    """What moves, how much that is, and which disks it needs."""
    lines = {"from": run.source, "to": run.target, "": plan.does, **plan.lines}
    advice = "Runs go on meanwhile. Stop it anywhere: the same command goes on."
    return "\n".join(f"{verb:<6} {said}" for verb, said in [*lines.items(), ("", advice)])


def _copy(run: Move, plan: MovePlan) -> None:
    """All but the end, with how far it is."""
    try:
        run.begin()
        months = len(plan.months)
        with Bar(2 * months, _print_line, TimeRemainingColumn()) as bar:
            for before, verb, step in ((0, "copied", run.copy), (months, "compared", run.verify)):
                for number, month in enumerate(plan.months, 1):
                    step(month)
                    bar(before + number, f"{verb} {month}, {number} of {counted(months, 'month')}")
    except KlinesError as error:
        raise type(error)(
            f"{str(error).rstrip('.')}. What is copied stays: the same command goes on from there"
        ) from None


def _print_line(said: str) -> None:
    print(said, file=sys.stderr)


def next_steps(source: Place, target: Place, data: str | None) -> str:
    """What to type next, without a password."""
    goes_to_lake = is_lake(str(target))
    lines = [f"KLINES_DATABASE={shlex.quote(str(target))}"]
    if goes_to_lake and data:
        lines.append(f"KLINES_DATA_PATH={shlex.quote(data)}")
    before = "" if goes_to_lake else ", and no KLINES_DATA_PATH"
    return "\n".join(
        [
            f"Now set, in .env or where else KLINES_DATABASE is set{before}, and start `klines run` again:",
            *(f"    {line}" for line in lines),
            f"{source} is as it was, refuses to be written, and can be deleted.",
        ]
    )
