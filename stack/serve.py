"""Prefect's server and UI behind a door: what `prefect server start` starts, but foreign pages do not reach it.

    python -m stack.serve [--host 127.0.0.1] [--port 4200]

The UI asks the API at the address under which a browser has opened it: 127.0.0.1, localhost, or the port that
`ssh -L` forwards. Everything this process writes is its user's alone.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn

from klines.cli import environment
from klines.errors import BadParameter
from klines.explorer.door import Door
from stack.home import make_private
from stack.opening import check_password, names, split

if TYPE_CHECKING:
    from prefect.settings import Settings


def main() -> int:
    """The exit status: 0 after a signal, 2 for an address that would be open to others, 1 when the port is taken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", help="the address to listen on [PREFECT_SERVER_API_HOST]")
    parser.add_argument("--port", type=int, help="the port to listen on [PREFECT_SERVER_API_PORT]")
    parser.add_argument("--temporary", action="store_true", help="without UI and schedules, until stdin ends")
    options = parser.parse_args()
    environment.complete()
    os.umask(0o077)
    if options.temporary:  # as Prefect starts the server of a run that has none
        os.environ.update({"PREFECT__SERVER_EPHEMERAL": "1", "PREFECT_SERVER_UI_ENABLED": "0"})
        threading.Thread(target=_end_with_input, daemon=True).start()
    from prefect.settings import get_current_settings  # Prefect reads its settings while it is imported

    settings = get_current_settings()
    host, port = options.host or settings.server.api.host, options.port or settings.server.api.port
    try:
        check_password(host, _password(settings))
        make_private(Path(os.environ["PREFECT_HOME"]))
        serve(settings, host, port)
    except BadParameter as error:
        print(f"klines: {error}", file=sys.stderr)
        return 2
    return 0


def serve(settings: Settings, host: str, port: int) -> None:
    """Serve until a signal ends it, as `prefect server start` does; raises SystemExit when the port is taken, and
    BadParameter for an address of the API that is none.
    """
    from prefect.server.api.server import create_app
    from prefect.settings import PREFECT_UI_API_URL, temporary_settings

    api = settings.server.ui.api_url or ""
    path = split(api).path or "/api"
    with temporary_settings({PREFECT_UI_API_URL: path}):
        app = create_app(final=True)
        door = Door(app, names(host, _password(settings), [api]), settings.server.api.base_path or "/api")
        uvicorn.run(
            door,
            host=host,
            port=port,
            http="h11",  # the other one hides that a proxy was asked for
            timeout_keep_alive=settings.server.api.keepalive_timeout,
            ws_ping_interval=settings.server.api.websocket_ping_interval,
            ws_ping_timeout=settings.server.api.websocket_ping_timeout,
            log_level=settings.server.logging_level.lower(),
        )


def _end_with_input() -> None:
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)


def _password(settings: Settings) -> str:
    found = settings.server.api.auth_string
    return found.get_secret_value() if found else ""


if __name__ == "__main__":
    sys.exit(main())
