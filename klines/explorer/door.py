"""Who may ask a server on this machine: its programs, and the pages that this server gave. Pure.

Any page of the web can make the browser that shows it send requests here. By a name of its own that leads here (DNS
rebinding) it can read the answers, too. Three headers tell, and no page can write them: Host is the name that was
asked, Origin whose page asks, Sec-Fetch-Site whether that is a page of this server. Programs send Host alone.

Starlette's TrustedHostMiddleware knows Host alone, and no IPv6 in it; its CORSMiddleware hides answers, but lets the
request through.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
"""Names of this machine that nobody else can give to another."""
_AUTHORITY = re.compile(r"(?:\[(?P<ipv6>[0-9a-f:.]+)\]|(?P<name>[a-z0-9._-]+))(?::(?P<port>[0-9]{1,5}))?")
_ORIGIN = re.compile(r"(?P<scheme>https?)://(?P<authority>[^/?#@]+)")
_PORTS = {"http": 80, "https": 443}
_FROM_HERE = frozenset({"same-origin", "none"})
"""What Sec-Fetch-Site is for a page of this server, and for an address that a person typed."""
_ADDED = (
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", b"connect-src 'self'; frame-ancestors 'none'"),
)
"""No other page may show ours within itself, where a click would hit what is hidden; and ours ask nobody else: without
this, Prefect's tells amplitude.com that it is looked at.
"""


@dataclass(frozen=True, slots=True)
class Names:
    """By which names, in lower case, a server may be asked, whatever the port; `any_address`: by each IP address, too.

    `origins` are those of a proxy in front of it, which asks by another name than the browser asked the proxy.
    """

    hosts: frozenset[str] = LOOPBACK
    origins: frozenset[tuple[str, str, int]] = frozenset()
    any_address: bool = False
    advice: str = "open it as 127.0.0.1 or localhost"

    def has(self, host: str) -> bool:
        """Whether the server may be asked by this name."""
        return host in self.hosts or (self.any_address and _is_address(host))


ON_LOOPBACK = Names()


class Door:
    """An ASGI application that only programs of this machine and its own pages reach.

    A link on another page may open a page below any path but `api`.
    """

    def __init__(self, app: ASGIApp, names: Names = ON_LOOPBACK, api: str = "/api") -> None:
        self._app = app
        self._names = names
        self._api = api.rstrip("/")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may pass, and refuse the rest."""
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        refused = refusal(scope, self._names, self._api)
        if refused is None:
            return await self._app(scope, receive, _unframed(send))
        return await _refuse(scope, send, *refused)


def refusal(scope: Scope, names: Names, api: str) -> tuple[int, str] | None:
    """The status and the sentence for a request that is refused; None for one that may pass."""
    hosts, origins, sites = (_values(scope, name) for name in (b"host", b"origin", b"sec-fetch-site"))
    asked = authority(hosts[0]) if len(hosts) == 1 else None
    if asked is None or not names.has(asked[0]):
        return 400, f"this server does not go by the name {', '.join(hosts)[:100]!r}: {names.advice}"
    if not scope["path"].startswith("/"):
        return 400, "only a path can be asked for here: this is no proxy"
    scheme = str(scope.get("scheme", "http")).replace("ws", "http")
    own = (scheme, asked[0], asked[1] or _PORTS.get(scheme, 0))
    foreign = [text for text in origins if (found := origin(text)) != own and found not in names.origins]
    if foreign:
        return 403, f"pages of {foreign[0][:100]!r} may not ask this server, only its own"
    if not _FROM_HERE.issuperset(sites) and not _is_link(scope, api):
        return 403, "pages of other servers may not ask this one, only its own"
    return None


def authority(text: str) -> tuple[str, int | None] | None:
    """The name, in lower case, and the port of `localhost:4200` or `[::1]`; None for what is neither."""
    found = _AUTHORITY.fullmatch(text.lower())
    if found is None:
        return None
    port = int(found["port"]) if found["port"] else None
    name = found["name"] or _canonical(found["ipv6"])
    return (name, port) if name and (port is None or 0 < port < 65536) else None


def origin(text: str) -> tuple[str, str, int] | None:
    """The scheme, name and port of an Origin; None for `null` and the like."""
    found = _ORIGIN.fullmatch(text.lower())
    asked = authority(found["authority"]) if found else None
    return (found["scheme"], asked[0], asked[1] or _PORTS[found["scheme"]]) if found and asked else None


def _canonical(ipv6: str) -> str | None:
    try:
        return str(ipaddress.IPv6Address(ipv6))
    except ValueError:
        return None


def _is_address(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _values(scope: Scope, name: bytes) -> list[str]:
    """All values of a header."""
    return [value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name]


def _is_link(scope: Scope, api: str) -> bool:
    """Whether a person followed a link from elsewhere to a page, which shows it in a tab of its own."""
    is_api = scope["path"] == api or scope["path"].startswith(f"{api}/")
    is_page = (_values(scope, b"sec-fetch-mode"), _values(scope, b"sec-fetch-dest")) == (["navigate"], ["document"])
    return is_page and not is_api and scope.get("method") in ("GET", "HEAD")


def _unframed(send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *_ADDED]}
        await send(message)

    return sent


async def _refuse(scope: Scope, send: Send, status: int, sentence: str) -> None:
    """Answer with `{"error": …}`; a websocket is closed before it is open, which the browser sees as 403."""
    if scope["type"] == "websocket":
        return await send({"type": "websocket.close", "code": 1008, "reason": sentence[:120]})
    body = json.dumps({"error": sentence}).encode()
    headers: Sequence[tuple[bytes, bytes]] = (
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"x-content-type-options", b"nosniff"),
        *_ADDED,
    )
    start: dict[str, Any] = {"type": "http.response.start", "status": status, "headers": headers}
    await send(start)
    return await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
