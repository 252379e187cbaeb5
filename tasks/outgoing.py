"""What is sent to an address of the user's, such as a webhook: bounded in time, and no part of a secret is said."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

import httpx

from klines.tables.alarms import Alarm

WEBHOOK = "klines-webhook"
"""The name of the block with the webhook's address, on Prefect's server."""
LONGEST_S = 4.0
"""How long one answer is waited for, from the look-up of the name on."""

logging.getLogger("httpx").setLevel(logging.WARNING)  # it would log whole addresses


def send(url: str, body: Mapping[str, str] | None = None, *, longest_s: float = LONGEST_S) -> str:
    """GET the address, or POST a body as JSON: why it was not taken, empty where it was. Raises nothing."""
    answers: list[str] = []
    asking = threading.Thread(target=lambda: answers.append(_answer(url, body, longest_s)), daemon=True)
    asking.start()
    asking.join(longest_s)  # httpx bounds each step alone
    return answers[0] if answers else f"no answer within {longest_s:g} s"


def _answer(url: str, body: Mapping[str, str] | None, longest_s: float) -> str:
    try:
        with (
            httpx.Client(timeout=longest_s, follow_redirects=True) as client,
            client.stream("GET" if body is None else "POST", url, json=body) as answer,
        ):
            return "" if answer.is_success else f"HTTP {answer.status_code}"
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, ImportError) as error:
        return type(error).__name__  # its text may have the address


def tell(url: str, alarms: Iterable[Alarm]) -> list[tuple[Alarm, str]]:
    """Post alarms to a webhook; of each why it was not taken, empty where it was. A dead line is tried once."""
    error, tried = "", []
    for alarm in alarms:
        error = error or send(url, {"text": alarm.message, "content": alarm.message})
        tried.append((alarm, error))
    return tried


def name_of(url: str) -> str:
    """The host of an address, which is no secret; paths and queries are."""
    return urlsplit(url).hostname or "its address"
