"""Which parts of the table hold klines as minutes wrote them, one of each series after the other: by a sample of each.

What was stored by a backfill lies by symbol already, and what was put in order does, too.
"""

from __future__ import annotations

from collections.abc import Iterable

from klines.maintain.survey import CHUNK
from klines.storage.live import Live

EVERY, TAKEN = 4_096, 64
"""Of so many rows in a row, so many are looked at: those of a chunk in a millisecond or two."""
_SERIES = "market, kind, interval, symbol"


def mixed(live: Live, chunks: Iterable[int]) -> dict[int, int]:
    """Those of the chunks, numbers of CHUNK rows each, in which over a quarter of the klines follow upon one of another
    series; and how many series each has."""
    found: dict[int, int] = {}

    def look(chunk: int) -> None:
        rows = f"FROM live.klines WHERE rowid >= {chunk * CHUNK} AND rowid < {(chunk + 1) * CHUNK}"
        [(is_mixed,)] = live.connection.execute(
            f"""
            SELECT coalesce(avg(differs::INTEGER) > 0.25, false) FROM (
                SELECT ({_SERIES}) IS DISTINCT FROM lag(({_SERIES})) OVER (ORDER BY rowid) AS differs
                {rows} AND rowid % {EVERY} < {TAKEN})
            """
        ).fetchall()
        if is_mixed:
            [(found[chunk],)] = live.connection.execute(
                f"SELECT count(*) FROM (SELECT DISTINCT {_SERIES} {rows})"
            ).fetchall()

    live.in_turns(chunks, look)
    return found
