"""What is stored of a long range is looked at in turns."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import duckdb
import pytest

from klines.backfill.looking import next_days, stored_in_turns
from klines.columns import KEY
from klines.interval import DAY, INTERVALS
from klines.market import MARKETS
from klines.storage.database import in_memory
from klines.tables.klines import FIRST_MS, stored_windows
from klines.window import Window
from tests.drive import NOON

SPOT, HOURS = MARKETS["spot"], INTERVALS["1h"]
YEAR = f"""
    INSERT INTO klines ({", ".join(KEY)}, open, high, low, close, close_time, source, fetched_at)
    SELECT 'spot', 'klines', symbol, '1h', time, 1, 1, 1, 1, time + INTERVAL 1 HOUR, 'daily', time
    FROM (VALUES ('AUSDT', 5), ('BUSDT', 0)) symbols(symbol, holes),
         range(TIMESTAMP '2025-01-01 07:00', TIMESTAMP '2026-01-01', INTERVAL 1 HOUR) times(time)
    WHERE holes = 0 OR hour(time) + day(time) * 24 NOT BETWEEN 200 AND 200 + 30 * holes"""


def test_turns_see_what_one_look_sees() -> None:
    """A year with holes, across the days at which turns end, is the same windows; the file is left in between."""
    with in_memory() as connection:
        turns = []

        @contextlib.contextmanager
        def opened() -> Iterator[duckdb.DuckDBPyConnection]:
            turns.append(1)
            yield connection

        connection.execute(YEAR)
        asked = Window(FIRST_MS, NOON)
        whole = stored_windows(connection, SPOT, HOURS, ["AUSDT", "BUSDT"], *(asked.start_ms, asked.end_ms))
        assert whole == stored_in_turns(opened, SPOT, HOURS, ["AUSDT", "BUSDT"], asked)
        assert {"AUSDT": 13, "BUSDT": 1} == {symbol: len(windows) for symbol, windows in whole.items()}
        assert len(turns) > 365 * DAY // (64 * DAY)
        assert {} == stored_in_turns(opened, SPOT, HOURS, ["AUSDT"], Window(NOON, NOON + DAY))


@pytest.mark.parametrize(
    ("days", "held_s", "after"), [(8, 0.1, 16), (64, 0.1, 64), (8, 0.3, 8), (8, 2.0, 2), (1, 9, 1)]
)
def test_a_turn_is_as_long_as_the_last_one_allows(days: int, held_s: float, after: int) -> None:
    """Half of what held the file too long, more again where it was short, and never less than a day."""
    assert after == next_days(days, held_s)
