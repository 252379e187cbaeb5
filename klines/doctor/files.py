"""Checks of the archive: its files, their checksums, what is in them, and its listing.

A check says what is so, or raises Differs with what that means and what to do.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlsplit

from klines.binance.archive import Archive
from klines.binance.bucket import MOST_KEYS, folder, listing_url
from klines.binance.csv import raw_rows, read_csv
from klines.binance.files import File
from klines.binance.totals import disagreeing, of_days
from klines.clock import clock
from klines.doctor.diagnosis import REPORT, Differs, NotAsked
from klines.doctor.market import NO_WAY, way_to
from klines.errors import KlinesError, Retry
from klines.interval import DAY, INTERVALS
from klines.market import MARKETS
from klines.rows import Row

DAYS_OLD = (3, 10)
"""How many days old the file of a day is that should be there, and the one that is looked for when it is not."""
MID_MONTH = 14
"""From this day on, the file of the month before should be there."""
HEADER = ",".join([*Row._fields, "ignore"]).replace("trades", "count").encode()
LONG_AGO_MS = 1_685_577_600_000
"""June 2023, which the archive has of everything that trades since."""
MICROSECONDS = 10**14
BY_REST = "a backfill takes such days by REST, which is slower, and says so"
INSTEAD = f"{BY_REST}; if it stays, {REPORT}"


@dataclass
class Shelf:
    """The archive of a market, as far as it is examined: the CSVs of its files that were had, and the 1d klines that
    REST has of their days."""

    archive: Archive
    url: str
    market: str
    symbol: str
    now_ms: int
    days: list[Row] = field(default_factory=list)
    files: dict[str, tuple[File, bytes]] = field(default_factory=dict)


async def archive_answers(shelf: Shelf) -> str:
    """The archive answers, directly or through a proxy."""
    host = urlsplit(shelf.url).netloc
    try:
        await shelf.archive.checksum(_day(shelf, DAYS_OLD[0]))
    except KlinesError as error:
        raise Differs(f"{host}, {way_to(shelf.url)}: {error}", f"{NO_WAY}; backfills go by REST meanwhile") from None
    return f"{host} answers, {way_to(shelf.url)}"


async def listing_goes_on(shelf: Shelf) -> str:
    """The listing has at most as many keys as asked for, ascending, and goes on after a marker."""
    prefix = folder(MARKETS[shelf.market], shelf.symbol, is_month=False)
    pages = [await shelf.archive.keys(prefix)]
    pages.append(await shelf.archive.keys(prefix, pages[0][-1]) if pages[0] else [])
    keys = pages[0] + pages[1]
    if [len(page) for page in pages] != [MOST_KEYS] * 2:
        said = f"{len(pages[0])} and {len(pages[1])} keys where {MOST_KEYS} were asked for, twice"
    elif keys != sorted(set(keys)):
        said = "its keys are not ascending, or come again after the marker"
    else:
        url = listing_url(shelf.url, prefix).partition("?")[0]
        return f"{urlsplit(url).netloc}, {way_to(url)}: {MOST_KEYS} keys at a time, ascending, and on from a marker"
    raise Differs(said, f"history from before REST's first kline would not be settled; {REPORT}")


async def absence_is_said(shelf: Shelf) -> str:
    """A file that is not there is 404, whatever there is in its place elsewhere."""
    tomorrow = _day(shelf, -1)
    try:
        found = await shelf.archive.checksum(tomorrow)
    except Retry as error:
        raise Differs(
            f"for {tomorrow.name}.zip, which can't be there yet: {error}",
            f"files that are not there yet would be asked for three times each; {REPORT}",
        ) from None
    if found:
        raise Differs(
            f"{tomorrow.name}.zip is there, of a day that has not begun", f"is the clock right? Else {REPORT}"
        )
    return "a file that is not there is 404"


async def months_are_named_1mo(shelf: Shelf) -> str:
    """The interval 1M is called 1mo in the archive."""
    file = File(shelf.market, shelf.symbol, "1M", True, LONG_AGO_MS)
    if await shelf.archive.checksum(file) is None:
        raise Differs(f"{file.name}.zip is not there", f"klines of 1M come by REST then, which is slower; {REPORT}")
    return f"klines of 1M are in {file.name}.zip"


async def day_is_there(shelf: Shelf) -> str:
    """The file of a day some days ago is there, and its checksum is right."""
    return await _had(shelf, "daily", [_day(shelf, days) for days in DAYS_OLD])


async def month_is_there(shelf: Shelf) -> str:
    """The file of the last month that should be there is, and its checksum is right."""
    grid, today = INTERVALS["1M"], datetime.fromtimestamp(shelf.now_ms / 1000, UTC)
    back = 1 if today.day >= MID_MONTH else 2
    months = [grid.step(shelf.now_ms, -back - more) for more in (0, 1)]
    return await _had(shelf, "monthly", [File(shelf.market, shelf.symbol, "1h", True, month) for month in months])


async def _had(shelf: Shelf, kind: str, files: list[File]) -> str:
    """The first of the files that is there, kept for the other checks."""
    for file in files:
        csv = await _csv(shelf, file)
        if csv is None:
            continue
        shelf.files[kind] = (file, csv)
        if file is not files[0]:
            raise Differs(
                f"{files[0].name}.zip is not there yet, {file.name}.zip is", f"the archive is late: {BY_REST}"
            )
        return f"{file.name}.zip is there, and its SHA-256 is the one beside it"
    raise Differs(f"neither {files[0].name}.zip nor {files[1].name}.zip is there", INSTEAD)


async def _csv(shelf: Shelf, file: File) -> bytes | None:
    try:
        return await shelf.archive.csv(file, INTERVALS[file.interval])
    except Retry as error:
        raise Differs(f"{file.name}.zip: {error}", f"not a row of it is read: {INSTEAD}") from None


async def columns_are_known(shelf: Shelf) -> str:
    """Twelve columns in the order of REST; futures have the header that names them, spot has none."""
    for file, csv in _files(shelf):
        first, _, _ = csv.partition(b"\n")
        lines = raw_rows(csv)
        widths = {len(line) for line in lines}
        if widths != {12}:
            raise Differs(f"{file.name}.csv has lines of {sorted(widths)} fields, not 12", INSTEAD)
        expected, is_header = shelf.market != "spot", not first[:1].isdigit()
        if is_header != expected or (is_header and first.strip() != HEADER):
            has = f"begins with {first[:80].decode(errors='replace')!r}" if is_header else "has no header"
            raise Differs(
                f"{file.name}.csv {has}, not with {'the header' if expected else 'a kline'}",
                f"a header is skipped where it begins with open_time, anything else is refused; {REPORT}",
            )
        rows, rejects = read_csv(csv, INTERVALS[file.interval], file.window)
        if rejects or rows.is_empty():
            reason = rejects[0].reason if rejects else "it has no klines"
            raise Differs(f"{file.name}.csv: {rejects.total:,} lines are no klines: {reason}", INSTEAD)
    return f"12 columns, {'no header' if shelf.market == 'spot' else 'a header'}"


async def times_have_their_unit(shelf: Shelf) -> str:
    """Times are in microseconds on spot, in milliseconds on futures."""
    names = {True: "microseconds", False: "milliseconds"}
    for file, csv in _files(shelf):
        are_us = {time >= MICROSECONDS for time in _times(csv)}
        if are_us != {shelf.market == "spot"}:
            told = " and ".join(names[is_us] for is_us in sorted(are_us)) or "no times"
            raise Differs(
                f"{file.name}.csv has {told}, not {names[shelf.market == 'spot']}",
                f"both are read by their size, so nothing is wrong; {REPORT}",
            )
    return f"times in {names[shelf.market == 'spot']}"


async def file_adds_up(shelf: Shelf) -> str:
    """The klines of the day's file add up to the 1d kline that REST has."""
    if "daily" not in shelf.files or not shelf.days:
        raise NotAsked("the day's file, or its 1d kline, could not be had")
    file, csv = shelf.files["daily"]
    rows, _ = read_csv(csv, INTERVALS[file.interval], file.window)
    if rows.is_empty():
        raise NotAsked(f"{file.name}.csv has no klines")
    if disagreeing(rows, of_days(shelf.days)):
        raise Differs(f"{file.name}.csv does not add up to the 1d kline of {clock(file.start_ms)[:10]}", INSTEAD)
    return f"the {rows.height:,} klines of {file.name}.csv add up to REST's 1d kline"


def _day(shelf: Shelf, days: int) -> File:
    return File(shelf.market, shelf.symbol, "1m", False, INTERVALS["1d"].floor(shelf.now_ms) - days * DAY)


def _files(shelf: Shelf) -> list[tuple[File, bytes]]:
    if not shelf.files:
        raise NotAsked("no file could be had")
    return list(shelf.files.values())


def _times(csv: bytes) -> list[int]:
    """The first column as it is, without what is no number."""
    firsts = (line.split(b",", 1)[0] for line in csv.splitlines())
    return [int(text) for text in firsts if text.isdigit() and len(text) < 20]
