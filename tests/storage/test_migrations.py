"""Old files are brought up: every step once, in order, each all or nothing, and views follow their text."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import duckdb
import pytest

import klines
from klines.columns import COLUMNS
from klines.errors import BadDatabase, NotStored
from klines.rows import Row
from klines.storage.database import opened, read_only
from klines.storage.schema.migrations import READABLE, STEPS, VIEWS_SHA256
from klines.tables.bans import active_ban, holding, whose
from tests.drive import make_of_steps, query

FROZEN = (
    "c20ec0ff33fd",
    "edca40eeabc5",
    "51373ee94b7a",
    "ba170de2c415",
    "ebd0a3031d12",
    "547632095253",
    "2363424f172d",
    "2dd86975eefd",
    "c4171a0be05e",
    "8e12fca6a92f",
    "caf1cddc9324",
    "1c8dae360712",
    "d583d1529e14",
    "5e079355753b",
    "8a3baa51abd4",
    "78232e46a8e7",
    "e5bdaa630a7f",
    "c7e03d55fbc8",
    "314483e8f832",
    "c3af63be7f99",
)
"""The first digits of each step's SHA-256: a step that files have taken is never edited; what changes is a new step."""
A_KLINE = f"""INSERT INTO klines ({", ".join(name for name in COLUMNS if name != "kind")})
             VALUES ('spot', 'BTCUSDT', '1m', '2024-01-01', 1, 2, 1, 2, 3, '2024-01-01 00:00:59.999', 4, 5,
             6, 7, 'rest', '2024-01-02')"""


def make(database: Path, steps: int) -> None:
    """A file as the version with so many steps left it, with a view of the time that is another today."""
    views = "CREATE VIEW latest AS SELECT 'of old' AS symbol; CREATE MACRO slot_length(name) AS 1"
    make_of_steps(database, steps, f"{views}; {A_KLINE}")


def brought_up(database: Path) -> None:
    """Open it for writing."""
    with opened(database, time.monotonic() + 5):
        pass


def test_steps_are_frozen() -> None:
    """A step whose text is another than the one that files have taken is a fault; a new step is noted here."""
    assert FROZEN == tuple(hashlib.sha256(step.encode()).hexdigest()[:12] for step in STEPS)


@pytest.mark.parametrize("steps", range(1, len(STEPS)))
def test_a_file_of_any_version_is_brought_up(database: Path, steps: int) -> None:
    """Whatever step a file has come to, it takes the others, keeps its klines, and has the views of today."""
    make(database, steps)
    brought_up(database)

    assert [(len(STEPS), VIEWS_SHA256, True)] == query(database, "FROM schema_version")
    assert [("BTCUSDT", 60_000)] == query(database, "SELECT symbol, slot_length(interval) FROM latest")
    assert [(0,)] == query(database, "SELECT count(*) FROM certificate")
    assert [("klines", 3.0)] == query(database, "SELECT kind, volume FROM klines")


def test_what_a_file_of_before_wants(database: Path) -> None:
    """A series that was collected within a day of the newest one goes on; of another, such as one that was backfilled,
    what is stored is wanted. Who only reads sees the same, before any run has brought the file up."""
    columns = ", ".join(name for name in COLUMNS if name != "kind")
    times = (("BTCUSDT", "2026-01-02 11:59", "2026-01-02 12:00"), ("ETHUSDT", "2024-02-29 23:59", "2026-01-02 12:00"))
    rows = ", ".join(
        f"('spot', '{symbol}', '1m', '{opened_at}', 1, 2, 1, 2, 3, TIMESTAMP '{opened_at}' + INTERVAL 59 SECOND, "
        f"4, 5, 6, 7, 'rest', '{fetched_at}')"
        for symbol, opened_at, fetched_at in times
    )
    make_of_steps(database, 13, f"INSERT INTO klines ({columns}) VALUES {rows}")
    wanted = "SELECT symbol, since::VARCHAR, until::VARCHAR, wanted_by FROM wanted ORDER BY symbol"
    with read_only(database, time.monotonic() + 5) as connection:
        lent = connection.execute(wanted).fetchall()
    brought_up(database)
    assert (
        [
            ("BTCUSDT", "2026-01-02 11:59:00", None, "upgrade"),
            ("ETHUSDT", "2024-02-29 23:59:00", "2024-03-01 00:00:00", "upgrade"),
        ]
        == lent
        == query(database, wanted)
    )


def test_a_ban_of_before_is_of_no_address(database: Path) -> None:
    """Bans that a file has from before they were of an address hold where none is named; who only reads sees them."""
    make(database, 7)
    query(database, "INSERT INTO bans VALUES ('spot', '2100-01-01', 'HTTP 418', 'RateLimited', '2026-01-01')")
    with read_only(database, time.monotonic() + 5) as connection:
        assert ["spot"] == [whose(ban.pool, ban.egress) for ban in holding(connection, 0)]
    brought_up(database)
    with read_only(database, time.monotonic() + 5) as connection:
        assert active_ban(connection, "spot", "", 0)
        assert not active_ban(connection, "spot", "127.0.0.2", 0)


def test_views_are_applied_again_when_their_text_has_changed(database: Path) -> None:
    """A file that has all steps and another text's views gets those of today, at its next opening."""
    brought_up(database)
    query(database, "CREATE OR REPLACE VIEW latest AS SELECT 'another' AS symbol")
    query(database, "UPDATE schema_version SET views = 'of another text'")
    brought_up(database)
    assert [] == query(database, "FROM latest")
    assert [(VIEWS_SHA256,)] == query(database, "SELECT views FROM schema_version")


def test_who_only_reads_has_the_views_of_today(database: Path) -> None:
    """A connection that reads a file with views of old has those of today, and the file keeps its own."""
    make(database, READABLE)
    with read_only(database, time.monotonic() + 5) as connection:
        assert [("BTCUSDT", 60_000)] == connection.execute(
            "SELECT symbol, slot_length(interval) FROM latest"
        ).fetchall()
    assert [("of old",)] == query(database, "FROM latest")


def test_who_only_reads_an_older_file_has_the_tables_of_today(database: Path) -> None:
    """Tables that a file has not yet are without rows for him, and columns have what they have by default: what he asks
    for was not kept, and the file stays."""
    make(database, READABLE)
    assert ["klines"] == klines.read("BTCUSDT", database=database)["kind"].to_list()
    with pytest.raises(NotStored, match="nothing was kept of what exchangeInfo says of spot"):
        klines.symbols_at(database=database)
    assert [(0,)] == query(database, "SELECT count(*) FROM duckdb_tables() WHERE table_name = 'rules'")


def test_a_file_too_old_to_be_read_says_what_brings_it_up(database: Path) -> None:
    """A reader changes nothing: he is told that a run which writes does."""
    make(database, 3)
    with pytest.raises(BadDatabase, match=r"schema 3, .* any run that writes it"):
        read_only(database, time.monotonic() + 5)


def test_a_version_that_is_none_is_damage(database: Path) -> None:
    """A file whose schema_version has lost its row is named as damaged, by who writes and by who reads."""
    brought_up(database)
    query(database, "DELETE FROM schema_version")
    with pytest.raises(BadDatabase, match="damaged: its table schema_version has 0 rows"):
        brought_up(database)
    with pytest.raises(BadDatabase, match="damaged"):
        read_only(database, time.monotonic() + 5)


def test_what_is_ended_goes_on_with_the_next_step(database: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Of a file with klines the steps before the one that did not come to its end stay, as they can take longer than a
    run may last; of few klines nothing is said."""
    make(database, 11)
    query(database, "CREATE TABLE funding (a INTEGER)")
    with pytest.raises(BadDatabase, match='"funding" already exists'):
        brought_up(database)
    assert [(12, None)] == query(database, "SELECT version, views FROM schema_version")
    query(database, "DROP TABLE funding")
    brought_up(database)
    assert [(len(STEPS), VIEWS_SHA256, True)] == query(database, "FROM schema_version")
    assert "" == caplog.text


def test_a_step_that_fails_leaves_an_empty_file_empty(database: Path) -> None:
    """The steps of an empty file run in one transaction: when one fails, nothing of it is in the file; the next try
    starts anew."""
    with duckdb.connect(str(database)) as connection:
        connection.execute("CREATE TABLE bans (a INTEGER)")
    with pytest.raises(BadDatabase, match='"bans" already exists'):
        brought_up(database)
    assert [("bans",)] == query(database, "SELECT table_name FROM duckdb_tables()")
    query(database, "DROP TABLE bans")
    brought_up(database)
    assert [(len(STEPS), VIEWS_SHA256, True)] == query(database, "FROM schema_version")


def test_columns_are_listed_once(database: Path) -> None:
    """The list of a kline's columns is the table's, and a row of Binance's has those it publishes."""
    brought_up(database)
    assert list(COLUMNS) == [name for (name,) in query(database, "SELECT column_name FROM (DESCRIBE klines)")]
    assert {"open_time", *Row._fields} <= set(COLUMNS)
