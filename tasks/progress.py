"""What people see of a long run: its plan, how far it is, and its end. On a terminal there is a bar, in the log are
lines, and in the UI the artifacts `plan` and `progress`."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextvars import copy_context
from threading import Event, Thread
from typing import Any, Protocol, cast
from uuid import UUID

import httpx
from prefect import get_run_logger
from prefect.artifacts import create_markdown_artifact, create_progress_artifact, update_progress_artifact
from prefect.client.schemas.objects import State
from prefect.exceptions import PrefectException
from prefect.logging.handlers import PrefectConsoleHandler
from rich.console import Console

from klines.cli.bar import LINE_S, Bar
from klines.clock import duration
from klines.outcome import NOTHING_DONE, Outcome, Plan, counted
from tasks.artifacts import now_said, table
from tasks.report import report

BAR_S, ARTIFACT_S = 0.5, 3.0
"""How often the terminal's bar and the artifact move."""
SHOWN = 100
"""Rows of the plan's table at most."""


class Underway(Protocol):
    """What is worked off."""

    @property
    def wanted(self) -> int:
        """How many things there are to do."""

    @property
    def left(self) -> int:
        """How many of them are not done yet."""


class Telling:
    """Tells of one run: plan, watch while it works, end. A number that is shown says of when it is."""

    def __init__(self) -> None:
        self._artifact: UUID | None = None
        self._percent = 0.0

    def plan(self, plan: Plan, of: str = "") -> None:
        """Say what will be done, of a part of the run where it has several."""
        said = f"{of}: {plan.said}" if of else plan.said
        get_run_logger().info(said)
        with contextlib.suppress(httpx.HTTPError, PrefectException):  # what the log has is enough
            create_markdown_artifact(_as_markdown(plan), key="plan", description=f"{said} ({now_said()})")

    def dry_end(self, plan: Plan) -> State[Any]:
        """The final state of a run that only planned."""
        return report(Outcome("Completed", f"{plan.said}; {NOTHING_DONE}", plan.numbers))

    @contextlib.contextmanager
    def watch(self, run: Underway, things: str) -> Iterator[None]:
        """Show how far the run is until this ends; `things` are what it counts, in the plural."""
        watch = Watch(run, things, self._tell)
        self._tell(0.0, watch.said)
        thread = Thread(target=copy_context().run, args=(watch.follow,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            watch.ended.set()
            thread.join()
            self._tell(watch.percent, watch.said)

    def end(self, outcome: Outcome) -> State[Any]:
        """The final state; what became of the run is what `progress` says at last."""
        if self._artifact:
            self._tell(100.0 if outcome.is_completed else self._percent, f"{outcome.state}: {outcome.message}")
        return report(outcome)

    def _tell(self, percent: float, said: str) -> None:
        """Move the artifact; where the server does not answer, the next time does."""
        self._percent, text = percent, f"{said} ({now_said()})"
        with contextlib.suppress(httpx.HTTPError, PrefectException):
            if self._artifact is None:
                self._artifact = cast(UUID, create_progress_artifact(percent, key="progress", description=text))
            else:
                update_progress_artifact(self._artifact, progress=percent, description=text)


class Watch:
    """Looks at a run every so often, until it has `ended`."""

    def __init__(self, run: Underway, things: str, tell: Callable[[float, str], None]) -> None:
        self.ended = Event()
        self._run, self._things, self._tell = run, things, tell
        self._wanted, self._began_s = run.wanted, time.monotonic()

    def follow(self) -> None:
        """Move the bar, and the artifact more seldom."""
        told_s = time.monotonic()
        with run_bar(self._wanted) as bar:
            while not self.ended.wait(BAR_S if sys.stderr.isatty() else ARTIFACT_S):
                bar(self._done, self.said)
                if time.monotonic() - told_s >= ARTIFACT_S:
                    told_s = time.monotonic()
                    self._tell(self.percent, self.said)

    @property
    def _done(self) -> int:
        return min(self._wanted, max(0, self._wanted - self._run.left))

    @property
    def percent(self) -> float:
        """How much is done."""
        return 100.0 * self._done / self._wanted if self._wanted else 100.0

    @property
    def said(self) -> str:
        """`1,440 of 2,880 klines, 500 a second, 3 s left`."""
        done = self._done
        rate = done / max(0.1, time.monotonic() - self._began_s)
        left = f", {duration((self._wanted - done) / rate)} left" if 0 < done < self._wanted else ""
        return f"{done:,} of {_number_of(self._wanted, self._things)}, {rate:,.0f} a second{left}"


def run_bar(total: int, *, line_s: float = LINE_S) -> Bar:
    """A bar above which Prefect's lines are written, or lines in the run's log."""
    return Bar(total, lambda said: get_run_logger().info(said), console=_console(), line_s=line_s)


def _as_markdown(plan: Plan) -> str:
    """The named lines, and the largest of the parts."""
    texts = [f"**{plan.does}**", table(["", "in all"], plan.lines.items()) if plan.lines else ""]
    rows = [[f"{cell:,}" if isinstance(cell, int | float) else cell for cell in row.values()] for row in plan.parts]
    if rows:
        names = [name if isinstance(cell, str) else f"#{name}" for name, cell in plan.parts[0].items()]
        texts += [table(names, rows[:SHOWN]), f"and {len(rows) - SHOWN:,} more" if len(rows) > SHOWN else ""]
    return "\n\n".join(filter(None, texts))


def _number_of(number: int, things: str) -> str:
    """`1 kline`, `5 klines`; of things that have more words `5 klines to prove and to copy`."""
    return counted(number, things[:-1]) if " " not in things else f"{number:,} {things}"


def _console() -> Console:
    """The console that Prefect logs to, so that its lines are written above the bar and not into it."""
    handlers = [*logging.getLogger("prefect").handlers, *logging.getLogger().handlers]
    return next(
        (handler.console for handler in handlers if isinstance(handler, PrefectConsoleHandler)), Console(stderr=True)
    )
