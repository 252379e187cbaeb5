"""Serve the page on loopback until Ctrl-C, and open a browser where there is one: `make explore`.

python -m klines.explorer [--port 4220] [--no-browser]
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import socket
import sys
import webbrowser
from pathlib import Path

import uvicorn

from klines.errors import Unusable
from klines.explorer.app import create
from klines.explorer.source import Source
from klines.settings import load

HOST, PORT = "127.0.0.1", 4220
"""Where the page is, if nobody else has the port."""


def main() -> int:
    """The exit status: 0 after Ctrl-C, 1 when the port can't be had, 2 for a bad setting."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=PORT, help=f"where to listen on {HOST}; 0 takes a free one")
    parser.add_argument("--no-browser", action="store_true", help="only print the address")
    options = parser.parse_args()
    try:
        database = load().database
        listening = bound(options.port)
    except Unusable as error:
        print(f"klines: {error}", file=sys.stderr)
        return 2
    except (OSError, OverflowError) as error:
        print(f"klines: port {options.port}: {error}; make explore PORT=0 takes a free one", file=sys.stderr)
        return 1
    address = f"http://{HOST}:{listening.getsockname()[1]}"
    print(f"explorer       {address}\ndatabase       {database}", flush=True)
    if has_screen() and not options.no_browser:
        webbrowser.open(address)
    serve(listening, database)
    return 0


def bound(port: int) -> socket.socket:
    """A socket that listens on loopback alone: whoever asks before the server is ready waits. Raises OSError."""
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind((HOST, port))
    listening.listen()
    return listening


def has_screen() -> bool:
    """Whether a browser would have a window: elsewhere `webbrowser` may start one in this terminal."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def serve(listening: socket.socket, database: Path) -> None:
    """Serve until Ctrl-C; what is still being answered a second later is cut off."""
    config = uvicorn.Config(create(Source(database)), log_level="warning", timeout_graceful_shutdown=1)
    with contextlib.suppress(KeyboardInterrupt):
        _Server(config).run(sockets=[listening])


class _Server(uvicorn.Server):
    """Once it ends, that an answer is cut off is no error."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        await super().shutdown(sockets)


if __name__ == "__main__":
    os._exit(main())  # sys.exit would wait for the threads, and they for DuckDB, or for a file that somebody holds
