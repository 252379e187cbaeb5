"""The archive: downloads of which not one row is read before its checksum is right.

The zip and its SHA-256 are asked for at the same time; what is not as it should be is asked for twice more.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import os
import re
import struct
import zipfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, Self, TypeVar

import aiohttp
import polars as pl
from anyio import CapacityLimiter, to_thread
from isal import isal_zlib

from klines.binance.bucket import (
    LONGEST_LISTING,
    MOST_KEYS,
    MOST_PAGES,
    WHOLE_PAGE,
    files_named,
    folder,
    goes_on,
    listed_folders,
    listed_keys,
    listing_url,
    oldest_file,
    spans_of,
    symbols_folder,
    symbols_named_by,
)
from klines.binance.clocks import header_ms
from klines.binance.csv import read_csv
from klines.binance.faults import no_answer
from klines.binance.files import File
from klines.binance.line import machine_ms
from klines.binance.proxies import web
from klines.errors import BadArchive, KlinesError, Retry, ServerFault, Unreachable
from klines.interval import Interval
from klines.market import KINDS, Market
from klines.rows import Rejects
from klines.window import Window

BYTES_A_KLINE, BYTES_A_FILE = 400, 2**16
"""How long a zip, and the CSV in it, may be: so much for each kline that fits into the file, of which one takes about
150, and so much besides."""
LONGEST_CHECKSUM = 2**12
PAUSES_S = (1.0, 3.0)
"""How long to wait before the second and the third try."""
GIVE_UP_AFTER = 5
"""So many files in a row that could not be reached, and the archive is not asked any more in this run."""
Fetched = TypeVar("Fetched")
_HEADERS = {"User-Agent": "klines", "Accept-Encoding": "identity"}
_TIMEOUT = aiohttp.ClientTimeout(total=180, sock_connect=10, sock_read=20)
_IS_UTF8 = 0x800
_CHECKSUM = re.compile(r"([0-9a-f]{64}) [ *](\S+)\s*")


@dataclass(frozen=True, slots=True)
class Content:
    """What a file holds: its good klines in the shape of `rows.frame`, the rejects, and its SHA-256, checked."""

    sha256: str
    rows: pl.DataFrame
    rejects: Rejects


class Zipped(Protocol):
    """A file of the archive: the name of its zip and of the CSV in it, and its path below the archive's address."""

    @property
    def name(self) -> str:
        """Without a suffix."""

    @property
    def url_path(self) -> str:
        """Quoted."""


class Archive:
    """Bulk downloads during one run, in which a file that is not there is asked for once; use as `async with`. A file
    is opened and parsed when `may_open` has returned; by `skew_ms` the Date of its last answer was ahead of this
    machine's clock."""

    def __init__(
        self,
        url: str,
        *,
        connections: int = 32,
        pauses_s: Sequence[float] = PAUSES_S,
        may_open: Callable[[], Awaitable[object]] | None = None,
        egress: str = "",
    ) -> None:
        self._url = url
        self._egress = egress
        self._may_open = may_open
        self._threads = CapacityLimiter(os.cpu_count() or 1)
        self._connections = connections
        self._pauses_s = pauses_s
        self._unreached = 0
        self._absent: set[str] = set()
        self.skew_ms = 0

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            addresses = self._url, listing_url(self._url, "")  # which may be another host, with another proxy
            self._files, self._listings = [
                await stack.enter_async_context(
                    web(url, self._connections, self._egress, headers=_HEADERS, timeout=_TIMEOUT)
                )
                for url in addresses
            ]
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    async def fetch(self, file: File, interval: Interval) -> Content | None:
        """What the file holds, its checksum right; None where the archive has none; raises Retry after three tries."""
        return await self._tried(partial(self._fetch, file, interval))

    async def fetch_csv(self, file: Zipped, longest: int) -> tuple[bytes, str] | None:
        """The CSV of a small file, `longest` bytes at most, and its SHA-256, which is right; else as `fetch`."""
        return await self._tried(partial(self._fetch_csv, file, longest))

    async def _tried(self, fetch: Callable[[], Awaitable[Fetched]]) -> Fetched:
        for pause_s in (*self._pauses_s, None):
            if self._unreached >= GIVE_UP_AFTER:
                raise Unreachable("the archive can't be reached")
            try:
                found = await fetch()
                self._unreached = 0
                return found
            except Retry as error:
                self._unreached += isinstance(error, Unreachable) and pause_s is None
                if pause_s is None:
                    raise
                await asyncio.sleep(pause_s)
        raise AssertionError("the last try returns or raises")

    async def checksum(self, file: File) -> str | None:
        """The SHA-256 that the archive states for a file now; None where it has none, or no readable one."""
        answer = await self._get(f"{self._url}/{file.url_path}.CHECKSUM", LONGEST_CHECKSUM)
        return _stated(file, answer or b"")

    async def oldest(self, market: Market, symbol: str) -> File | None:
        """The oldest file of 1m that the archive lists of a symbol, a day's if there is one as old; None where it lists
        none. Raises Retry where its listing can't be had."""
        answers = await asyncio.gather(*(self._oldest(market, symbol, is_month) for is_month in (False, True)))
        return min(filter(None, answers), key=lambda file: file.window.end_ms, default=None)

    async def keys(self, prefix: str, marker: str = "") -> list[str]:
        """The first keys of the listing below a prefix, or the first after `marker`; raises Retry."""
        return listed_keys(await self._listing(prefix, marker), prefix)

    async def symbols(self, market: Market) -> list[str]:
        """Every symbol that the archive has a folder of, sorted: whatever was ever traded. Raises Retry."""
        folders = [await self.folders(symbols_folder(market, is_month=is_month)) for is_month in (True, False)]
        return sorted({symbol for found in folders for symbol in symbols_named_by(found)})

    async def folders(self, prefix: str) -> list[str]:
        """The folders below a prefix, ascending, each with its slash; raises Retry."""
        return await self._all(prefix, listed_folders)

    async def spans(self, market: Market, symbol: str) -> list[Window]:
        """The times, to the day, of which the archive has files of 1m; raises Retry."""
        months, days = [
            list(files_named(await self._listed(market, symbol, is_month), market, symbol, is_month=is_month))
            for is_month in (True, False)
        ]
        return spans_of(months, days)

    async def _listed(self, market: Market, symbol: str, is_month: bool) -> list[str]:
        return await self.all_keys(folder(market, symbol, is_month=is_month))

    async def _all(self, prefix: str, named: Callable[[bytes, str], list[str]]) -> list[str]:
        """All that the pages of a listing name, ascending, each going on after the last name of the one before."""
        found: list[str] = []
        for _ in range(MOST_PAGES):
            listing = await self._page(prefix, found[-1] if found else "")
            page = named(listing, prefix)
            new = [name for name in page if not found or name > found[-1]]
            if page != sorted(set(page)) or (page and not new):
                raise BadArchive("its listing does not ascend, or does not go on after a marker")
            found += new
            if not page or not goes_on(listing):
                return found
        raise BadArchive(f"its listing of {prefix} has over {MOST_PAGES} pages")

    async def _page(self, prefix: str, marker: str) -> bytes:
        """A whole page of a listing, asked for twice more where it can't be had."""
        for pause_s in self._pauses_s:
            with contextlib.suppress(Retry):
                return await self._listing(prefix, marker, WHOLE_PAGE)
            await asyncio.sleep(pause_s)
        return await self._listing(prefix, marker, WHOLE_PAGE)

    async def csv(self, file: File, interval: Interval) -> bytes | None:
        """The file's CSV as it is, its checksum right, in one try; None where there is no such file; raises Retry."""
        found = await self._download(file, _longest(file, interval))
        return None if found is None else _checked(file, _longest(file, interval), *found)

    async def _fetch_csv(self, file: Zipped, longest: int) -> tuple[bytes, str] | None:
        found = await self._download(file, longest)
        return None if found is None else (_checked(file, longest, *found), found[1])

    async def all_keys(self, prefix: str) -> list[str]:
        """All keys below a prefix, ascending; raises Retry."""
        return await self._all(prefix, listed_keys)

    async def _oldest(self, market: Market, symbol: str, is_month: bool) -> File | None:
        listing = await self._listing(folder(market, symbol, is_month=is_month))
        return oldest_file(listing, market, symbol, is_month=is_month)

    async def _listing(self, prefix: str, marker: str = "", most: int = MOST_KEYS) -> bytes:
        listing = await self._get(listing_url(self._url, prefix, marker, most), LONGEST_LISTING, self._listings)
        if listing is None:
            raise BadArchive("it has no listing")
        return listing

    async def _fetch(self, file: File, interval: Interval) -> Content | None:
        found = await self._download(file, _longest(file, interval))
        if found is None:
            return None
        async with self._threads:
            if self._may_open:
                await self._may_open()
            return await to_thread.run_sync(_open, file, interval, *found)

    async def _download(self, file: Zipped, longest: int) -> tuple[bytes, str] | None:
        """The zip as it came, `longest` bytes at most, and the SHA-256 that the archive states."""
        url = f"{self._url}/{file.url_path}"
        if url in self._absent:
            return None
        body, checksum = await asyncio.gather(self._get(url, longest), self._get(f"{url}.CHECKSUM", LONGEST_CHECKSUM))
        if body is None:
            self._absent.add(url)
            return None
        if checksum is None:
            raise BadArchive("it has no checksum")
        stated = _stated(file, checksum)
        if stated is None:
            raise BadArchive("its checksum file is none")
        return body, stated

    async def _get(self, url: str, longest: int, session: aiohttp.ClientSession | None = None) -> bytes | None:
        """The whole body, `longest` bytes at most; None for 404."""
        try:
            async with (session or self._files).get(url, allow_redirects=False) as answer:
                date_ms = header_ms(answer.headers.get("Date", ""))
                self.skew_ms = 0 if date_ms is None else date_ms - machine_ms()
                if answer.status == 404:
                    return None
                if answer.status != 200:
                    raise ServerFault(f"the archive answered HTTP {answer.status}")
                parts, size = [], 0
                async for part in answer.content.iter_chunked(2**18):
                    parts.append(part)
                    size += len(part)
                    if size > longest:
                        raise BadArchive(f"it is longer than {longest:,} bytes")
                return b"".join(parts)
        except TimeoutError:
            raise Unreachable("the archive did not answer in time") from None
        except KlinesError:
            raise
        except Exception as error:  # whatever a client meets in bytes that are no HTTP
            raise no_answer(error, " of the archive") from None


def _longest(file: File, interval: Interval) -> int:
    """Bytes that the file may have at most, and its CSV."""
    return BYTES_A_FILE + BYTES_A_KLINE * (interval.index(file.window.end_ms - 1) - interval.index(file.start_ms) + 1)


def _stated(file: Zipped, checksum: bytes) -> str | None:
    """The SHA-256 in a checksum file, which is UTF-8, as names are; None where it is none of this file."""
    found = _CHECKSUM.fullmatch(checksum.decode(errors="replace"))
    return found[1] if found and found[2] == f"{file.name}.zip" else None


def _open(file: File, interval: Interval, body: bytes, sha256: str) -> Content:
    """The rows of a downloaded zip; raises BadArchive where it is not what the archive says."""
    csv = _checked(file, _longest(file, interval), body, sha256)
    rows, rejects = read_csv(csv, interval, file.window, KINDS[file.kind])
    return Content(sha256, rows, rejects)


def _checked(file: Zipped, longest: int, body: bytes, sha256: str) -> bytes:
    """The CSV of a downloaded zip; raises BadArchive where its SHA-256 is another, or it is no such zip."""
    if hashlib.sha256(body).hexdigest() != sha256:
        raise BadArchive("its SHA-256 is not the one that the archive states")
    return unzipped(file, longest, body)


def unzipped(file: Zipped, longest: int, body: bytes) -> bytes:
    """The CSV, of `longest` bytes at most, in a zip that holds nothing else.

    Whatever Python's zipfile meets in these bytes, the file is corrupt.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            members = archive.infolist()
            if [_name(member) for member in members] != [f"{file.name}.csv".encode()]:
                names = ascii(", ".join(member.orig_filename for member in members[:3]))
                raise BadArchive(f"it holds {len(members)} files, {names:.200}, not {file.name}.csv alone")
            return _inflated(members[0], body, longest)
    except BadArchive:
        raise
    except Exception as error:
        raise BadArchive(f"it is a corrupt zip: {type(error).__name__}: {error!s:.200}") from None


def _name(member: zipfile.ZipInfo) -> bytes:
    """The member's name as it stands in the zip: UTF-8 is not always said to be that."""
    return member.orig_filename.encode("utf-8" if member.flag_bits & _IS_UTF8 else "cp437")


def _inflated(member: zipfile.ZipInfo, body: bytes, longest: int) -> bytes:
    """The member's bytes, `longest` at most, by isal: three times as fast as zlib, and without the GIL."""
    if member.compress_type != zipfile.ZIP_DEFLATED or member.flag_bits & 1:
        raise BadArchive("its CSV is not deflated, or encrypted")
    name_length, extra_length = struct.unpack_from("<HH", body, member.header_offset + 26)
    start = member.header_offset + 30 + name_length + extra_length
    inflating = isal_zlib.decompressobj(wbits=-15)
    csv = inflating.decompress(body[start : start + member.compress_size], longest + 1)
    if len(csv) > longest:
        raise BadArchive(f"its CSV is longer than {longest:,} bytes")
    if not inflating.eof or isal_zlib.crc32(csv) != member.CRC:
        raise BadArchive("it is a corrupt zip: cut, or its CRC is wrong")
    return csv
