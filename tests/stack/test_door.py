"""The door of the Prefect server that we start, as a browser meets it: whoever is outside stays there, the UI works."""

from __future__ import annotations

import contextlib
import os
import socket
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import VariableCreate
from prefect.settings import PREFECT_API_URL, temporary_settings

from tests import LONGEST_S, chromium
from tests.chromium import SCREENSHOTS
from tests.stacks import Running, ask

pytestmark = chromium.needed
RUN = "seen from everywhere"
ATTACKS = {
    "a question with an answer": """fetch(api + '/variables/filter', {method: 'POST', body: '{}',
        headers: {'Content-Type': 'application/json'}}).then((answer) => answer.json())
        .then((all) => Array.isArray(all))""",
    "a change": """fetch(api + '/variables/', {method: 'POST', body: JSON.stringify({name: 'intruder', value: 1}),
        headers: {'Content-Type': 'application/json'}}).then((answer) => answer.ok)""",
    "a change with a token of its own": """fetch(api + '/csrf-token?client=intruder').then((answer) => answer.json())
        .then(({token}) => fetch(api + '/variables/', {method: 'POST', headers: {'Content-Type': 'application/json',
        'Prefect-Csrf-Token': token, 'Prefect-Csrf-Client': 'intruder'},
        body: JSON.stringify({name: 'intruder', value: 1})})).then((answer) => answer.ok)""",
    "a change without looking": """fetch(api + '/variables/', {method: 'POST', mode: 'no-cors',
        body: JSON.stringify({name: 'intruder', value: 1})}).then(() => false)""",
    "a script": """new Promise((done) => {const part = document.createElement('script');
        part.onload = () => done(true); part.onerror = () => done(false);
        part.src = api + '/flows/count'; document.head.append(part)})""",
    "a websocket": """new Promise((done) => {const opened = new WebSocket(api.replace('http', 'ws') + '/events/in');
        opened.onopen = () => done(true); opened.onerror = () => done(false)})""",
}
"""What a page tries, each a promise; `api` is the address. It has come through where that is true."""


@pytest.fixture(scope="module")
def environment(running: Running) -> dict[str, str]:
    """The settings of a stack that runs, with one run of ours in its database."""
    found = running.environment
    flow = ask(found, "POST", "/flows/", {"name": "collect"})
    state = {"type": "COMPLETED", "name": "Completed"}
    ask(found, "POST", "/flow_runs/", {"flow_id": flow["id"], "name": RUN, "state": state})
    return found


@pytest.fixture(scope="module")
def window(program: Any) -> Iterator[Any]:
    """A window of Chromium."""
    with chromium.window_of(program) as window:
        yield window


@pytest.fixture
def page(window: Any) -> Any:
    """Its page, with nothing of before."""
    [page] = window.pages
    page.goto("about:blank")
    return page


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>a page</title>")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Say nothing."""


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[int]:
    """The port of somebody else's pages on this machine."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


class _Forward(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, Forwarder)
        with socket.create_connection(("127.0.0.1", self.server.to)) as there:
            back = threading.Thread(target=pump, args=(there, self.request))
            back.start()
            pump(self.request, there)
            back.join()


class Forwarder(socketserver.ThreadingTCPServer):
    """Another port that leads to this one, as `ssh -L` makes it."""

    def __init__(self, to: int) -> None:
        super().__init__(("127.0.0.1", 0), _Forward)
        self.to = to
        threading.Thread(target=self.serve_forever).start()

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


def pump(source: socket.socket, target: socket.socket) -> None:
    """Hand on what comes, until one side has ended."""
    with contextlib.suppress(OSError):
        while part := source.recv(65536):
            target.sendall(part)
        target.shutdown(socket.SHUT_WR)


def left_by_intruders(environment: dict[str, str]) -> list[str]:
    """What nobody but an intruder can have made."""
    return [found["name"] for found in ask(environment, "POST", "/variables/filter", {})]


@pytest.mark.parametrize(
    ("name", "is_forwarded", "path"),
    [("127.0.0.1", False, "/runs"), ("localhost", True, "/v2/runs")],
)
def test_the_ui_works(environment: dict[str, str], page: Any, name: str, is_forwarded: bool, path: str) -> None:
    """By each name of this machine, and by a port that `ssh -L` forwards, both of Prefect's UIs show runs, ask nobody
    but the address that they were opened at, and meet no refusal."""
    port = int(environment["PREFECT_SERVER_API_PORT"])
    asked: list[str] = []
    refused: list[str] = []

    def note(answer: Any) -> None:
        refused.extend([f"{answer.status} {answer.url}"] * (answer.status >= 400))

    def ask(request: Any) -> None:
        asked.append(request.url.removeprefix("blob:"))

    with Forwarder(port) as other:
        address = f"http://{name}:{other.server_address[1] if is_forwarded else port}"
        page.on("response", note)
        page.on("request", ask)
        page.goto(address + path)
        page.get_by_text(RUN).first.wait_for()
        page.screenshot(path=SCREENSHOTS / f"door-{name}{'-forwarded' if is_forwarded else ''}.png")
        page.remove_listener("response", note)
        page.remove_listener("request", ask)
        page.goto("about:blank")  # before the port that is forwarded is gone
    assert [] == refused
    assert [] == [url for url in asked if not url.startswith((address, "data:"))]


def outcomes(page: Any, api: str) -> dict[str, Any]:
    """What each attack of a page comes to; what it is not even told counts as false."""
    return {what: page.evaluate(f"(api) => ({attack}).catch(() => false)", api) for what, attack in ATTACKS.items()}


@pytest.mark.parametrize(
    ("page_name", "server_name"),
    [
        ("evil.example", "127.0.0.1"),
        ("evil.example", "evil.example"),
        ("127.0.0.1", "127.0.0.1"),
        ("localhost", "localhost"),
    ],
)
def test_a_page_of_another_server(
    environment: dict[str, str], page: Any, elsewhere: int, page_name: str, server_name: str
) -> None:
    """A page from elsewhere, be it another port of this machine, learns nothing and makes nothing."""
    page.goto(f"http://{page_name}:{elsewhere}")
    found = outcomes(page, f"http://{server_name}:{environment['PREFECT_SERVER_API_PORT']}/api")
    assert dict.fromkeys(ATTACKS, False) == found
    assert [] == left_by_intruders(environment)


def test_a_rebound_name(environment: dict[str, str], page: Any) -> None:
    """A page of the server itself, as the browser sees it, but by a name that was made lead here: it is shown a
    sentence, and learns and makes nothing."""
    address = f"http://evil.example:{environment['PREFECT_SERVER_API_PORT']}"
    assert 400 == page.goto(address).status
    assert "evil.example" in page.inner_text("body")
    assert dict.fromkeys(ATTACKS, False) == outcomes(page, f"{address}/api")
    assert [] == left_by_intruders(environment)


def test_a_form_and_a_frame(environment: dict[str, str], page: Any, elsewhere: int) -> None:
    """A form of another page that is sent here is refused, a frame stays empty; a link opens the UI."""
    server = f"http://127.0.0.1:{environment['PREFECT_SERVER_API_PORT']}"
    page.goto(f"http://localhost:{elsewhere}")
    with page.expect_response(f"{server}/runs") as framed:
        page.evaluate(f"document.body.innerHTML = '<iframe src={server}/runs></iframe>'")
    assert 403 == framed.value.status
    form = f"<form method=post enctype=text/plain action={server}/api/variables/><input name=x></form>"
    page.evaluate(f"document.body.innerHTML = '{form}'")
    with page.expect_navigation() as sent:
        page.evaluate("document.forms[0].submit()")
    assert 403 == sent.value.status
    assert "may not ask this server" in page.inner_text("body")
    page.goto(f"http://localhost:{elsewhere}")
    page.evaluate(f"document.body.innerHTML = '<a href={server}/runs>link</a>'")
    with page.expect_response(f"{server}/runs") as opened:
        page.get_by_text("link").click()
    assert 200 == opened.value.status
    assert [] == left_by_intruders(environment)


def test_programs_are_let_in(environment: dict[str, str]) -> None:
    """Whoever is no browser asks as before; to change something takes a token."""
    api = f"http://127.0.0.1:{environment['PREFECT_SERVER_API_PORT']}/api"
    with urlopen(f"{api}/health", timeout=LONGEST_S) as answer:
        assert b"true" == answer.read()
    with temporary_settings({PREFECT_API_URL: api}), get_client(sync_client=True) as client:
        client.create_variable(VariableCreate(name="ours", value=1))
    assert ["ours"] == left_by_intruders(environment)
    ask(environment, "DELETE", "/variables/name/ours")


def test_its_files_are_its_owner_s(environment: dict[str, str]) -> None:
    """Nobody else can read what the server has written."""
    home = Path(environment["PREFECT_HOME"])
    modes = {}
    for path in (home, *home.rglob("*")):
        with contextlib.suppress(FileNotFoundError):  # it was deleted meanwhile
            modes[path] = os.stat(path).st_mode & 0o077
    assert home / "prefect.db" in modes
    assert {} == {path: oct(mode) for path, mode in modes.items() if mode}
