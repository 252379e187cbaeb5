"""What `klines run` starts: a Prefect server, the deployments of prefect.yaml, a worker; then a line for each run.

`klines demo` collects from the exchange stand-in of the tests instead, into .demo/.

Every child leads a process group of its own, so Ctrl-C reaches this process alone, which ends them in order: the
worker; the runs it leaves behind, which become Crashed so that the next one is not refused; then the server.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from klines import settings
from klines.cli import environment
from klines.errors import BadParameter
from klines.storage.access import place_of, settings_to_write
from klines.storage.place import Place
from klines.symbol import is_pattern
from stack import CHECKOUT, template
from stack.attend import attend, naming_prefects_settings, start_worker, wait_for
from stack.children import CannotRun, Children, command, ended_as_asked, held_home, say, writing
from stack.deployments import Deployments
from stack.early import FOR_DEPLOY, FOR_WORKER
from stack.greeting import demo_shell, greeting
from stack.home import close_env
from stack.opening import HOST, binding, reached_at

if TYPE_CHECKING:
    from stack.server import Server
    from stack.watch import Watch

PORT, DEMO_PORT = 4200, 4210
READY_S = 120
"""How long the server may take to come up; a first start on a slow machine migrates its database for half a minute."""
DEMO = CHECKOUT / ".demo"
EXAMINED = ("BTCUSDT", "BTCUSD_PERP")
"""What `klines doctor` asks for, so that the demo's exchange has it, too."""
JUMP_S, MINUTE_S = 20, 60
"""A clock that changes by more in a second was put; how often runs are asked for while it repeats itself."""


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


def bring_up(children: Children, port: int, deployments: Deployments) -> Server:
    """Start the server, and wait until it serves; at a first start the worker is there then, for the runs that are
    asked for while its deployments are made."""
    is_first = False
    if port:
        check_port(port)
        say("starting Prefect …")
        is_first = template.begin(Path(os.environ["PREFECT_HOME"]))
        children.start("server", "stack.serve", "--host", binding(), "--port", str(port))
        children.prepare("worker", *FOR_WORKER)
        if is_first:
            children.prepare("deploy", *FOR_DEPLOY)
    with naming_prefects_settings():
        from stack.server import Server

    server = Server(deployments.file, worker=f"{socket.gethostname()} {':'.join(CHECKOUT.parts[1:])}")
    wait_for(server, children, READY_S if port else 10)
    if is_first:
        start_worker(children, server, deployments.queues)
    return server


def deploy(children: Children, server: Server, deployments: Deployments, told: str) -> None:
    """Deploy, and say what there is to be told: once the first run is asked for, where that is before all is deployed;
    then its line, too."""
    command = ["prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(deployments.file)]
    left = [told]

    def meanwhile(begin: Callable[[], None]) -> None:
        begin()
        if server.asked and not deployments.said:  # which names queues that must be there
            for line in [*left, *server.finished()]:
                say(line)
            left.clear()

    server.deploy(lambda begin: children.run("deploy", *command, meanwhile=partial(meanwhile, begin)))
    children.end("deploy")  # where it was prepared, and there was nothing to deploy
    for line in left:
        say(line)


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


def run(is_demo: bool, prefect_file: Path, queues: Sequence[str]) -> None:
    """All of it, until the end is asked for: raises Stopped then, or CannotRun, or BadParameter."""
    port = prepare(is_demo)
    loaded = settings_to_write()
    deployments = Deployments.read(prefect_file, queues)
    if closed := close_env(CHECKOUT / ".env"):
        say(closed)
    with contextlib.ExitStack() as until_the_end:
        home, pids = until_the_end.enter_context(held_home(environment.PIDS))
        with writing(home, "set PREFECT_HOME=…"):
            deployments.write(home)
        children = Children(home / "logs", pids)
        until_the_end.callback(children.end)
        if is_demo:
            check_port(port + 1)
            listed = [entry for entry in loaded.symbols if not is_pattern(entry)] or settings.TEN_SYMBOLS
            listed += [symbol for symbol in EXAMINED if symbol not in listed]
            children.start("exchange", "tests.exchange", "--port", str(port + 1), "--symbols", *listed)
        server = bring_up(children, port, deployments)
        until_the_end.callback(server.close)
        until_the_end.enter_context(environment.noted(home, os.environ["PREFECT_API_URL"]))
        if is_demo:
            until_the_end.enter_context(demo_shell(DEMO / "env", demo_settings(port + 1)))
        told = greeting(loaded, server.ui, children.logs, DEMO / "env" if is_demo else None, deployments.said)
        deploy(children, server, deployments, told)
        serve(children, server, deployments.queues, place_of(loaded.database))


def serve(children: Children, server: Server, queues: Sequence[str], place: Place) -> None:
    """Run the worker, and ask for runs while this machine's clock repeats itself, until the end is asked for; where no
    run ends, say how fresh the symbols at `place` are, and tell that nothing is collected."""
    from stack.standing import Rewriter

    clock, rewriter = Clock(), Rewriter(server.client, place)
    watch: Watch | None = None
    began_s = ask_s = time.monotonic()

    def look() -> None:
        nonlocal ask_s, watch
        rewriter.look()
        if watch is None and time.monotonic() > began_s + MINUTE_S:  # its imports would hold the first run up
            from stack.watch import Watch

            watch = Watch(server.client, place, say)
        if watch:
            watch.look()
        if clock.repeats() and time.monotonic() > ask_s:
            server.collect_now()
            ask_s = time.monotonic() + MINUTE_S

    attend(children, server, queues, each_second=look)


def main(*, is_demo: bool, deployments: Path | None, queues: Sequence[str] = ()) -> int:
    """The exit status: 0 after Ctrl-C, 1 where it can't run. Raises BadParameter for a bad setting."""
    return ended_as_asked(lambda: run(is_demo, deployments or CHECKOUT / "prefect.yaml", queues))


if __name__ == "__main__":  # of the systemd units: `python -m stack` is `klines run`
    from klines import cli

    given = [argument for argument in sys.argv[1:] if argument != "--demo"]
    cli.main(["run" if given == sys.argv[1:] else "demo", *given])
