"""Serve the page on loopback until Ctrl-C, and open a browser where there is one."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
import sys
import webbrowser
from types import FrameType

import uvicorn

from klines.errors import BadParameter, NoServer
from klines.explorer.app import create
from klines.explorer.lists import News
from klines.explorer.source import Source
from klines.explorer.stream import Stream
from klines.settings import Address, load

HOST, PORT = "127.0.0.1", 4220
"""Where the page is, if nobody else has the port."""


def explore(port: int, news: News, *, opens_browser: bool) -> None:
    """Serve until Ctrl-C; `news` knows of Prefect's last runs. Raises BadParameter for a bad setting, NoServer for a
    port that is taken."""
    database = load().database
    listening = bound(port)
    address = f"http://{HOST}:{listening.getsockname()[1]}"
    print(f"explorer       {address}\ndatabase       {database}", flush=True)
    if has_screen() and opens_browser:
        webbrowser.open(address)
    serve(listening, database, news)


def bound(port: int) -> socket.socket:
    """A socket that listens on loopback alone: whoever asks before the server is ready waits. Raises NoServer,
    BadParameter."""
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
        listening.listen()
    except (OSError, OverflowError) as error:
        listening.close()
        if getattr(error, "errno", None) == errno.EADDRINUSE:
            raise NoServer(f"port {port} is taken: see http://{HOST}:{port}; --port 0 takes a free one") from None
        raise BadParameter(f"port {port}: {error}; --port 0 takes a free one") from None
    return listening


def has_screen() -> bool:
    """Whether a browser would have a window: elsewhere `webbrowser` may start one in this terminal."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def serve(listening: socket.socket, database: Address, news: News) -> None:
    """Serve until Ctrl-C; what is still being answered a second later is cut off."""
    app = create(Source(database), news)
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1)
    with contextlib.suppress(KeyboardInterrupt):
        _Server(config, app.state.stream).run(sockets=[listening])


class _Server(uvicorn.Server):
    """Once it ends, its pages are told, and that an answer is cut off is no error."""

    def __init__(self, config: uvicorn.Config, stream: Stream) -> None:
        super().__init__(config)
        self._stream = stream

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._stream.is_over = True
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        await super().shutdown(sockets)
