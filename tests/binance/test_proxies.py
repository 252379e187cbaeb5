"""The way to Binance: through the proxies of the environment, however that names them, and never to ourselves."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

import pytest

from klines.binance.archive import Archive
from klines.binance.proxies import VARIABLES, check_proxies, proxy_of, without_password
from klines.errors import BadParameter
from klines.market import MARKETS
from tests import CHECKOUT
from tests.drive import Fixed, backfill_once, collect_once, query
from tests.exchange import StandIn
from tests.proxies import ProxyServer

NAMES = [*VARIABLES, *map(str.upper, VARIABLES), "no_proxy", "NO_PROXY"]
needs_socks = pytest.mark.skipif(find_spec("aiohttp_socks") is None, reason="aiohttp-socks is not installed")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy in the environment but those of the test."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


BAD = ["ftp://proxy:21", "http://", "http://proxy:99999", "http://[::1", "a b", "socks4://a", "\x1b[31m"]
PROXY, OTHER = "http://proxy.example:3128", "http://other.example:3128"


@pytest.mark.parametrize(
    ("variables", "secure", "plain"),
    [
        ({}, None, None),
        ({"HTTPS_PROXY": PROXY}, PROXY, None),
        ({"https_proxy": PROXY}, PROXY, None),
        ({"HTTP_PROXY": PROXY}, None, PROXY),
        ({"http_proxy": PROXY}, None, PROXY),
        ({"ALL_PROXY": PROXY}, PROXY, PROXY),
        ({"all_proxy": PROXY, "https_proxy": OTHER}, OTHER, PROXY),
        ({"https_proxy": PROXY, "HTTPS_PROXY": OTHER}, PROXY, None),
        ({"ALL_PROXY": PROXY, "NO_PROXY": "binance.com"}, None, None),
        ({"ALL_PROXY": PROXY, "no_proxy": "*"}, None, None),
        ({"ALL_PROXY": PROXY, "no_proxy": "binance.org"}, PROXY, PROXY),
        ({"ALL_PROXY": "proxy.example:3128"}, PROXY, PROXY),
        ({"ALL_PROXY": "socks5h://proxy.example:1080"}, *["socks5h://proxy.example:1080"] * 2),
        ({"ALL_PROXY": ""}, None, None),
    ],
)
def test_what_the_environment_says(
    variables: dict[str, str], secure: str | None, plain: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An address goes through the proxy of its scheme, else of all; lower case counts first; NO_PROXY exempts."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert secure == proxy_of("https://api.binance.com")
    assert plain == proxy_of("http://api.binance.com:8080")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2:4200", "localhost:4200", "[::1]:4200", "me.localhost"])
def test_this_machine_is_never_asked_through_one(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever kind of proxy is set, without NO_PROXY."""
    for name in NAMES[:-2]:
        monkeypatch.setenv(name, PROXY)
    assert proxy_of(f"http://{host}/api") is None
    assert proxy_of(f"https://{host}/api") is None


@pytest.mark.parametrize("value", BAD)
def test_what_is_no_proxy(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named with the variable and what to write; nothing that a terminal would take for a command is shown."""
    monkeypatch.setenv("HTTPS_PROXY", value)
    told = r"HTTPS_PROXY: .* is no proxy; write http://host:port"
    with pytest.raises(BadParameter, match=told) as refused:
        proxy_of("https://api.binance.com")
    assert str(refused.value).isprintable()
    with pytest.raises(BadParameter, match=told):
        check_proxies()


def test_a_password_is_not_shown() -> None:
    """A proxy's address may hold one."""
    assert "http://proxy:3128" == without_password("http://me:sec@ret@proxy:3128")
    assert "proxy:3128" == without_password("me:secret@proxy:3128")


WAYS = ["HTTP_PROXY", "all_proxy", "http_proxy", "ALL_PROXY"]


@pytest.mark.parametrize("scheme", ["http", pytest.param("socks5", marks=needs_socks)])
@pytest.mark.parametrize("name", [*WAYS[:2], *(pytest.param(name, marks=pytest.mark.full) for name in WAYS[2:])])
def test_everything_goes_through_the_proxy(
    exchange: StandIn, ready: Callable[[str], Path], name: str, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """REST, the archive and its listing go through it, and nothing of this machine does: it would refuse that."""
    database = ready("klines.duckdb")
    with ProxyServer(scheme) as proxy:
        monkeypatch.setenv(name, proxy.url)
        away = Fixed(exchange.url.replace("127.0.0.1", "binance.example"))
        outcome = collect_once(away, database, ["BTCUSDT"], clock=exchange.now_ms)
        assert ("Completed", 30) == (outcome.state, query(database, "SELECT count(*) FROM klines")[0][0])
        loaded = backfill_once(away, database, ["BTCUSDT"], "2025-12-01", "2025-12-03", clock=exchange.now_ms)
        assert "0 monthly and 2 daily files" in loaded.message

        async def oldest() -> object:
            async with Archive(away.url) as archive:
                return await archive.oldest(MARKETS["spot"], "BTCUSDT")

        assert asyncio.run(oldest()) is not None
    assert {"binance.example"} == {*proxy.asked}
    assert len(exchange.requests) == len(proxy.asked) or scheme == "socks5"  # which keeps its connections


@needs_socks
@pytest.mark.parametrize("spelling", ["socks://", "socks5h://"])
def test_spellings_of_socks(exchange: StandIn, database: Path, spelling: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As desktops and curl write it; the proxy resolves the name, which nobody here could."""
    with ProxyServer("socks5") as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.url.replace("socks5://", spelling))
        away = Fixed(exchange.url.replace("127.0.0.1", "binance.example"))
        assert "Completed" == collect_once(away, database, ["BTCUSDT"], clock=exchange.now_ms).state


def test_a_proxy_with_a_password(exchange: StandIn, database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is in the proxy's address; where it lacks, the run says what to set."""
    away = Fixed(exchange.url.replace("127.0.0.1", "binance.example"))
    with ProxyServer(password="me:secret") as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        assert "Completed" == collect_once(away, database, ["BTCUSDT"], clock=exchange.now_ms).state
        monkeypatch.setenv("HTTP_PROXY", proxy.url.replace("me:secret@", ""))
        outcome = collect_once(away, database, ["BTCUSDT"], clock=exchange.now_ms)
    assert ("ExchangeDown", True) == (outcome.state, "http://name:password@host:port" in outcome.message)
    assert "secret" not in outcome.message


def test_a_bad_proxy_ends_a_run_as_a_parameter(
    exchange: StandIn, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the reader's to mend: Failed, with what to write."""
    monkeypatch.setenv("ALL_PROXY", "ftp://proxy:21")
    outcome = collect_once(Fixed("http://binance.example"), database, ["BTCUSDT"], clock=exchange.now_ms)
    assert ("Failed", True) == (outcome.state, "ALL_PROXY: 'ftp://proxy:21' is no proxy" in outcome.message)


def test_socks_needs_packages(tmp_path: Path) -> None:
    """Where they are not installed, every command that would need them says in one line what to install."""
    for name in ("aiohttp_socks", "socksio"):
        (tmp_path / f"{name}.py").write_text(f"raise ModuleNotFoundError('No module', name='{name}')\n")
    code = (
        "import asyncio\nfrom klines.binance.archive import Archive\nfrom klines.errors import BadParameter\n"
        "async def enter():\n    async with Archive('http://binance.example'): pass\n"
        "try: asyncio.run(enter())\nexcept BadParameter as error: print(error)"
    )
    environment = os.environ | {"ALL_PROXY": "socks5://127.0.0.1:1", "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=True
    )
    assert "a SOCKS proxy needs two more packages: pip install aiohttp-socks socksio\n" == done.stdout


class _Empty(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Say nothing."""


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """An https address whose certificate nobody has heard of, and the file of that."""
    certificate = certified(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, tmp_path / "key.pem")
    with ThreadingHTTPServer(("127.0.0.1", 0), _Empty) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"https://127.0.0.1:{server.server_port}", certificate
        server.shutdown()


def certified(folder: Path) -> Path:
    """A certificate of this machine's own, with its key beside it in key.pem."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ours")])
    now = datetime.datetime.now(datetime.UTC)
    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    built = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    built = built.serial_number(1).not_valid_before(now - datetime.timedelta(days=1))
    built = built.not_valid_after(now + datetime.timedelta(days=1)).add_extension(here, critical=False)
    signed = built.sign(key, hashes.SHA256())
    plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, *plain))
    (folder / "ours.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    return folder / "ours.pem"


def test_a_certificate_authority_of_its_own(secured: tuple[str, Path]) -> None:
    """Where a network has one, the message says what to set, and it works then."""
    url, certificate = secured
    code = (
        "import asyncio, sys\nfrom klines.binance.archive import Archive\nfrom klines.binance.files import File\n"
        "from klines.errors import Unreachable\n"
        "async def ask():\n    async with Archive(sys.argv[1], pauses_s=()) as archive:\n"
        "        return await archive.checksum(File('spot', 'BTCUSDT', '1m', False, 1761955200000))\n"
        "try: print(asyncio.run(ask()))\nexcept Unreachable as error: print(error)"
    )

    def told(**variables: str) -> str:
        command = [sys.executable, "-c", code, url]
        environment = {name: value for name, value in os.environ.items() if name != "SSL_CERT_FILE"} | variables
        return subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True).stdout

    assert "set SSL_CERT_FILE to a file with its certificate" in told()
    assert "None\n" == told(SSL_CERT_FILE=str(certificate))
