"""The Prefect server, asked over plain HTTP, so that nobody has to import Prefect for a look."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import sqlite3
import ssl
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Mapping
from typing import Any

from klines.cli import environment
from klines.errors import NoServer

TIMEOUT_S, BUSY_S = 2.0, 30.0
"""How long an answer may take where one only looks, and where a run can't be without: a busy server takes seconds."""
STARTS_S = 120.0
"""How long one waits for a stack that is starting."""
_LOOK_S = 0.5


def api_in_use() -> str | None:
    """The API that PREFECT_API_URL names, or else that of the stack that runs in this home, if one does."""
    return os.environ.get("PREFECT_API_URL") or environment.running(environment.home()) or None


def choose_api() -> None:
    """Set PREFECT_API_URL to the server that a flow is to use; unset, it starts a temporary one.

    Raises NoServer where the one that is named does not answer, and where a temporary one would have no home.
    """
    url = os.environ.get("PREFECT_API_URL")
    if url:
        _check(url, "which PREFECT_API_URL names: start it, or unset that")
        return
    url = _when_started()
    if url:
        _check(url, "which klines started in this checkout: see its logs")
        os.environ["PREFECT_API_URL"] = url
    else:
        _check_home()


def last_runs(api_url: str, count: int) -> list[dict[str, Any]]:
    """The flow runs that began last, as Prefect describes them; raises NoServer."""
    began = {"state": {"type": {"not_any_": ["SCHEDULED"]}}}
    body = {"sort": "EXPECTED_START_TIME_DESC", "limit": count, "flow_runs": began}
    found: list[dict[str, Any]] = json.loads(_answer(api_url, "/flow_runs/filter", body, _token(api_url)))
    return found


def _token(api_url: str) -> dict[str, str]:
    """The headers without which our server takes no body: it gave the token to this client; none for other servers."""
    client = uuid.uuid4().hex
    found = json.loads(_answer(api_url, f"/csrf-token?client={client}"))
    return {"Prefect-Csrf-Client": client, "Prefect-Csrf-Token": found["token"]} if found else {}


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


def _check(api_url: str, about: str) -> None:
    try:
        _answer(api_url, "/admin/version", timeout_s=BUSY_S)
    except NoServer as error:
        raise NoServer(f"{error}, {about}") from None


def _check_home() -> None:
    """A temporary server keeps its things there."""
    folder = environment.home()
    database = folder / "prefect.db"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        is_writable = os.access(folder, os.W_OK | os.X_OK) and (not database.exists() or os.access(database, os.W_OK))
        reason = "" if is_writable else "not writable for this user"
        with contextlib.closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
    except OSError as error:
        reason = str(error.strerror)
    except sqlite3.OperationalError:  # there is none yet, or somebody writes it
        pass
    except sqlite3.DatabaseError as error:
        reason = f"prefect.db: {error}"
    if reason:
        raise NoServer(f"{folder}, for Prefect's things, can't be used ({reason}); set PREFECT_HOME to another folder")


def _answer(
    api_url: str,
    path: str,
    body: object = None,
    more: Mapping[str, str] | None = None,
    *,
    timeout_s: float = TIMEOUT_S,
) -> bytes:
    """What it says; empty where it refuses, as Prefect will say it better. Raises NoServer."""
    data = None if body is None else json.dumps(body).encode()
    try:
        request = urllib.request.Request(api_url.rstrip("/") + path, data, _headers() | dict(more or {}))
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):
            raise NoServer(f"the Prefect server at {api_url} wants PREFECT_API_AUTH_STRING=name:password") from None
        return b"[]"
    except (OSError, ValueError) as error:
        if isinstance(getattr(error, "reason", None), ssl.SSLError):  # Prefect has settings of its own for that
            return b"[]"
        raise NoServer(f"no Prefect server answers at {api_url}") from None


def _headers() -> dict[str, str]:
    headers = {"Content-Type": "application/json"}
    if password := os.environ.get("PREFECT_API_AUTH_STRING"):
        headers["Authorization"] = f"Basic {base64.b64encode(password.encode()).decode()}"
    if key := os.environ.get("PREFECT_API_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    return headers
