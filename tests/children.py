"""Processes beside a test, that work, hold a file, or are killed: forks of one that has imported what they need.

A new interpreter is busy for seconds with importing DuckDB, polars and the rest; a fork of one that has is there within
milliseconds, so that a test can kill twenty.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from typing import Any

_READY = "ready"
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["pytest", "pyarrow.dataset", "tests.drive", "klines.reading.read"])
"""DuckDB imports pyarrow.dataset with the first frame that it is given, and would in each child: 0.14 s."""


class Child:
    """A process that has begun its work."""

    def __init__(self, process: ForkServerProcess, pipe: Connection) -> None:
        self._process = process
        self._pipe = pipe

    @property
    def pid(self) -> int:
        """Its number."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it still runs."""
        return self._process.is_alive()

    def hear(self) -> Any:
        """What it says next; raises EOFError when it has ended."""
        return self._pipe.recv()

    def skip(self) -> None:
        """Forget what it has said until now."""
        while self._pipe.poll():
            self.hear()

    def rest(self) -> list[Any]:
        """All that it says, to its end."""
        said = []
        with contextlib.suppress(EOFError, ConnectionResetError):
            while True:
                said.append(self.hear())
        return said

    def tell(self, word: str) -> None:
        """Say something that its work waits for."""
        self._pipe.send(word)

    def kill(self) -> None:
        """End it as `kill -9` does."""
        self._process.kill()

    def exit_code(self) -> int | None:
        """Its status when it has ended, which is waited for; below zero, the signal that ended it."""
        self._process.join()
        return self._process.exitcode


@contextlib.contextmanager
def child(work: Callable[..., None], *arguments: Any) -> Iterator[Child]:
    """A process that has begun `work(pipe, *arguments)`; killed at the end of the block if it still runs.

    The work is a function of a module that is quick to import. An error of it is the last that the child says.
    """
    here, there = _FORKS.Pipe()
    process = _FORKS.Process(target=_run, args=(there, work, arguments), daemon=True)
    process.start()
    there.close()
    try:
        begun = here.recv()
        assert begun == _READY, begun
        yield Child(process, here)
    finally:
        process.kill()
        process.join()
        here.close()


def lasts_s(work: Callable[..., None], *arguments: Any) -> float:
    """How long the work takes a child, in seconds, begun and ended well."""
    began_s = time.monotonic()
    with child(work, *arguments) as worker:
        said = worker.rest()
        assert 0 == worker.exit_code(), said
    return time.monotonic() - began_s


def killed_after(seconds: float, work: Callable[..., None], *arguments: Any) -> bool:
    """Kill a child so long after it has begun the work; whether it had ended before."""
    with child(work, *arguments) as worker:
        time.sleep(seconds)
        worker.kill()
        return worker.exit_code() == 0


def _run(pipe: Connection, work: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # who is started in the background ignores it
    pipe.send(_READY)
    try:
        work(pipe, *arguments)
    except BaseException as error:
        pipe.send(f"{type(error).__name__}: {error}")
        raise SystemExit(1) from None
