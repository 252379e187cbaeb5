"""The README is true: its commands run, its queries answer, its tables name what exists."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from klines.outcome import STATES
from klines.settings import CHECKOUT, Settings
from tests.drive import collect_once, query
from tests.exchange import StandIn

README = (CHECKOUT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    """The code blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_every_query_answers(exchange: StandIn, database: Path) -> None:
    """Each sql block runs on a database that a run has filled, and the first one has the answer's columns."""
    exchange.list("ETHUSDT", since_ms=exchange.now_ms() - 600_000)
    collect_once(exchange, database, ["BTCUSDT", "ETHUSDT"])
    answers = [query(database, sql) for sql in blocks("sql")]

    assert 3 == len(answers)
    assert [3, 4] == [len(answers[0]), len(answers[0][0])]
    assert ["not_listed"] == [reason for _, reason, *_ in answers[2]]


@pytest.mark.timeout(180)
def test_every_command_runs(exchange: StandIn, database: Path, tmp_path: Path) -> None:
    """Each line of the sh blocks is a target of the Makefile, or ends with status 0 against the stand-in."""
    environment = os.environ | {
        "KLINES_SPOT_URL": exchange.url,
        "KLINES_ARCHIVE_URL": exchange.url,
        "KLINES_SINCE": "2026-01-01",
        "KLINES_DATABASE": str(database),
        "PREFECT_HOME": str(tmp_path / "prefect"),
    }
    for line in "".join(blocks("sh")).splitlines():
        command = shlex.split(line)
        if command[0] == "make":
            command = ["make", "--dry-run", *command[1:]]
        else:
            assert command[0] == ".venv/bin/python"
            command[0] = sys.executable
        done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=150)
        assert done.returncode == 0, done.stderr
    counts = query(
        database,
        """SELECT symbol, count(*) FILTER (source = 'monthly'), count(*) FILTER (source = 'rest') >= 180
           FROM klines GROUP BY symbol ORDER BY symbol""",
    )
    assert [("BTCUSDT", 86_400, True), ("ETHUSDT", 86_400, True)] == counts


def test_every_table_and_state_and_setting_is_named(exchange: StandIn, database: Path) -> None:
    """The README's tables name the database's tables, the states of a run, and settings that exist."""
    collect_once(exchange, database, ["BTCUSDT"])
    tables = {name for (name,) in query(database, "SELECT table_name FROM duckdb_tables()")}
    named = set(re.findall(r"^\| `?(\w+)`? \|", README, re.MULTILINE))

    assert {"klines", "gaps", "rejects", "restatements", "archive_files", "audits", "bans"} <= named & tables
    assert {"Completed", "Degraded", "Failed", *STATES.values()} <= named
    settings = {name.removeprefix("KLINES_").lower() for name in named if name.startswith("KLINES_")}
    assert settings <= set(Settings.model_fields)
