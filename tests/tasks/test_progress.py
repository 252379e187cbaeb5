"""What a long run shows while it runs: a bar on a terminal, lines in its log elsewhere."""

from __future__ import annotations

import contextlib
import logging
import os
import pty
import subprocess
import sys

import pytest

from tests import CHECKOUT

CODE = """
import time
from tasks.progress import run_bar
with run_bar(4) as bar:
    bar(3, "3 of [4] months in the new file")
    time.sleep(1)
"""


def shown_on_a_terminal(code: str) -> str:
    """What a process writes to its standard error, which is a terminal."""
    ours, theirs = pty.openpty()
    with subprocess.Popen([sys.executable, "-c", code], cwd=CHECKOUT, stderr=theirs):
        os.close(theirs)
        text = b""
        with contextlib.suppress(OSError):  # the end
            while part := os.read(ours, 65536):
                text += part
    os.close(ours)
    return text.decode()


@pytest.mark.slow
def test_a_terminal_shows_a_bar() -> None:
    """The share that is done, and what it is in words."""
    shown = shown_on_a_terminal(CODE)
    assert " 75%" in shown
    assert "3 of [4] months in the new file" in shown


class Listener(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self.heard.append(record.getMessage())


@pytest.mark.usefixtures("prefect_server")
def test_elsewhere_there_are_lines() -> None:
    """Where there is no terminal the run's log has a line now and then, and standard error no control characters."""
    from prefect import flow

    from tasks.progress import run_bar

    handler = Listener()

    @flow
    def long() -> None:
        with run_bar(2, line_s=0.0) as bar:
            bar(1, "1 of 2 months in the new file")
        with run_bar(2) as bar:
            bar(1, "too soon for a line")

    logger = logging.getLogger("prefect.flow_runs")
    logger.addHandler(handler)
    try:
        long()
    finally:
        logger.removeHandler(handler)
    assert "1 of 2 months in the new file" in handler.heard
    assert "too soon for a line" not in handler.heard
