"""The archive: downloads of which not one row is read before its checksum is right.

The zip and its SHA-256 are asked for at the same time; what is not as it should be is asked for twice more.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import re
import struct
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import aiohttp
import polars as pl
from anyio import CapacityLimiter, to_thread
from isal import isal_zlib
from isal.igzip_lib import IsalError

from klines.binance.csv import read_csv
from klines.binance.faults import no_answer
from klines.binance.files import File
from klines.errors import BadArchive, Retry, ServerFault, Unreachable
from klines.interval import Interval
from klines.rows import Reject

LONGEST_FILE = 64 * 2**20
"""Bytes of a zip, and of the CSV in it; a day of 1s has 13 million."""
PAUSES_S = (1.0, 3.0)
"""How long to wait before the second and the third try."""
GIVE_UP_AFTER = 5
"""So many files in a row that could not be reached, and the archive is not asked any more in this run."""
_TIMEOUT = aiohttp.ClientTimeout(total=180, sock_connect=10, sock_read=20)
_CHECKSUM = re.compile(r"([0-9a-f]{64}) [ *](\S+)")


@dataclass(frozen=True, slots=True)
class Content:
    """What a file holds: its good klines in the shape of `rows.frame`, the rejects, and its SHA-256, checked."""

    sha256: str
    rows: pl.DataFrame
    rejects: Sequence[Reject]


class Archive:
    """Bulk downloads during one run; use as `async with`. Files are opened and parsed while `may_open` is set."""

    def __init__(
        self,
        url: str,
        *,
        connections: int = 32,
        pauses_s: Sequence[float] = PAUSES_S,
        may_open: asyncio.Event | None = None,
    ) -> None:
        self._url = url
        self._may_open = may_open
        self._threads = CapacityLimiter(os.cpu_count() or 1)
        self._connections = connections
        self._pauses_s = pauses_s
        self._unreached = 0

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections),
            headers={"User-Agent": "klines", "Accept-Encoding": "identity"},
            timeout=_TIMEOUT,
            trust_env=True,
        )
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._session.close()

    async def fetch(self, file: File, interval: Interval) -> Content | None:
        """What the file holds, its checksum right; None where the archive has none; raises Retry after three tries."""
        for pause_s in (*self._pauses_s, None):
            if self._unreached >= GIVE_UP_AFTER:
                raise Unreachable("the archive can't be reached")
            try:
                found = await self._fetch(file, interval)
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
        answer = await self._get(f"{self._url}/{file.url_path}.CHECKSUM")
        stated = _CHECKSUM.match((answer or b"").decode("ascii", errors="replace"))
        return stated[1] if stated else None

    async def _fetch(self, file: File, interval: Interval) -> Content | None:
        url = f"{self._url}/{file.url_path}"
        body, checksum = await asyncio.gather(self._get(url), self._get(f"{url}.CHECKSUM"))
        if body is None:
            return None
        if checksum is None:
            raise BadArchive("it has no checksum")
        stated = _CHECKSUM.fullmatch(checksum.decode("ascii", errors="replace").strip())
        if stated is None or stated[2] != f"{file.name}.zip":
            raise BadArchive("its checksum file is none")
        async with self._threads:
            if self._may_open:
                await self._may_open.wait()
            return await to_thread.run_sync(_open, file, interval, body, stated[1])

    async def _get(self, url: str) -> bytes | None:
        """The whole body; None for 404."""
        try:
            async with self._session.get(url, allow_redirects=False) as answer:
                if answer.status == 404:
                    return None
                if answer.status != 200:
                    raise ServerFault(f"the archive answered HTTP {answer.status}")
                parts, size = [], 0
                async for part in answer.content.iter_chunked(2**18):
                    parts.append(part)
                    size += len(part)
                    if size > LONGEST_FILE:
                        raise BadArchive(f"it is longer than {LONGEST_FILE >> 20} MiB")
                return b"".join(parts)
        except TimeoutError:
            raise Unreachable("the archive did not answer in time") from None
        except (aiohttp.ClientError, OSError) as error:
            raise no_answer(error, " of the archive") from None


def _open(file: File, interval: Interval, body: bytes, sha256: str) -> Content:
    """The rows of a downloaded zip; raises BadArchive where it is not what the archive says."""
    if hashlib.sha256(body).hexdigest() != sha256:
        raise BadArchive("its SHA-256 is not the one that the archive states")
    rows, rejects = read_csv(_csv(file, body), interval, file.window)
    return Content(sha256, rows, rejects)


def _csv(file: File, body: bytes) -> bytes:
    """The CSV in a zip that holds nothing else."""
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            names = archive.namelist()
            if names != [f"{file.name}.csv"]:
                raise BadArchive(f"it holds {', '.join(names)[:200] or 'nothing'}, not {file.name}.csv")
            return _inflated(archive.infolist()[0], body)
    except (zipfile.BadZipFile, IsalError, EOFError, struct.error, ValueError) as error:  # type: ignore[misc]  # its stub
        raise BadArchive(f"it is a corrupt zip: {error}") from None


def _inflated(member: zipfile.ZipInfo, body: bytes) -> bytes:
    """The member's bytes, at most LONGEST_FILE of them, by isal: three times as fast as zlib, and without the GIL."""
    if member.compress_type != zipfile.ZIP_DEFLATED or member.flag_bits & 1:
        raise BadArchive("its CSV is not deflated, or encrypted")
    name_length, extra_length = struct.unpack_from("<HH", body, member.header_offset + 26)
    start = member.header_offset + 30 + name_length + extra_length
    inflating = isal_zlib.decompressobj(wbits=-15)
    csv = inflating.decompress(body[start : start + member.compress_size], LONGEST_FILE + 1)
    if len(csv) > LONGEST_FILE:
        raise BadArchive(f"its CSV is longer than {LONGEST_FILE >> 20} MiB")
    if not inflating.eof or isal_zlib.crc32(csv) != member.CRC:
        raise BadArchive("it is a corrupt zip: cut, or its CRC is wrong")
    return csv
