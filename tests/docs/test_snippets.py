"""The documentation's Python runs in any folder, and its SQL answers what is printed."""

from __future__ import annotations

import os
import shutil
import sys
from datetime import timedelta
from importlib.machinery import PathFinder
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

import klines
from tests.children import child
from tests.docs.pages import Block, blocks
from tests.drive import audit_once, collect_once, ms, query
from tests.exchange import StandIn

SYMBOLS = ["BTCUSDT", "ETHUSDT", "SOLUSDT"]


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of a day, thirteen hours of it collected and audited; one symbol was listed within the first."""
    database = tmp_path_factory.mktemp("collected") / "klines.duckdb"
    with StandIn(any_symbol=True) as exchange:
        exchange.freeze(ms("2026-11-24T12:00:05"))
        exchange.list("SOLUSDT", since_ms=exchange.now_ms() - 12 * 3_600_000)
        collect_once(exchange, database, SYMBOLS, lookback=timedelta(hours=13))
        audit_once(exchange, database)
    return database


@pytest.fixture
def filled(collected: Path, database: Path) -> Path:
    """A copy of it."""
    shutil.copy(collected, database)
    return database


def columns(printed: str) -> list[str]:
    """The names of the columns in a table as DuckDB draws it."""
    return [cell.strip() for cell in printed.splitlines()[1].strip("│").split("│")]


def test_every_query_answers(filled: Path) -> None:
    """Each sql block runs by `klines.connect()`; the answer has the printed columns, types and number of rows."""
    with klines.connect(database=filled) as connection:
        for block in blocks("sql"):
            answer = connection.sql(block.code)
            if block.printed:
                assert answer.columns == columns(block.printed), block.code
                assert str(answer).splitlines()[2].split() == block.printed.splitlines()[2].split()
                assert len(answer.fetchall()) == len(block.printed.splitlines()) - 5, block.code
            else:
                answer.fetchall()


def typed(pipe: Connection, code: str, folder: Path, database: Path) -> None:
    """The work of a process: run the code by itself; says what was written to standard error."""
    os.chdir(folder)
    os.environ["KLINES_DATABASE"] = str(database)
    sys.meta_path.append(PathFinder)  # who reads a page that hands klines to pandas has it: see tests/as_users
    with open("error", "w+") as error:
        os.dup2(error.fileno(), 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        exec(code, {"__name__": "__main__"})
        sys.stderr.flush()
        pipe.send(Path("error").read_text())


@pytest.mark.parametrize("block", blocks("python"), ids=lambda block: block.code.splitlines()[-1])
def test_every_recipe_works(filled: Path, tmp_path: Path, block: Block) -> None:
    """Each python block runs by itself from another folder, without a warning, and what it writes can be read again."""
    for package in ("pandas", "numpy"):
        if package in block.code:
            pytest.importorskip(package)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with child(typed, block.code, elsewhere, filled) as python:
        assert ([""], 0) == (python.rest(), python.exit_code())
    expected = query(filled, "SELECT symbol, open_time, close FROM klines ORDER BY ALL")
    if "scan_parquet" in block.code:
        sql = f"SELECT symbol, open_time, close::DOUBLE FROM '{elsewhere}/exported/**/*.parquet' ORDER BY ALL"
        assert [row for row in expected if row[0] != "SOLUSDT"] == query(filled, sql)
    if "shutil" in block.code:
        assert expected == query(
            elsewhere / "backup.duckdb", "SELECT symbol, open_time, close FROM klines ORDER BY ALL"
        )
