"""A month that closes after the others is put in order within the file: what lies in order keeps its place."""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from klines.maintain.between import Between
from klines.maintain.file_upkeep import FileMaintenance
from klines.maintain.slices import COMPLETE, LARGEST_CHUNKS, MOST_SERIES, PACKED, best, enough, most_chunks
from klines.maintain.survey import CHUNK
from klines.storage.database import opened
from klines.storage.turn import Patience
from klines.tables.schedules import Collected
from tests.children import killed_after, lasts_s
from tests.drive import MINUTE, NOON, maintain_once, ms, query
from tests.maintain.test_run import left_beside, maintaining

pytestmark = pytest.mark.slow

SYMBOLS = 8
FILLING = """
    INSERT INTO klines
    SELECT 'spot', 'S' || n || 'USDT', '1m', epoch_ms(t), 1 + random(), 3, 0.5, 1, n, epoch_ms(t + 59999), 1, 5, 1, 1,
           'rest', epoch_ms(t + 60000), 'klines'
    FROM range({symbols}) symbols(n), range({start}::BIGINT, {end}::BIGINT, {minute}) times(t)
    WHERE t // {minute} % (40 + 8 * n) > 0 -- so that there are more of some symbols than of others
    ORDER BY {order}
"""
OLD, NEW = ms("2025-10-01"), ms("2025-12-06")
FIRST_MOVED, MOVED = 3 * CHUNK, 2 * CHUNK
"""Klines of the row groups that minutes have filled, and that have none of the open month."""


def fill(path: Path) -> None:
    """October lies in order; December and the open month's first day and a half as minutes wrote them."""
    with opened(path, time.monotonic() + 60) as connection:
        for start, end, order in ((OLD, ms("2025-11-01"), "n, t"), (NEW, NOON, "t, n")):
            connection.execute(FILLING.format(symbols=SYMBOLS, start=start, end=end, minute=MINUTE, order=order))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Such a database."""
    path = tmp_path_factory.mktemp("template") / "klines.duckdb"
    fill(path)
    return path


@pytest.fixture
def filled(template: Path, database: Path) -> Path:
    """A copy of it."""
    shutil.copy(template, database)
    return database


def places(path: Path, month: int) -> list[tuple[Any, ...]]:
    """Where each kline of a month lies."""
    return query(path, f"SELECT rowid, symbol, open_time FROM klines WHERE month(open_time) = {month} ORDER BY rowid")


def content(path: Path, columns: str = "*") -> list[tuple[Any, ...]]:
    """How many klines there are, and what the hashes of all their values add up to, whatever their order."""
    return query(path, f"SELECT count(*), sum(hash(k)) FROM (SELECT {columns} FROM klines) k")


def runs(path: Path) -> int:
    """How often a kline of December follows upon one of another symbol."""
    sql = "SELECT symbol <> lag(symbol) OVER (ORDER BY rowid) AS differs FROM klines WHERE month(open_time) = 12"
    [(found,)] = query(path, f"SELECT count(*) FROM ({sql}) WHERE differs")
    return int(found)


def split_packs(before: Path, path: Path) -> int:
    """Of the klines that were moved to the end, how many packs have several symbols', before those that are left over
    when each symbol has its whole packs."""
    moved = f"FROM klines WHERE rowid BETWEEN {FIRST_MOVED} AND {FIRST_MOVED + MOVED - 1} GROUP BY symbol"
    [(whole,)] = query(before, f"SELECT sum(n // {PACKED}) FROM (SELECT count(*) AS n {moved})")
    sql = f"""
        WITH places AS (SELECT symbol, {MOVED} - row_number() OVER (ORDER BY rowid DESC) AS place FROM klines)
        SELECT count(*) FROM (SELECT 1 FROM places WHERE place BETWEEN 0 AND {whole} * {PACKED} - 1
                              GROUP BY place // {PACKED} HAVING count(DISTINCT symbol) > 1)
    """
    [(found,)] = query(path, sql)
    return int(found)


def test_a_month_is_put_in_order_within_the_file(template: Path, filled: Path) -> None:
    """What minutes filled lies by symbol then, each in whole packs, October where it lay, and all values are what they
    were, those changed meanwhile, too. A second run does nothing."""
    changed = f"open_time = epoch_ms({NEW + 9 * MINUTE}::BIGINT)"
    with FileMaintenance(filled, NOON) as run:
        run.survey()
        said = run.plan().does
        assert said.startswith(f"planned to put {MOVED:,} klines of 2025-12 in order within the file; proves ")
        assert ["2025-12"] == run.begin()
        run.prove()
        query(filled, f"UPDATE klines SET close = 2 WHERE {changed}")
        run.cluster("2025-12")
        assert 0 == run.left
        run.swap()
        message = run.outcome().message
    assert message.startswith(f"put {MOVED:,} klines of 2025-12 in order within the file; ")
    assert content(template, f"* REPLACE (if({changed}, 2, close) AS close)") == content(filled)
    assert places(template, 10) == places(filled, 10)
    assert SYMBOLS * 4 + runs_left() > runs(filled)
    assert 0 == split_packs(template, filled)
    again = filled.stat()
    assert maintain_once(filled).message.startswith("nothing to do: every closed month is clustered")
    assert (again.st_ino, again.st_size) == (filled.stat().st_ino, filled.stat().st_size)


def runs_left() -> int:
    """How many klines of December are left as they lay, in row groups with others."""
    return SYMBOLS * (ms("2026-01-01") - NEW) // MINUTE - MOVED


@pytest.mark.parametrize(
    "change",
    [
        "CREATE INDEX theirs ON klines (trades)",
        "UPDATE klines SET symbol = symbol || minute(open_time) || hour(open_time) % 6 WHERE month(open_time) = 12",
    ],
    ids=["an index", "2,880 series"],
)
def test_where_it_would_save_no_room_all_is_copied(filled: Path, change: str) -> None:
    """DuckDB keeps the place of rows that are deleted from a table with an index, and packs few klines of each of many
    series no better than minutes: then nothing is moved within the file."""
    query(filled, change)
    with FileMaintenance(filled, NOON) as run:
        run.survey()
        assert "planned to copy " in run.plan().does


@pytest.mark.parametrize(("series", "packs"), [(1, 4), (50, 4), (600, 2), (1_234, 1), (2_100, 1), (MOST_SERIES, 1)])
def test_a_slice_has_packs_of_each_series(series: int, packs: int) -> None:
    """However many series there are, a slice has room for whole packs of each, a few klines short or not, and no more
    chunks than can be sorted in memory; of as many chunks, that number is taken that leaves the fewest klines over."""
    chunks = best(series, enough(series), most_chunks(series))
    assert series * packs * PACKED <= chunks * CHUNK * COMPLETE
    assert LARGEST_CHUNKS >= chunks
    assert 6 == best(50, 2, 8)


def test_a_long_turn_begins_after_the_minute(database: Path) -> None:
    """Where the file will be held for longer than it is until the next minute is due, that is waited for; a schedule
    without times, as a cron's, is not."""
    due_ms = int(time.time() * 1000) + 700
    between = Between(Patience(database))
    minutes = Collected("spot", "klines", "1m", "", 60, due_ms, 0, "every-minute")
    between.schedules = [minutes, Collected("spot", "klines", "1h", "", None, None, 0, "hourly")]
    between.wait(30)
    assert time.time() * 1000 >= due_ms


def test_killed_while_it_moves(template: Path, filled: Path, full: bool) -> None:
    """After a kill -9 at any moment every kline is there once, with its values; the next run goes on."""
    moments, kills = random.Random(7), 8 if full else 3
    whole_s = lasts_s(maintaining, filled)
    for _ in range(kills):
        shutil.copy(template, filled)
        killed_after(moments.uniform(0, whole_s), maintaining, filled)
        assert content(template) == content(filled)
        assert "Completed" == maintain_once(filled).state
        assert content(template) == content(filled)
    assert [] == left_beside(filled)
