"""A lake that has amounts as doubles gets a table of decimals, month by month while others write, which becomes klines.

DuckLake widens a column's type, and does nothing else to it. What was copied stays where a run ends early: the next one
goes on. In the last step nobody writes: what was stored or changed since the first month was copied is copied anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import duckdb

from klines.columns import KEY, in_sql
from klines.errors import BadDatabase
from klines.maintain.survey import MONTH, Month
from klines.market import series_name
from klines.storage.lake.lake import COMMITTED_AFTER_MS, LAYOUT, Lake
from klines.storage.schema.exact import BROUGHT_OVER, MADE, doubtful_in, exchange_tables, make_table
from klines.tables.transaction import transaction
from klines.window import Window, within

MONTHS = f"{MADE}_months"
"""The table of months that were copied, until the end."""
BRINGING = "bringing over"
"""The lock of who does it: nobody else waits for that."""
_KEY = in_sql(KEY)


@dataclass(frozen=True, slots=True)
class BringOver:
    """Begin, copy each month, finish. `now_ms` is when this run began; `wait_s` how long each step waits for others."""

    lake: Lake
    now_ms: int

    def begin(self, deadline_s: float) -> None:
        """Make the tables, unless an earlier run has."""
        self.lake.alone(deadline_s, _make)

    def copy(self, month: Month, deadline_s: float) -> None:
        """Copy a month, unless an earlier run has."""
        self.lake.apart(deadline_s, BRINGING, partial(_copy, month=month, now_ms=self.now_ms))

    def finish(self, deadline_s: float) -> None:
        """Copy what came meanwhile, and let the new table be klines. Raises BadDatabase where it does not have all."""
        self.lake.alone(deadline_s, _finish)


def _make(connection: duckdb.DuckDBPyConnection) -> None:
    sql = "SELECT count(*) FROM duckdb_columns() WHERE database_name = 'lake' AND table_name = ?"
    [(is_there,)] = connection.execute(sql, [MONTHS]).fetchall()
    if is_there:
        return
    with transaction(connection):
        make_table(connection, "lake", MADE, LAYOUT)
        connection.execute(f"CREATE TABLE {MONTHS} (month TIMESTAMP NOT NULL, since TIMESTAMP NOT NULL)")


def _copy(connection: duckdb.DuckDBPyConnection, month: Month, now_ms: int) -> None:
    start, its = f"epoch_ms({month.window.start_ms}::BIGINT)", within(month.window)
    [(is_done,)] = connection.execute(f"SELECT count(*) FROM {MONTHS} WHERE month = {start}").fetchall()
    if is_done:
        return
    with transaction(connection):
        connection.execute(f"INSERT INTO {MADE} SELECT * REPLACE ({BROUGHT_OVER}) FROM klines WHERE {its}")
        connection.execute(f"INSERT INTO doubtful BY NAME {doubtful_in('klines', its)}")
        connection.execute(f"INSERT INTO {MONTHS} VALUES ({start}, epoch_ms({now_ms - COMMITTED_AFTER_MS}::BIGINT))")


def _finish(connection: duckdb.DuckDBPyConnection) -> None:
    with transaction(connection):
        for index in _changed(connection):
            _renew(connection, Month(index, 0, 0).window)
        _check_whole(connection)
        exchange_tables(connection)
        connection.execute(f"DROP TABLE {MONTHS}")


def _changed(connection: duckdb.DuckDBPyConnection) -> list[int]:
    """The months of the klines that were stored or changed since, whose keys are in the table `late` then."""
    since = f"(SELECT coalesce(min(since), TIMESTAMP '1970-01-01') FROM {MONTHS})"
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE late AS SELECT {_KEY} FROM klines WHERE fetched_at >= {since}
            UNION SELECT {_KEY} FROM restatements WHERE seen_at >= {since}"""
    )
    found = connection.execute(f"SELECT DISTINCT {MONTH.sql_index('open_time')} FROM late ORDER BY 1").fetchall()
    return [month for (month,) in found]


def _renew(connection: duckdb.DuckDBPyConnection, month: Window) -> None:
    """Copy the late klines of a month anew."""
    its = f"(FROM klines WHERE {within(month)})"
    connection.execute(f"CREATE OR REPLACE TEMP TABLE fresh AS FROM {its} SEMI JOIN late USING ({_KEY})")
    same = " AND ".join(f"k.{name} = f.{name}" for name in KEY)
    connection.execute(f"DELETE FROM {MADE} k USING fresh f WHERE {same} AND {within(month, 'k.open_time')}")
    connection.execute(f"INSERT INTO {MADE} SELECT * REPLACE ({BROUGHT_OVER}) FROM fresh")
    connection.execute(f"INSERT INTO doubtful BY NAME FROM ({doubtful_in('fresh')}) ANTI JOIN doubtful USING ({_KEY})")


def _check_whole(connection: duckdb.DuckDBPyConnection) -> None:
    """Raises BadDatabase unless the new table has as many klines of each series."""
    sums = "SELECT market, kind, symbol, interval, count(*), sum(epoch_ms(open_time)) FROM {} GROUP BY ALL"
    odd = connection.execute(f"({sums.format('klines')}) EXCEPT ({sums.format(MADE)}) LIMIT 1").fetchall()
    if odd:
        market, kind, symbol, interval, *_ = odd[0]
        raise BadDatabase(
            f"klines of {series_name(market, kind, interval)} {symbol} were moved or deleted while they were brought "
            f"over; the lake is as it was: DROP TABLE {MADE}; DROP TABLE {MONTHS}; then run maintain again"
        )
