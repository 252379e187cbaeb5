"""What DuckDB itself takes for the rows that benchmarks.read asks for: the least query that gives them.

    python -m benchmarks.bare DATABASE QUESTION

In no order, with no look at what is missing, and, where all symbols are asked for, at whose they are. Prints the
seconds of each of a few tries and the rows as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import duckdb

from klines.columns import COLUMNS, OF_PARTS, as_doubles
from klines.interval import INTERVALS

SAME_IN_ALL = ("market", "kind", "interval")


def main() -> None:
    """Ask, and print what it took, the opening included."""
    database, question = sys.argv[1], json.loads(sys.argv[2])
    sql = statement(question)
    seconds, rows = [], 0
    for _ in range(question["tries"]):
        began_s = time.perf_counter()
        with duckdb.connect(database, read_only=True) as connection:
            connection.execute("SET enable_progress_bar = false")
            rows = connection.sql(sql).to_arrow_table().num_rows
        seconds.append(time.perf_counter() - began_s)
    print(json.dumps({"seconds": seconds, "rows": rows}))


def statement(question: dict[str, Any]) -> str:
    """The query."""
    symbols, interval, stored = question["symbols"], INTERVALS[question["interval"]], question["stored"]
    which = f"open_time >= epoch_ms({question['start_ms']}) AND open_time < epoch_ms({question['end_ms']})"
    if len(symbols) == 1:
        which += f" AND symbol = '{symbols[0]}'"
    if stored != "1m":
        which += f" AND interval = '{stored}'"  # beside 1m
    columns = [name for name in question["columns"] or COLUMNS if name not in SAME_IN_ALL]
    if interval.name == stored:
        read = [as_doubles(name) for name in columns if name != "symbol" or len(symbols) > 1]
        return f"SELECT {', '.join(read)} FROM klines WHERE {which}"
    whose = ["symbol"] if len(symbols) > 1 else []
    made = [f"{interval.sql_index('open_time')} AS slot", *(OF_PARTS[name] for name in columns if name in OF_PARTS)]
    return f"SELECT {', '.join([*whose, *made])} FROM klines WHERE {which} GROUP BY {', '.join([*whose, 'slot'])}"


if __name__ == "__main__":
    main()
