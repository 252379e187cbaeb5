"""Through which proxy an address is asked: what the environment says, in the words that curl and others read, too."""

from __future__ import annotations

import ipaddress
import os
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from klines.errors import BadParameter

if TYPE_CHECKING:
    import aiohttp

VARIABLES = ("all_proxy", "https_proxy", "http_proxy")
"""Each of them in lower case, which counts before upper case."""
SOCKS = ("socks", "socks5", "socks5h")
"""How a SOCKS5 proxy is spelt, which resolves all names; Prefect's client knows no older one."""
SOCKS_PACKAGES = "pip install aiohttp-socks socksio"


def proxy_of(url: str) -> str | None:
    """The proxy for an address, by HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY; None where it is asked directly.

    What is on this machine never goes through one. Raises BadParameter for a variable that names no proxy.
    """
    parts = urlsplit(url)
    if is_this_machine(parts.hostname or "") or proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    proxies = getproxies()
    kind = parts.scheme if proxies.get(parts.scheme) else "all"
    return checked_proxy(f"{kind}_proxy", proxies[kind]) if proxies.get(kind) else None


def checked_proxy(variable: str, value: str) -> str:
    """The proxy's address, with `http://` where it has no scheme; raises BadParameter, naming the variable."""
    proxy = value.strip() if "://" in value else f"http://{value.strip()}"
    try:
        parts = urlsplit(proxy)
        is_one = bool(parts.hostname) and (parts.port or 1) > 0 and parts.scheme in ("http", "https", *SOCKS)
        is_one = is_one and proxy.isprintable() and " " not in proxy
    except ValueError:
        is_one = False
    if not is_one:
        shown = without_password(proxy)[:80] if proxy.isprintable() else "what it is set to"
        raise BadParameter(
            f"{variable.upper()}: {shown!r} is no proxy; write http://host:port or socks5://host:port, or unset it"
        )
    return proxy


def check_proxies() -> None:
    """Raises BadParameter for a proxy of the environment that is none, or that can't be used here."""
    for variable in VARIABLES:
        value = os.environ.get(variable) or os.environ.get(variable.upper())
        if value and urlsplit(checked_proxy(variable, value)).scheme in SOCKS:
            _check_socks(variable)


def _check_socks(variable: str) -> None:
    from importlib.util import find_spec

    if not (find_spec("aiohttp_socks") and find_spec("socksio")):
        raise BadParameter(f"{variable.upper()}: a SOCKS proxy needs two more packages: {SOCKS_PACKAGES}")


def is_this_machine(host: str) -> bool:
    """Whether it is a name or an address of loopback."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def without_password(proxy: str) -> str:
    """The proxy's address as it may be shown."""
    scheme, _, rest = proxy.rpartition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if scheme else rest.rpartition("@")[2]


def web(url: str, connections: int, egress: str = "", **options: Any) -> aiohttp.ClientSession:
    """A session that asks the host of `url`, directly or through its proxy; call it on an event loop.

    Its sockets, to the host or to the proxy, are bound to the address `egress`, where one is named. Raises BadParameter
    for a proxy that is none, that needs a package which is not installed, or that can't be asked from that address.
    """
    import aiohttp

    proxy = proxy_of(url)
    parts = urlsplit(proxy or "")
    if parts.scheme in SOCKS:
        if egress:
            raise BadParameter("KLINES_EGRESS: a SOCKS proxy is asked from no address in particular; unset one of both")
        return aiohttp.ClientSession(connector=_socks(parts, connections), **options)
    source = (egress, 0) if egress else None
    connector = aiohttp.TCPConnector(limit=connections, local_addr=source)
    return aiohttp.ClientSession(connector=connector, proxy=proxy, **options)


def _socks(parts: SplitResult, connections: int) -> aiohttp.BaseConnector:
    try:
        from aiohttp_socks import ProxyConnector, ProxyType
    except ModuleNotFoundError:
        raise BadParameter(f"a SOCKS proxy needs two more packages: {SOCKS_PACKAGES}") from None
    connector: aiohttp.BaseConnector = ProxyConnector(
        host=parts.hostname or "",
        port=parts.port or 1080,
        proxy_type=ProxyType.SOCKS5,
        username=unquote(parts.username or "") or None,
        password=unquote(parts.password or "") or None,
        rdns=True,
        limit=connections,
    )
    return connector
