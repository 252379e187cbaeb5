"""Maintenance of a lake: everything is there afterwards, a closed month in one file, in order."""

from __future__ import annotations

import contextlib
from pathlib import Path

import duckdb
import pytest

from klines.columns import COLUMNS, in_sql
from klines.interval import DAY
from klines.maintain.run import MaintainJob
from klines.settings import LakeAddress
from klines.storage.access import forget_lakes, place_of
from tests.children import child
from tests.drive import NOON, at, maintain_once, query
from tests.lakes import Lakes
from tests.storage.test_lake import minutes, put
from tests.storage.test_lake_faults import SYMBOLS, TWICE
from tests.storage.test_lake_outages import storing

pytestmark = pytest.mark.slow
FILES = "SELECT data_file FROM ducklake_list_files('lake', 'klines') ORDER BY 1"
ALL = "SELECT market, symbol, interval, open_time, close, source FROM klines ORDER BY ALL"
CLOSED = -3 * 1440
"""A minute of December 2025; NOON is in January."""
CLOSED_ROWS, ROWS = 5 * 1220, 5 * 1223
"""Klines of December, and all."""


@pytest.fixture
def filled(lake: LakeAddress) -> LakeAddress:
    """A day of a closed month, in a file and in the catalog, some of it restated; and three minutes of the open one."""
    put(lake, [minutes(f"S{n}USDT", CLOSED, 1200) for n in range(5)])
    put(lake, [minutes(f"S{n}USDT", CLOSED - 20, 20) for n in range(5)])
    put(lake, [minutes("S3USDT", CLOSED, 40, close=2.5)])
    put(lake, [minutes(f"S{n}USDT", 0, 3) for n in range(5)])
    return lake


def test_a_file_that_was_added_counts(lake: LakeAddress) -> None:
    """A month that a move has brought, as a file that was added, is counted and proved as any other. Its rows were
    not, as DuckLake notes another partition for such a file."""
    put(lake, [minutes("S1USDT", CLOSED, 1200)])
    assert "Completed" == maintain_once(lake).state
    [(file,)] = query(lake, FILES)
    added = Path(str(lake.data)) / "main/klines/market=spot/kind=klines/interval=1m/year=2025/month=11/added.parquet"
    added.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as connection:
        moved = f"SELECT {in_sql(COLUMNS)} FROM read_parquet('{file}')"
        earlier = f"SELECT * REPLACE (open_time - INTERVAL 31 DAY AS open_time) FROM ({moved})"
        connection.execute(f"COPY ({earlier}) TO '{added}' (FORMAT parquet)")
    query(lake, f"CALL ducklake_add_data_files('lake', 'klines', '{added}', hive_partitioning => true)")
    done = maintain_once(lake)
    assert done.message.startswith("re-clustered 2025-11; 2,400 klines in ")
    assert "; 1,200 slots proved unique, " in done.message


def test_files_are_packed(lake: LakeAddress) -> None:
    """Files that DuckLake writes are compressed by zstd: by its own default they take twice the room."""
    put(lake, [minutes(f"S{n}USDT", CLOSED, 1300) for n in range(5)])
    [(file,)] = query(lake, FILES)
    with duckdb.connect() as connection:
        found = connection.execute("SELECT DISTINCT compression FROM parquet_metadata(?)", [file]).fetchall()
    assert [("ZSTD",)] == found


def test_a_closed_month_is_one_file_in_order(filled: LakeAddress) -> None:
    """A plan counts what lies in files and in the catalog, and changes neither. Nothing is different for who reads; the
    closed month is one file, by symbol and time; a second run does nothing, and one after new klines of that month does
    it again."""
    before, there = query(filled, ALL), query(filled, FILES)
    with MaintainJob(place_of(filled)).begin(NOON) as run:
        run.survey()
        planned = run.plan()
    twice = 40  # that were changed: the catalog knows what became of the old ones when files are written anew
    expected = {"klines": ROWS + twice, "copied": CLOSED_ROWS + twice, "moved": 0}
    assert expected | {"months": 1, "months_to_order": 1, "rejects": 0, "without_hours": 0} == planned.counts
    assert there == query(filled, FILES)
    done = maintain_once(filled)
    assert "Completed" == done.state
    assert done.message.startswith(f"re-clustered 2025-12; {ROWS:,} klines in ")
    assert f"; {ROWS:,} slots proved unique, 0 rejects pruned; " in done.message
    assert before == query(filled, ALL)
    files = [path for (path,) in query(filled, FILES)]
    [closed] = [path for path in files if "year=2025/month=12" in path]
    with duckdb.connect() as connection:
        rows = connection.execute("SELECT symbol, open_time FROM read_parquet(?)", [closed]).fetchall()
    assert sorted(rows) == rows
    assert len(rows) == CLOSED_ROWS

    assert maintain_once(filled).message.startswith("nothing to do: every closed month is clustered")
    assert files == [path for (path,) in query(filled, FILES)]
    put(filled, [minutes("S1USDT", CLOSED + 1200, 1)])
    assert maintain_once(filled).message.startswith(f"re-clustered 2025-12; {ROWS + 1:,} klines in ")


def test_two_klines_in_a_slot_are_named(filled: LakeAddress) -> None:
    """What should be impossible is found, and not deleted."""
    one = f"symbol = 'S2USDT' AND open_time = epoch_ms({at(CLOSED)}::BIGINT)"
    query(filled, f"INSERT INTO klines FROM klines WHERE {one}")
    found = maintain_once(filled)
    assert "Degraded" == found.state
    assert found.message.startswith("1 slot with more than one kline: spot S2USDT 1m 2025-12-30 12:00.")
    assert [(1,)] == query(filled, TWICE)


def test_what_is_old_goes(filled: LakeAddress, lakes: Lakes) -> None:
    """Rejects of over 90 days ago, versions of over a week ago, and files that nobody has needed for a day."""
    for age_ms in (91 * DAY, 89 * DAY):
        row = f"'spot', 'BTCUSDT', '1m', NULL, 'rest', 'why', '[]', epoch_ms(0), epoch_ms({NOON - age_ms}::BIGINT), 1"
        query(filled, f"INSERT INTO rejects VALUES ({row}, 'klines')")
    assert "1 reject pruned" in maintain_once(filled).message
    scheduled = lakes.postgres.ask(filled.name, "SELECT path FROM ducklake_files_scheduled_for_deletion")
    old = [Path(lakes.data, path) for (path,) in scheduled]
    assert old
    assert all(path.exists() for path in old)
    for table, column in (
        ("ducklake_snapshot", "snapshot_time"),
        ("ducklake_files_scheduled_for_deletion", "schedule_start"),
    ):
        lakes.postgres.ask(filled.name, f"UPDATE {table} SET {column} = {column} - interval '8 days'")
    forget_lakes()
    before = query(filled, ALL)
    maintain_once(filled)
    assert [] == [path for path in old if path.exists()]
    assert before == query(filled, ALL)


def test_beside_a_writer(filled: LakeAddress) -> None:
    """Who writes during maintenance waits for seconds, and loses nothing."""
    with child(storing, filled, SYMBOLS, 10_000) as writer:
        said = [writer.hear()]
        for _ in range(2):
            assert "Completed" == maintain_once(filled, NOON + 40 * DAY).state
        with contextlib.suppress(BrokenPipeError):
            writer.tell("enough")
        said += writer.rest()
    assert [] == [text for text in said if not isinstance(text, int)]
    assert [(0,)] == query(filled, TWICE)
    where = f"symbol = 'S5USDT' AND open_time >= epoch_ms({at(0)}::BIGINT)"
    assert [(len(said),)] == query(filled, f"SELECT count(*) FROM klines WHERE {where}")
