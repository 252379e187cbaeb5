"""Whoever tells how fresh symbols are tells the same at the same moment, through an outage, and after it."""

from __future__ import annotations

import json
import time
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from klines.cli import exit_status
from klines.collect.freshness import freshness
from klines.collect.incidents import Seen, follow
from klines.collect.standings import all_standings
from klines.explorer.pictures import all_series, fresh_now
from klines.interval import INTERVALS
from klines.market import MARKETS
from klines.storage.access import place_of
from klines.tables.schedules import collected
from stack.standing import artifact_of
from tests.drive import collect_once, query
from tests.exchange import StandIn

SPOT, MINUTES = MARKETS["spot"], INTERVALS["1m"]


class Told(NamedTuple):
    """What each of them says: the artifact and the explorer in words, the others as counts and names."""

    artifact: str
    explorer: str
    status: tuple[int, int, int]
    behind: dict[str, str]
    alarm: str


def age(database: Path, minutes: int) -> None:
    """The newest kline of BTCUSDT, and the last run, are so many whole minutes ago; ETHUSDT's is two before that."""
    query(
        database,
        f"""
        CREATE OR REPLACE TEMP TABLE shift AS
        SELECT date_trunc('minute', utc_now()) - INTERVAL {minutes + 1} MINUTE - max(open_time) AS gone FROM klines
        WHERE symbol = 'BTCUSDT';
        UPDATE klines SET open_time = open_time + gone, close_time = close_time + gone, fetched_at = fetched_at + gone
        FROM shift;
        UPDATE schedules SET asked_until = (SELECT max(open_time) + INTERVAL 1 MINUTE FROM klines)""",
    )


def told(database: Path, minutes: int, capsys: pytest.CaptureFixture[str]) -> Told:
    """All of them, `minutes` after an outage has begun, within the same minute."""
    while True:
        began = time.time() // 60
        age(database, minutes)
        with closing(place_of(database).read(time.monotonic() + 5)) as connection:
            [one] = collected(connection)
            artifact = artifact_of(connection, one).description or ""
            now_ms = time.time_ns() // 1_000_000
            explorer = fresh_now(connection, all_series(connection), now_ms)["said"]
            stale = freshness(*SPOT.key, MINUTES, all_standings(connection, SPOT, MINUTES, now_ms), now_ms).stale
        assert 0 == exit_status(["status", "--json"])
        status = json.loads(capsys.readouterr().out)
        if began == time.time() // 60:
            break
    [series] = status["series"]
    counts = series["fresh"], series["late"], series["stale"]
    behind = {one["symbol"]: one["state"] for one in status["behind"]}
    alarms = follow([], "spot", "1m", Seen("Degraded", "", stale), now_ms).alarms(now_ms)
    return Told(artifact.partition(" UTC: ")[2], explorer, counts, behind, alarms[0].message if alarms else "")


@pytest.mark.parametrize(
    ("minutes", "said", "counts", "behind", "alarm"),
    [
        (0, "1 of 2 symbols are fresh; 1 late: ETHUSDT", (1, 1, 0), {"ETHUSDT": "late"}, ""),
        (5, "0 of 2 symbols are fresh; 1 stale: ETHUSDT; 1 late: BTCUSDT", (0, 1, 1), {"ETHUSDT": "stale"}, "1 symbol"),
        (9, "0 of 2 symbols are fresh; 2 stale: ETHUSDT, BTCUSDT", (0, 0, 2), {"ETHUSDT": "stale"}, "2 symbols"),
    ],
)
def test_the_same_everywhere(
    exchange: StandIn,
    database: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    minutes: int,
    said: str,
    counts: tuple[int, int, int],
    behind: dict[str, str],
    alarm: str,
) -> None:
    """The artifact as `klines run` writes it while no run ends, `klines status --json`, the explorer's JSON and the
    alarm that a run would tell: of an outage's beginning, of its fifth and of its ninth minute."""
    monkeypatch.setenv("KLINES_DATABASE", str(database))
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    collect_once(exchange, database, ["BTCUSDT", "ETHUSDT"])
    query(
        database,
        """INSERT INTO schedules VALUES ('spot', 'klines', '1m', '', 60, '2026-01-01 00:00:05', now(), now(), '');
           DELETE FROM klines WHERE symbol = 'ETHUSDT'
             AND open_time > (SELECT max(open_time) - INTERVAL 2 MINUTE FROM klines)""",
    )
    found = told(database, minutes, capsys)
    assert (f"spot 1m: {said}", f"spot 1m: {said}", counts) == (found.artifact, found.explorer, found.status)
    assert behind.items() <= found.behind.items()
    assert alarm == found.alarm.partition(": ")[2].partition(" trading")[0]
