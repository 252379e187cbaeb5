"""Maintenance: everything is there afterwards, in order, whoever writes meanwhile and whatever ends it early."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from decimal import Decimal
from itertools import count, pairwise
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import duckdb
import pytest

from klines.errors import BadDatabase, NoRoom
from klines.interval import DAY, INTERVALS
from klines.maintain.file_upkeep import FileMaintenance
from klines.maintain.survey import CHUNK, months, slot_windows
from klines.market import MARKETS
from klines.rows import Row
from klines.storage.database import opened
from klines.storage.places import note_of
from klines.storage.store import store
from klines.want import Want
from klines.window import Window
from tests.children import Child, child, killed_after, lasts_s
from tests.drive import MINUTE, NOON, maintain_once, ms, query
from tests.storage.test_snapshot import writing_and_dying

ONE = Decimal(1)

pytestmark = pytest.mark.slow

START = ms("2025-11-29")
"""What is stored begins two days before the end of a month, and ends with the open one's first day and a half; of
minutes there are the first day, and the last three and a half."""
SYMBOLS = 2
FILLING = """
    INSERT INTO klines
    SELECT market, 'S' || n || 'USDT', interval, epoch_ms(t), 1 + random(), 3, 0.5, 1 + random(), random() * 100,
           epoch_ms(t + length - 1), random() * 1000, 5, random(), random(), 'rest', epoch_ms(t + length), 'klines'
    FROM (VALUES ('spot', '1m', 60000), ('usdm', '1h', 3600000), ('spot', '3d', 259200000), ('spot', '1w', 604800000))
         series(market, interval, length), range({symbols}) symbols(n),
         range({start}::BIGINT, {end}::BIGINT, length::BIGINT) times(t)
    WHERE length > 60000 OR t < {start} + 86400000 OR t >= {end} - 302400000
    ORDER BY t, n, market, interval;
    INSERT INTO gaps SELECT 'spot', 'S' || n || 'USDT', '1m', epoch_ms(0), epoch_ms(60000), 'not_listed', epoch_ms(0),
                            NULL, 1, NULL, 'klines' FROM range(5) symbols(n);
    INSERT INTO audits SELECT 'spot', 'S' || n || 'USDT', '1m', epoch_ms({start}::BIGINT), epoch_ms({end}::BIGINT),
                              epoch_ms({end}::BIGINT), 'klines', NULL, NULL, NULL FROM range(3) symbols(n);
    INSERT INTO restatements SELECT 'spot', 'S1USDT', '1m', epoch_ms({start}::BIGINT + n * 60000), 'old', 'new', 'rest',
                                    epoch_ms(n), 'klines' FROM range(7) notes(n);
    INSERT INTO archive_files SELECT 'data/' || n, 'sum', n, epoch_ms(n), NULL FROM range(9) files(n);
    INSERT INTO symbols (market, symbol) SELECT 'spot', 'S' || n || 'USDT' FROM range(4) symbols(n);
    CREATE TABLE theirs AS SELECT 42 AS answer; -- whatever else a user keeps in the file
"""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database as the minutes have written it: ordered by time."""
    path = tmp_path_factory.mktemp("template") / "klines.duckdb"
    fill(path, SYMBOLS, NOON)
    return path


@pytest.fixture
def filled(template: Path, database: Path) -> Path:
    """A copy of the template."""
    shutil.copy(template, database)
    return database


@pytest.fixture(scope="module")
def done(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the template, maintained."""
    path = Path(shutil.copy(template, tmp_path_factory.mktemp("done") / "klines.duckdb"))
    maintain_once(path)
    return path


@pytest.fixture
def maintained(done: Path, database: Path) -> Path:
    """A copy of that."""
    shutil.copy(done, database)
    return database


def fill(path: Path, symbols: int, end_ms: int) -> None:
    """Klines of four series and so many symbols, up to a time, and something in the other tables."""
    with opened(path, time.monotonic() + 60) as connection:
        connection.execute(FILLING.format(symbols=symbols, start=START, end=end_ms))


def differing(before: Path, after: Path) -> dict[str, int]:
    """Per table how many rows are in one file and not in the other; but for counts of days and hours, whose tests have
    these."""
    with duckdb.connect() as both:
        both.execute(f"ATTACH '{before}' AS a (READ_ONLY); ATTACH '{after}' AS b (READ_ONLY)")
        tables = both.execute(
            """SELECT table_name FROM duckdb_tables() WHERE database_name = 'a'
               AND table_name NOT IN ('counted', 'daily_counts', 'hours', 'hours_to_make')"""
        ).fetchall()
        found = {}
        for (table,) in tables:
            sides = f"(FROM a.{table} EXCEPT ALL FROM b.{table}) UNION ALL (FROM b.{table} EXCEPT ALL FROM a.{table})"
            [(found[table],)] = both.execute(f"SELECT count(*) FROM ({sides})").fetchall()
    return {table: rows for table, rows in found.items() if rows}


def out_of_order(path: Path) -> list[tuple[Any, ...]]:
    """The months in which a row lies before one that should come first."""
    return query(
        path,
        """
        SELECT DISTINCT month FROM (
            SELECT month, key < lag(key) OVER (PARTITION BY month ORDER BY row) AS is_late FROM (
                SELECT (market, interval, symbol, open_time) AS key, strftime(open_time, '%Y-%m') AS month, rowid AS row
                FROM klines))
        WHERE is_late ORDER BY month
        """,
    )


def left_beside(path: Path) -> list[str]:
    """What lies in the database's folder but itself, and the note that it was made there."""
    return sorted(entry.name for entry in path.parent.iterdir() if entry not in (path, note_of(path)))


def test_closed_months_are_in_order_and_nothing_is_different(template: Path, filled: Path) -> None:
    """Every value of every row of every table is what it was, of views and macros too; its months lie by market,
    interval, symbol and time; beside the file nothing is left."""
    outcome = maintain_once(filled)
    assert "Completed" == outcome.state
    assert "re-clustered 2 months of 2025-11 to 2025-12; 14,650 klines in " in outcome.message
    assert {"clustered": 2, "ends": 8} == differing(template, filled)
    assert query(template, "FROM certificate ORDER BY symbol") == query(filled, "FROM certificate ORDER BY symbol")
    assert [] == out_of_order(filled)
    assert [("2025-11",), ("2025-12",), ("2026-01",)] == out_of_order(template)
    assert [] == left_beside(filled)


def test_a_second_run_copies_nothing(maintained: Path) -> None:
    """Where every closed month is in order, it says so, and the file stays the same one."""
    file = maintained.stat()
    outcome = maintain_once(maintained)
    assert ("Completed", True) == (outcome.state, outcome.message.startswith("nothing to do: every closed month"))
    assert file.st_ino == maintained.stat().st_ino
    assert file.st_size == maintained.stat().st_size


def test_a_month_with_new_klines_is_done_again(maintained: Path) -> None:
    """Minutes that come into a month that was in order put it out of order until the next run, which copies all."""
    before = maintained.with_name("before.duckdb")
    query(maintained, "INSERT INTO klines SELECT * REPLACE ('A' || symbol AS symbol) FROM klines"
                  " WHERE month(open_time) = 12 ORDER BY open_time, symbol")  # fmt: skip
    shutil.copy(maintained, before)
    assert "re-clustered 2025-12; " in maintain_once(maintained).message
    assert {"clustered", "ends"} == set(differing(before, maintained))
    assert [] == out_of_order(maintained)


def test_free_space_goes(maintained: Path) -> None:
    """A file that is mostly free blocks is compacted though all its months are in order."""
    before = maintained.stat().st_size
    query(maintained, "CREATE TABLE gone AS SELECT random() AS it FROM range(3_000_000)")
    query(maintained, "CREATE TABLE kept AS SELECT random() AS it FROM range(100_000)")  # a free end would be cut off
    query(maintained, "DROP TABLE gone")
    assert before + 17_000_000 < maintained.stat().st_size
    assert "compacted, every closed month was clustered" in maintain_once(maintained).message
    assert before + 2_000_000 > maintained.stat().st_size


def test_two_klines_in_a_slot_are_named_and_kept(template: Path, filled: Path) -> None:
    """Slots with two klines, in a closed month, the open one or from one month into the next, end each run as Degraded,
    by name; all rows are still there."""
    again(filled, "1m", "2025-12-31T23:59", "2025-12-31T23:59:01")
    again(filled, "1m", "2026-01-02T11:00", "2026-01-02T11:00")
    again(filled, "1w", "2025-12-27", "2025-12-29")
    again(filled, "1w", "2025-12-27", "2026-01-01")
    outcome = maintain_once(filled)
    assert "Degraded" == outcome.state
    assert outcome.message.startswith(
        "3 slots with more than one kline: spot S1USDT 1m 2025-12-31 23:59, spot S1USDT 1m 2026-01-02 11:00, "
        "spot S1USDT 1w 2025-12-29 00:00. None was deleted"
    )
    assert {"klines": 4, "ends": 8} == differing(template, filled)
    assert "Degraded" == maintain_once(filled).state  # no month was noted


def again(path: Path, interval: str, open_time: str, moved: str) -> None:
    """Store a kline of S1USDT once more, at another time."""
    where = f"symbol = 'S1USDT' AND interval = '{interval}' AND open_time = '{open_time}'"
    query(path, f"INSERT INTO klines SELECT * REPLACE (TIMESTAMP '{moved}' AS open_time) FROM klines WHERE {where}")


def test_only_old_rejects_go(filled: Path) -> None:
    """A reject that was not seen for over 90 days is forgotten; a younger one is kept."""
    for days in (91, 89):
        seen = f"epoch_ms({NOON - days * DAY}::BIGINT)"
        row = f"'spot', 'S1USDT', '1m', NULL, 'rest', 'why', '{days}', epoch_ms(0), {seen}, 2, 'klines'"
        query(filled, f"INSERT INTO rejects VALUES ({row})")
    assert "1 reject pruned" in maintain_once(filled).message
    assert [("89",)] == query(filled, "SELECT row FROM rejects")


def test_what_is_a_users_stays(filled: Path) -> None:
    """What a user has added to the file is in the new one too: views, macros, sequences, indexes, other schemas. One
    that is a symbolic link is replaced where it lies, with its access rights."""
    link = filled.with_name("link.duckdb")
    link.symlink_to(filled.name)
    filled.chmod(0o640)
    query(filled, "CREATE VIEW answers AS FROM theirs; CREATE MACRO twice(n) AS 2 * n; CREATE SEQUENCE numbers START 7")
    query(filled, "CREATE SCHEMA mine; CREATE TABLE mine.klines AS SELECT 5 AS n; CREATE INDEX i ON mine.klines (n)")
    assert "re-clustered" in maintain_once(link).message
    assert link.is_symlink()
    assert 0o640 == filled.stat().st_mode & 0o777
    assert [(42, 84, 7, 5)] == query(
        filled, "SELECT answer, twice(answer), nextval('numbers'), n FROM answers, mine.klines"
    )
    assert [("i",)] == query(filled, "SELECT index_name FROM duckdb_indexes()")


def test_an_empty_database(database: Path) -> None:
    """With nothing stored there is nothing to do."""
    assert "nothing to do" in maintain_once(database).message


def storing(pipe: Connection, path: Path) -> None:
    """In a child: store a new minute and change one of a closed month, again and again; it says how many there are."""
    for n in count():
        wants = []
        for open_ms in (NOON + n * MINUTE, ms("2025-12-30") + n * MINUTE):
            wants.append(Want("S1USDT", [Window(open_ms, open_ms + MINUTE)]))
            wants[-1].rows = [Row(open_ms, 2.0, 3.0, 0.5, 1.0, Decimal(n), open_ms + 59999, ONE, 1, ONE, ONE)]
        with opened(path, time.monotonic() + 60) as connection:
            store(connection, MARKETS["spot"], INTERVALS["1m"], wants, now_ms=NOON)
        pipe.send(n + 1)
        time.sleep(0.2)


def stores_more(writer: Child) -> int:
    """Wait until it has stored twice more, the second time from its beginning; how many there are."""
    writer.skip()
    writer.hear()
    return int(writer.hear())


def test_who_writes_meanwhile_loses_nothing(filled: Path) -> None:
    """Each minute that is stored while the copy is made is in the new file, and each value that changes. How long who
    writes waits is measured by benchmarks/maintain.py."""
    before = query(filled, "SELECT count(*) FROM klines")[0][0]
    with child(storing, filled) as writer, FileMaintenance(filled, NOON) as run:
        plan(run)
        for month in run.begin():
            stores_more(writer)
            run.cluster(month)
        stores_more(writer)
        run.swap()
        told = stores_more(writer)
        writer.kill()
        told = [told, *writer.rest()][-1]
    new = query(
        filled, f"SELECT volume FROM klines WHERE symbol = 'S1USDT' AND epoch_ms(open_time) >= {NOON} ORDER BY 1"
    )
    changed = query(filled, "SELECT volume FROM klines WHERE symbol = 'S1USDT' AND interval = '1m' AND close = 1.0"
                            f" AND epoch_ms(open_time) < {NOON} ORDER BY 1")  # fmt: skip
    assert new == changed
    assert [(float(n),) for n in range(len(new))] == new
    assert len(new) in (told, told + 1)  # the kill may come between the commit and the word
    assert [(before + len(new), 7 + len(new))] == query(
        filled, "SELECT count(*), (SELECT count(*) FROM restatements) FROM klines"
    )


def test_what_a_killed_writer_left_is_taken_along(filled: Path) -> None:
    """A log that a killed writer has left beside the old file is folded in before that is replaced, and gone."""
    with FileMaintenance(filled, NOON) as run:
        plan(run)
        for month in run.begin():
            run.cluster(month)
        with child(writing_and_dying, filled, "INSERT INTO theirs VALUES (43)") as writer:
            assert 1 == writer.exit_code()
        assert "klines.duckdb.wal" in left_beside(filled)
        run.swap()
    assert [] == left_beside(filled)
    assert [(42,), (43,)] == query(filled, "FROM theirs ORDER BY 1")


def plan(run: FileMaintenance) -> None:
    """All that comes before the copy is begun."""
    run.survey()
    run.prune()
    run.prove()


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM klines WHERE symbol = 'S1USDT' AND open_time = '2026-01-02T11:59'",
        "DELETE FROM restatements",
        "ALTER TABLE klines ADD COLUMN note VARCHAR",
    ],
)
def test_what_nobody_foresaw_leaves_the_file_as_it_is(filled: Path, change: str) -> None:
    """Rows that somebody deletes meanwhile, or another schema: the run fails and says what to do."""
    with FileMaintenance(filled, NOON) as run:
        plan(run)
        for month in run.begin():
            run.cluster(month)
        query(filled, change)
        file = filled.stat().st_ino
        with pytest.raises(BadDatabase, match="meanwhile; the database is as it was; run maintain again"):
            run.swap()
    assert file == filled.stat().st_ino
    assert [] == left_beside(filled)


def test_the_old_file_is_no_trap(filled: Path) -> None:
    """Who opened the old file before it was replaced, and locks it only now, finds no database; one with another name
    stays one."""
    file = os.open(filled, os.O_RDONLY)
    maintain_once(filled)
    assert b"GONE" == os.pread(file, 4, 8)
    os.close(file)
    query(filled, "CREATE TABLE again AS FROM klines ORDER BY open_time, symbol; DELETE FROM klines;"
                  " INSERT INTO klines FROM again; DROP TABLE again; DELETE FROM clustered")  # fmt: skip
    os.link(filled, filled.with_name("kept.duckdb"))
    assert "re-clustered" in maintain_once(filled).message
    assert [(2,)] == query(filled, "SELECT count(*) FROM clustered")
    assert [(0,)] == query(filled.with_name("kept.duckdb"), "SELECT count(*) FROM clustered")


def test_one_at_a_time(filled: Path) -> None:
    """A second one ends as DatabaseBusy, and leaves what the first is building."""
    with FileMaintenance(filled, NOON) as run:
        plan(run)
        months = run.begin()
        assert ("DatabaseBusy", True) == (maintain_once(filled).state, bool(left_beside(filled)))
        for month in months:
            run.cluster(month)
        run.swap()
    assert [] == left_beside(filled)


def maintaining(pipe: Connection, path: Path) -> None:
    """In a child: one maintenance, which says when it begins to copy."""
    with FileMaintenance(path, NOON) as run:
        plan(run)
        for month in run.begin():
            pipe.send(str(month))
            run.cluster(month)
        run.swap()


def test_killed_at_any_moment(template: Path, filled: Path, full: bool) -> None:
    """After a kill -9 at any moment the file opens and has everything; the next run removes what was half done, and
    completes."""
    moments, ended, kills = random.Random(10), 0, 10 if full else 5
    whole_s = lasts_s(maintaining, filled)
    for _ in range(kills):
        shutil.copy(template, filled)
        ended += killed_after(moments.uniform(0, whole_s), maintaining, filled)
        with opened(filled, time.monotonic() + 60):  # which mends what the kill has left of a checkpoint
            pass
        assert {"clustered", "ends"} >= set(differing(template, filled))
    assert ended < kills
    shutil.copy(template, filled)
    assert "re-clustered 2 months" in maintain_once(filled).message
    assert [] == left_beside(filled)


def test_ctrl_c_leaves_the_file_as_it_is(template: Path, filled: Path) -> None:
    """Interrupted while the new file is built, it ends at once; the file is as it was, nothing is left beside it."""
    with child(maintaining, filled) as run:
        run.hear()
        os.kill(run.pid, signal.SIGINT)
        *_, said = run.rest()
        assert "KeyboardInterrupt" in said or "Query interrupted" in said  # the latter is DuckDB's own word for it
    assert {} == differing(template, filled)
    assert [] == left_beside(filled)


def test_disk_full(small_disk: Path) -> None:
    """A disk without room for a copy is refused in a line; one that becomes full ends the run with that error. The file
    is as it was, and nothing is left beside it; with room again the next run completes."""
    subprocess.run(["mount", "-o", "remount,size=20m", str(small_disk)], check=True)
    path, ballast = small_disk / "klines.duckdb", small_disk / "ballast"
    fill(path, 2, NOON - 20 * DAY)
    shutil.copy(path, small_disk.parent / "before.duckdb")
    ballast.write_bytes(bytes(shutil.disk_usage(small_disk).free - 500_000))
    refused = maintain_once(path)
    assert ("Failed", True) == (refused.state, "nothing was done; make room first" in refused.message)
    ballast.unlink()
    with FileMaintenance(path, NOON) as run:
        plan(run)
        [first, *_] = run.begin()
        ballast.write_bytes(bytes(shutil.disk_usage(small_disk).free - 4096))
        with pytest.raises(NoRoom, match="is full"):
            run.cluster(first)
    ballast.unlink()
    assert [] == left_beside(path)
    assert {} == differing(small_disk.parent / "before.duckdb", path)
    assert "Completed" == maintain_once(path).state


def test_the_parts_of_a_month_hold_all_its_rows() -> None:
    """Whatever chunks a month is in, its parts cover each once, and end where what was surveyed ends."""
    [month] = months((670, chunk, "1m", 40_000 + chunk, 0, 0) for chunk in (0, 1, 2, 7, 40, 41, 99))
    end = 99 * CHUNK + 17
    parts = month.parts(end)
    assert (0, end) == (parts[0].first, parts[-1].end)
    for chunk in month.chunks:
        assert 1 == sum(part.first <= chunk * CHUNK < part.end for part in parts)
    assert all(before.end <= after.first for before, after in pairwise(parts))


def test_no_slot_is_in_two_windows() -> None:
    """The windows in which slots are proved unique cover all klines of a month, and each slot is in one of them."""
    first_ms, last_ms = ms("2026-01-03T05:07"), ms("2026-01-31T23:59:59")
    [month] = months([(672, 0, name, 2_900_000, first_ms, last_ms) for name in INTERVALS])
    for name in ("1s", "1m", "30m", "1h", "1d"):
        windows, interval = slot_windows([month], INTERVALS[name]), INTERVALS[name]
        assert windows[0].start_ms <= first_ms < last_ms < windows[-1].end_ms == month.window.end_ms
        assert all(before.end_ms == after.start_ms for before, after in pairwise(windows))
        assert all(window.start_ms == interval.floor(window.start_ms) for window in windows)
