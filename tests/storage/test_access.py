"""Statements with their parameters written out: a value is a value, whatever it looks like."""

from __future__ import annotations

import duckdb
import pytest

from klines.storage.access import fetch_frame, written_out

VALUES = [
    "$name",
    "$other",
    "'$name'",
    "it's $name",
    "--",
    "-- $name",
    '"',
    "/*",
    "\\",
    "\n$name\n",
    "$$",
    "$",
    "",
    "币安",
]


@pytest.mark.parametrize("value", VALUES)
def test_a_value_is_never_read_as_sql(value: str) -> None:
    """A text with a parameter's name, a quote, or a comment in it comes back as it is, beside others like it."""
    sql = "-- of $name, and what isn't\nSELECT $name AS name, $other AS other, '$name' AS text, 1 AS \"$name\" -- $name"
    with duckdb.connect() as connection:
        found = fetch_frame(connection, sql, {"name": value, "other": f"{value}$name"})
    assert {"name": value, "other": f"{value}$name", "text": "$name", "$name": 1} == found.row(0, named=True)


def test_numbers_and_unknown_names() -> None:
    """Numbers stand without quotes; a parameter that nobody gave is an error, not a text."""
    assert "SELECT 1 + -2" == written_out("SELECT $a + $b", {"a": 1, "b": -2})
    with pytest.raises(KeyError, match="b"):
        written_out("SELECT $b", {"a": 1})
