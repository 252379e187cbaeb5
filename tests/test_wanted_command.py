"""The command `klines wanted`: what is wanted is shown, and changed with a plan first."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from klines.cli import exit_status
from tests.drive import NOON, collect_once, query, remember_no_clocks
from tests.exchange import StandIn

RANGE = ("--start", "2025-12-01", "--end", "2025-12-03")


@pytest.fixture
def chosen(database: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A database that collects BTCUSDT, named by the settings, as is its exchange, which has two symbols."""
    remember_no_clocks(database)
    monkeypatch.setenv("KLINES_DATABASE", str(database))
    with StandIn(["BTCUSDT", "ETHUSDT"]) as exchange:
        exchange.freeze(NOON + 5_000)
        collect_once(exchange, database, ["BTCUSDT"])
        for name in ("SPOT", "USDM", "COINM", "ARCHIVE"):
            monkeypatch.setenv(f"KLINES_{name}_URL", exchange.url)
        yield database


def test_a_range_more_and_less(chosen: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A dry run says the cost and changes nothing; a change is noted and fetches nothing; what is removed is wanted by
    nobody, and due no more; no kline is deleted."""

    def asked(*arguments: str) -> dict[str, Any]:
        assert 0 == exit_status(["wanted", *arguments, "--json"])
        told: dict[str, Any] = json.loads(capsys.readouterr().out)
        return told

    def ranges() -> list[tuple[Any, ...]]:
        return query(chosen, "SELECT symbol, until IS NULL, wanted_by FROM wanted ORDER BY ALL")

    before = ranges()
    assert [("BTCUSDT", True, "shell")] == before
    plan = asked("ETHUSDT", "--add", *RANGE, "--dry-run")
    assert (2880, 2, "nothing was changed" in plan["said"]) == (plan["klines"], plan["daily"], True)
    assert before == ranges()
    assert 2880 == asked("ETHUSDT", "--add", *RANGE)["klines"]
    assert [*before, ("ETHUSDT", False, "person")] == ranges()
    query(
        chosen,
        """INSERT INTO gaps BY NAME SELECT market, kind, symbol, interval, since AS start_time,
                     until AS end_time, 'due' AS reason, since AS first_seen, 0 AS attempts, since AS next_check
                     FROM wanted WHERE symbol = 'ETHUSDT'""",
    )
    assert 0 == exit_status(["wanted", "ETHUSDT"])
    assert "spot 1m ETHUSDT  2025-12-01 00:00 to 2025-12-03 00:00  by person" in capsys.readouterr().out
    asked("ETHUSDT", "--remove", "--start", "2025-12-02", "--dry-run")
    assert 1 == asked("ETHUSDT", "--remove", "--start", "2025-12-02")["ranges"]
    assert [(1440, 1440)] == query(
        chosen,
        """SELECT slots_between(g.interval, start_time, end_time), slots_between(g.interval, since, until)
                   FROM gaps g JOIN wanted USING (symbol) WHERE symbol = 'ETHUSDT'""",
    )
    assert "wants it again" in asked("BTCUSDT", "--remove")["said"]
    assert [(30,)] == query(chosen, "SELECT count(*) FROM klines")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--add", "--start", "2025-12-01"], "--add needs symbols"),
        (["ETHUSDT", "--add"], "--add needs symbols and --start"),
        (["--remove"], "--remove needs symbols"),
        (["ETHUSDT", "--remove"], "nothing of that is wanted of ETHUSDT"),
        (["ETHUSDT", "--add", "--start", "2025-12-03", "--end", "2025-12-01"], "start: 2025-12-03 is not before"),
        (["NOPE", "--add", "--start", "2025-12-01"], "Binance knows none of NOPE"),
    ],
)
def test_what_can_not_be_wanted(
    chosen: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    """It is refused in a line that says why, and nothing is changed."""
    before = query(chosen, "FROM wanted")
    assert 0 != exit_status(["wanted", *arguments])
    assert said in capsys.readouterr().err
    assert before == query(chosen, "FROM wanted")
