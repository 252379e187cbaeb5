"""Klines into the table `klines`: never more than one a slot, equal ones untouched, changed ones noted.

Rows that come in bulk to where nothing is stored are inserted, in Arrow batches of a row group each, which DuckDB
compresses on all cores; all others are merged.
"""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import polars as pl
import pyarrow as pa

from klines.interval import Interval
from klines.market import Market
from klines.rows import OFF_GRID_ERA, Row, frame

VALUES = ("open", "high", "low", "close", "volume", "close_time", "quote_volume", "trades", "taker_buy_volume",
          "taker_buy_quote_volume")  # fmt: skip
_KEY = ("market", "symbol", "interval", "open_time")
_ROW_GROUP = 122_880
_BULK = 5_000
"""From so many rows of a symbol on it is worth asking whether their place is free."""


def stage(symbols: Sequence[tuple[str, Sequence[Row]]]) -> list[pl.DataFrame]:
    """Rows in frames as `rows.frame` makes them, with the symbol: one for each of many rows, one for all the others."""
    long = [frame(rows).with_columns(symbol=pl.lit(symbol)) for symbol, rows in symbols if len(rows) > 100]
    short = [(symbol, row) for symbol, rows in symbols if len(rows) <= 100 for row in rows]
    names = pl.Series([symbol for symbol, _ in short], dtype=pl.String)
    return [*long, frame([row for _, row in short]).with_columns(symbol=names)]


def merge_rows(
    connection: duckdb.DuckDBPyConnection,
    market: Market,
    interval: Interval,
    staged: Sequence[pl.DataFrame],
    *,
    source: str,
    now_ms: int,
) -> tuple[int, int]:
    """Write frames such as `stage` makes, as part of the caller's transaction.

    Returns how many klines were new, and how many of the stored ones had other values.
    """
    free = _free(connection, market, interval, staged)
    _insert(connection, market, interval, [staged[at] for at in free], source, now_ms)
    others = [rows for at, rows in enumerate(staged) if at not in free]
    inserted, restated = _merge(connection, market, interval, others, source, now_ms)
    return sum(staged[at].height for at in free) + inserted, restated


def _free(
    connection: duckdb.DuckDBPyConnection, market: Market, interval: Interval, staged: Sequence[pl.DataFrame]
) -> list[int]:
    """Which frames, ordered by symbol and time, have many rows of one symbol, one a slot, on the grid, and a range in
    which neither the file nor another of these frames has any."""
    ranges = [(*_range(rows, interval), at) for at, rows in enumerate(staged) if rows.height >= _BULK]
    free: list[int] = []
    before, until_ms = "", 0
    for symbol, first_ms, last_ms, is_plain, at in sorted(ranges):
        is_apart = symbol != before or first_ms > until_ms
        if is_plain and is_apart and not _is_stored(connection, market, interval, symbol, first_ms, last_ms):
            free.append(at)
            before, until_ms = symbol, last_ms
    return free


def _range(rows: pl.DataFrame, interval: Interval) -> tuple[str, int, int, bool]:
    """The symbol, the first and the last open time, and whether it is one symbol's, one row a slot, on the grid."""
    symbol, time = pl.col("symbol"), pl.col("open_time")
    is_plain = [
        symbol.n_unique() == 1,
        time.n_unique() == pl.len(),
        ((time - interval.phase_ms) % (interval.length_ms or 1) == 0).all(),
    ]
    found = rows.select(symbol.first(), time.min(), time.max().alias("last"), plain=pl.all_horizontal(is_plain)).row(0)
    return found[0], found[1], found[2], found[3] and interval.length_ms > 0


def _is_stored(
    connection: duckdb.DuckDBPyConnection,
    market: Market,
    interval: Interval,
    symbol: str,
    first_ms: int,
    last_ms: int,
) -> bool:
    """Whether any kline is stored in the slots from the first to the last."""
    found = connection.execute(
        """SELECT 1 FROM klines WHERE market = ? AND symbol = ? AND interval = ?
           AND open_time >= epoch_ms(?::BIGINT) AND open_time < epoch_ms(?::BIGINT) LIMIT 1""",
        [market.name, symbol, interval.name, first_ms, last_ms + interval.length_ms],
    )
    return bool(found.fetchall())


def _insert(
    connection: duckdb.DuckDBPyConnection,
    market: Market,
    interval: Interval,
    staged: Sequence[pl.DataFrame],
    source: str,
    now_ms: int,
) -> None:
    """Plain insertion, each frame by time."""
    if not staged:
        return
    table = pl.concat([_by_time(rows) for rows in staged], rechunk=True).to_arrow()
    connection.register("staged_rows", pa.Table.from_batches(table.to_batches(max_chunksize=_ROW_GROUP)))
    connection.execute(
        f"""
        INSERT INTO klines BY NAME
        SELECT * REPLACE (epoch_ms(open_time) AS open_time, epoch_ms(close_time) AS close_time),
               '{market.name}' AS market, '{interval.name}' AS interval, '{source}' AS source,
               epoch_ms({now_ms}::BIGINT) AS fetched_at
        FROM staged_rows
        """
    )
    connection.unregister("staged_rows")


def _by_time(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows by open time; the same frame, not a copy, where they are."""
    return rows if rows["open_time"].is_sorted() else rows.sort("open_time")


def _merge(
    connection: duckdb.DuckDBPyConnection,
    market: Market,
    interval: Interval,
    frames: Sequence[pl.DataFrame],
    source: str,
    now_ms: int,
) -> tuple[int, int]:
    """Insert what is new and update what differs; the old values go to `restatements`."""
    if not any(rows.height for rows in frames):
        return 0, 0
    rows = pl.concat(frames)
    staged = _one_a_slot(rows, interval).with_columns(
        market=pl.lit(market.name), interval=pl.lit(interval.name), source=pl.lit(source)
    )
    times = ", ".join(f"epoch_ms({name}) AS {name}" for name in ("open_time", "close_time"))
    connection.register("staged_rows", staged)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE staged AS SELECT * REPLACE ({times}) FROM staged_rows")
    connection.unregister("staged_rows")
    _settle_slots(connection, interval, staged)
    first_ms, last_ms = staged.select(pl.col("open_time").min(), pl.col("open_time").max().alias("last")).row(0)
    within = f"k.open_time BETWEEN epoch_ms({first_ms}::BIGINT) AND epoch_ms({last_ms}::BIGINT)"
    same_key = " AND ".join([*(f"k.{name} = s.{name}" for name in _KEY), within])
    differs = f"({_listed('k')}) IS DISTINCT FROM ({_listed('s')})"
    [(restated,)] = connection.execute(
        f"""
        INSERT INTO restatements
        SELECT {_listed("k", _KEY)}, to_json({_struct("k")}), to_json({_struct("s")}), s.source, epoch_ms(?::BIGINT)
        FROM klines k JOIN staged s ON {same_key} WHERE {differs}
        """,
        [now_ms],
    ).fetchall()
    columns = (*_KEY, *VALUES, "source")
    [(changed,)] = connection.execute(
        f"""
        MERGE INTO klines k USING staged s ON {same_key}
        WHEN MATCHED AND {differs} THEN UPDATE SET {", ".join(f"{name} = s.{name}" for name in (*VALUES, "source"))}
        WHEN NOT MATCHED THEN INSERT ({", ".join((*columns, "fetched_at"))})
                              VALUES ({_listed("s", columns)}, epoch_ms({now_ms}::BIGINT))
        """
    ).fetchall()
    connection.execute("DROP TABLE staged")
    return changed - restated, restated


def _one_a_slot(rows: pl.DataFrame, interval: Interval) -> pl.DataFrame:
    """One row a symbol and slot: an on-grid one, else the one answered last; ordered by time."""
    slot = pl.col("open_time")
    if interval.length_ms:
        slot = (slot - interval.phase_ms) // interval.length_ms * interval.length_ms + interval.phase_ms
    return (
        rows.with_columns(slot=slot)
        .sort(pl.col("open_time") == pl.col("slot"), maintain_order=True)
        .unique(["symbol", "slot"], keep="last", maintain_order=True)
        .sort("open_time", "symbol")
        .drop("slot")
    )


def _settle_slots(connection: duckdb.DuckDBPyConnection, interval: Interval, staged: pl.DataFrame) -> None:
    """In the days of off-grid klines: a stored off-grid row moves to the open time that its slot has now, a staged one
    goes where an on-grid row is stored."""
    eras = [pl.col("open_time").is_between(era.start_ms, era.end_ms, closed="left") for era in OFF_GRID_ERA]
    if not interval.length_ms or not staged.select(pl.any_horizontal(eras).any()).item():
        return
    slot = interval.sql_index
    equal = [f"k.{name} = s.{name}" for name in _KEY[:3]]
    same_slot = " AND ".join([*equal, f"{slot('k.open_time')} = {slot('s.open_time')}", "k.open_time <> s.open_time"])
    is_on_grid = f"epoch_ms(k.open_time) % {interval.length_ms} = {interval.phase_ms}"
    connection.execute(f"DELETE FROM staged s USING klines k WHERE {same_slot} AND {is_on_grid}")
    connection.execute(f"UPDATE klines k SET open_time = s.open_time FROM staged s WHERE {same_slot}")


def _listed(table: str, names: Sequence[str] = VALUES) -> str:
    return ", ".join(f"{table}.{name}" for name in names)


def _struct(table: str) -> str:
    return "{" + ", ".join(f"{name}: {table}.{name}" for name in VALUES) + "}"
