"""What was collected live beside the archive's daily file: equal rows stay as they are, of different ones two of three
agree: what is stored, the archive, and REST, which is asked now.

Where no two agree the stored value stays and is disputed. Rows that the archive lacks stay. What it has besides is
taken as far as anybody wants it. A file that was compared
before is compared again when its checksum has changed: files are re-uploaded without notice.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import duckdb
import polars as pl
from anyio import to_thread

from klines.backfill.writer import Writer
from klines.binance.archive import Archive, Content
from klines.binance.exchange import Exchange
from klines.binance.files import File
from klines.clock import clock
from klines.errors import KlinesError, Retry, Stop
from klines.interval import DAY, HOUR, INTERVALS, Interval
from klines.outcome import counted
from klines.rows import SCHEMA, frame, rows_within
from klines.tables.archive_files import Loaded
from klines.window import Window

DAYS = 30
"""So many days back files are looked at."""
AT_ONCE, KLINES = 40, 57_600
"""Files that are compared together at most, and klines in them: 40 of 1m, one of 1s."""
Opened = Callable[[], contextlib.AbstractContextManager[duckdb.DuckDBPyConnection]]


@dataclass(slots=True)
class Reconciled:
    """What came of it: files that agree, klines corrected, klines that were not stored, the disputed ones as
    `BTCUSDT 2026-01-01 12:00`, and the files that had klines of which neither what is stored nor REST knows."""

    files: int = 0
    corrected: int = 0
    added: int = 0
    disputed: list[str] = field(default_factory=list)
    outvoted: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)


async def reconcile(
    exchange: Exchange,
    archive: Archive,
    writer: Writer,
    opened: Opened,
    wanted: Mapping[str, Sequence[Window]],
    interval: Interval,
) -> Reconciled:
    """Compare the days of which anything was collected by REST, and those whose file has changed; `wanted` says of each
    symbol what may be stored."""
    done = Reconciled()
    if not 0 < interval.length_ms <= DAY or not exchange.market.kind.is_archived:
        return done
    now_ms = exchange.now_ms()
    live = await to_thread.run_sync(_live_days, opened, exchange, [*wanted], interval, now_ms)
    together = max(1, min(AT_ONCE, KLINES * interval.length_ms // DAY))
    for start in range(0, len(live), together):
        some = live[start : start + together]
        contents = await asyncio.gather(*(_fetch(archive, file, sha256, interval, done) for file, sha256 in some))
        found = [(file, content) for (file, _), content in zip(some, contents, strict=True) if content]
        if found:
            stored = await to_thread.run_sync(_stored, opened, [file for file, _ in found])
            await asyncio.gather(
                *(
                    _settle(exchange, writer, file, content, stored, interval, wanted[file.symbol], done)
                    for file, content in found
                )
            )
    return done


def _live_days(
    opened: Opened, exchange: Exchange, symbols: Sequence[str], interval: Interval, now_ms: int
) -> list[tuple[File, str | None]]:
    """The daily files to look at, each with the checksum that it had when it was looked at before."""
    today_ms = INTERVALS["1d"].floor(now_ms - HOUR)
    with opened() as connection:
        days = connection.execute(
            f"""
            SELECT symbol, epoch_ms(open_time) // {DAY} * {DAY} AS day, count(*) FILTER (source = 'rest') AS live
            FROM klines WHERE market = ? AND kind = ? AND interval = ? AND is_among(symbol, ?)
              AND open_time >= epoch_ms(?::BIGINT) AND open_time < epoch_ms(?::BIGINT)
            GROUP BY ALL ORDER BY ALL
            """,
            [*exchange.market.key, interval.name, " ".join(symbols), today_ms - DAYS * DAY, today_ms],
        ).fetchall()
        noted = dict(
            connection.execute("SELECT path, sha256 FROM archive_files WHERE path LIKE '%/daily/%'").fetchall()
        )
    market, kind = exchange.market.key
    files = [(File(market, symbol, interval.name, False, day, kind), live) for symbol, day, live in days]
    return [(file, noted.get(file.path)) for file, live in files if live or file.path in noted]


async def _fetch(
    archive: Archive, file: File, sha256: str | None, interval: Interval, done: Reconciled
) -> Content | None:
    """The file's content, unless it is not there yet or was compared before and has not changed."""
    try:
        if sha256 is not None and await archive.checksum(file) in (sha256, None):
            return None
        content = await archive.fetch(file, interval)
    except Retry as error:
        done.troubles.append(f"{file.name}.zip: {str(error).rstrip('.')}")
        return None
    if content and content.rejects:
        refused = f"{content.rejects.total:,} of its rows are no klines: {content.rejects[0].reason}"
        done.troubles.append(f"{file.name}.zip: {refused}")
    return content


def _stored(opened: Opened, files: Sequence[File]) -> pl.DataFrame:
    """The stored klines of some symbols' days, in the shape of `rows.frame`, with symbol."""
    wanted = pl.DataFrame({"symbol": [file.symbol for file in files], "day": [file.start_ms for file in files]})
    columns = ", ".join(f"epoch_ms(k.{name}) AS {name}" if name.endswith("_time") else f"k.{name}" for name in SCHEMA)
    with opened() as connection:
        connection.register("wanted_days", wanted)
        rows = connection.sql(
            f"""
            SELECT k.symbol, {columns} FROM klines k JOIN wanted_days w
              ON k.symbol = w.symbol AND epoch_ms(k.open_time) // {DAY} * {DAY} = w.day
            WHERE k.market = '{files[0].market}' AND k.kind = '{files[0].kind}' AND k.interval = '{files[0].interval}'
              AND k.open_time >= epoch_ms({min(wanted["day"])}::BIGINT)
              AND k.open_time < epoch_ms({max(wanted["day"]) + DAY}::BIGINT)
            """
        ).pl()
        connection.unregister("wanted_days")
    return rows.cast(pl.Schema(SCHEMA))


async def _settle(
    exchange: Exchange,
    writer: Writer,
    file: File,
    content: Content,
    stored: pl.DataFrame,
    interval: Interval,
    wanted: Sequence[Window],
    done: Reconciled,
) -> None:
    """Write what two of three agree upon, of what is stored or wanted, and note the file."""
    day = file.window
    ours = stored.filter(
        (pl.col("symbol") == file.symbol) & pl.col("open_time").is_between(day.start_ms, day.end_ms, closed="left")
    ).drop("symbol")
    other = _differing(content.rows, ours, wanted)
    changed = other.clear()
    disputed: list[int] = []
    if other.height:
        try:
            rest = frame(sorted(set((await exchange.whole(file.symbol, interval, day)).rows)))
        except Stop:
            raise
        except KlinesError as error:
            done.troubles.append(f"{file.symbol} of {file.name[-10:]} by REST: {str(error).rstrip('.')}")
            return
        changed = other.join(rest, on=other.columns, how="semi", nulls_equal=True)
        agreeing = ours.join(rest, on=ours.columns, how="semi", nulls_equal=True)["open_time"]
        disputed = other.filter(
            ~pl.col("open_time").is_in(changed["open_time"].to_list() + agreeing.to_list())
            & pl.col("open_time").is_in(ours["open_time"].to_list())
        )["open_time"].to_list()
    outvoted = other.height - changed.height - len(disputed)
    is_verified = not disputed and not outvoted and not content.rejects
    loaded = Loaded(file, content.sha256, changed, content.rejects, content.rows.height, is_verified)
    await writer.put(loaded, changed.height)
    done.files += is_verified
    corrected = changed.join(ours, on="open_time", how="semi").height
    done.corrected += corrected
    done.added += changed.height - corrected
    done.outvoted += [f"{file.name}.zip ({counted(outvoted, 'kline')})"] if outvoted else []
    done.disputed += [f"{file.symbol} {clock(time)}" for time in disputed]


def _differing(theirs: pl.DataFrame, ours: pl.DataFrame, wanted: Sequence[Window]) -> pl.DataFrame:
    """The rows of a file that are stored with other values, or that are wanted and not stored."""
    other = theirs.join(ours, on=theirs.columns, how="anti", nulls_equal=True)
    not_stored = other.join(ours, on="open_time", how="anti")
    return pl.concat([other.join(ours, on="open_time", how="semi"), rows_within(not_stored, wanted)])
