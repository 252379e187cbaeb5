"""What `klines move` prints: what will be done, how far it is, and at the end what to set."""

from __future__ import annotations

import shlex
import sys
import time
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from klines.errors import KlinesError
from klines.move.run import Move, MovePlan
from klines.outcome import counted
from klines.session import machine_ms
from klines.storage.access import place_to_fill, stored_at
from klines.storage.place import Place

LINE_S = 30.0
"""How often there is a line where there is no terminal."""


def move_all(to: str, data: str | None, *, is_dry: bool) -> None:
    """Move the database of the settings, and say so."""
    with Move(stored_at(None), place_to_fill(to, data), machine_ms()) as run:
        if not run.is_over:
            plan = run.plan()
            print(_planned(run, plan))
            if is_dry:
                return
            _copy(run, plan)
        run.finish()
        print(f"{run.said()}\n{next_steps(run.source, run.target, data)}")


def _planned(run: Move, plan: MovePlan) -> str:
    """What moves, how much that is, and which disks it needs."""
    months = f", {plan.months[0]} to {plan.months[-1]}" if plan.months else ""
    return (
        f"from   {run.source}\nto     {run.target}\n"
        f"       {counted(plan.klines, 'kline')} in {counted(len(plan.months), 'month')}{months}\n"
        f"needs  up to {plan.bytes / 1e6:,.0f} MB there, and {plan.staged_bytes / 1e6:,.0f} MB in {plan.folder} for a "
        "month at a time\n       Runs go on meanwhile. Stop it anywhere: the same command goes on."
    )


def _copy(run: Move, plan: MovePlan) -> None:
    """All but the end, with how far it is."""
    try:
        run.begin()
        with MoveBar(2 * len(plan.months)) as shown:
            for verb, step in (("copied", run.copy), ("compared", run.verify)):
                for number, month in enumerate(plan.months, 1):
                    step(month)
                    shown.advance(f"{verb} {month}, {number} of {counted(len(plan.months), 'month')}")
    except KlinesError as error:
        raise type(error)(
            f"{str(error).rstrip('.')}. What is copied stays: the same command goes on from there"
        ) from None


class MoveBar:
    """Use as `with`: a bar on a terminal, else a line now and then."""

    def __init__(self, steps: int) -> None:
        self._is_on_terminal = sys.stderr.isatty()
        self._told_s = time.monotonic()
        self._progress = Progress(
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}% {task.description}", style="none", markup=False),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
            disable=not self._is_on_terminal,
        )
        self._bar = self._progress.add_task("", total=steps)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._progress.stop()

    def advance(self, said: str) -> None:
        """One step is done."""
        self._progress.update(self._bar, advance=1, description=said)
        if not self._is_on_terminal and time.monotonic() - self._told_s >= LINE_S:
            self._told_s = time.monotonic()
            print(said, file=sys.stderr)


def next_steps(source: Place, target: Place, data: str | None) -> str:
    """What to type next, without a password."""
    is_lake = str(target).startswith("ducklake:")
    lines = [f"KLINES_DATABASE={shlex.quote(str(target))}"]
    if is_lake and data:
        lines.append(f"KLINES_DATA_PATH={shlex.quote(data)}")
    before = "" if is_lake else ", and no KLINES_DATA_PATH"
    return "\n".join(
        [
            f"Now set, in .env or where else KLINES_DATABASE is set{before}, and start `klines run` again:",
            *(f"    {line}" for line in lines),
            f"{source} is as it was, refuses to be written, and can be deleted.",
        ]
    )
