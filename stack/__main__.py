"""What `klines run` starts: a Prefect server, the deployments of prefect.yaml, a worker; then a line for each run.

`klines demo` collects from the exchange stand-in of the tests instead, into .demo/.

Every child leads a process group of its own, so Ctrl-C reaches this process alone, which ends them in order: the
worker; the runs it leaves behind, which become Crashed so that the next one is not refused; then the server.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from pydantic import ValidationError

from klines import settings
from klines.cli import environment
from klines.errors import BadParameter
from klines.storage.access import settings_to_write
from klines.symbol import is_pattern
from stack import CHECKOUT
from stack.deployments import deployments_of
from stack.greeting import demo_shell, greeting
from stack.home import close_env, make_private, private
from stack.logs import put_aside
from stack.opening import HOST, binding, reached_at

if TYPE_CHECKING:
    from stack.server import Server

PORT, DEMO_PORT = 4200, 4210
READY_S = 120
"""How long the server may take to come up; a first start on a slow machine migrates its database for half a minute."""
TERM_S = 6
"""How long children may take to end by themselves; twice that, and what is asked of the server, stay under 15 s."""
DEMO = CHECKOUT / ".demo"
EXAMINED = ("BTCUSDT", "BTCUSD_PERP")
"""What `klines doctor` asks for, so that the demo's exchange has it, too."""
JUMP_S, MINUTE_S = 20, 60
"""A clock that changes by more in a second was put; how often runs are asked for while it repeats itself."""
AGAIN_S, LOOK_S = 20, 20
"""A child that lives shorter than that is not started again; and how often is looked for runs without a process."""


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

    def start(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Start `python -m` with the arguments."""
        self._started[name] = time.monotonic(), arguments
        put_aside(path := self.logs / f"{name}.log")
        with open(path, "ab", opener=private) as log:
            self._running[name] = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                cwd=CHECKOUT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        print(self._running[name].pid, file=self._pids, flush=True)
        return self._running[name]

    def run(self, name: str, *arguments: str) -> None:
        """Start, and wait for success."""
        process = self.start(name, *arguments)
        while process.poll() is None:
            pause(0.1)
        del self._running[name]
        if process.returncode:
            raise CannotRun(f"{name} failed: see {self.logs / name}.log")

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
    return any(word in command(pid) for word in ("-m prefect", "-m stack.serve", "-m tests.exchange"))


def kill_left_over(pid: int) -> None:
    """KILL to the group of one of our processes, and wait until it is gone: at most 2 s."""
    until = time.monotonic() + 2
    while is_ours(pid) and time.monotonic() < until:
        signal_group(pid, signal.SIGKILL)
        time.sleep(0.05)


def check_port(port: int) -> None:
    """Raises CannotRun if somebody listens there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            raise CannotRun(f"port {port} is taken{holder(port)}: stop it, or set PREFECT_SERVER_API_PORT=…") from None


def holder(port: int) -> str:
    """` by process 123 (its command)`, where the machine tells."""
    try:
        listed = subprocess.run(["lsof", "-nPti", f"tcp:{port}", "-sTCP:LISTEN"], capture_output=True, text=True)
    except OSError:
        return ""
    return "".join(f" by process {pid} ({command(int(pid))})" for pid in listed.stdout.split()[:1])


@contextlib.contextmanager
def writing(folder: Path, advice: str) -> Iterator[None]:
    """Raises CannotRun for what goes wrong in writing there."""
    try:
        yield
    except OSError as error:
        raise CannotRun(f"{folder} can't be written ({error.strerror}): {advice}") from None


@contextlib.contextmanager
def held_home() -> Iterator[tuple[Path, TextIO]]:
    """PREFECT_HOME, held by this process alone, and the file that notes who runs there; raises CannotRun.

    What a killed stack left running there is ended first.
    """
    home = Path(os.environ["PREFECT_HOME"])
    with writing(home, "set PREFECT_HOME=…"):
        make_private(home)
        pids = open(home / environment.PIDS, "a+", opener=private)  # noqa: SIM115 - closed below
    with pids:
        pids.seek(0)
        before = [int(pid) for pid in pids.read().split()]
        try:
            is_held = environment.hold(pids.fileno())
        except OSError as error:
            raise CannotRun(f"{home} can't be locked ({error.strerror}): set PREFECT_HOME=… to another disk") from None
        if not is_held:
            who = f", as process {before[0]}" if before else ""
            raise CannotRun(f"klines runs here already{who}: stop it by Ctrl-C there")
        for pid in before[1:]:
            kill_left_over(pid)
        pids.truncate(0)
        print(os.getpid(), file=pids, flush=True)
        try:
            yield home, pids
        finally:
            pids.truncate(0)


def prepare(is_demo: bool) -> int:
    """Complete the environment of this process and its children; the port for a server, 0 if the user names one.

    Raises BadParameter for a port that is none, and for an open door.
    """
    given = os.environ.get("PREFECT_SERVER_API_PORT") or str(DEMO_PORT if is_demo else PORT)
    if not given.isdecimal() or not 0 < int(given) < 65535:
        raise BadParameter(f"PREFECT_SERVER_API_PORT: {given!r} is no port (1 to 65534)")
    port = int(given)
    if is_demo:
        with writing(DEMO, "clone klines into a folder that you can write"):
            DEMO.mkdir(exist_ok=True)
        os.environ.update(demo_settings(port + 1) | {"PREFECT_API_URL": "", "PREFECT_HOME": str(DEMO / "prefect")})
        environment.complete()
    if os.environ.get("PREFECT_API_URL"):
        return 0
    api = f"http://{reached_at(binding())}:{port}/api"
    os.environ.update({"PREFECT_API_URL": api, "PREFECT_SERVER_API_PORT": given})
    return port


def demo_settings(port: int) -> dict[str, str]:
    """Where the demo's data are, and its exchange."""
    urls = {f"KLINES_{name}_URL": f"http://{HOST}:{port}" for name in ("SPOT", "USDM", "COINM", "ARCHIVE")}
    return {"KLINES_DATABASE": str(DEMO / "klines.duckdb"), **urls}


def bring_up(children: Children, port: int, prefect_file: Path) -> Server:
    """Start the server and wait until it serves; deploy."""
    if port:
        check_port(port)
        say("starting Prefect (the first time takes up to a minute) …")
        children.start("server", "stack.serve", "--host", binding(), "--port", str(port))
    try:
        from stack.server import Server  # Prefect reads its settings while it is imported
    except ValidationError as error:
        wrong = error.errors()[0]
        raise BadParameter(f"{error.title}, {wrong['loc'][-1]}: {wrong['msg']}; look for it among PREFECT_…") from None

    server = Server(prefect_file, worker=f"{socket.gethostname()} {':'.join(CHECKOUT.parts[1:])}")
    until = time.monotonic() + (READY_S if port else 10)
    while not server.answers():
        children.check()
        if time.monotonic() > until:
            raise CannotRun(f"no Prefect server answers at {os.environ['PREFECT_API_URL']}; see {children.logs}")
        pause(0.2)
    deploy = ["prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(prefect_file)]
    server.deploy(lambda: children.run("deploy", *deploy))
    return server


class Clock:
    """Notices when this machine's clock is put back.

    Prefect has run by then what the clock shows once more, and schedules nothing until it shows a new minute.
    """

    def __init__(self) -> None:
        self._ahead_s = time.time() - time.monotonic()
        self._until_s = 0.0

    def repeats(self) -> bool:
        """Whether it shows what it has shown before."""
        ahead_s = time.time() - time.monotonic()
        back_s, self._ahead_s = self._ahead_s - ahead_s, ahead_s
        if abs(back_s) > JUMP_S:
            self._until_s = max(self._until_s, time.monotonic()) + back_s
            say(f"this machine's clock was put {'back' if back_s > 0 else 'forward'} by {abs(back_s):.0f} s")
        return time.monotonic() < self._until_s


def serve(children: Children, server: Server) -> None:
    """Run the worker, and print a line for each finished run, until the end is asked for.

    What ends by itself is started again; a run whose process is gone without a word becomes Crashed.
    """
    server.crash_left_overs(kill_left_over)
    options = ["--pool", server.pool, "--type", "process", "--name", server.worker]
    children.start("worker", "prefect", "worker", "start", *options)
    look_s = ask_s = time.monotonic()
    clock = Clock()
    try:
        while True:
            if "worker" in children.revive():
                server.crash_dead(is_ours, is_worker_new=True)
            if time.monotonic() > look_s:
                children.put_logs_aside()
                server.crash_dead(is_ours)
                look_s = time.monotonic() + LOOK_S
            if clock.repeats() and time.monotonic() > ask_s:
                server.collect_now()
                ask_s = time.monotonic() + MINUTE_S
            for line in server.finished():
                say(line)
            pause(1)
    finally:
        children.end("worker")
        server.crash_left_overs(kill_left_over)


def run(is_demo: bool, prefect_file: Path) -> None:
    """All of it, until the end is asked for: raises Stopped then, or CannotRun, or BadParameter."""
    port = prepare(is_demo)
    deployments_of(prefect_file)
    loaded = settings_to_write()
    if closed := close_env(CHECKOUT / ".env"):
        say(closed)
    with contextlib.ExitStack() as until_the_end:
        home, pids = until_the_end.enter_context(held_home())
        children = Children(home / "logs", pids)
        until_the_end.callback(children.end)
        if is_demo:
            check_port(port + 1)
            listed = [entry for entry in loaded.symbols if not is_pattern(entry)] or settings.TEN_SYMBOLS
            listed += [symbol for symbol in EXAMINED if symbol not in listed]
            children.start("exchange", "tests.exchange", "--port", str(port + 1), "--symbols", *listed)
        server = bring_up(children, port, prefect_file)
        until_the_end.callback(server.close)
        until_the_end.enter_context(environment.noted(home, os.environ["PREFECT_API_URL"]))
        if is_demo:
            until_the_end.enter_context(demo_shell(DEMO / "env", demo_settings(port + 1)))
        say(greeting(loaded, server.ui, children.logs, DEMO / "env" if is_demo else None))
        serve(children, server)


def main(*, is_demo: bool, deployments: Path | None) -> int:
    """The exit status: 0 after Ctrl-C, 1 where it can't run. Raises BadParameter for a bad setting."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stopping.set())
    try:
        run(is_demo, deployments or CHECKOUT / "prefect.yaml")
    except Stopped:
        say("stopped")
        return 0
    except CannotRun as error:
        print(f"klines: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":  # of the systemd units: `python -m stack` is `klines run`
    from klines import cli

    given = [argument for argument in sys.argv[1:] if argument != "--demo"]
    cli.main(["run" if given == sys.argv[1:] else "demo", *given])
