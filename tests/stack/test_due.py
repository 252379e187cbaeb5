"""A run of collect says that it is due before it is."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.states import Scheduled

from flows.collect import collect
from flows.publish import publish
from klines.storage.turn import is_minute_at_work
from stack.due import announce, due_s


@pytest.mark.usefixtures("prefect_server", "in_settings")
def test_bulk_work_makes_way_before_a_collect_begins(database: Path) -> None:
    """What a run of collect announces is its scheduled time, and that of a run of another flow nothing; from a moment
    before it on, bulk work on its database waits. Where nobody knows of the run, nothing is said."""
    soon = datetime.now(UTC)
    with get_client(sync_client=True) as client:
        minute, other, later = (
            client.create_flow_run(flow, state=Scheduled(scheduled_time=at))
            for flow, at in ((collect, soon), (publish, soon), (collect, soon + timedelta(hours=1)))
        )
    assert [soon.timestamp(), None] == [due_s(run.id) for run in (minute, other)]
    for unknown in ("", "00000000-0000-0000-0000-000000000000", str(other.id), str(later.id)):
        announce(unknown)
    assert not is_minute_at_work(database)
    announce(str(minute.id))
    while not is_minute_at_work(database):
        time.sleep(0.02)
