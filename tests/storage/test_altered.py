"""Rows that somebody has altered by hand: named before anything is done by them, and all else stays as it is."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import duckdb
import pytest

import klines
from klines.cli import exit_status
from klines.errors import BadDatabase
from klines.storage.database import opened
from klines.tables.sound import FEW, MANY, check_rows
from tests.drive import NOON, audit_once, backfill_once, collect_once, maintain_once, query, stored
from tests.exchange import StandIn

TIMES = (
    "'infinity'",
    "'-infinity'",
    "'290000-01-01'",
    "'9999-12-31 23:59:59.999'",
    "'1969-12-31'",
    "'9000-01-01 (BC)'",
)
NAMES = ("''", "'x y'", "'a' || chr(10) || 'b'", "'<img>'", "repeat('x', 5000)")
FILLING = (
    """
    INSERT INTO gaps VALUES ('spot', 'BTCUSDT', '1m', t, epoch_ms(1767358800000), 'due', t, t, 0, t, 'klines');
    INSERT INTO symbols (market, symbol, listed_at, quarantined_until, first_seen, unseen_at, delisted_at, last_checked,
                         ended_at, relisted_at) VALUES ('spot', 'BTCUSDT', t, t, t, t, t, t, t, t);
    INSERT INTO rules (market, symbol, unseen_at, first_seen, status, onboard_at, delivery_at)
    VALUES ('spot', 'BTCUSDT', t, t, 'TRADING', t, t);
    INSERT INTO bans VALUES ('spot', t, 'm', 'RateLimited', t, '');
    INSERT INTO incidents VALUES ('spot', 'Degraded', ['1m'], ['BTCUSDT'], t, t, 3, true, 'm');
    INSERT INTO alarms VALUES ('spot', 'stale', t, 'm', t, false, 'h', 1, t, 'e', t);
    INSERT INTO audits (market, symbol, interval, since, until, audited_at) VALUES ('spot', 'BTCUSDT', '1m', t, t, t);
    INSERT INTO wanted VALUES ('spot', 'klines', 'BTCUSDT', '1m', t, epoch_ms(1767358800000), 'person', t);
    INSERT INTO schedules VALUES ('spot', 'klines', '1m', '', 60, t, t, t, 'every-minute');
    INSERT INTO clustered VALUES (t, 3, t);
    INSERT INTO counted (until) VALUES (t);
    INSERT INTO hours_to_make VALUES ('spot', 'klines', 'BTCUSDT', '2026-01-01');
    INSERT INTO hours VALUES ('spot', 'klines', 'BTCUSDT', t, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, t);
    INSERT INTO daily_counts VALUES ('spot', 'klines', 'BTCUSDT', '1m', '2026-01-01', 1, t, t);
    INSERT INTO doubtful VALUES ('spot', 'BTCUSDT', '1m', t, 'klines');
    INSERT INTO funding VALUES ('usdm', 'BTCUSDT', t, 0.0001, 1, 8, 'rest', t);
    INSERT INTO archive_files VALUES ('data/x.zip', 'ab', 1, t, t);
    INSERT INTO rejects VALUES ('spot', 'BTCUSDT', '1m', t, 'rest', 'r', '[]', t, t, 1, 'klines');
    INSERT INTO restatements VALUES ('spot', 'BTCUSDT', '1m', t, '{}', '{}', 'rest', t, 'klines');
    INSERT INTO klines VALUES ('spot', 'BTCUSDT', '1m', t, 1, 1, 1, 1, 1, t, 1, 1, 1, 1, 'rest', t, 'klines');
    INSERT INTO ends VALUES ('spot', 'BTCUSDT', '1m', t,
                             ['1', '1', '1', '1', '1', '2026-01-01', '1', '1', '1', '1', 'rest', '2026-01-01'], t,
                             'klines');
""".replace(" t,", f" epoch_ms({NOON}),")
    .replace(" t)", f" epoch_ms({NOON}))")
    .replace("(t)", f"(epoch_ms({NOON}))")
    .replace("(t,", f"(epoch_ms({NOON}),")
)
"""A row in each table."""


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with a row in each table."""
    path = tmp_path_factory.mktemp("filled") / "klines.duckdb"
    with opened(path, time.monotonic() + 60) as connection:
        connection.execute(FILLING)
    return path


@pytest.mark.slow
def test_no_value_of_any_column_is_taken_on_trust(filled: Path, database: Path) -> None:
    """What is no time, market, interval, symbol or reason, and an end before its beginning, is named with its table;
    nothing is wrong with what runs write."""
    shutil.copy(filled, database)
    with duckdb.connect(str(database)) as connection:
        for sound in (FEW, MANY):
            check_rows(connection, database, sound)
            columns = connection.execute(
                "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE list_contains(?, table_name)",
                [list(sound)],
            ).fetchall()
            for table, column, kind in columns:
                for value in {"TIMESTAMP": TIMES, "VARCHAR[]": ["[NULL]"], "VARCHAR": NAMES}.get(kind, ()):
                    is_read = kind != "VARCHAR" or column in ("market", "kind", "interval", "reason", "symbol")
                    if not is_read or (table, column) in FREE:
                        continue
                    connection.begin()
                    connection.execute(f"UPDATE {table} SET {column} = {value}")
                    with pytest.raises(BadDatabase, match=f"a row in its table {table} that klines does not write"):
                        check_rows(connection, database, {table: sound[table]})
                    connection.rollback()
        connection.execute("UPDATE gaps SET start_time = end_time")
        with pytest.raises(BadDatabase, match="correct or delete that row by hand, or restore a backup"):
            check_rows(connection, database)


FREE = {("incidents", "kind"), ("symbols", "symbol"), ("rules", "symbol"), ("rejects", "symbol"),
        ("rejects", "interval"), ("rejects", "reason"), ("restatements", "symbol"),
        ("restatements", "interval")}  # fmt: skip
"""Columns that nothing goes by but as text."""


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE gaps SET end_time = 'infinity'",
        "INSERT INTO bans VALUES ('spot', 'infinity', 'm', 'RateLimited', now()::TIMESTAMP, '')",
        "INSERT INTO incidents VALUES ('spot', 'stale', [NULL], [NULL], now()::TIMESTAMP, NULL, 1, true, 'm')",
    ],
)
def test_every_run_says_so_in_one_line_and_leaves_all_as_it_was(
    exchange: StandIn, database: Path, change: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Collect, backfill, audit, maintain and commands name table, row and what to do; readers read what is there. With
    the row put right everything goes on."""
    monkeypatch.setenv("KLINES_DATABASE", str(database))
    collect_once(exchange, database, ["BTCUSDT"])
    query(database, FILLING.splitlines()[1])
    before, gaps = stored(database, "BTCUSDT"), query(database, "FROM gaps")
    query(database, change)

    outcomes = [
        collect_once(exchange, database, ["BTCUSDT"]),
        backfill_once(exchange, database, ["BTCUSDT"], "2026-01-01", "2026-01-02"),
        maintain_once(database),
    ]
    with pytest.raises(BadDatabase, match="that klines does not write"):
        audit_once(exchange, database)
    for outcome in outcomes:
        assert "Failed" == outcome.state
        assert "that klines does not write: {'" in outcome.message
        assert "\n" not in outcome.message
    assert 1 == exit_status(["unban"])
    capsys.readouterr()
    assert 0 == exit_status(["status"]) or 1 == len(capsys.readouterr().err.splitlines())
    assert 30 == len(klines.read("BTCUSDT", database=database))
    assert before == stored(database, "BTCUSDT")

    with duckdb.connect(str(database)) as connection:
        connection.execute("DELETE FROM gaps; DELETE FROM bans; DELETE FROM incidents")
        connection.executemany("INSERT INTO gaps VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", gaps)
    assert "Completed" == collect_once(exchange, database, ["BTCUSDT"]).state


def test_klines_of_a_market_that_is_none(exchange: StandIn, database: Path) -> None:
    """An audit, which looks at everything that is stored, names a kline that is of no series."""
    collect_once(exchange, database, ["BTCUSDT"])
    for column in ("market", "interval"):
        query(database, f"UPDATE klines SET {column} = 'x{column}'")
        with pytest.raises(BadDatabase, match="a row in its table klines that klines does not write"):
            audit_once(exchange, database)
