"""Prefect's SQLite file, looked at beside its server: what is recorded, how large that is; and moved into the past."""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

QUIET_S = 6
"""The event persister waits 5 s at most for a full batch, the other recorders less."""
AGED = ("flow_run", "flow_run_state", "task_run", "task_run_state", "events", "event_resources", "log", "artifact")
EXPIRES = {"flow_run": "end_time", "events": "occurred", "event_resources": "occurred", "log": "timestamp"}
"""What the vacuum deletes, and the time by which; task runs and all states go with their flow run."""


def query(database: Path, sql: str, *values: object) -> list[tuple[Any, ...]]:
    """The rows of one query, on a connection that is closed at once."""
    with closing(sqlite3.connect(database, timeout=30)) as connection:
        return connection.execute(sql, values).fetchall()


def rows(database: Path) -> dict[str, int]:
    """How many rows each table has; without the empty ones, and those that Prefect ships."""
    tables = [name for (name,) in query(database, "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
    counts = {table: query(database, f'SELECT count(*) FROM "{table}"')[0][0] for table in tables}
    return {
        key: count for key, count in counts.items() if count and not key.startswith(("block_", "alembic_", "sqlite_"))
    }


def drained(database: Path) -> dict[str, int]:
    """Wait until nothing more is being recorded; `rows` then."""
    now = rows(database)
    while True:
        time.sleep(QUIET_S)
        before, now = now, rows(database)
        if before == now:
            return now


def file_mb(database: Path) -> float:
    """The file, with what waits in its write-ahead log."""
    files = (database, database.with_name(f"{database.name}-wal"))
    return sum(file.stat().st_size for file in files if file.exists()) / 1e6


def free_mb(database: Path) -> float:
    """The pages of the file that are free to be used again."""
    [(pages,)], [(bytes_,)] = query(database, "PRAGMA freelist_count"), query(database, "PRAGMA page_size")
    return float(pages * bytes_ / 1e6)


def shares_mb(database: Path) -> dict[str, float]:
    """The pages of each table and its indexes, largest first; empty where SQLite is built without dbstat."""
    try:
        pages = query(database, "SELECT name, sum(pgsize) FROM dbstat GROUP BY name")
    except sqlite3.OperationalError:
        return {}
    tables = dict(query(database, "SELECT name, tbl_name FROM sqlite_master"))
    shares: Counter[str] = Counter()
    for name, bytes_ in pages:
        shares[tables.get(name, name)] += bytes_
    return {table: bytes_ / 1e6 for table, bytes_ in shares.most_common()}


def age(database: Path, days: int) -> None:
    """Let all that is recorded have happened so many days before; no server may run."""
    with closing(sqlite3.connect(database)) as connection, connection:
        for table in AGED:
            columns = [
                name for _, name, type_, *_ in connection.execute(f"PRAGMA table_info({table})") if is_time(name, type_)
            ]
            moved = ", ".join(
                f'"{column}" = date(substr("{column}", 1, 10), ?) || substr("{column}", 11)' for column in columns
            )
            connection.execute(f"UPDATE {table} SET {moved}", [f"-{days} days"] * len(columns))


def is_time(name: str, type_: str) -> bool:
    """Whether a column holds a point in time: a run's total time has the same type and is none."""
    return type_ == "DATETIME" and not name.startswith("total")


def expired(database: Path, days: int) -> list[str]:
    """The tables that hold rows so many days old, which the vacuum has yet to delete."""
    limit = f"{datetime.now(UTC) - timedelta(days=days):%Y-%m-%d %H:%M:%S}"
    return [
        table
        for table, column in EXPIRES.items()
        if query(database, f"SELECT EXISTS (SELECT 1 FROM {table} WHERE {column} < ?)", limit)[0][0]
    ]
