"""The newest kline of every series, without a look at all that is stored: the table `ends`, and the views over it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from klines.interval import DAY, HOUR
from klines.settings import Address
from klines.storage.access import place_of
from tests.drive import MINUTE, NOON, WANT_STORED, connected, maintain_once, queries, query
from tests.storage.test_lake import minutes, put

pytestmark = pytest.mark.slow
BARE = """
    WITH ends AS (SELECT market, symbol, interval, max(open_time) AS open_time FROM klines GROUP BY ALL)
    SELECT klines.* FROM klines JOIN ends USING (market, symbol, interval, open_time) ORDER BY ALL
"""
LASTS = "SELECT market, symbol, interval, max(open_time) FROM klines GROUP BY ALL ORDER BY ALL"
FRESH = "SELECT market, symbol, interval, last FROM freshness ORDER BY ALL"
MANY = 30 * DAY // MINUTE * 3
"""Klines of a month, of three symbols: a little more than DuckDB has in a row group."""
OLD = -40 * 1440
"""A minute of November 2025, counted from NOON."""


@pytest.fixture(params=["file", "lake"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Address:
    """A database of either kind."""
    return tmp_path / "klines.duckdb" if request.param == "file" else request.getfixturevalue("lake")


def same(place: Address) -> list[tuple[Any, ...]]:
    """What `latest` has, which is what a look at everything finds; so has `freshness`."""
    _, bare, latest, lasts, fresh = queries(place, WANT_STORED, BARE, "FROM latest ORDER BY ALL", LASTS, FRESH)
    assert bare == latest
    assert lasts == fresh
    return latest


def fetched(place: Address, now_ms: int) -> None:
    """All klines of the last put were fetched then: as a run of that time has it."""
    query(
        place, f"UPDATE klines SET fetched_at = epoch_ms({now_ms}::BIGINT) WHERE fetched_at = epoch_ms({NOON}::BIGINT)"
    )


def test_the_newest_klines_are_those_of_before(place: Address) -> None:
    """Of a series that ended long ago, one that goes on, one that is new; before maintenance, after it, after more
    minutes, after a value was restated, after an old series has begun anew, after an old month was filled, and after
    the next maintenance."""
    put(place, [minutes("OLDUSDT", OLD, 3), minutes("BTCUSDT", OLD, 3)])
    fetched(place, NOON - 40 * DAY)
    put(place, [minutes("BTCUSDT", -10, 5)])
    assert 2 == len(same(place))
    maintain_once(place)
    assert [(2,)] == query(place, "SELECT count(*) FROM ends")
    assert 2 == len(same(place))
    put(place, [minutes("BTCUSDT", -5, 5), minutes("NEWUSDT", -5, 5)])
    assert 3 == len(same(place))
    put(place, [minutes("OLDUSDT", OLD, 3, close=2.5)])
    assert [None, None, 2.5] == [row[7] if row[1] == "OLDUSDT" else None for row in same(place)]
    put(place, [minutes("PASTUSDT", OLD - 90 * 1440, 3)])
    assert 4 == len(same(place))
    put(place, [minutes("OLDUSDT", -3, 2)])
    same(place)
    maintain_once(place, NOON + 31 * DAY)
    assert 4 == len(same(place))


def test_a_row_that_was_there_before_is_found_by_maintenance(place: Address) -> None:
    """A kline that somebody inserts by hand, as fetched years ago, is there once maintenance has found its month
    changed."""
    put(place, [minutes("OLDUSDT", OLD, 3), minutes("BTCUSDT", -10, 5)])
    maintain_once(place)
    earlier = "SELECT * REPLACE ('HANDUSDT' AS symbol, TIMESTAMP '2020-01-01' AS fetched_at)"
    query(place, f"INSERT INTO klines {earlier} FROM klines WHERE symbol = 'OLDUSDT'")
    maintain_once(place)
    assert ["BTCUSDT", "HANDUSDT", "OLDUSDT"] == [row[1] for row in same(place)]


def test_a_clock_that_is_ahead_hides_nothing(place: Address) -> None:
    """Maintenance of a machine whose clock is a year ahead: what is stored next is seen."""
    put(place, [minutes("BTCUSDT", -10, 5)])
    maintain_once(place, NOON + 365 * DAY)
    put(place, [minutes("BTCUSDT", -5, 5)])
    same(place)


@pytest.fixture
def large(place: Address) -> Address:
    """A month of three symbols and two hours of the next, maintained, and an hour that was fetched a week later: of a
    file each minute, of a lake, whose files count and not their rows, each hour."""
    step_ms = MINUTE if isinstance(place, Path) else HOUR
    many = f"""
        INSERT INTO klines SELECT 'spot', 'S' || n || 'USDT', '1m', epoch_ms(t), 1, 2, 0.5, 1.5, 3, epoch_ms(t + 59999),
                                  4, 5, 1, 2, 'rest', epoch_ms(t + 65000), 'klines'
        FROM range({{}}::BIGINT, {{}}::BIGINT, {step_ms}) times(t), range(3) numbers(n) ORDER BY n, t
    """
    began = NOON - 33 * DAY  # in November: the month is closed
    with place_of(place).opened(time.monotonic() + 30) as connection:
        connection.execute(many.format(began, began + 30 * DAY))
        connection.execute(many.format(NOON - 2 * HOUR, NOON))
    maintain_once(place)
    with place_of(place).opened(time.monotonic() + 30) as connection:
        connection.execute(many.format(NOON + 7 * DAY, NOON + 7 * DAY + HOUR))
    return place


def test_little_is_read(large: Address) -> None:
    """What was fetched long before the last maintenance is not read, however much it is: of a file its row groups are
    skipped, of a lake its files are not opened."""
    with connected(large) as connection:
        bare_rows, bare_files = read_of(connection, BARE)
        found = [read_of(connection, f"FROM {view}") for view in ("latest", "freshness")]
    for rows, files in found:
        if isinstance(large, Path):
            assert bare_rows > MANY > 2 * rows
        else:
            assert "year=2025" in bare_files
            assert "year=2025" not in files
    assert 3 == len(same(large))


def read_of(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[int, str]:
    """What all scans of klines read for an answer: rows, which are counted of a file, and a lake's files."""
    [(_, plan)] = connection.execute(f"EXPLAIN (ANALYZE, FORMAT json) {sql}").fetchall()
    found = list(scans(json.loads(plan)))
    return sum(rows for rows, _ in found), " ".join(files for _, files in found)


def scans(part: dict[str, Any]) -> Iterator[tuple[int, str]]:
    """The same of each scan."""
    about = part.get("extra_info", {})
    if about.get("Table", "").endswith("klines"):
        yield part["operator_rows_scanned"], str(about.get("Filename(s)", ""))
    for child in part.get("children", []):
        yield from scans(child)
