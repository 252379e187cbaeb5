"""A run of collect is expected a moment before it is due: bulk work on its database makes way by then.

Import it only in the process of a flow run, which is there some seconds before: Prefect reads its settings while it is
imported.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from uuid import UUID

import httpx
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from klines.errors import KlinesError
from klines.settings import load
from klines.storage.access import place_of
from klines.storage.turn import AHEAD_S, minute_at_work

AFTER_S = 2.0
"""So long after it was due the run has begun, and says itself that it is at work."""
TIMEOUT_S = 2.0
"""How long the server may take to answer; without its answer the run says only when it begins that it is at work."""


def announce(flow_run: str) -> None:
    """Let bulk work make way from AHEAD_S before a run of collect is due until AFTER_S after that; nothing of a run of
    another flow."""
    try:
        at_s = due_s(UUID(flow_run))
        database = place_of(load().database).beside
    except (ValueError, KlinesError, httpx.HTTPError, ObjectNotFound, PrefectHTTPStatusError):
        return  # the run itself meets it again, and says so
    if at_s is not None:
        threading.Thread(target=_hold, args=(database, at_s), name="minute at work", daemon=True).start()


def due_s(flow_run: UUID) -> float | None:
    """When a run of collect is due, in epoch seconds; None of a run of another flow."""
    asked_once, options = temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}), {"timeout": TIMEOUT_S}
    with asked_once, get_client(httpx_settings=options, sync_client=True) as client:
        run = client.read_flow_run(flow_run)
        is_minute = client.read_flow(run.flow_id).name == "collect"
    return run.expected_start_time.timestamp() if is_minute and run.expected_start_time else None


def _hold(database: Path, at_s: float) -> None:
    time.sleep(max(0.0, at_s - AHEAD_S - time.time()))
    with minute_at_work(database):
        time.sleep(max(AFTER_S, at_s + AFTER_S - time.time()))
