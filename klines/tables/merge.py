"""Klines into the table `klines`: never more than one a slot, equal ones untouched, changed ones noted.

Many rows of a symbol where nothing is stored yet are inserted, in Arrow batches of one row group, which DuckDB
compresses on all cores. All others are merged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import duckdb
import polars as pl
import pyarrow as pa

from klines.columns import KEY, VALUES, in_sql
from klines.interval import Interval
from klines.market import Market
from klines.rows import OFF_GRID_ERA, Row, frame
from klines.tables.counts import counted_until_ms, note_counts
from klines.tables.doubtful import settle
from klines.tables.hours import note_changed

ROW_GROUP = 122_880
"""So many rows DuckDB compresses together."""
_BULK = 5_000
"""From so many rows on, it pays to ask whether their place is free."""


def stage(symbols: Sequence[tuple[str, Sequence[Row]]]) -> list[pl.DataFrame]:
    """Rows as frames in the shape of `rows.frame`, with the symbol: one for each long list, one for all short ones."""
    long = [frame(rows).with_columns(symbol=pl.lit(symbol)) for symbol, rows in symbols if len(rows) > 100]
    short = [(symbol, row) for symbol, rows in symbols if len(rows) <= 100 for row in rows]
    names = pl.Series([symbol for symbol, _ in short], dtype=pl.String)
    return [*long, frame([row for _, row in short]).with_columns(symbol=names)]


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """A frame of `stage`, and its range. A plain one has one symbol, one row a slot, and all rows on the grid."""

    rows: pl.DataFrame
    symbol: str
    first_ms: int
    last_ms: int
    is_plain: bool


@dataclass(frozen=True, slots=True)
class Bulk:
    """Frames made ready before the file is opened; `table` holds the rows of all plain ones."""

    plain: Sequence[Stretch]
    table: pa.Table | None
    others: Sequence[pl.DataFrame]


def prepare(staged: Sequence[pl.DataFrame], interval: Interval) -> Bulk:
    """Frames of `stage`, sorted into those that may be inserted as they are, and do not overlap, and the others."""
    plain: list[Stretch] = []
    others = [rows for rows in staged if rows.height < _BULK]
    runs = [_stretch(rows, interval) for rows in staged if rows.height >= _BULK]
    for run in sorted(runs, key=lambda run: (run.symbol, run.first_ms)):
        before = plain[-1] if plain else None
        is_apart = before is None or before.symbol != run.symbol or before.last_ms < run.first_ms
        if run.is_plain and is_apart:
            plain.append(run)
        else:
            others.append(run.rows)
    return Bulk(*_in_one(plain), others)


def _stretch(rows: pl.DataFrame, interval: Interval) -> Stretch:
    symbol, time = pl.col("symbol"), pl.col("open_time")
    is_plain = [
        symbol.n_unique() == 1,
        time.n_unique() == pl.len(),
        ((time - interval.phase_ms) % (interval.length_ms or 1) == 0).all(),
    ]
    found = rows.select(symbol.first(), time.min(), time.max().alias("last"), plain=pl.all_horizontal(is_plain)).row(0)
    return Stretch(rows, found[0], found[1], found[2], found[3] and interval.length_ms > 0)


def _in_one(runs: Sequence[Stretch]) -> tuple[list[Stretch], pa.Table | None]:
    """The rows of the runs in one table, in batches of a row group; and the runs anew, as slices of the same memory."""
    if not runs:
        return [], None
    by_time = [run.rows if run.rows["open_time"].is_sorted() else run.rows.sort("open_time") for run in runs]
    whole = pl.concat(by_time, rechunk=True)
    starts = accumulate((rows.height for rows in by_time), initial=0)
    parts = [replace(run, rows=whole.slice(start, run.rows.height)) for run, start in zip(runs, starts, strict=False)]
    return parts, pa.Table.from_batches(whole.to_arrow().to_batches(max_chunksize=ROW_GROUP))


def merge_rows(
    connection: duckdb.DuckDBPyConnection,
    market: Market,
    interval: Interval,
    bulk: Bulk,
    *,
    source: str,
    now_ms: int,
) -> tuple[int, int]:
    """Write what was prepared, as part of the caller's transaction.

    Returns how many klines were new, and how many of the stored ones had other values.
    """
    free = [run for run in bulk.plain if not _is_stored(connection, market, interval, run)]
    table = bulk.table if len(free) == len(bulk.plain) else _in_one(free)[1]
    _insert(connection, market, interval, table, source, now_ms)
    others = [*bulk.others, *(run.rows for run in bulk.plain if run not in free)]
    inserted, restated = _merge(connection, market, interval, others, source, now_ms)
    return sum(run.rows.height for run in free) + inserted, restated


def _is_stored(connection: duckdb.DuckDBPyConnection, market: Market, interval: Interval, run: Stretch) -> bool:
    """Whether any kline is stored in the slots from the first to the last."""
    found = connection.execute(
        """SELECT 1 FROM klines WHERE market = ? AND kind = ? AND symbol = ? AND interval = ?
           AND open_time >= epoch_ms(?::BIGINT) AND open_time < epoch_ms(?::BIGINT) LIMIT 1""",
        [*market.key, run.symbol, interval.name, run.first_ms, run.last_ms + interval.length_ms],
    )
    return bool(found.fetchall())


def _insert(
    connection: duckdb.DuckDBPyConnection,
    market: Market,
    interval: Interval,
    table: pa.Table | None,
    source: str,
    now_ms: int,
) -> None:
    """Plain insertion."""
    if table is None:
        return
    connection.register("staged_rows", table)
    connection.execute(
        f"""
        INSERT INTO klines BY NAME
        SELECT * REPLACE (epoch_ms(open_time) AS open_time, epoch_ms(close_time) AS close_time),
               '{market.name}' AS market, '{market.kind.name}' AS kind, '{interval.name}' AS interval,
               '{source}' AS source, epoch_ms({now_ms}::BIGINT) AS fetched_at
        FROM staged_rows
        """
    )
    key = f"'{market.name}' AS market, '{market.kind.name}' AS kind, symbol, '{interval.name}' AS interval"
    added = f"SELECT {key}, epoch_ms(open_time) AS open_time FROM staged_rows"
    note_counts(connection, added)
    note_changed(connection, added)
    connection.unregister("staged_rows")


def _merge(
    connection: duckdb.DuckDBPyConnection,
    market: Market,
    interval: Interval,
    frames: Sequence[pl.DataFrame],
    source: str,
    now_ms: int,
) -> tuple[int, int]:
    """Insert what is new and update what differs; the old values go to `restatements`.

    It is no MERGE: on a lake that would make a Parquet file of every minute, instead of rows in the catalog.
    """
    if not any(rows.height for rows in frames):
        return 0, 0
    rows = pl.concat(frames)
    staged = _one_a_slot(rows, interval).with_columns(
        market=pl.lit(market.name),
        kind=pl.lit(market.kind.name),
        interval=pl.lit(interval.name),
        source=pl.lit(source),
    )
    times = ", ".join(f"epoch_ms({name}) AS {name}" for name in ("open_time", "close_time"))
    connection.register("staged_rows", staged)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE staged AS SELECT * REPLACE ({times}) FROM staged_rows")
    connection.unregister("staged_rows")
    _settle_slots(connection, interval, staged)
    first_ms, last_ms = staged.select(pl.col("open_time").min(), pl.col("open_time").max().alias("last")).row(0)
    within = f"k.open_time BETWEEN epoch_ms({first_ms}::BIGINT) AND epoch_ms({last_ms}::BIGINT)"
    same_key = " AND ".join([*(f"k.{name} = s.{name}" for name in KEY), within])
    differs = f"({in_sql(VALUES, 'k')}) IS DISTINCT FROM ({in_sql(VALUES, 's')})"
    [(restated,)] = connection.execute(
        f"""
        INSERT INTO restatements BY NAME
        SELECT {in_sql(KEY, "k")}, to_json({_struct("k")}) AS old, to_json({_struct("s")}) AS new, s.source,
               epoch_ms(?::BIGINT) AS seen_at
        FROM klines k JOIN staged s ON {same_key} WHERE {differs}
        """,
        [now_ms],
    ).fetchall()
    is_counted = first_ms < counted_until_ms(connection)
    if restated:
        if is_counted:
            changed = f"FROM klines k JOIN staged s ON {same_key} WHERE {differs}"
            note_changed(connection, f"SELECT {in_sql(KEY, 's')} {changed}")
        values = ", ".join(f"{name} = s.{name}" for name in (*VALUES, "source"))
        connection.execute(f"UPDATE klines k SET {values} FROM staged s WHERE {same_key} AND {differs}")
    columns = (*KEY, *VALUES, "source")
    added = f"FROM staged s WHERE NOT EXISTS (FROM klines k WHERE {same_key})"
    if is_counted:
        note_counts(connection, f"SELECT {in_sql(KEY, 's')} {added}")
        note_changed(connection, f"SELECT {in_sql(KEY, 's')} {added}")
    [(inserted,)] = connection.execute(
        f"""
        INSERT INTO klines ({", ".join((*columns, "fetched_at"))})
        SELECT {in_sql(columns, "s")}, epoch_ms({now_ms}::BIGINT) {added}
        """
    ).fetchall()
    settle(connection, "staged")
    connection.execute("DROP TABLE staged")
    return inserted, restated


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
    """Of the days with off-grid klines: a stored off-grid row moves to the open time that was answered for its slot; a
    staged one is dropped where an on-grid row is stored."""
    eras = [pl.col("open_time").is_between(era.start_ms, era.end_ms, closed="left") for era in OFF_GRID_ERA]
    if not interval.length_ms or not staged.select(pl.any_horizontal(eras).any()).item():
        return
    slot = interval.sql_index
    equal = [f"k.{name} = s.{name}" for name in KEY[:-1]]
    same_slot = " AND ".join([*equal, f"{slot('k.open_time')} = {slot('s.open_time')}", "k.open_time <> s.open_time"])
    is_on_grid = f"epoch_ms(k.open_time) % {interval.length_ms} = {interval.phase_ms}"
    connection.execute(f"DELETE FROM staged s USING klines k WHERE {same_slot} AND {is_on_grid}")
    [(moved,)] = connection.execute(
        f"UPDATE klines k SET open_time = s.open_time FROM staged s WHERE {same_slot}"
    ).fetchall()
    if moved:
        note_changed(connection, f"SELECT {in_sql(KEY)} FROM staged")


def _struct(table: str) -> str:
    return "{" + ", ".join(f"{name}: {table}.{name}" for name in VALUES) + "}"
