"""What is wanted, as anybody can read it: ranges of series, and by whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from klines.clock import epoch_ms
from klines.reading.parameters import symbols_named
from klines.storage.access import Database, reading
from klines.window import Window


@dataclass(frozen=True, slots=True)
class WantedRange:
    """A range of a series, [since, until) in naive UTC, without an end where `until` is None; who wants it, and since
    when."""

    market: str
    kind: str
    symbol: str
    interval: str
    since: datetime
    until: datetime | None
    wanted_by: str
    noted_at: datetime

    @property
    def series(self) -> tuple[str, str, str, str]:
        """Its market, kind, symbol and interval."""
        return self.market, self.kind, self.symbol, self.interval

    def overlaps(self, asked: Window) -> bool:
        """Whether it has any time in common with a window."""
        is_before = self.until is not None and epoch_ms(self.until) <= asked.start_ms
        return not is_before and epoch_ms(self.since) < asked.end_ms

    def as_fields(self) -> dict[str, Any]:
        """For JSON; times are ISO 8601 in UTC."""
        fields = asdict(self)
        return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in fields.items()}


def wanted_ranges(
    symbols: Sequence[str] | None = None,
    market: str | None = None,
    kind: str | None = None,
    interval: str | None = None,
    *,
    database: Database = None,
) -> list[WantedRange]:
    """All ranges that anybody wants, or those of some symbols, a market, a kind, an interval; raises as `read` does."""
    names = None if symbols is None else " ".join(symbols_named(symbols))
    with reading(database) as connection:
        rows = connection.execute(
            """
            SELECT market, kind, symbol, interval, since, until, wanted_by, noted_at FROM wanted
            WHERE market = coalesce(?, market) AND kind = coalesce(?, kind) AND interval = coalesce(?, interval)
              AND (?::VARCHAR IS NULL OR is_among(symbol, ?))
            ORDER BY market, kind, slot_length(interval), interval, symbol, since, until, wanted_by
            """,
            [market, kind, interval, names, names],
        ).fetchall()
    return [WantedRange(*row) for row in rows]
