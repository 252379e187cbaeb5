"""Writing what a run fetched: one transaction, idempotent, and never more than one row a slot."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import duckdb
import polars as pl

from klines.errors import UnknownSymbol
from klines.gaps import read_gaps, write_gaps
from klines.interval import HOUR, Interval
from klines.ledger import NOT_LISTED, REJECTED, UNRESOLVED, owe, revise
from klines.market import Market
from klines.plan import Want
from klines.rows import OFF_GRID_ERA, Row, frame
from klines.wanted import stored_windows
from klines.window import Window, intersect, subtract, window

QUARANTINE_MS = HOUR
"""How long a symbol that the exchange does not know is not asked for."""

VALUES = ("open", "high", "low", "close", "volume", "close_time", "quote_volume", "trades", "taker_buy_volume",
          "taker_buy_quote_volume")  # fmt: skip
_KEY = ("market", "symbol", "interval", "open_time")


@dataclass(frozen=True, slots=True)
class Stored:
    """What one transaction changed: klines new to the file, klines whose values were corrected, rows refused."""

    inserted: int = 0
    restated: int = 0
    rejected: int = 0


def store(
    connection: duckdb.DuckDBPyConnection,
    market: Market,
    interval: Interval,
    wants: Sequence[Want],
    *,
    now_ms: int,
    not_trading: Iterable[str] = (),
    source: str = "rest",
) -> Stored:
    """Write the rows, rejects, restatements and gaps of `wants`; all or nothing.

    `now_ms` is the exchange's clock. The newest slots of a symbol in `not_trading` are gaps; of any other symbol
    they are only late.
    """
    connection.begin()
    try:
        inserted, restated = _merge_rows(connection, market, interval, wants, now_ms, source)
        rejected = _merge_rejects(connection, market, interval, wants, now_ms, source)
        _revise_ledger(connection, market, interval, wants, now_ms, set(not_trading))
        _note_symbols(connection, market, wants, now_ms)
        connection.commit()
    except BaseException:
        with contextlib.suppress(duckdb.Error):  # a full disk has ended the transaction already
            connection.rollback()
        raise
    return Stored(inserted, restated, rejected)


def _merge_rows(
    connection: duckdb.DuckDBPyConnection,
    market: Market,
    interval: Interval,
    wants: Sequence[Want],
    now_ms: int,
    source: str,
) -> tuple[int, int]:
    """How many klines were new, and how many of the stored ones had other values."""
    staged = _staged(market, interval, wants, source)
    if staged.is_empty():
        return 0, 0
    times = ", ".join(f"epoch_ms({name}) AS {name}" for name in ("open_time", "close_time"))
    connection.register("staged_frame", staged)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE staged AS SELECT * REPLACE ({times}) FROM staged_frame")
    connection.unregister("staged_frame")
    _settle_slots(connection, interval, staged)
    since = f"k.open_time >= epoch_ms({staged.select(pl.col('open_time').min()).item()}::BIGINT)"
    same_key = " AND ".join([*(f"k.{name} = s.{name}" for name in _KEY), since])
    differs = f"({_listed('k')}) IS DISTINCT FROM ({_listed('s')})"
    connection.execute(
        f"""
        INSERT INTO restatements
        SELECT {_listed("k", _KEY)}, to_json({_struct("k")}), to_json({_struct("s")}), s.source, epoch_ms(?::BIGINT)
        FROM klines k JOIN staged s ON {same_key} WHERE {differs}
        """,
        [now_ms],
    )
    columns = (*_KEY, *VALUES, "source")
    actions = connection.execute(
        f"""
        MERGE INTO klines k USING staged s ON {same_key}
        WHEN MATCHED AND {differs} THEN UPDATE SET {", ".join(f"{name} = s.{name}" for name in (*VALUES, "source"))}
        WHEN NOT MATCHED THEN INSERT ({", ".join((*columns, "fetched_at"))})
                              VALUES ({_listed("s", columns)}, epoch_ms({now_ms}::BIGINT))
        RETURNING merge_action
        """
    ).fetchall()
    counts = Counter(action for (action,) in actions)
    return counts["INSERT"], counts["UPDATE"]


def _staged(market: Market, interval: Interval, wants: Sequence[Want], source: str) -> pl.DataFrame:
    """All rows of the run in one frame, times in ms, one row a key: the one answered last."""
    frames = [frame(want.rows).with_columns(symbol=pl.lit(want.symbol)) for want in wants if len(want.rows) > 100]
    small = [(want.symbol, row) for want in wants if len(want.rows) <= 100 for row in want.rows]
    rows: list[Row] = [row for _, row in small]
    frames.append(frame(rows).with_columns(symbol=pl.Series([symbol for symbol, _ in small], dtype=pl.String)))
    whole = pl.concat(frames)
    slot = pl.col("open_time")
    if interval.length_ms:
        slot = (slot - interval.phase_ms) // interval.length_ms * interval.length_ms + interval.phase_ms
    return (
        whole.with_columns(slot=slot)
        .sort(pl.col("open_time") == pl.col("slot"), maintain_order=True)
        .unique(["symbol", "slot"], keep="last", maintain_order=True)
        .sort("open_time", "symbol")
        .drop("slot")
        .with_columns(market=pl.lit(market.name), interval=pl.lit(interval.name), source=pl.lit(source))
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


def _merge_rejects(
    connection: duckdb.DuckDBPyConnection,
    market: Market,
    interval: Interval,
    wants: Sequence[Want],
    now_ms: int,
    source: str,
) -> int:
    """Each refused row once per key, source and content, with how often it was seen; how many were refused now."""
    refused = [(want.symbol, r) for want in wants for r in dict.fromkeys(want.rejects)]
    for symbol, reject in refused:
        connection.execute(
            """
            MERGE INTO rejects r
            USING (SELECT ? AS market, ? AS symbol, ? AS interval, epoch_ms(?::BIGINT) AS open_time, ? AS source,
                          ? AS reason, ? AS "row", epoch_ms(?::BIGINT) AS now) s
            ON r.market = s.market AND r.symbol = s.symbol AND r.interval = s.interval AND r.source = s.source
               AND r.open_time IS NOT DISTINCT FROM s.open_time AND r."row" = s."row"
            WHEN MATCHED THEN UPDATE SET last_seen = s.now, seen = r.seen + 1
            WHEN NOT MATCHED THEN INSERT VALUES (s.market, s.symbol, s.interval, s.open_time, s.source, s.reason,
                                                 s."row", s.now, s.now, 1)
            """,
            [market.name, symbol, interval.name, reject.open_time_ms, source, reject.reason, reject.row, now_ms],
        )
    return len(refused)


def _revise_ledger(
    connection: duckdb.DuckDBPyConnection,
    market: Market,
    interval: Interval,
    wants: Sequence[Want],
    now_ms: int,
    not_trading: set[str],
) -> None:
    """Stored slots leave the ledger; what was answered without them, refused, or not answered enters it."""
    stored = {want.symbol: slots((row.open_time for row in want.rows), interval) for want in wants}
    found = {
        want.symbol: findings(want, stored[want.symbol], interval, is_trading=want.symbol not in not_trading)
        for want in wants
    }
    held = _stored_already(connection, market, interval, found)
    owed = {want.symbol: want.owed(interval) for want in wants if _exists(want)}
    ledger = read_gaps(connection, market.name, interval.name, list(found))
    changed = {}
    for symbol, gaps in found.items():
        truly = [(part, reason) for gap, reason in gaps for part in subtract([gap], held.get(symbol, []))]
        due = subtract(owed.get(symbol, []), [*stored[symbol], *held.get(symbol, [])])
        after = owe(revise(ledger[symbol], stored[symbol], truly, now_ms), due, now_ms)
        if after != ledger[symbol]:
            changed[symbol] = after
    write_gaps(connection, market.name, interval.name, changed)


def _exists(want: Want) -> bool:
    """Whether the exchange knows the symbol, or did: a misspelt name owes us nothing."""
    return want.last_ms is not None or not isinstance(want.error, UnknownSymbol)


def _stored_already(
    connection: duckdb.DuckDBPyConnection,
    market: Market,
    interval: Interval,
    found: Mapping[str, Sequence[tuple[Window, str]]],
) -> dict[str, list[Window]]:
    """What the file holds within the range of the findings: a stored slot is no gap, whatever is answered later."""
    gaps = [gap for gaps in found.values() for gap, _ in gaps]
    if not gaps:
        return {}
    symbols = [symbol for symbol, gaps in found.items() if gaps]
    start_ms, end_ms = min(gap.start_ms for gap in gaps), max(gap.end_ms for gap in gaps)
    return stored_windows(connection, market, interval, symbols, start_ms, end_ms)


def findings(
    want: Want, stored: Sequence[Window], interval: Interval, *, is_trading: bool = True
) -> list[tuple[Window, str]]:
    """The slots of the answered gaps that brought no row, each with its reason.

    Refused rows: `rejected`. Before the first kline: `not_listed`. Where a later kline is stored or answered, or the
    symbol does not trade: `unresolved`. What is left is late, which is no gap yet.
    """
    answered = intersect(want.gaps, want.answered)
    empty = subtract(answered, stored)
    refused = intersect(slots(want.refused_ms, interval), empty)
    listed = window(0, interval.floor(want.listed_ms)) if want.listed_ms is not None else []
    unlisted = intersect(listed, subtract(want.gaps, [*stored, *refused]))
    holes = subtract(empty, [*refused, *unlisted])
    if is_trading:
        holes = intersect(holes, window(0, max(want.newest_ms, 0)))
    return [
        *((gap, REJECTED) for gap in refused),
        *((gap, NOT_LISTED) for gap in unlisted),
        *((gap, UNRESOLVED) for gap in holes),
    ]


def slots(times_ms: Iterable[int], interval: Interval) -> list[Window]:
    """The slots of some open times as windows that don't touch."""
    found: list[list[int]] = []
    for index in sorted(map(interval.index, times_ms)):
        if found and index <= found[-1][1] + 1:
            found[-1][1] = index
        else:
            found.append([index, index])
    return [Window(interval.start(first), interval.start(last + 1)) for first, last in found]


def _note_symbols(connection: duckdb.DuckDBPyConnection, market: Market, wants: Sequence[Want], now_ms: int) -> None:
    """Listing times that were asked for, and the quarantine of symbols that the exchange does not know."""
    for want in wants:
        unknown = isinstance(want.error, UnknownSymbol)
        if want.listed_ms is None and not unknown:
            continue
        connection.execute(
            """
            MERGE INTO symbols USING (SELECT ? AS market, ? AS symbol, epoch_ms(?::BIGINT) AS listed_at,
                                             epoch_ms(?::BIGINT) AS quarantined_until) s
            USING (market, symbol)
            WHEN MATCHED THEN UPDATE SET listed_at = coalesce(s.listed_at, symbols.listed_at),
                                         quarantined_until = s.quarantined_until
            WHEN NOT MATCHED THEN INSERT BY NAME
            """,
            [market.name, want.symbol, want.listed_ms, now_ms + QUARANTINE_MS if unknown else None],
        )


def quarantined(
    connection: duckdb.DuckDBPyConnection, market: Market, symbols: Sequence[str], now_ms: int
) -> list[str]:
    """Those of `symbols` that the exchange did not know within the last hour."""
    rows = connection.execute(
        """SELECT symbol FROM symbols
           WHERE market = ? AND symbol IN (SELECT unnest(string_split(?, ' ')))
             AND quarantined_until > epoch_ms(?::BIGINT)""",
        [market.name, " ".join(symbols), now_ms],
    ).fetchall()
    return sorted(symbol for (symbol,) in rows)
