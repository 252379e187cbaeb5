"""What a backfill shows while it runs: its plan and its progress, as artifacts in the UI and as a bar on a terminal."""

from __future__ import annotations

import logging
import sys
import time
from typing import Self, cast
from uuid import UUID

from prefect.artifacts import create_markdown_artifact, create_progress_artifact, update_progress_artifact
from prefect.logging.handlers import PrefectConsoleHandler
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from klines.backfill.message import planned
from klines.backfill.plan import Plan
from klines.backfill.run import Backfill
from klines.clock import duration
from tasks.artifacts import table

BAR_S, ARTIFACT_S = 0.5, 3.0
"""How often the terminal's bar and the artifact move."""
SHOWN = 100
"""Rows of the plan's table at most."""


def write_plan(plan: Plan) -> None:
    """The plan as the artifact `plan`."""
    rows = sorted(plan.symbols.items(), key=lambda item: -item[1].klines)
    cells = [
        (name, work.klines, work.monthly, work.daily, round(work.megabytes, 1), work.pages, work.weight)
        for name, work in [*rows[:SHOWN], (f"**all {len(rows)}**", plan.total)]
    ]
    head = ["symbol", "#klines", "#monthly files", "#daily files", "#about MB", "#REST pages", "#weight"]
    text = table(head, ([name, *(f"{number:,}" for number in numbers)] for name, *numbers in cells))
    said = planned(len(rows), plan.total, plan.seconds)
    more = f"\n\nThe {SHOWN} largest of {len(rows)} symbols." if len(rows) > SHOWN else ""
    create_markdown_artifact(text + more, key="plan", description=said)


class Watch:
    """Use as `with`; calling it moves the artifact `progress`, and the bar where there is a terminal."""

    def __init__(self, run: Backfill) -> None:
        self.every_s = BAR_S if sys.stderr.isatty() else ARTIFACT_S
        self._run = run
        self._wanted = run.wanted
        self._began_s = self._told_s = time.monotonic()
        self._bar = Progress(
            BarColumn(style="grey37", complete_style="green", finished_style="green", pulse_style="green"),
            TextColumn("{task.percentage:>3.0f}%", style="none"),
            TextColumn("{task.fields[said]}", style="none"),
            console=_console(),
            refresh_per_second=2,
            transient=True,
            disable=not sys.stderr.isatty(),
        )

    def __enter__(self) -> Self:
        self._artifact = cast(UUID, create_progress_artifact(0.0, key="progress", description=self._said(self._wanted)))
        self._line = self._bar.add_task("", total=self._wanted, said="")
        self._bar.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._bar.stop()
        self._tell(self._run.left)

    def __call__(self) -> None:
        """Show how far it is."""
        left = self._run.left
        self._bar.update(self._line, completed=self._wanted - left, said=self._said(left))
        if time.monotonic() - self._told_s >= ARTIFACT_S:
            self._told_s = time.monotonic()
            self._tell(left)

    def _tell(self, left: int) -> None:
        percent = 100.0 * (self._wanted - left) / self._wanted if self._wanted else 100.0
        update_progress_artifact(self._artifact, progress=percent, description=self._said(left))

    def _said(self, left: int) -> str:
        rate = self._rate(left)
        eta = f", {duration(left / rate)} left" if left and rate else ""
        return f"{self._wanted - left:,} of {self._wanted:,} klines, {rate:,.0f} a second{eta}"

    def _rate(self, left: int) -> float:
        return (self._wanted - left) / max(0.1, time.monotonic() - self._began_s)


def _console() -> Console:
    """The console that Prefect logs to, so that its lines are written above the bar and not into it."""
    handlers = [*logging.getLogger("prefect").handlers, *logging.getLogger().handlers]
    return next(
        (handler.console for handler in handlers if isinstance(handler, PrefectConsoleHandler)), Console(stderr=True)
    )
