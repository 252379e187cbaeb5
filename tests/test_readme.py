"""The README is true: its commands run, its queries answer, its tables name what exists."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from klines.outcome import STATES
from klines.settings import Settings
from tests import CHECKOUT
from tests.drive import collect_once, ms, query
from tests.exchange import StandIn

README = (CHECKOUT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    """The code blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_every_query_answers(exchange: StandIn, database: Path) -> None:
    """Each sql block runs on a database that a run has filled, and the first one has the answer's columns."""
    exchange.list("ETHUSDT", since_ms=exchange.now_ms() - 600_000)
    collect_once(exchange, database, ["BTCUSDT", "ETHUSDT"], lookback=timedelta(hours=3))
    answers = [query(database, sql) for sql in blocks("sql")]

    assert [3, 0, 3, 2, 3, 3, 2, 1] == [len(answer) for answer in answers]
    assert 4 == len(answers[0][0])
    assert ["not_listed"] == [reason for _, reason, *_ in answers[-1]]


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_every_recipe_works(exchange: StandIn, database: Path, tmp_path: Path, number: int) -> None:
    """Each python block runs from another folder on a day that is collected, and what it writes can be read again."""
    recipe = blocks("python")[number]
    if "to_pandas" in recipe:
        pytest.importorskip("pandas")
    exchange.freeze(ms("2026-11-24T12:00:05"))
    collect_once(exchange, database, ["BTCUSDT", "ETHUSDT"], lookback=timedelta(hours=13))
    environment = os.environ | {"KLINES_DATABASE": str(database), "PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run([sys.executable, "-c", recipe], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert "" == done.stderr
    if "parquet" in recipe:
        expected = query(database, "SELECT symbol, open_time, close FROM klines ORDER BY ALL")
        sql = "SELECT symbol, open_time, close FROM 'parquet/*/*/*/*.parquet' ORDER BY ALL"
        assert expected == query(database, sql.replace("parquet/*", f"{tmp_path}/parquet/*"))
        assert 13 == pl.read_csv(tmp_path / "BTCUSDT-1h.csv").height
        feather = pl.read_ipc(tmp_path / "BTC_USDT-5m.feather")
        assert pl.Datetime("ms", "UTC") == feather.schema["date"]
        assert 13 * 12 == feather.height


@pytest.mark.timeout(600)
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
        done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=300)
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
