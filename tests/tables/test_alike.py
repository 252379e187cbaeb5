"""What all stored klines have in common."""

from __future__ import annotations

import duckdb
import pytest

from klines.tables.alike import alike

MINUTES = ("spot", "klines", "1m")


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ([], {"market": "spot", "kind": "klines", "interval": "1m"}),
        ([("spot", "klines", "1mo")], {"market": "spot", "kind": "klines"}),
        ([("usdm", "mark", "1m")], {"interval": "1m"}),
        ([("spot", None, "1m")], {"market": "spot", "interval": "1m"}),
    ],
)
def test_only_what_every_kline_has(others: list[tuple[str | None, ...]], expected: dict[str, str]) -> None:
    """A single kline of another market, kind or interval, or without a kind, ends what was in common."""
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE klines (market VARCHAR, kind VARCHAR, interval VARCHAR)")
        assert {} == alike(connection)
        for row in [MINUTES, MINUTES, *others]:
            connection.execute("INSERT INTO klines VALUES (?, ?, ?)", row)
        assert expected == alike(connection)


def test_values_that_statistics_cut_are_not_known() -> None:
    """DuckDB keeps 8 bytes of a text: two longer ones that begin alike are not taken for one."""
    with duckdb.connect() as connection:
        kinds = "unnest(['continuous', 'continuo'])"
        connection.execute(f"CREATE TABLE klines AS SELECT {kinds} AS kind, 'spot' AS market, '1m' AS interval")
        assert "kind" not in alike(connection)
