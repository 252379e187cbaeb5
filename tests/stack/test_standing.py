"""The artifact `freshness` where no run ends."""

from __future__ import annotations

from pathlib import Path

import pytest
from prefect.client.orchestration import get_client

from klines.storage.access import place_of
from stack.standing import LATEST_S, Rewriter
from tasks.artifacts import last
from tests.drive import collect_once, query
from tests.exchange import StandIn


@pytest.mark.usefixtures("prefect_server")
def test_it_is_written_anew(exchange: StandIn, database: Path) -> None:
    """An artifact that is older than the schedule allows says how fresh the symbols are now; a younger one, and what
    never had one, are left alone."""
    collect_once(exchange, database, ["BTCUSDT"])
    query(database, "UPDATE klines SET open_time = open_time, fetched_at = now()")
    query(
        database,
        """INSERT INTO schedules SELECT unnest(['spot', 'usdm']), 'klines', '1h', '', 3600, '2026-01-01', now(), now(),
                  '';
           UPDATE klines SET interval = '1h'; UPDATE wanted SET interval = '1h'""",
    )
    with get_client(sync_client=True) as client:
        client.request(
            "POST", "/artifacts/", json={"key": "freshness-spot-1h", "type": "markdown", "description": "of old"}
        )
        young = Rewriter(client, place_of(database), late_s=LATEST_S)
        young.rewrite()
        assert "of old" == last("freshness-spot-1h")[0]
        Rewriter(client, place_of(database), late_s=-3600).rewrite()
    assert last("freshness-spot-1h")[0].endswith(" UTC: spot 1h: 0 of 1 symbol is fresh; 1 stale: BTCUSDT")
    assert "" == last("freshness-usdm-1h")[0]
