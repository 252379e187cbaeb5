"""Writing what a run fetched: one transaction, idempotent, and never more than one row a slot."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import duckdb
import polars as pl

from klines.errors import UnknownSymbol
from klines.files import File
from klines.findings import findings, islands, slots
from klines.interval import HOUR, Interval
from klines.ledger import owe, revise
from klines.ledger_rows import read_gaps, write_gaps
from klines.market import Market
from klines.merge import Bulk, merge_rows, prepare, stage
from klines.plan import Want
from klines.rows import Reject
from klines.wanted import stored_windows
from klines.window import Window, merge, subtract

QUARANTINE_MS = HOUR
"""How long a symbol that the exchange does not know is not asked for."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What one transaction changed: klines new to the file, klines whose values were corrected, rows refused."""

    inserted: int = 0
    restated: int = 0
    rejected: int = 0

    def __add__(self, other: Stored) -> Stored:
        return Stored(self.inserted + other.inserted, self.restated + other.restated, self.rejected + other.rejected)


@dataclass(slots=True)
class Loaded:
    """What was taken of one file of the archive: klines in the shape of `rows.frame`, ascending, and the rejects; the
    rows are given away when a transaction is made ready.

    `in_file` is how many good klines the file has; `is_verified` tells whether every whole day in it agrees with the
    exchange's own 1d kline.
    """

    file: File
    sha256: str
    rows: pl.DataFrame
    rejects: Sequence[Reject]
    in_file: int
    is_verified: bool


@dataclass(frozen=True, slots=True)
class Ready:
    """Files of one source, made ready to be written before the file is opened."""

    source: str
    files: Sequence[Loaded]
    bulk: Bulk
    windows: Mapping[str, Sequence[Window]]

    @classmethod
    def of(cls, files: Iterable[Loaded], interval: Interval) -> list[Self]:
        """The monthly files, then the daily ones."""
        ready = []
        for source in ("monthly", "daily"):
            its = [it for it in files if it.file.source == source]
            windows: dict[str, list[Window]] = {it.file.symbol: [] for it in its}
            for it in its:
                windows[it.file.symbol] += islands(it.rows, interval)
            if its:
                ready.append(cls(source, its, prepare(_runs(its), interval), windows))
                for it in its:
                    it.rows = it.rows.clear()
        return ready


def store(
    connection: duckdb.DuckDBPyConnection,
    market: Market,
    interval: Interval,
    wants: Sequence[Want],
    *,
    now_ms: int,
    not_trading: Iterable[str] = (),
    files: Sequence[Ready] = (),
) -> Stored:
    """Write the rows, rejects, restatements and gaps of `files`, then of `wants`; all or nothing.

    `now_ms` is the exchange's clock. The newest slots of a symbol in `not_trading` are gaps; of any other symbol
    they are only late.
    """
    connection.begin()
    try:
        stored = sum((_put_files(connection, market, interval, it, now_ms) for it in files), Stored())
        stored += _put_wants(connection, market, interval, wants, now_ms)
        _revise_ledger(connection, market, interval, wants, files, now_ms, set(not_trading))
        _note_symbols(connection, market, wants, now_ms)
        connection.commit()
    except BaseException:
        with contextlib.suppress(duckdb.Error):  # a full disk has ended the transaction already
            connection.rollback()
        raise
    return stored


def _put_wants(
    connection: duckdb.DuckDBPyConnection, market: Market, interval: Interval, wants: Sequence[Want], now_ms: int
) -> Stored:
    bulk = prepare(stage([(want.symbol, want.rows) for want in wants]), interval)
    inserted, restated = merge_rows(connection, market, interval, bulk, source="rest", now_ms=now_ms)
    refused = [(want.symbol, reject) for want in wants for reject in want.rejects]
    return Stored(inserted, restated, _merge_rejects(connection, market, interval, refused, now_ms, "rest"))


def _put_files(
    connection: duckdb.DuckDBPyConnection, market: Market, interval: Interval, ready: Ready, now_ms: int
) -> Stored:
    inserted, restated = merge_rows(connection, market, interval, ready.bulk, source=ready.source, now_ms=now_ms)
    refused = [(it.file.symbol, reject) for it in ready.files for reject in it.rejects]
    _note_files(connection, ready.files, now_ms)
    return Stored(inserted, restated, _merge_rejects(connection, market, interval, refused, now_ms, ready.source))


def _runs(files: Iterable[Loaded]) -> list[pl.DataFrame]:
    """The klines of files that follow upon each other in one frame, with the symbol."""
    runs: list[list[Loaded]] = []
    for it in sorted(files, key=lambda it: it.file):
        before = runs[-1][-1].file if runs else None
        if before and (before.symbol, before.window.end_ms) == (it.file.symbol, it.file.start_ms):
            runs[-1].append(it)
        else:
            runs.append([it])
    return [pl.concat([it.rows for it in run]).with_columns(symbol=pl.lit(run[0].file.symbol)) for run in runs]


def _note_files(connection: duckdb.DuckDBPyConnection, files: Sequence[Loaded], now_ms: int) -> None:
    """Which files were loaded, and which of them the exchange's 1d klines confirm."""
    noted = pl.DataFrame(
        [(it.file.path, it.sha256, it.in_file, now_ms, now_ms if it.is_verified else None) for it in files],
        schema={"path": str, "sha256": str, "rows": int, "loaded_at": int, "verified_at": int},
        orient="row",
    ).unique("path", keep="last")
    connection.register("noted_files", noted)
    connection.execute("DELETE FROM archive_files WHERE path IN (SELECT path FROM noted_files)")
    connection.execute(
        """INSERT INTO archive_files BY NAME
           SELECT * REPLACE (epoch_ms(loaded_at) AS loaded_at, epoch_ms(verified_at) AS verified_at) FROM noted_files"""
    )
    connection.unregister("noted_files")


def _merge_rejects(
    connection: duckdb.DuckDBPyConnection,
    market: Market,
    interval: Interval,
    refused: Iterable[tuple[str, Reject]],
    now_ms: int,
    source: str,
) -> int:
    """Each refused row once per key, source and content, with how often it was seen; how many were refused now."""
    once = dict.fromkeys(refused)
    for symbol, reject in once:
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
    return len(once)


def _revise_ledger(
    connection: duckdb.DuckDBPyConnection,
    market: Market,
    interval: Interval,
    wants: Sequence[Want],
    files: Sequence[Ready],
    now_ms: int,
    not_trading: set[str],
) -> None:
    """Stored slots leave the ledger; what was answered without them, refused, or not answered enters it."""
    answers = []
    for want in wants:
        stored = slots((row.open_time for row in want.rows), interval)
        is_trading = want.symbol not in not_trading
        answers.append((want, stored, findings(want, stored, interval, is_trading=is_trading)))
    held = _stored_already(connection, market, interval, [(want.symbol, found) for want, _, found in answers])
    symbols = list(
        dict.fromkeys([*(want.symbol for want in wants), *(symbol for it in files for symbol in it.windows)])
    )
    before = read_gaps(connection, market.name, interval.name, symbols)
    after = {symbol: before[symbol] for symbol in symbols}
    for symbol, there in [pair for it in files for pair in it.windows.items()]:
        after[symbol] = revise(after[symbol], there, [], now_ms)
    for want, stored, found in answers:
        there = held.get(want.symbol, [])
        truly = [(part, reason) for gap, reason in found for part in subtract([gap], there)]
        due = subtract(want.owed(interval), [*stored, *there]) if _exists(want) else []
        after[want.symbol] = owe(revise(after[want.symbol], stored, truly, now_ms), due, now_ms)
    changed = {symbol: gaps for symbol, gaps in after.items() if gaps != before[symbol]}
    write_gaps(connection, market.name, interval.name, changed)


def _exists(want: Want) -> bool:
    """Whether the exchange knows the symbol, or did: a misspelt name owes us nothing."""
    return want.last_ms is not None or not isinstance(want.error, UnknownSymbol)


def _stored_already(
    connection: duckdb.DuckDBPyConnection,
    market: Market,
    interval: Interval,
    found: Iterable[tuple[str, Sequence[tuple[Window, str]]]],
) -> Mapping[str, list[Window]]:
    """What the file holds within the range of the findings: a stored slot is no gap, whatever is answered later."""
    gaps = [(symbol, gap) for symbol, parts in found for gap, _ in parts]
    if not gaps:
        return {}
    whole = merge(gap for _, gap in gaps)
    symbols = list(dict.fromkeys(symbol for symbol, _ in gaps))
    return stored_windows(connection, market, interval, symbols, whole[0].start_ms, whole[-1].end_ms)


def _note_symbols(connection: duckdb.DuckDBPyConnection, market: Market, wants: Sequence[Want], now_ms: int) -> None:
    """Listing times that were asked for, and the quarantine of symbols that the exchange does not know."""
    for want in wants:
        is_unknown = isinstance(want.error, UnknownSymbol)
        if want.listed_ms is not None or is_unknown:
            until_ms = now_ms + QUARANTINE_MS if is_unknown else None
            note_symbol(connection, market, want.symbol, want.listed_ms, until_ms)


def note_symbol(
    connection: duckdb.DuckDBPyConnection,
    market: Market,
    symbol: str,
    listed_ms: int | None,
    quarantined_until_ms: int | None = None,
) -> None:
    """What was learnt of a symbol: the open time of its first kline, and how long it is not asked for."""
    connection.execute(
        """
        MERGE INTO symbols USING (SELECT ? AS market, ? AS symbol, epoch_ms(?::BIGINT) AS listed_at,
                                         epoch_ms(?::BIGINT) AS quarantined_until) s
        USING (market, symbol)
        WHEN MATCHED THEN UPDATE SET listed_at = coalesce(s.listed_at, symbols.listed_at),
                                     quarantined_until = s.quarantined_until
        WHEN NOT MATCHED THEN INSERT BY NAME
        """,
        [market.name, symbol, listed_ms, quarantined_until_ms],
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
