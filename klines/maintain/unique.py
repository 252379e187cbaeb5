"""Proof that no slot has two klines: nothing else keeps them apart, as the table has no primary key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import duckdb

from klines.interval import INTERVALS, Interval
from klines.maintain.survey import Month, slot_windows
from klines.storage.live import Live
from klines.window import Window

SHOWN = 20
"""Slots with two klines that are named at most."""


@dataclass(slots=True)
class Doubles:
    """Slots with more than one kline: how many, how many klines too many, and the first as `spot BTCUSDT 1m …`; and
    which share of all was looked at by now."""

    slots: int = 0
    surplus: int = 0
    examples: list[str] = field(default_factory=list)
    share: float = 0.0


def find_doubles(live: Live, months: Sequence[Month], found: Doubles) -> None:
    """Look through all klines of the months, in turns with those who write; adds to `found`."""
    names = [name for name in INTERVALS if any(month.counts[name] for month in months)]
    windows = {name: slot_windows(months, INTERVALS[name]) for name in names}
    part = 1 / max(1, sum(map(len, windows.values())))

    def look(window: Window, interval: Interval) -> None:
        _look(live.connection, "live.klines", found, interval, window)
        found.share += part

    for name, its in windows.items():
        live.in_turns(its, partial(look, interval=INTERVALS[name]))
    found.share = 1.0


def find_doubles_in(connection: duckdb.DuckDBPyConnection, table: str, months: Sequence[Month], found: Doubles) -> None:
    """Look through the klines of the months, of a table that nobody has to wait for; adds to `found`."""
    for name, interval in INTERVALS.items():
        if any(month.counts[name] for month in months):
            for window in slot_windows(months, interval):
                _look(connection, table, found, interval, window)


def _look(
    connection: duckdb.DuckDBPyConnection, table: str, found: Doubles, interval: Interval, window: Window
) -> None:
    known = interval if interval.is_phase_known else interval.shifted(_phase_ms(connection, table, interval))
    rows = connection.execute(
        f"""
        WITH doubles AS (
            SELECT market, kind, symbol, min(open_time) AS open_time, count(*) AS klines
            FROM {table}
            WHERE interval = '{interval.name}' AND open_time >= epoch_ms({window.start_ms}::BIGINT)
              AND open_time < epoch_ms({window.end_ms}::BIGINT)
            GROUP BY market, kind, symbol, {known.sql_index("open_time")} HAVING klines > 1)
        SELECT count(*) OVER (), sum(klines - 1) OVER (),
               format('{{}} {{}} {interval.name} {{}}', concat_ws(' ', market, nullif(kind, 'klines')), symbol,
                      strftime(open_time, '%Y-%m-%d %H:%M'))
        FROM doubles ORDER BY open_time, market, kind, symbol LIMIT {SHOWN}
        """
    ).fetchall()
    if rows:
        found.slots += rows[0][0]
        found.surplus += int(rows[0][1])
        found.examples += [text for _, _, text in rows][: SHOWN - len(found.examples)]


def _phase_ms(connection: duckdb.DuckDBPyConnection, table: str, interval: Interval) -> int:
    """Where the slots begin, as any stored kline shows."""
    [(open_ms,)] = connection.execute(
        f"SELECT epoch_ms(open_time) FROM {table} WHERE interval = '{interval.name}' LIMIT 1"
    ).fetchall()
    return int(open_ms) % interval.length_ms
