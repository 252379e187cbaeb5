"""The door of our servers, over real HTTP with a tiny application behind it: what a browser says decides who passes."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import uvicorn

from klines.explorer.door import Door, Names, authority, origin

PORT = 0
"""In the headers below: the port that the server has."""
OPEN = Names(
    hosts=Names().hosts | {"klines.example"}, origins=frozenset({("https", "klines.example", 443)}), any_address=True
)


class Behind:
    """The application, which notes what has reached it."""

    def __init__(self) -> None:
        self.reached: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Let everything in."""
        if scope["type"] == "lifespan":
            return
        self.reached.append(scope["path"])
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.close"})
        else:
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
            await send({"type": "http.response.body", "body": b"in"})


class Served:
    """A door with the application behind it, on a port of its own."""

    def __init__(self, names: Names) -> None:
        self.behind = Behind()
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        app = Door(self.behind, names)
        self.server = uvicorn.Server(uvicorn.Config(app, http="h11", lifespan="off", log_level="critical"))
        self.thread = threading.Thread(target=lambda: asyncio.run(self.server.serve([self.socket])))
        self.thread.start()

    def ask(self, lines: Sequence[str], first: str = "POST /api/runs HTTP/1.1") -> tuple[int, str, str]:
        """The status, head and body of the answer to a request, as a browser's bytes; `:0` is this server's port."""
        last = [] if "Connection: Upgrade" in lines else ["Connection: close"]
        head = [line.replace(f":{PORT}", f":{self.port}") for line in (first, *lines, *last)]
        with socket.create_connection(("127.0.0.1", self.port), timeout=90) as connection:
            connection.sendall("\r\n".join([*head, "", ""]).encode("latin-1"))
            received = b""
            while part := connection.recv(65536):
                received += part
                if received.startswith(b"HTTP/1.1 101"):
                    break
        answered, _, body = received.partition(b"\r\n\r\n")
        return int(answered.split()[1]), answered.decode("latin-1").lower(), body.decode("latin-1")

    def upgrade(self, lines: Sequence[str], path: str = "/api/events/in") -> int:
        """The status of the answer to a websocket's handshake."""
        key = base64.b64encode(b"0123456789abcdef").decode()
        upgrade = ["Upgrade: websocket", f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13"]
        return self.ask([*lines, "Connection: Upgrade", *upgrade], f"GET {path} HTTP/1.1")[0]


def served(names: Names) -> Iterator[Served]:
    """A server, ended after its tests."""
    found = Served(names)
    yield found
    found.server.should_exit = True
    found.thread.join()
    found.socket.close()


@pytest.fixture(scope="module")
def closed() -> Iterator[Served]:
    """A server that is asked on loopback alone."""
    yield from served(Names())


@pytest.fixture(scope="module")
def opened() -> Iterator[Served]:
    """A server whose user says that it is called klines.example, and that stands behind a proxy of this name."""
    yield from served(OPEN)


OWN_HOSTS = ["127.0.0.1:0", "localhost:0", "LocalHost:0", "[::1]:0", "127.0.0.1", "localhost", "[::1]", "localhost:9"]
FOREIGN_HOSTS = [
    *("evil.example", "evil.example:0", "127.0.0.1.evil.example:0", "localhost.evil.example", "evil-localhost"),
    *("localhost.", "127.0.0.1.:0", "localhost:", "localhost:0x", "localhost:99999", "localhost:-1", "localhost:0:0"),
    *("localhost@evil.example", "evil.example@localhost:0", "user:pw@localhost", "localhost/evil", "localhost#evil"),
    *("::1", "[::1", "::1]", "[::2]:0", "[127.0.0.1]:0", "[::ffff:127.0.0.1]:0", "[localhost]", "[]", "[evil.example]"),
    *(
        "0.0.0.0:0",
        "127.1:0",
        "2130706433",
        "0x7f000001",
        "192.168.0.7:0",
        "klines.example",
        "local host",
        "localhost,",
    ),
    *("", "*", "null", "http://localhost:0", "löcalhost", "localhost:0, evil.example"),
]


@pytest.mark.parametrize("host", OWN_HOSTS)
def test_names_of_this_machine_pass(closed: Served, host: str) -> None:
    """127.0.0.1, localhost and ::1 pass, in any case and with any port: `ssh -L` forwards another one."""
    assert (200, "in") == closed.ask([f"Host: {host}"])[::2]
    assert 101 == closed.upgrade([f"Host: {host}"])


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
def test_foreign_names_do_not(closed: Served, host: str) -> None:
    """Any other name, which somebody may have made lead here, is refused in a sentence before it reaches anything."""
    closed.behind.reached.clear()
    status, _, body = closed.ask([f"Host: {host}"])
    assert 400 == status
    assert 400 <= closed.upgrade([f"Host: {host}"]) < 500
    assert [] == closed.behind.reached
    assert "localhost" in json.loads(body)["error"] or not authority(host)


@pytest.mark.parametrize(
    "lines", [[], ["Host: localhost:0", "Host: evil.example"], ["Host: localhost", "Host: localhost"]]
)
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_exactly_one_host(closed: Served, lines: list[str], version: str) -> None:
    """A request without a Host, and one with two of them, is refused."""
    closed.behind.reached.clear()
    assert 400 == closed.ask(lines, f"POST /api/runs HTTP/{version}")[0]
    assert [] == closed.behind.reached


@pytest.mark.parametrize("target", ["http://evil.example/api/runs", "http://localhost:0/api/runs", "*", "localhost:0"])
def test_this_is_no_proxy(closed: Served, target: str) -> None:
    """Where the request line names a server, whose word would count more than the Host's, it is refused."""
    closed.behind.reached.clear()
    assert (
        400
        == closed.ask(["Host: localhost:0"], f"{'CONNECT' if ':0' == target[-2:] else 'OPTIONS'} {target} HTTP/1.1")[0]
    )
    assert [] == closed.behind.reached


@pytest.mark.parametrize("host", ["127.0.0.1:0", "localhost:0", "[::1]:0", "localhost:9"])
def test_own_pages_pass(closed: Served, host: str) -> None:
    """The page of this very name and port asks what it likes; so it does on a forwarded port."""
    lines = [f"Host: {host}", f"Origin: http://{host}", "Sec-Fetch-Site: same-origin"]
    assert 200 == closed.ask(lines)[0]
    assert 101 == closed.upgrade(lines[:2])


FOREIGN_ORIGINS = [
    *("http://evil.example", "https://evil.example", "http://evil.example:0", "http://localhost:0.evil.example"),
    *("http://localhost:9", "http://localhost", "http://127.0.0.1:0", "http://[::1]:0", "https://localhost:0", "null"),
    *("http://localhost:0/", "http://localhost:0@evil.example", "file://", "chrome-extension://abc", "localhost:0", ""),
    *("http://localhost.:0", "//localhost:0", "http://localhost:0 http://evil.example", "ws://localhost:0"),
]


@pytest.mark.parametrize("foreign", FOREIGN_ORIGINS)
def test_pages_of_others_do_not(closed: Served, foreign: str) -> None:
    """A page from elsewhere is refused, be it another port of this machine, the same one by another name, or a file;
    its question whether it may ask, too, and its websocket."""
    closed.behind.reached.clear()
    lines = ["Host: localhost:0", f"Origin: {foreign}"]
    assert 403 == closed.ask(lines)[0]
    assert 403 == closed.ask([*lines, "Sec-Fetch-Site: same-origin"])[0]
    assert 403 == closed.ask([*lines, "Access-Control-Request-Method: POST"], "OPTIONS /api/runs HTTP/1.1")[0]
    assert 403 == closed.ask(["Host: localhost:0", "Origin: http://localhost:0", f"Origin: {foreign}"])[0]
    assert 403 == closed.upgrade(lines)
    assert [] == closed.behind.reached


@pytest.mark.parametrize("site", ["cross-site", "same-site", "", "Same-Origin", "none, cross-site"])
def test_what_the_browser_says_of_the_page(closed: Served, site: str) -> None:
    """A request that a page of another port or site made has no Origin where it only loads; the browser says it."""
    closed.behind.reached.clear()
    lines = ["Host: localhost:0", f"Sec-Fetch-Site: {site}"]
    for first in ("GET /api/runs HTTP/1.1", "GET / HTTP/1.1", "POST / HTTP/1.1"):
        assert 403 == closed.ask(lines, first)[0]
    assert 403 == closed.ask([*lines, "Sec-Fetch-Site: none"], "GET /api/runs HTTP/1.1")[0]
    assert 403 == closed.upgrade(lines)
    assert [] == closed.behind.reached


LINK = ["Host: localhost:0", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate"]


def test_a_link_opens_a_page_and_nothing_else(closed: Served) -> None:
    """Who follows a link in an alarm's message sees the page; a link asks nothing of the API, and no frame shows a
    page."""
    document = [*LINK, "Sec-Fetch-Dest: document"]
    assert 200 == closed.ask(document, "GET /runs/flow-run/1 HTTP/1.1")[0]
    assert 200 == closed.ask(document, "GET /apis HTTP/1.1")[0]
    for first in ("GET /api HTTP/1.1", "GET /api/runs HTTP/1.1", "GET /%61pi/runs HTTP/1.1", "POST /runs HTTP/1.1"):
        assert 403 == closed.ask(document, first)[0]
    assert 403 == closed.ask([*LINK, "Sec-Fetch-Dest: iframe"], "GET /runs HTTP/1.1")[0]
    assert 403 == closed.ask(LINK, "GET /runs HTTP/1.1")[0]


def test_no_page_may_be_framed(closed: Served) -> None:
    """Every answer says that it may be neither in a frame nor a part of another server's page."""
    for lines in (["Host: localhost:0"], ["Host: evil.example"]):
        _, head, _ = closed.ask(lines, "GET / HTTP/1.1")
        assert "x-frame-options: deny" in head
        assert "cross-origin-resource-policy: same-origin" in head


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (["Host: klines.example"], 200),
        (["Host: 192.168.0.7:0", "Origin: http://192.168.0.7:0"], 200),
        (["Host: [fd00::7]:0"], 200),
        (["Host: 127.0.0.1:0", "Origin: https://klines.example"], 200),
        (["Host: 127.0.0.1:0", "Origin: http://klines.example"], 403),
        (["Host: klines.example", "X-Forwarded-Proto: https", "Origin: https://klines.example"], 200),
        (["Host: klines.example", "Origin: https://klines.example:8443"], 403),
        (["Host: evil.example", "Origin: http://evil.example"], 400),
        (["Host: x.klines.example"], 400),
        (["Host: 0.0.0.0:0"], 400),
        (["Host: [::]:0"], 400),
        (["Host: 192.168.0.7:0", "Origin: http://192.168.0.8:0"], 403),
    ],
)
def test_a_door_that_its_user_opened(opened: Served, lines: list[str], status: int) -> None:
    """The names that the user gave pass, and addresses, which nobody makes lead elsewhere; all others are foreign."""
    assert status == opened.ask(lines)[0]
    assert (status == 200) == (opened.upgrade(lines) == 101)


@pytest.mark.parametrize(
    ("text", "found"),
    [("A.b:1", ("a.b", 1)), ("[::1]:65535", ("::1", 65535)), ("[0:0:0:0:0:0:0:1]", ("::1", None)), ("a:0", None),
     ("a:65536", None), ("a b", None), ("", None), ("a:１", None)],
)  # fmt: skip
def test_authorities(text: str, found: tuple[str, int | None] | None) -> None:
    """A name, in lower case, or an IPv6 address in brackets, in its shortest form; a port from 1 to 65535."""
    assert found == authority(text)


def test_origins() -> None:
    """An Origin without a port has that of its scheme."""
    assert ("http", "a", 80) == origin("http://A")
    assert ("https", "::1", 443) == origin("https://[::1]")
    assert None is origin("null")
