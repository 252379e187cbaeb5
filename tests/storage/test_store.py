"""Writing to a real DuckDB file: slots, corrections, the ledger's law, and what is left after a failure."""

from __future__ import annotations

import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from klines.collect.missing import wants
from klines.interval import INTERVALS
from klines.market import MARKETS
from klines.outcome import Stored
from klines.reasons import slots
from klines.rows import Reject, Rejects, Row
from klines.storage.database import opened
from klines.storage.store import store
from klines.tables.klines import stored_windows
from klines.want import Want
from klines.window import Window, subtract
from tests.drive import MINUTE, NOON, at, ms

SPOT, ONE_MINUTE = MARKETS["spot"], INTERVALS["1m"]


@pytest.fixture
def connection(database: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """An open, migrated database."""
    with opened(database, time.monotonic() + 5) as connection:
        yield connection


def row(open_time_ms: int, close: float = 2.0, close_time_ms: int | None = None) -> Row:
    """A good kline."""
    last_ms = open_time_ms // MINUTE * MINUTE + MINUTE - 1 if close_time_ms is None else close_time_ms
    return Row(open_time_ms, 2.0, 3.0, 1.0, close, Decimal(10), last_ms, Decimal(20), 5, Decimal(4), Decimal(8))


def answered(rows: list[Row], window: Window, symbol: str = "BTCUSDT") -> Want:
    """A symbol whose window was answered with `rows`."""
    want = Want(symbol, [window])
    want.rows, want.answered = rows, [window]
    return want


def put(connection: duckdb.DuckDBPyConnection, want: Want, now_ms: int = NOON) -> Stored:
    """Store one symbol's answer."""
    return store(connection, SPOT, ONE_MINUTE, [want], now_ms=now_ms)


def test_same_answer_twice_changes_nothing(connection: duckdb.DuckDBPyConnection) -> None:
    """Storing is idempotent: the second time nothing is inserted, restated or moved."""
    want = answered([row(at(0)), row(at(1))], Window(at(0), at(2)))

    assert Stored(inserted=2) == put(connection, want)
    before = connection.execute("FROM klines").fetchall()
    assert Stored() == put(connection, want, NOON + MINUTE)
    assert before == connection.execute("FROM klines").fetchall()


def test_repetitions_within_a_run_leave_the_last_answer(connection: duckdb.DuckDBPyConnection) -> None:
    """A key answered twice in one run (overlap, late kline) is one row, with the values answered last."""
    put(connection, answered([row(at(0), close=2.0), row(at(0), close=2.5)], Window(at(0), at(1))))

    assert [(2.5,)] == connection.execute("SELECT close FROM klines").fetchall()


def test_on_grid_row_wins_its_slot(connection: duckdb.DuckDBPyConnection) -> None:
    """February 2018 has off-grid rows: whichever comes first, the slot ends with the on-grid row alone."""
    slot_ms = ms("2018-02-09T12:00")
    on_grid, off_grid = row(slot_ms, 2.5), row(slot_ms + 14_789, 1.5)
    window = Window(slot_ms, slot_ms + MINUTE)
    for first, second in ((on_grid, off_grid), (off_grid, on_grid)):
        connection.execute("DELETE FROM klines")
        put(connection, answered([first], window))
        put(connection, answered([second], window))
        assert [(slot_ms, 2.5)] == connection.execute("SELECT epoch_ms(open_time), close FROM klines").fetchall()


def test_failure_in_the_middle_leaves_everything_as_it_was(connection: duckdb.DuckDBPyConnection) -> None:
    """One transaction: when writing the ledger fails, the klines of the same run are not there either."""
    connection.execute("DROP TABLE rejects")
    want = answered([row(at(0))], Window(at(0), at(2)))
    want.rejects = Rejects([Reject(at(1), "high below open or close", "[]")])
    with pytest.raises(duckdb.CatalogException):
        put(connection, want)

    assert [(0,)] == connection.execute("SELECT count(*) FROM klines").fetchall()


def test_reject_is_kept_once_with_how_often_it_was_seen(connection: duckdb.DuckDBPyConnection) -> None:
    """The same refused row again raises `seen` and `last_seen`; other content of the same key is a row of its own."""
    for now_ms, text in ((NOON, "[1]"), (NOON + MINUTE, "[1]"), (NOON + 2 * MINUTE, "[2]")):
        want = answered([], Window(at(0), at(1)))
        want.rejects = Rejects([Reject(at(0), "a value is no decimal number", text)])
        put(connection, want, now_ms)

    assert [("[1]", 2, NOON + MINUTE), ("[2]", 1, NOON + 2 * MINUTE)] == connection.execute(
        'SELECT "row", seen, epoch_ms(last_seen) FROM rejects ORDER BY "row"'
    ).fetchall()


@pytest.mark.parametrize("interval", ["1m", "1h", "1w", "1M"])
def test_stored_windows_are_the_stored_slots(connection: duckdb.DuckDBPyConnection, interval: str) -> None:
    """What the database says is stored is just the slots of its rows, holes left out, for every kind of interval."""
    kind = INTERVALS[interval]
    first = kind.index(NOON)
    indices = [first - n for n in (0, 1, 2, 5, 6, 9)]
    rows = [row(kind.start(index))._replace(close_time=kind.start(index + 1) - 1) for index in indices]
    store(connection, SPOT, kind, [answered(rows, Window(kind.start(first - 9), kind.start(first + 1)))], now_ms=NOON)

    found = stored_windows(connection, SPOT, kind, ["BTCUSDT", "ETHUSDT"], 0)
    assert {"BTCUSDT": slots((r.open_time for r in rows), kind)} == found


minutes = st.integers(0, 39)
SLOTS = 40


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    answers=st.lists(
        st.tuples(st.sets(minutes), st.sets(minutes, max_size=3), minutes, st.integers(1, SLOTS)),
        min_size=1,
        max_size=4,
    )
)
@pytest.mark.slow
def test_stored_ledger_and_missing_tile_the_window(
    connection: duckdb.DuckDBPyConnection, answers: list[tuple[set[int], set[int], int, int]]
) -> None:
    """Whatever the exchange answers, run after run: every slot of the window is stored, in the ledger, or missing, and
    in one of them only; the ledger is disjoint."""
    connection.execute("DELETE FROM klines; DELETE FROM gaps; DELETE FROM rejects")
    now_ms = at(SLOTS)
    for existing, refused, start, length in answers:
        window = Window(at(start), at(min(start + length, SLOTS)))
        inside = [m for m in sorted(existing - refused) if window.start_ms <= at(m) < window.end_ms]
        want = answered([row(at(m)) for m in inside], window)
        want.rejects = Rejects(
            [Reject(at(m), "refused", str(m)) for m in refused if window.start_ms <= at(m) < window.end_ms]
        )
        put(connection, want, now_ms)

    whole = Window(at(0), at(SLOTS))
    stored = stored_windows(connection, SPOT, ONE_MINUTE, ["BTCUSDT"], 0).get("BTCUSDT", [])
    gaps = [
        Window(*gap)
        for gap in connection.execute("SELECT epoch_ms(start_time), epoch_ms(end_time) FROM gaps").fetchall()
    ]
    times = {"now_ms": now_ms, "lookback_ms": SLOTS * MINUTE}
    found, _ = wants(connection, SPOT, ONE_MINUTE, ["BTCUSDT"], **times, since_ms={"BTCUSDT": at(0)})
    missing = found[0].gaps if found else []

    tiles = [m for w in (*stored, *gaps, *missing) for m in range(w.start_ms // MINUTE, w.end_ms // MINUTE)]
    assert list(range(at(0) // MINUTE, at(SLOTS) // MINUTE)) == sorted(tiles)
    assert [] == subtract([whole], [*stored, *gaps, *missing])
