"""The publish flow on a real Prefect server."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from prefect.client.schemas.objects import State

import klines
from flows.publish import publish
from tests.drive import NOON, collect_once
from tests.exchange import StandIn
from tests.flows.test_backfill import artifacts
from tests.storage.test_snapshot import snapshots

pytestmark = pytest.mark.usefixtures("prefect_server", "in_settings")


def test_publish(exchange: StandIn, database: Path) -> None:
    """The flow makes the snapshot that connect() then opens, and says how large it is; each run makes a new one. A dry
    run says what it would be, and makes none."""
    collect_once(exchange, database, ["BTCUSDT", "ETHUSDT"])
    planned = cast("State[Any]", cast(Any, publish)(dry_run=True, return_state=True))
    assert str(planned.message).startswith("planned a snapshot of klines.duckdb, with 60 klines; reads about ")
    assert not database.with_name("klines.duckdb.snapshots").exists()
    for _ in range(2):
        state = cast("State[Any]", cast(Any, publish)(return_state=True))
        assert ("COMPLETED", "Completed") == (state.type.value, state.name)
        assert str(state.message).startswith("published klines.duckdb as of ")
        [made] = snapshots(database)
    assert ({"plan", "progress"}, 100.0) == (set(artifacts(state)), artifacts(state)["progress"])
    exchange.freeze(NOON + 65_000)
    with klines.connect(database=database):
        assert [made] == snapshots(database)


def test_nothing_to_publish(database: Path) -> None:
    """Without a database the run fails with the path that was looked for."""
    state = cast("State[Any]", cast(Any, publish)(return_state=True))
    assert ("FAILED", "Failed") == (state.type.value, state.name)
    assert f"there is no database at {database}" in str(state.message)
