"""Hours of closed months, of which longer klines are made: the tables `hours` and `hours_to_make`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import duckdb
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from klines.columns import BESIDE_KEY
from klines.interval import HOUR, INTERVALS
from klines.reading.derived import Asked, derived
from klines.storage.database import opened
from klines.tables.counts import count_month
from klines.tables.hours import hours_kept, make_hours, note_hours_to_make
from klines.window import Window
from tests.drive import MINUTE, maintain_once, ms, query
from tests.storage.test_store import ONE_MINUTE, SPOT, answered, put, row

TURN, NOW = ms("2026-01-01"), ms("2026-02-10")
START, END = TURN - 3 * HOUR, TURN + 3 * HOUR
BOTH = Window(ms("2025-12-01"), ms("2026-02-01"))
SYMBOLS = ("AUSDT", "BUSDT")
COLUMNS = ("symbol", "open_time", *BESIDE_KEY)
NEVER = ((ms("1970-01-01"), START, "not_listed"), (END, ms("9999-12-31"), "delisted"))


@pytest.fixture
def connection(database: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """An open database of two symbols that traded for the three hours before and after a turn of months."""
    with opened(database, time.monotonic() + 60) as connection:
        yield connection


def store(connection: duckdb.DuckDBPyConnection, symbol: str, first: int, count: int, close: float) -> None:
    """Store so many minutes, from the one of that number after START on, none like another."""
    numbers = range(first, min(first + count, 360))
    rows = [
        row(at(n), close)._replace(
            open=2 + n / 1000, high=3 + n % 7 / 10, low=1 - n % 11 / 100, volume=Decimal(n) / 8, trades=n
        )
        for n in numbers
    ]
    put(connection, answered(rows, Window(at(numbers[0]), at(numbers[-1] + 1)), symbol), NOW)


def at(minute: int) -> int:
    """The open time, in ms, of a minute after START."""
    return START + minute * MINUTE


def keep(connection: duckdb.DuckDBPyConnection) -> None:
    """What maintenance does: count days, and make the hours that are to be made."""
    while count_month(connection, NOW):
        pass
    make_hours(connection, note_hours_to_make(connection, NOW))


def longer(connection: duckdb.DuckDBPyConnection) -> list[pl.DataFrame]:
    """The hours of both symbols, and the week and the months of one, each in one order."""
    return [
        derived(connection, Asked(SPOT, some, BOTH, COLUMNS, is_exact=True), INTERVALS[name], ONE_MINUTE, NOW).sort(
            "symbol", "open_time"
        )
        for name, some in (("1h", SYMBOLS), ("1w", SYMBOLS[:1]), ("1M", SYMBOLS[:1]))
    ]


def without_hours(connection: duckdb.DuckDBPyConnection) -> list[pl.DataFrame]:
    """The same where the file has no hours."""
    connection.begin()
    connection.execute("UPDATE counted SET hours_until = NULL")
    found = longer(connection)
    connection.rollback()
    return found


writes = st.tuples(
    st.sampled_from(SYMBOLS), st.integers(0, 359), st.sampled_from([1, 30, 100, 360]), st.sampled_from([1.5, 2.0, 2.5])
)


@pytest.mark.slow
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.one_of(st.none(), writes), max_size=6))
def test_of_hours_longer_klines_come_as_of_minutes(
    connection: duckdb.DuckDBPyConnection, steps: list[tuple[str, int, int, float] | None]
) -> None:
    """Whatever is stored and restated, before, between and after months get their hours, on both sides of a turn of
    months: the klines of every interval are those that minutes alone make."""
    connection.execute("DELETE FROM klines; DELETE FROM gaps; DELETE FROM counted; DELETE FROM daily_counts")
    connection.execute("DELETE FROM hours; DELETE FROM hours_to_make")
    for symbol in SYMBOLS:
        store(connection, symbol, 0, 360, 2.0)
        for start_ms, end_ms, reason in NEVER:
            connection.execute(
                f"""INSERT INTO gaps
                        (market, kind, symbol, interval, start_time, end_time, reason, attempts, first_seen)
                    VALUES ('spot', 'klines', '{symbol}', '1m', epoch_ms({start_ms}::BIGINT),
                            epoch_ms({end_ms}::BIGINT), '{reason}', 1, epoch_ms({NOW}::BIGINT))"""
            )
    connection.execute(f"DELETE FROM klines WHERE symbol = 'BUSDT' AND open_time >= epoch_ms({TURN}::BIGINT)")
    for step in (None, *steps, None):
        if step:
            store(connection, *step)
        else:
            keep(connection)
        for of_hours, of_minutes in zip(longer(connection), without_hours(connection), strict=True):
            assert of_minutes.equals(of_hours)
    assert [BOTH] == hours_kept(connection, SPOT, "true", BOTH)
    assert all(frame.height for frame in longer(connection))


def to_make(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, str]]:
    """Whose hours are to be made: symbol and month."""
    sql = "SELECT symbol, strftime(month, '%Y-%m') FROM hours_to_make ORDER BY ALL"
    return connection.execute(sql).fetchall()


def test_what_is_written_is_read_from_klines_until_its_hours_are_made(connection: duckdb.DuckDBPyConnection) -> None:
    """New and restated klines, many and few, take their month of their symbol from the hours; an answer that is equal,
    and klines of an open month, take nothing."""
    store(connection, "AUSDT", 0, 360, 2.0)
    store(connection, "BUSDT", 0, 100, 2.0)
    keep(connection)
    store(connection, "AUSDT", 0, 360, 2.0)
    put(connection, answered([row(NOW)], Window(NOW, NOW + MINUTE), "AUSDT"), NOW)
    assert [] == to_make(connection)
    store(connection, "AUSDT", 200, 1, 2.5)
    store(connection, "BUSDT", 99, 2, 2.0)
    assert [("AUSDT", "2026-01"), ("BUSDT", "2025-12")] == to_make(connection)
    assert [Window(BOTH.start_ms, TURN)] == hours_kept(connection, SPOT, "symbol = 'AUSDT'", BOTH)
    assert [] == hours_kept(connection, SPOT, "true", BOTH)
    keep(connection)
    many = [row(BOTH.start_ms + n * MINUTE) for n in range(6_000)]
    put(connection, answered(many, Window(BOTH.start_ms, BOTH.start_ms + len(many) * MINUTE), "CUSDT"), NOW)
    assert [("CUSDT", "2025-12")] == to_make(connection)


def test_a_kline_that_moves_to_its_slot(connection: duckdb.DuckDBPyConnection) -> None:
    """A minute of the days off the grid that moves to another open time takes its month from the hours."""
    off_ms = ms("2018-02-09T09:27:37") + 16
    put(connection, answered([row(off_ms)], Window(off_ms // MINUTE * MINUTE, off_ms // MINUTE * MINUTE + MINUTE)), NOW)
    keep(connection)
    slot_ms = off_ms // MINUTE * MINUTE
    put(connection, answered([row(slot_ms)], Window(slot_ms, slot_ms + MINUTE)), NOW)
    assert [("BTCUSDT", "2018-02")] == to_make(connection)


@pytest.mark.slow
def test_maintenance_makes_hours_anew_where_klines_were_deleted_by_hand(database: Path) -> None:
    """Maintenance makes the hours of closed months, and those anew whose klines somebody has deleted; a run after that
    has nothing to make."""
    with opened(database, time.monotonic() + 60) as connection:
        for symbol in SYMBOLS:
            store(connection, symbol, 0, 360, 2.0)
    assert "made the hours of 4 months of series" in maintain_once(database, NOW).message
    query(
        database, f"DELETE FROM klines WHERE symbol = 'AUSDT' AND open_time < epoch_ms({START + 90 * MINUTE}::BIGINT)"
    )
    assert "made the hours of 1 month of series" in maintain_once(database, NOW).message
    sums = """SELECT symbol, date_trunc('hour', open_time), count(*), sum(volume), min(open), max(fetched_at)
              FROM klines GROUP BY ALL ORDER BY ALL"""
    hours = "SELECT symbol, open_time, parts, volume, open, fetched_at FROM hours ORDER BY ALL"
    assert query(database, sums) == query(database, hours) != []
    assert "hours" not in maintain_once(database, NOW).message
