"""The certificate: of every audited series what is expected, stored, explained and unexplained."""

from __future__ import annotations

from typing import Any

import duckdb


def certificate(connection: duckdb.DuckDBPyConnection, *, with_hash: bool = True) -> list[dict[str, Any]]:
    """The rows of the view `certificate`; the hash reads every kline, 2 µs each."""
    columns = "*" if with_hash else "* EXCLUDE (hash)"
    result = connection.execute(f"SELECT {columns} FROM certificate ORDER BY market, kind, interval, symbol")
    names = [name for name, *_ in result.description or []]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]
