"""What a long run shows while it runs: a bar on a terminal, lines in its log elsewhere; a backfill also in the UI, its
plan and its progress as artifacts."""

from __future__ import annotations

import logging
import sys
import time
from typing import Self, cast
from uuid import UUID

from prefect import get_run_logger
from prefect.artifacts import create_markdown_artifact, create_progress_artifact, update_progress_artifact
from prefect.logging.handlers import PrefectConsoleHandler
from rich.console import Console

from klines.backfill.message import planned
from klines.backfill.plan import Plan
from klines.backfill.run import Backfill
from klines.cli.bar import LINE_S, Bar
from klines.clock import duration
from klines.outcome import counted
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


def run_bar(total: int, *, line_s: float = LINE_S) -> Bar:
    """A bar above which Prefect's lines are written, or lines in the run's log."""
    return Bar(total, lambda said: get_run_logger().info(said), console=_console(), line_s=line_s)


class Watch:
    """Use as `with`; calling it moves the artifact `progress`, and a Bar."""

    def __init__(self, run: Backfill) -> None:
        self.every_s = BAR_S if sys.stderr.isatty() else ARTIFACT_S
        self._run = run
        self._wanted = run.wanted
        self._began_s = self._told_s = time.monotonic()
        self._bar = run_bar(self._wanted)

    def __enter__(self) -> Self:
        self._artifact = cast(UUID, create_progress_artifact(0.0, key="progress", description=self._said(self._wanted)))
        self._bar.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self._bar.__exit__(*exc)
        self._tell(self._run.left)

    def __call__(self) -> None:
        """Show how far it is."""
        left = self._run.left
        self._bar(self._wanted - left, self._said(left))
        if time.monotonic() - self._told_s >= ARTIFACT_S:
            self._told_s = time.monotonic()
            self._tell(left)

    def _tell(self, left: int) -> None:
        percent = 100.0 * (self._wanted - left) / self._wanted if self._wanted else 100.0
        update_progress_artifact(self._artifact, progress=percent, description=self._said(left))

    def _said(self, left: int) -> str:
        rate = self._rate(left)
        eta = f", {duration(left / rate)} left" if left and rate else ""
        return f"{self._wanted - left:,} of {counted(self._wanted, 'kline')}, {rate:,.0f} a second{eta}"

    def _rate(self, left: int) -> float:
        return (self._wanted - left) / max(0.1, time.monotonic() - self._began_s)


def _console() -> Console:
    """The console that Prefect logs to, so that its lines are written above the bar and not into it."""
    handlers = [*logging.getLogger("prefect").handlers, *logging.getLogger().handlers]
    return next(
        (handler.console for handler in handlers if isinstance(handler, PrefectConsoleHandler)), Console(stderr=True)
    )
