"""How far a long command is: a bar on a terminal, lines now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn

LINE_S = 30.0
"""How often there is a line where there is no terminal."""


class Bar:
    """Use as `with`; calling it with how much is done of `total`, and that in words, moves it; where there is no
    terminal, `tell` gets the words at most once in `line_s` seconds. `more` stand behind them."""

    def __init__(
        self,
        total: int,
        tell: Callable[[str], object],
        *more: ProgressColumn,
        console: Console | None = None,
        line_s: float = LINE_S,
    ) -> None:
        self._is_on_terminal = sys.stderr.isatty()
        self._tell = tell
        self._line_s = line_s
        self._told_s = time.monotonic()
        self._progress = Progress(
            BarColumn(style="grey37", complete_style="green", finished_style="green", pulse_style="green"),
            TextColumn("{task.percentage:>3.0f}%", style="none"),
            TextColumn("{task.fields[said]}", style="none", markup=False),
            *more,
            console=console or Console(stderr=True),
            refresh_per_second=2,
            transient=True,
            disable=not self._is_on_terminal,
        )
        self._line = self._progress.add_task("", total=total, said="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._progress.stop()

    def __call__(self, done: int, said: str) -> None:
        """Show it."""
        self._progress.update(self._line, completed=done, said=said)
        if not self._is_on_terminal and time.monotonic() - self._told_s >= self._line_s:
            self._told_s = time.monotonic()
            self._tell(said)
