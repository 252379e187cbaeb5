"""What the process of `klines run` sees and tells where no run does."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client

from klines.clock import epoch_ms
from klines.storage.access import place_of
from stack.alarms import note_webhook
from stack.watch import Watch
from tests import LONGEST_S
from tests.drive import collect_once, query
from tests.exchange import StandIn
from tests.listener import Listener

ALARMS = """SELECT incident, attempts, delivered_at IS NOT NULL, coalesce(last_error, '') FROM alarms
            ORDER BY made_at, incident"""


def settled(watch: Watch, database: Path, alarms: list[tuple[str, int, bool, str]]) -> list[tuple[Any, ...]]:
    """The alarms as they are in the table, once they are as wanted, or when it is certain that they will not be."""
    until_s = time.monotonic() + LONGEST_S
    while (found := query(database, ALARMS)) != alarms and time.monotonic() < until_s:
        time.sleep(0.05)
        watch.look()
    return found


@pytest.mark.usefixtures("prefect_server")
def test_no_run_tells_that_there_is_none(exchange: StandIn, database: Path) -> None:
    """That nothing has been collected is told once, again with growing pauses until it has arrived, and so is its end,
    and what another alarm has left to tell; who collected, and is no deployment any more, is said once."""
    collect_once(exchange, database, ["BTCUSDT"])
    query(
        database,
        """INSERT INTO schedules
           SELECT 'spot', 'klines', '1m', '', 60, '2026-01-01', utc_now() - INTERVAL 20 MINUTE, utc_now(), '';
           UPDATE wanted SET wanted_by = 'every-hour';
           INSERT INTO alarms SELECT 'usdm', 'stale', t, 'left by a run', t, false, '', 0, t, NULL, NULL
           FROM (SELECT utc_now() - INTERVAL 1 HOUR AS t)""",
    )
    said: list[str] = []
    with Listener() as listener, get_client(sync_client=True) as client:
        note_webhook(listener.url)
        listener.status = 500
        watch = Watch(client, place_of(database), said.append)
        watch.look()
        tried = [("stale", 1, False, "HTTP 500"), ("NotCollected", 1, False, "HTTP 500")]
        assert tried == settled(watch, database, tried)
        listener.status = 200
        query(database, "UPDATE alarms SET next_attempt = utc_now(); UPDATE schedules SET asked_until = utc_now()")
        watch.watch(epoch_ms(datetime.now(UTC)))
        told = [("stale", 2, True, "HTTP 500"), tried[1], ("NotCollected", 1, True, "")]
        assert told == settled(watch, database, told)
        heard = [json.loads(body)["text"] for *_, body in listener.asked]
    assert heard[0].startswith("spot: 1m: nothing has been collected for 20 min, since 20")
    assert {"left by a run", "spot: NotCollected is over after 20 min"} == {*heard[1:]}
    assert ["no deployment of collect is called every-hour any more"] == [text.partition(",")[0] for text in said]
