"""The tables other than klines, brought to another database: what differs, whatever it is, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest

from klines.errors import BadDatabase
from klines.move.rest import bring_others, look_at_others


@pytest.fixture
def both() -> Iterator[duckdb.DuckDBPyConnection]:
    """Two databases, `live` with a table of a user's own and one that no move brings."""
    with duckdb.connect() as connection:
        connection.execute("ATTACH ':memory:' AS live; ATTACH ':memory:' AS beside")
        connection.execute("""CREATE TABLE live.theirs (x INTEGER, "y z" VARCHAR, l VARCHAR[])""")
        connection.execute("CREATE VIEW live.seen_by_them AS FROM live.theirs; CREATE TABLE live.moves AS SELECT 1")
        yield connection


def test_what_differs_follows(both: duckdb.DuckDBPyConnection) -> None:
    """Rows with NULLs, lists and twins are there as often as they are in the other, and those that are not there go."""
    rows = [(1, None, ["a"]), (2, None, ["a", None]), (3, None, None), (3, None, None)]
    before = [(1, None, ["a"]), (1, "q", ["a"]), (1, "q", None), (2, None, ["a", None]), (2, None, ["a", None])]
    for wanted in ([], before, rows, rows, []):
        both.execute("DELETE FROM live.theirs")
        for row in wanted:
            both.execute("INSERT INTO live.theirs VALUES (?, ?, ?)", list(row))
        assert ["theirs"] == look_at_others(both)
        assert [] == bring_others(both, ["theirs"])
        assert sorted(wanted, key=repr) == sorted(both.execute("FROM beside.theirs").fetchall(), key=repr)


def test_other_columns_are_refused(both: duckdb.DuckDBPyConnection) -> None:
    """A table that is of another shape in the new place is named."""
    both.execute("CREATE TABLE beside.theirs (x VARCHAR)")
    with pytest.raises(BadDatabase, match="the table theirs has other columns in the new place"):
        look_at_others(both)
