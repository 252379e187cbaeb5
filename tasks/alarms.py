"""Alarms, posted to the webhook that `klines alarms` has kept on the server, again and again until they arrive."""

from __future__ import annotations

from typing import cast

from prefect import get_run_logger
from prefect.blocks.webhook import Webhook

from klines.collect.following import Following
from klines.collect.incidents import Followed
from tasks.outgoing import WEBHOOK, name_of, tell


def deliver(its: Following, followed: Followed) -> None:
    """Try what is due; what is not taken stays in the table `alarms` for a later run."""
    if not followed.waiting:
        return
    url = _webhook()
    tried = tell(url, its.claim_alarms(name_of(url) if url else ""))
    if tried and tried[-1][1]:
        get_run_logger().warning("%s took no alarm (%s); a later run tries again", name_of(url), tried[-1][1])
    if tried:
        its.note_alarms(tried)


def _webhook() -> str:
    """Its address; empty where there is none."""
    try:
        block = cast(Webhook, Webhook.load(WEBHOOK))
    except ValueError:  # there is no such block
        return ""
    return str(block.url.get_secret_value())
