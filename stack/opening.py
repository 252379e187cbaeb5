"""The address that Prefect's server listens on, and the password without which no other than loopback is opened."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Iterable
from urllib.parse import SplitResult, urlsplit

from klines.errors import BadParameter
from klines.explorer.door import LOOPBACK, Names, authority, origin

HOST = "127.0.0.1"
SHORTEST, FEWEST = 8, 5
"""The least length of a password, and of how many different characters."""
_GUESSED = frozenset(
    {"password", "passwort", "passw0rd", "12345678", "123456789", "1234567890", "changeme", "qwertyui"}
)


def binding() -> str:
    """The host of PREFECT_SERVER_API_HOST. Raises BadParameter where others reach it and could guess the password, and
    where our own processes would give another password than the server asks for.
    """
    host = os.environ.get("PREFECT_SERVER_API_HOST") or HOST
    asked, given = (os.environ.get(f"PREFECT_{name}_AUTH_STRING") or "" for name in ("SERVER_API", "API"))
    check_password(host, asked)
    if asked and asked != given:
        raise BadParameter(
            "PREFECT_API_AUTH_STRING: worker and runs log in by it, so set it to the same name:password as "
            "PREFECT_SERVER_API_AUTH_STRING"
        )
    return host


def check_password(host: str, auth: str) -> None:
    """Raises BadParameter where others reach `host` and `name:password` is none that keeps them out."""
    if not is_loopback(host) and (weakness := weak(auth)):
        raise BadParameter(
            f"PREFECT_SERVER_API_HOST: who reaches {host} could run any code as you; first set "
            "PREFECT_SERVER_API_AUTH_STRING and PREFECT_API_AUTH_STRING to the same name:password "
            f"({weakness}; openssl rand -hex 16 makes a good one)"
        )


def weak(auth: str) -> str:
    """What keeps `name:password` from being one; empty if nothing does."""
    name, _, password = (part.strip() for part in auth.partition(":"))
    if not name or not password:
        return "none is set" if not auth.strip() else "it lacks the name or the password"
    if len(password) < SHORTEST:
        return f"this password is shorter than {SHORTEST} characters"
    if len(set(password)) < FEWEST or password.lower() in {*_GUESSED, name.lower()}:
        return "this password is the first that others try"
    return ""


def is_loopback(host: str) -> bool:
    """Whether this machine alone reaches the address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def reached_at(host: str) -> str:
    """Where our own processes find a server that listens on `host`, as it stands in a URL."""
    found = {"": HOST, "localhost": HOST, "0.0.0.0": HOST, "::": "::1"}.get(host, host)
    return f"[{found}]" if ":" in found else found


def names(host: str, auth: str, urls: Iterable[str]) -> Names:
    """By which names a server at `host` may be asked: those of loopback and, once there is a password, what the user
    says that it is called, in the host and in these URLs.
    """
    ours = LOOPBACK | ({host} if is_loopback(host) else set())
    if weak(auth):
        return Names(ours)
    origins = {found for url in urls if (found := _origin(url))}
    called = {name for name in (host.lower(), socket.gethostname().lower()) if name != "0.0.0.0" and authority(name)}
    return Names(
        hosts=ours | {name for _, name, _ in origins} | (set() if is_loopback(host) else called),
        origins=frozenset(found for found in origins if not is_loopback(found[1])),
        any_address=not is_loopback(host),
        advice="PREFECT_SERVER_UI_API_URL=http://NAME:4200/api says that it has this name, too",
    )


def _origin(url: str) -> tuple[str, str, int] | None:
    parts = split(url)
    return origin(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}")


def split(url: str) -> SplitResult:
    """The parts of PREFECT_SERVER_UI_API_URL; raises BadParameter."""
    try:
        return urlsplit(url)
    except ValueError as error:
        raise BadParameter(f"PREFECT_SERVER_UI_API_URL: {url!r} is no address: {error}") from None
