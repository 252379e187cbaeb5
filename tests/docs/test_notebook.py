"""The notebook of docs/ runs from its first cell to its last in any folder, and its gaps are shaded with their reasons.
That it ends well as a script is in test_commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

import pytest

from klines.interval import DAY, HOUR
from klines.ledger import EXPLAINED
from tests import CHECKOUT
from tests.drive import audit_once, backfill_once, query
from tests.exchange import StandIn

NEEDED = ("marimo", "altair")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not all(map(find_spec, NEEDED)), reason=f"the notebook needs {' and '.join(NEEDED)}"),
]

NOTEBOOK = CHECKOUT / "docs" / "notebook.py"


@pytest.fixture
def week(tmp_path: Path) -> tuple[Path, int]:
    """A database of two days of a symbol, without the three hours in which the exchange was out; when those begin."""
    path, out_ms = tmp_path / "klines.duckdb", time.time_ns() // 1_000_000 // DAY * DAY - 14 * HOUR
    start, end = (f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d}" for ms in (out_ms - DAY, out_ms + DAY))
    with StandIn(["BTCUSDT"]) as exchange:
        exchange.hole(out_ms, out_ms + 3 * HOUR)
        backfill_once(exchange, path, ["BTCUSDT"], start, end)
        audit_once(exchange, path)
    return path, out_ms


def run(database: Path, folder: Path, *arguments: str) -> str:
    """What Python prints, given these arguments, in a folder."""
    environment = os.environ | {"KLINES_DATABASE": str(database), "PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_gaps_are_shaded_with_their_reason(week: tuple[Path, int], tmp_path: Path) -> None:
    """The chart has a stretch for each row of the ledger, with its reason, and no close within it."""
    database, out_ms = week
    [(begins, ends, reason)] = query(database, "SELECT start_time, end_time, reason FROM gaps")
    assert (out_ms, out_ms + 3 * HOUR) == tuple(at.replace(tzinfo=UTC).timestamp() * 1000 for at in (begins, ends))
    shown = f"import runpy; app = runpy.run_path({str(NOTEBOOK)!r})['app']; print(app.run()[1]['chart'].to_json())"
    data = json.loads(run(database, tmp_path, "-c", shown))["datasets"].values()
    [shade] = [row for rows in data for row in rows if "reason" in row]
    assert (begins, ends) == (datetime.fromisoformat(shade["from"]), datetime.fromisoformat(shade["to"]))
    assert (reason, True) == (shade["reason"], reason in EXPLAINED)
    closes = {datetime.fromisoformat(row["open_time"]): row["close"] for rows in data for row in rows if "close" in row}
    assert {None} == {close for at, close in closes.items() if begins <= at < ends}
    assert None not in {close for at, close in closes.items() if at.date() == begins.date() and not begins <= at < ends}
