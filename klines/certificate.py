"""What an audit can say of the whole file: the certificate, and findings about quality."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

QUERIES = dict(
    re.findall(r"^-- name: (.+)\n((?:.|\n)*?);\n", (Path(__file__).parent / "quality.sql").read_text(), re.MULTILINE)
)
"""The named queries of quality.sql."""
SHOWN = 5
"""Examples of a finding at most."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a query of quality.sql found: how often, and the first of them as `BTCUSDT 1m 2018-02-08 00:28 (detail)`."""

    name: str
    count: int
    examples: Sequence[str]


def certificate(connection: duckdb.DuckDBPyConnection, *, with_hash: bool = True) -> list[dict[str, Any]]:
    """The rows of the view `certificate`; the hash reads every kline, 2 µs each."""
    columns = "*" if with_hash else "* EXCLUDE (hash)"
    result = connection.execute(f"SELECT {columns} FROM certificate ORDER BY market, interval, symbol")
    names = [name for name, *_ in result.description or []]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def findings(connection: duckdb.DuckDBPyConnection, from_ms: int, until_ms: int) -> list[Finding]:
    """What looks wrong among the klines that open in [from_ms, until_ms)."""
    bounds = {name: datetime.fromtimestamp(ms / 1000, UTC).replace(tzinfo=None)
              for name, ms in (("from", from_ms), ("until", until_ms))}  # fmt: skip
    found = []
    for name, sql in QUERIES.items():
        [(count,)] = connection.execute(f"SELECT count(*) FROM ({sql})", bounds).fetchall()
        if count:
            rows = connection.execute(
                f"""
                SELECT format('{{}} {{}} {{}} ({{}})', symbol, interval, strftime(open_time, '%Y-%m-%d %H:%M'), detail)
                FROM ({sql}) ORDER BY open_time, symbol LIMIT {SHOWN}
                """,
                bounds,
            ).fetchall()
            found.append(Finding(name, count, [text for (text,) in rows]))
    return found
