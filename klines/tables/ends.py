"""The table `ends`: the newest kline of every series, as maintenance saw them; views.sql has how it is read."""

from __future__ import annotations

import duckdb
import pyarrow as pa

from klines.columns import BESIDE_KEY, KEY, in_sql
from klines.interval import Interval
from klines.market import Market
from klines.tables.transaction import transaction

_KLINE = ", ".join(f"{name}::VARCHAR" for name in BESIDE_KEY)
_LOOK = f"SELECT {in_sql(KEY)}, [{_KLINE}] AS kline FROM "
_WHOLE = f"""
    {_LOOK} klines JOIN (SELECT {in_sql(KEY[:-1])}, max(open_time) AS open_time FROM klines GROUP BY ALL)
                   USING ({in_sql(KEY)})
"""


def newest(connection: duckdb.DuckDBPyConnection, *, whole: bool) -> pa.Table:
    """The newest kline of every series; with `whole` all klines are looked at, else those that are in doubt."""
    return connection.sql(_WHOLE if whole else f"{_LOOK} latest").to_arrow_table()


def note_ends(connection: duckdb.DuckDBPyConnection, found: pa.Table, now_ms: int) -> None:
    """Write what `newest` found at `now_ms` or later, in the place of what is there; nothing where it is the same.

    It is noted as of the youngest of them at most, as a clock that is ahead would hide what is stored next.
    """
    connection.register("found_ends", found)
    there = f"SELECT {in_sql(KEY)}, kline FROM ends"
    odd = f"(FROM found_ends EXCEPT ALL {there}) UNION ALL ({there} EXCEPT ALL FROM found_ends)"
    [(differing,)] = connection.execute(f"SELECT count(*) FROM ({odd})").fetchall()
    if differing:
        at = f"least(epoch_ms({now_ms}::BIGINT), max(kline[-1]::TIMESTAMP) OVER ())"
        with transaction(connection):
            connection.execute("DELETE FROM ends")
            connection.execute(f"INSERT INTO ends BY NAME SELECT *, {at} AS noted_at FROM found_ends")
    connection.unregister("found_ends")


def symbols_noted(
    connection: duckdb.DuckDBPyConnection, market: Market, interval: Interval, first: str, last: str
) -> tuple[int, int]:
    """How many symbols have klines of the interval, as maintenance saw them, and how many of them are between two, by
    name."""
    sql = """
        SELECT count(*), count(*) FILTER (symbol BETWEEN ? AND ?)
        FROM ends WHERE market = ? AND kind = ? AND interval = ?
    """
    [(known, between)] = connection.execute(sql, [first, last, *market.key, interval.name]).fetchall()
    return known, between
