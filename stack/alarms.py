"""Notes on the Prefect server the webhook that alarms call.

The server is that of PREFECT_API_URL, or the one of `klines run`. Done again, it replaces what it noted before.
"""

from __future__ import annotations

import os
import sys
from urllib.parse import urlsplit

import httpx
from pydantic import AnyHttpUrl, TypeAdapter, ValidationError

from klines.cli.server import api_in_use
from klines.errors import BadParameter

PORT = 4200
RETIRED = tuple(
    f"klines: {kind}"
    for kind in ("ExchangeDown", "Blocked", "Degraded", "stale", "nothing collected", "collecting again", "zombies")
)
"""Automations of before: what runs, and `klines run`, tell by themselves now; and one that should have found dead runs,
as `klines run` does."""


def main(address: str) -> int:
    """The exit status: 0 when the webhook is noted, else 1. Raises BadParameter for an address that is none."""
    try:
        TypeAdapter(AnyHttpUrl).validate_python(address)
    except ValidationError:
        raise BadParameter(f"{address!r} is no http:// or https:// address: klines alarms https://…") from None
    port = os.environ.get("PREFECT_SERVER_API_PORT") or PORT
    os.environ["PREFECT_API_URL"] = server = api_in_use() or f"http://127.0.0.1:{port}/api"
    try:
        note_webhook(address)
    except (httpx.TransportError, RuntimeError):
        print(f"klines: no Prefect server answers at {server}: start it, or set PREFECT_API_URL", file=sys.stderr)
        return 1
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        advice = "set PREFECT_API_AUTH_STRING=name:password" if status == 401 else "see its log"
        print(f"klines: the Prefect server at {server} answered {status}: {advice}", file=sys.stderr)
        return 1
    print(f"{urlsplit(address).netloc.rpartition('@')[2]} is called from the next trouble on")
    return 0


def note_webhook(address: str) -> None:
    """Note the webhook, which runs tell of incidents from then on, and delete the automations of before."""
    from prefect.blocks.webhook import Webhook  # Prefect reads its settings while it is imported
    from prefect.client.orchestration import get_client
    from prefect.types import SecretDict
    from pydantic import SecretStr

    from tasks.outgoing import WEBHOOK

    headers = SecretDict({"Content-Type": "application/json"})
    Webhook(url=SecretStr(address), headers=headers).save(WEBHOOK, overwrite=True)
    with get_client(sync_client=True) as client:
        for name in RETIRED:
            for old in client.read_automations_by_name(name):
                client.delete_automation(old.id)


if __name__ == "__main__":
    from klines import cli

    cli.main(["alarms", *sys.argv[1:]])
