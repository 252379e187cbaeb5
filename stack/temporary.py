"""A Prefect server for one run from the shell, behind the same door: it ends with the process that has started it."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from klines.cli import environment
from klines.errors import NoServer
from stack import CHECKOUT
from stack.home import make_private, private
from stack.logs import put_aside
from stack.opening import HOST

READY_S, TERM_S = 120.0, 6.0
"""How long it may take to come up, as it may have to make its database first; and to end by itself."""
_LOOK_S = 0.1


@contextlib.contextmanager
def temporary_server(port: int) -> Iterator[str]:
    """It serves its API at that address while the block lasts, with PREFECT_HOME as its home.

    Raises NoServer where that can't be used, or the server does not come up.
    """
    with log_file() as log, _started(port, log.fileno()) as process:
        _wait_until_it_answers(port, process, Path(log.name))
        yield address(port)


def log_file() -> BinaryIO:
    """Its log, in its home, which is made if need be; raises NoServer where that can't be."""
    home = environment.home()
    try:
        make_private(home)
        put_aside(log := home / "logs" / "temporary.log")
        return cast(BinaryIO, open(log, "ab", opener=private))
    except OSError as error:
        raise NoServer(f"{home}, for Prefect's things, can't be used ({error.strerror}); set PREFECT_HOME") from None


def address(port: int) -> str:
    """Of the API at a port: PREFECT_API_URL for a Prefect that is not yet imported."""
    return f"http://{HOST}:{port}/api"


@contextlib.contextmanager
def _started(port: int, log: int) -> Iterator[subprocess.Popen[bytes]]:
    """The server, which ends when its standard input does: so it does when this process is killed."""
    command = [sys.executable, "-m", "stack.serve", "--temporary", "--host", HOST, "--port", str(port)]
    with subprocess.Popen(
        command, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            assert process.stdin is not None
            process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(TERM_S)
            process.kill()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _wait_until_it_answers(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    until_s = time.monotonic() + READY_S
    directly = build_opener(ProxyHandler({}))
    while True:
        with contextlib.suppress(URLError, ConnectionError), directly.open(f"http://{HOST}:{port}/api/health"):
            return
        if process.poll() is not None or time.monotonic() > until_s:
            raise NoServer(f"no temporary Prefect server comes up; see {log}, or set PREFECT_HOME to an empty folder")
        time.sleep(_LOOK_S)
