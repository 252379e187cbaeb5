"""Made-up months as Parquet files, made when they are first asked for, and linked or copied into databases."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import duckdb

from benchmarks.maintain import ROWS
from klines.columns import DECIMAL
from klines.interval import DAY, INTERVALS, MINUTE
from klines.window import Window

MONTH = INTERVALS["1M"]
MEASURED = MONTH.index(1_764_547_200_000)
"""December 2025: the month that is maintained and read; the others come before it."""
_OTHERS = """
    SELECT 'spot' AS market, symbol, '1m' AS interval, open_time, 1.5::DOUBLE AS open, 1.5::DOUBLE AS high,
           1.5::DOUBLE AS low, 1.5::DOUBLE AS close, 2::{amount} AS volume,
           open_time + INTERVAL 59999 MILLISECOND AS close_time, 3::{amount} AS quote_volume, 3::BIGINT AS trades,
           1::{amount} AS taker_buy_volume, 1.5::{amount} AS taker_buy_quote_volume, 'rest' AS source,
           open_time + INTERVAL 65 SECOND AS fetched_at, 'klines' AS kind
    FROM (SELECT 'S' || lpad(n::VARCHAR, 4, '0') || 'USDT' AS symbol,
                 unnest(range(epoch_ms({start}::BIGINT), epoch_ms({end}::BIGINT), INTERVAL 1 MINUTE)) AS open_time
          FROM range({symbols}) numbers(n))
"""
"""In order already, and quick to make."""


class Part(NamedTuple):
    """A Parquet file of klines of one month, in the order symbol, open_time."""

    path: Path
    month: int
    rows: int

    @property
    def folder(self) -> str:
        """Where a lake has it."""
        years, months = divmod(self.month, 12)
        return f"main/klines/market=spot/kind=klines/interval=1m/year={1970 + years}/month={months + 1}"


class Stock:
    """The months, in a folder; every one has each minute of so many symbols, `S0000USDT` and so on."""

    def __init__(self, folder: Path, symbols: int) -> None:
        folder.mkdir()
        self.folder = folder
        self.symbols = symbols

    @property
    def rows(self) -> int:
        """Of the month that is measured."""
        return (MONTH.start(MEASURED + 1) - MONTH.start(MEASURED)) // MINUTE * self.symbols

    def days(self) -> Iterator[str]:
        """The month that is measured: a statement a day, values as benchmarks.maintain has them."""
        for day in range(MONTH.start(MEASURED), MONTH.start(MEASURED + 1), DAY):
            yield ROWS.replace("BY t, n", "BY n, t").format(symbols=self.symbols, start=day, end=day + DAY)

    def others(self, rows: int) -> list[Part]:
        """About so many rows of the months before that, the last of them first, with the same values throughout: they
        are there to be many."""
        found: list[Part] = []
        for month in itertools.count(MEASURED - 1, -1):
            end = MONTH.start(month + 1)
            minutes = (rows - sum(part.rows for part in found)) // self.symbols
            if minutes <= 0:
                return found
            window = Window(max(MONTH.start(month), end - minutes * MINUTE), end)
            sql = _OTHERS.format(symbols=self.symbols, start=window.start_ms, end=window.end_ms, amount=DECIMAL)
            found.append(self._made(f"{MONTH.start(month)}-{minutes}", sql, window, month))
        raise AssertionError

    def _made(self, name: str, sql: str, window: Window, month: int) -> Part:
        path = self.folder / f"{name}.parquet"
        if not path.exists():
            with duckdb.connect() as connection:
                connection.execute("SET memory_limit = '1500MB'; SET enable_progress_bar = false")
                connection.execute(f"COPY ({sql}) TO '{path}' (FORMAT parquet, COMPRESSION zstd)")
        return Part(path, month, (window.end_ms - window.start_ms) // MINUTE * self.symbols)
