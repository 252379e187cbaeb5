"""The tables `daily_counts` and `counted`: how many klines are stored of each series and day, so that nobody counts.

Days before `counted.until` are counted: whatever is added to them is noted here, in the same transaction, as a row of
its own. In a lake writers would get into each other's way if they changed a row that is there. Of later days, which
every minute adds to, nothing is noted; who asks counts them as they lie: views.sql has how.
"""

from __future__ import annotations

import duckdb

from klines.columns import KEY, in_sql
from klines.interval import DAY, INTERVALS
from klines.tables.transaction import transaction
from klines.window import Window

MONTH = INTERVALS["1M"]
_SERIES = in_sql(KEY[:-1])
_COUNTED = f"{_SERIES}, open_time::DATE AS day, count(*) AS klines, min(open_time) AS first, max(open_time) AS last"
_NOTE = f"INSERT INTO daily_counts ({_SERIES}, day, klines, first, last) SELECT {_COUNTED}"


def counted_until_ms(connection: duckdb.DuckDBPyConnection) -> int:
    """The midnight, in epoch ms, before which all days are counted."""
    [(until_ms,)] = connection.execute("SELECT epoch_ms(counted_until())").fetchall()
    return int(until_ms)


def note_counts(connection: duckdb.DuckDBPyConnection, added: str) -> None:
    """Note klines that the caller's transaction adds: `added` is a query of their keys."""
    connection.execute(f"{_NOTE} FROM ({added}) WHERE open_time < counted_until() GROUP BY ALL")


def count_month(connection: duckdb.DuckDBPyConnection, now_ms: int) -> bool:
    """Count the klines of the first month that is not counted yet, up to today; whether there may be more.

    Nobody else may add klines meanwhile, as they would be in neither count.
    """
    until_ms, midnight_ms = counted_until_ms(connection), now_ms // DAY * DAY
    if until_ms >= midnight_ms:
        return False
    with transaction(connection):
        later = f"FROM klines WHERE open_time >= epoch_ms({until_ms}::BIGINT)"
        [(first_ms,)] = connection.execute(f"SELECT epoch_ms(min(open_time)) {later}").fetchall()
        month = MONTH.index(midnight_ms if first_ms is None else max(first_ms, until_ms))
        end_ms = min(MONTH.start(month + 1), midnight_ms)
        connection.execute(f"{_NOTE} {later} AND open_time < epoch_ms({end_ms}::BIGINT) GROUP BY ALL")
        end = f"epoch_ms({end_ms}::BIGINT)"
        connection.execute(f"INSERT INTO counted (until, hours_until) SELECT {end}, max(hours_until) FROM counted")
        connection.execute(f"DELETE FROM counted WHERE until < {end}")
    return end_ms < midnight_ms


def noted_by_month(connection: duckdb.DuckDBPyConnection, database: str = "") -> dict[int, int]:
    """How many klines the counted days of each month add up to, by its number; `database` as of `odd_days`."""
    month = MONTH.sql_index("day::TIMESTAMP")
    return dict(
        connection.execute(f"SELECT {month}, sum(klines)::BIGINT FROM {database}daily_counts GROUP BY ALL").fetchall()
    )


def odd_days(connection: duckdb.DuckDBPyConnection, month: Window, database: str = "") -> int:
    """How many days of the series of a month have another count than klines; of an attached database, with `live.`."""
    days, klines = _of_days(month), _of_klines(connection, month, database)
    [(odd,)] = connection.execute(
        f"""
        WITH noted AS (
            SELECT {_SERIES}, day, sum(klines) AS klines FROM {database}daily_counts WHERE {days} GROUP BY ALL
        ), there AS (
            SELECT {_SERIES}, open_time::DATE AS day, count(*) AS klines FROM {database}klines WHERE {klines}
            GROUP BY ALL
        )
        SELECT count(*) FROM noted FULL JOIN there USING ({_SERIES}, day)
        WHERE noted.klines IS DISTINCT FROM there.klines
        """
    ).fetchall()
    return int(odd)


def count_again(connection: duckdb.DuckDBPyConnection, month: Window) -> None:
    """Count the days of a month anew, a row each."""
    with transaction(connection):
        connection.execute(f"DELETE FROM daily_counts WHERE {_of_days(month)}")
        connection.execute(f"{_NOTE} FROM klines WHERE {_of_klines(connection, month)} GROUP BY ALL")


def _of_days(month: Window) -> str:
    start, end = (f"epoch_ms({time_ms}::BIGINT)::DATE" for time_ms in (month.start_ms, month.end_ms))
    return f"day >= {start} AND day < {end}"


def _of_klines(connection: duckdb.DuckDBPyConnection, month: Window, database: str = "") -> str:
    """That a kline is of the days of a month that are counted."""
    sql = f"SELECT epoch_ms(coalesce(max(until), TIMESTAMP '1970-01-01')) FROM {database}counted"
    [(until_ms,)] = connection.execute(sql).fetchall()
    end_ms = min(month.end_ms, until_ms)
    return f"open_time >= epoch_ms({month.start_ms}::BIGINT) AND open_time < epoch_ms({end_ms}::BIGINT)"
