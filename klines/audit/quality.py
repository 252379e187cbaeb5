"""Findings about the quality of what is stored: named, and never changed. A turn at the file for each query, as all of
them together would keep it from the minute for seconds.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from klines.audit.message import Finding
from klines.backfill.chunks import days_of
from klines.market import KINDS, KLINES
from klines.window import Window

_PRICED = str([kind.name for kind in KINDS.values() if not kind.can_be_negative])
_SQL = (Path(__file__).parent / "quality.sql").read_text().replace("@priced@", _PRICED)
QUERIES = dict(re.findall(r"^-- name: (.+)\n((?:.|\n)*?);\n", _SQL, re.MULTILINE))
"""The named queries of quality.sql."""
_SERIES = f"concat_ws(' ', nullif(kind, '{KLINES.name}'), interval)"
SHOWN = 5
"""Examples of a finding at most."""


def findings(
    opened: Callable[[], contextlib.AbstractContextManager[duckdb.DuckDBPyConnection]], from_ms: int, until_ms: int
) -> list[Finding]:
    """What looks wrong among the klines that open in [from_ms, until_ms)."""
    bounds = {name: datetime.fromtimestamp(ms / 1000, UTC).replace(tzinfo=None)
              for name, ms in (("from", from_ms), ("until", until_ms))}  # fmt: skip
    found = []
    for name, sql in QUERIES.items():
        with opened() as connection:
            rows = connection.execute(
                f"""
                SELECT count(*) OVER (), format(
                    '{{}} {{}} {{}} ({{}})', symbol, {_SERIES}, strftime(open_time, '%Y-%m-%d %H:%M'), detail)
                FROM ({sql}) ORDER BY open_time, symbol LIMIT {SHOWN}
                """,
                bounds,
            ).fetchall()
        if rows:
            examples = [text for _, text in rows]
            found.append(Finding(name, rows[0][0], examples, days_of(Window(from_ms, until_ms))))
    return found
