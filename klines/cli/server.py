"""The Prefect server, asked over plain HTTP, so that nobody has to import Prefect for a look."""

from __future__ import annotations

import base64
import json
import os
import ssl
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Mapping
from http.client import HTTPException
from importlib import metadata
from typing import Any

from klines.cli import environment
from klines.errors import NoServer

TIMEOUT_S, BUSY_S = 2.0, 30.0
"""How long an answer may take where one only looks, and where a run can't be without: a busy server takes seconds."""
STARTS_S = 120.0
"""How long one waits for a stack that is starting."""
ASK_VERSION = "PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED"
"""The variable by which each connection of Prefect's to the server first asks for its version, or does not."""
_LOOK_S = 0.5
_CLIENT = f"klines-{uuid.uuid4()}"
"""Who a server's token is for, which some want with every question that could change something. One that another
process asks for by the same name would end it.
"""


def api_in_use() -> str | None:
    """The API that PREFECT_API_URL names, or else that of the stack that runs in this home, if one does."""
    return os.environ.get("PREFECT_API_URL") or environment.running(environment.home()) or None


def chosen_api() -> str | None:
    """The API of the server that a flow from the shell is to use; None where a temporary one must be started.

    Where it has our version of Prefect, Prefect does not ask for that again. Raises NoServer where the one that is
    named, or that of the stack that runs here, does not answer.
    """
    named = os.environ.get("PREFECT_API_URL")
    if named:
        return _checked(named, "which PREFECT_API_URL names: start it, or unset that")
    started = _when_started()
    return started and _checked(started, "which klines started in this checkout: see its logs")


def last_runs(api_url: str, count: int) -> list[dict[str, Any]]:
    """The flow runs that began last, as Prefect describes them; raises NoServer."""
    began = {"state": {"type": {"not_any_": ["SCHEDULED", "PENDING"]}}}
    body = {"sort": "EXPECTED_START_TIME_DESC", "limit": count, "flow_runs": began}
    headers = _headers()
    try:
        token = json.loads(_answer(api_url, f"/csrf-token?client={_CLIENT}", headers) or b"{}").get("token")
        headers |= {"Prefect-Csrf-Token": token, "Prefect-Csrf-Client": _CLIENT} if token else {}
        runs = json.loads(_answer(api_url, "/flow_runs/filter", headers, body) or b"[]")
        return [dict(run.items()) for run in runs]
    except (ValueError, TypeError, AttributeError):
        raise NoServer(f"what answers at {api_url} is no Prefect server") from None


def version_of(api_url: str) -> str:
    """The version that a Prefect server says it has; raises NoServer."""
    try:
        version = json.loads(_answer(api_url, "/admin/version", _headers()) or b"null")
    except ValueError:
        version = None
    if not isinstance(version, str):
        raise NoServer(f"what answers at {api_url} is no Prefect server")
    return version[:40]


def lets_in(api_url: str, name: str, value: str) -> bool:
    """Whether a server answers to who asks with this header; raises NoServer."""
    try:
        return bool(_answer(api_url, "/admin/version", _headers() | {name: value}))
    except NoServer as error:
        if "PREFECT_API_AUTH_STRING" in str(error):  # 403, as from a door
            return False
        raise


def news(count: int) -> list[dict[str, Any]] | None:
    """The last runs, for a look; None where no server answers at once."""
    url = api_in_use()
    try:
        return last_runs(url, count) if url else None
    except NoServer:
        return None


def _when_started() -> str | None:
    until_s = time.monotonic() + STARTS_S
    while (url := environment.running(environment.home())) == "" and time.monotonic() < until_s:
        time.sleep(_LOOK_S)
    if url == "":
        raise NoServer("klines is starting in this checkout, but its Prefect server does not answer yet; see its logs")
    return url


def _checked(api_url: str, about: str) -> str:
    try:
        told = _answer(api_url, "/admin/version", _headers(), timeout_s=BUSY_S)
    except NoServer as error:
        raise NoServer(f"{error}, {about}") from None
    if told == json.dumps(metadata.version("prefect")).encode():
        os.environ.setdefault(ASK_VERSION, "false")
    return api_url


def _answer(
    api_url: str, path: str, headers: Mapping[str, str], body: object = None, *, timeout_s: float = TIMEOUT_S
) -> bytes:
    """What it says; nothing where it refuses, as Prefect will say it better. Raises NoServer."""
    data = None if body is None else json.dumps(body).encode()
    try:
        request = urllib.request.Request(api_url.rstrip("/") + path, data, dict(headers))
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in (401, 403):
            raise NoServer(f"the Prefect server at {api_url} wants PREFECT_API_AUTH_STRING=name:password") from None
        return b""
    except (OSError, ValueError, HTTPException) as error:
        if isinstance(getattr(error, "reason", None), ssl.SSLError):  # Prefect has settings of its own for that
            return b""
        raise NoServer(f"no Prefect server answers at {api_url}") from None


def _headers() -> dict[str, str]:
    headers = {"Content-Type": "application/json"}
    if password := os.environ.get("PREFECT_API_AUTH_STRING"):
        headers["Authorization"] = f"Basic {base64.b64encode(password.encode()).decode()}"
    if key := os.environ.get("PREFECT_API_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    return headers
