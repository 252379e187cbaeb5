"""Notes on the Prefect server the webhook that alarms call, and creates those of automations.yaml.

The server is that of PREFECT_API_URL, or the one of `klines run`. Done again, it replaces what it made before.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import httpx
import yaml
from pydantic import AnyHttpUrl, TypeAdapter, ValidationError

from klines.cli.server import api_in_use
from klines.errors import BadParameter

PORT = 4200
SHIPPED = Path(__file__).with_name("automations.yaml")
RETIRED = tuple(
    f"klines: {kind}"
    for kind in ("ExchangeDown", "Blocked", "Degraded", "stale", "nothing collected", "collecting again")
)
"""Automations that told what runs, and `klines run`, tell by themselves now."""


def main(address: str) -> int:
    """The exit status: 0 when all alarms are there, else 1. Raises BadParameter for an address that is none."""
    try:
        TypeAdapter(AnyHttpUrl).validate_python(address)
    except ValidationError:
        raise BadParameter(f"{address!r} is no http:// or https:// address: klines alarms https://…") from None
    port = os.environ.get("PREFECT_SERVER_API_PORT") or PORT
    os.environ["PREFECT_API_URL"] = server = api_in_use() or f"http://127.0.0.1:{port}/api"
    try:
        names = create(address)
    except (httpx.TransportError, RuntimeError):
        print(f"klines: no Prefect server answers at {server}: start it, or set PREFECT_API_URL", file=sys.stderr)
        return 1
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        advice = "set PREFECT_API_AUTH_STRING=name:password" if status == 401 else "see its log"
        print(f"klines: the Prefect server at {server} answered {status}: {advice}", file=sys.stderr)
        return 1
    print("\n".join(f"created {name}" for name in names))
    return 0


def create(address: str) -> list[str]:
    """Create the webhook's block and the automations, in the place of those of the same names; returns the names.

    Runs of collect tell the webhook of incidents from then on.
    """
    from prefect.blocks.webhook import Webhook  # Prefect reads its settings while it is imported
    from prefect.client.orchestration import get_client
    from prefect.events.schemas.automations import AutomationCore
    from prefect.types import SecretDict
    from pydantic import SecretStr

    from tasks.outgoing import WEBHOOK

    headers = SecretDict({"Content-Type": "application/json"})
    block_id = Webhook(url=SecretStr(address), headers=headers).save(WEBHOOK, overwrite=True)
    wanted = [AutomationCore.model_validate(_filled(automation, str(block_id))) for automation in _shipped()]
    with get_client(sync_client=True) as client:
        for name in (*RETIRED, *(automation.name for automation in wanted)):
            for old in client.read_automations_by_name(name):
                client.delete_automation(old.id)
        for automation in wanted:
            client.create_automation(automation)
    return [automation.name for automation in wanted]


def _shipped() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(SHIPPED.read_text())["automations"]
    return found


def _filled(value: Any, block_id: str) -> Any:
    """The automation with the block's id in the place of WEBHOOK."""
    if isinstance(value, dict):
        return {name: _filled(part, block_id) for name, part in value.items()}
    if isinstance(value, list):
        return [_filled(part, block_id) for part in value]
    return block_id if value == "WEBHOOK" else value


if __name__ == "__main__":
    from klines import cli

    cli.main(["alarms", *sys.argv[1:]])
