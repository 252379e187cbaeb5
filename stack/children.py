"""The processes that `klines run` and `klines worker` start: each leads a group of its own, has a log, and is noted.

Whoever is killed leaves his behind; the next one ends them by the note.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

from klines.cli import environment
from stack import CHECKOUT, engine
from stack.home import make_private, private
from stack.logs import put_aside

TERM_S = 6
"""How long children may take to end by themselves; twice that, and what is asked of the server, stay under 15 s."""
AGAIN_S = 20
"""A child that lives shorter than that is not started again."""


class CannotRun(Exception):
    """One line for the person at the terminal; the exit status is 1."""


class Stopped(Exception):
    """Somebody asked for the end: Ctrl-C, SIGTERM, or the terminal was closed."""


stopping = threading.Event()


def pause(seconds: float) -> None:
    """Sleep; raises Stopped at once when the end is asked for."""
    if stopping.wait(seconds):
        raise Stopped


def say(line: str) -> None:
    """Print, at once; that the reader of a pipe has gone is no reason to stop."""
    with contextlib.suppress(BrokenPipeError):
        print(line, flush=True)


class Children:
    """Processes of ours, each the leader of a process group, with a log file each; `pids` notes them on disk."""

    def __init__(self, logs: Path, pids: TextIO) -> None:
        self.logs = logs
        self._pids = pids
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._started: dict[str, tuple[float, Sequence[str]]] = {}
        self._prepared: set[str] = set()

    def prepare(self, name: str, *modules: str) -> None:
        """Start a program before it is needed: it reads its code, and waits for `start`. See stack/early.py."""
        self._prepared.add(name)
        self._begin(name, "stack.early", *modules, stdin=subprocess.PIPE)

    def start(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Start `python -m` with the arguments, or let the program that was prepared go on with them."""
        self._started[name] = time.monotonic(), arguments
        if name not in self._prepared:
            return self._begin(name, *arguments)
        self._prepared.remove(name)
        process = self._running[name]
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError), process.stdin as told:  # it has ended: `check` and `revive` see it
            told.write(json.dumps(arguments).encode() + b"\n")
        return process

    def _begin(self, name: str, *arguments: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        put_aside(path := self.logs / f"{name}.log")
        with open(path, "ab", opener=private) as log:
            self._running[name] = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                cwd=CHECKOUT,
                env=os.environ | engine.environment(),
                stdin=stdin,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        print(self._running[name].pid, file=self._pids, flush=True)
        return self._running[name]

    def run(self, name: str, *arguments: str, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Start, and wait for success; raises CannotRun."""
        process = self.start(name, *arguments)
        while process.poll() is None:
            meanwhile()
            pause(0.5)
        del self._running[name]
        if process.returncode:
            raise CannotRun(f"{name} failed: see {self.logs / name}.log")

    def has_started(self, name: str) -> bool:
        """Whether it was started, and not ended by us."""
        return name in self._running and name not in self._prepared

    def check(self) -> None:
        """Raises CannotRun if a child ended by itself."""
        for name, process in self._running.items():
            if process.poll() is not None:
                raise CannotRun(f"the {name} ended ({process.returncode}): see {self.logs / name}.log")

    def put_logs_aside(self) -> None:
        """Those that have become too long, while they are written."""
        for name in self._started:
            put_aside(self.logs / f"{name}.log")

    def revive(self) -> list[str]:
        """Start again what ended by itself, and say which; raises CannotRun if it had not lived for long."""
        ended = [(name, process) for name, process in self._running.items() if process.poll() is not None]
        for name, process in ended:
            began_s, arguments = self._started[name]
            if time.monotonic() - began_s < AGAIN_S:
                self.check()
            say(f"the {name} ended ({process.returncode}) and is started again: see {self.logs / name}.log")
            self.start(name, *arguments)
        return [name for name, _ in ended]

    def end(self, *names: str) -> None:
        """TERM to the children's groups, all if none is named; KILL to what is left of them after a while."""
        ending = [self._running.pop(name) for name in names or list(self._running) if name in self._running]
        until = time.monotonic() + TERM_S
        for process in ending:
            signal_group(process.pid, signal.SIGTERM)
        for process in ending:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0, until - time.monotonic()))
            signal_group(process.pid, signal.SIGKILL)
            process.wait()


def signal_group(leader: int, number: signal.Signals) -> None:
    """Signal a process group, if it is still there."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)


def command(pid: int) -> str:
    """The command line of a process; empty if there is none, or the machine does not tell."""
    try:
        if Path("/proc/self").exists():
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        return subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
    except OSError:
        return ""


def is_ours(pid: int) -> bool:
    """Whether the process looks like one that a stack starts, and not like another that has its id by now."""
    ours = ("-m prefect", "-m stack.serve", "-m stack.early", "-m stack.engine", "-m tests.exchange")
    return any(word in command(pid) for word in ours)


def kill_left_over(pid: int) -> None:
    """KILL to the group of one of our processes, and wait until it is gone: at most 2 s."""
    until = time.monotonic() + 2
    while is_ours(pid) and time.monotonic() < until:
        signal_group(pid, signal.SIGKILL)
        time.sleep(0.05)


@contextlib.contextmanager
def writing(folder: Path, advice: str) -> Iterator[None]:
    """Raises CannotRun for what goes wrong in writing there."""
    try:
        yield
    except OSError as error:
        raise CannotRun(f"{folder} can't be written ({error.strerror}): {advice}") from None


@contextlib.contextmanager
def held_home(note: str, who: str = "klines") -> Iterator[tuple[Path, TextIO]]:
    """PREFECT_HOME, and a file in it, held by this process alone, that notes who runs there; raises CannotRun.

    What was left running there by one that was killed is ended first.
    """
    home = Path(os.environ["PREFECT_HOME"])
    with writing(home, "set PREFECT_HOME=…"):
        make_private(home)
        pids = open(home / note, "a+", opener=private)  # noqa: SIM115 - closed below
    with pids:
        pids.seek(0)
        before = [int(pid) for pid in pids.read().split()]
        try:
            is_held = environment.hold(pids.fileno())
        except OSError as error:
            raise CannotRun(f"{home} can't be locked ({error.strerror}): set PREFECT_HOME=… to another disk") from None
        if not is_held:
            process = f", as process {before[0]}" if before else ""
            raise CannotRun(f"{who} runs here already{process}: stop it by Ctrl-C there")
        for pid in before[1:]:
            kill_left_over(pid)
        pids.truncate(0)
        print(os.getpid(), file=pids, flush=True)
        try:
            yield home, pids
        finally:
            pids.truncate(0)


def ended_as_asked(run: Callable[[], None]) -> int:
    """Do it until Ctrl-C, TERM, or a closed terminal: the exit status, 0 after these, 1 where it can't run."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stopping.set())
    try:
        run()
    except Stopped:
        say("stopped")
    except CannotRun as error:
        print(f"klines: {error}", file=sys.stderr)
        return 1
    return 0
