"""The archive's files as they come over the wire: whatever is in them, they are rows or a bad archive."""

from __future__ import annotations

import asyncio
import io
import zipfile
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from klines.binance.archive import Archive, Content, unzipped
from klines.binance.files import File
from klines.errors import BadArchive
from klines.interval import INTERVALS
from tests.drive import ms
from tests.exchange import StandIn
from tests.exchange.archives import zipped

M1 = INTERVALS["1m"]
DAY = ms("2025-11-01")
BTC = File("spot", "BTCUSDT", "1m", False, DAY)
ROW = b"1761955200000,1,1,1,1,0,1761955259999,0,0,0,0,0\n"


def fetched(exchange: StandIn, file: File) -> Content | None:
    """What the archive has of a file."""

    async def fetch() -> Content | None:
        async with Archive(exchange.url, pauses_s=()) as archive:
            return await archive.fetch(file, M1)

    return asyncio.run(fetch())


def test_what_is_not_there_is_asked_for_once(exchange: StandIn) -> None:
    """A run that tries something again does not ask for the files again that the archive has not yet."""
    today = File("spot", "BTCUSDT", "1m", False, exchange.now_ms() // 86_400_000 * 86_400_000)

    async def fetch() -> None:
        async with Archive(exchange.url, pauses_s=()) as archive:
            assert [None] * 2 == [await archive.fetch(today, M1) for _ in range(2)]

    asyncio.run(fetch())
    paths = [request.path for request in exchange.archive_requests()]
    assert sorted([f"/{today.url_path}", f"/{today.url_path}.CHECKSUM"]) == sorted(paths)


def without_utf8_flag(body: bytes) -> bytes:
    """The zip as tools make it that write UTF-8 and do not say so."""
    patched = bytearray(body)
    for signature, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        where = body.index(signature) + at
        patched[where + 1] &= ~0x08
    return bytes(patched)


@pytest.mark.parametrize("make", [bytes, without_utf8_flag], ids=["said to be UTF-8", "not said"])
@pytest.mark.parametrize("symbol", ["币安人生USDT", "ÄUSDT", "BTCUSDT"])
def test_a_name_is_the_same_everywhere(exchange: StandIn, symbol: str, make: Callable[[bytes], bytes]) -> None:
    """In the URL, the checksum and the zip, whose entries are UTF-8 whether they say so or not."""
    file = File("spot", symbol, "1m", False, DAY)
    exchange.list(symbol)
    exchange.place(file.name, make(zipped(f"{file.name}.csv", ROW)))
    content = fetched(exchange, file)
    assert content is not None
    assert 1 == content.rows.height


def patched(at: int, value: bytes, signature: bytes = b"PK\x01\x02") -> bytes:
    """A zip with some bytes of its directory changed."""
    body = bytearray(zipped(f"{BTC.name}.csv", ROW))
    where = body.index(signature) + at
    body[where : where + len(value)] = value
    return bytes(body)


HOSTILE = {
    "version needed 9.9": patched(6, b"\x63\x00"),
    "encrypted": patched(8, b"\x01\x00"),
    "unknown method": patched(10, b"\x63\x00"),
    "offset beyond the file": patched(42, b"\xff\xff\xff\x7f"),
    "name with a NUL": patched(46, b"\x00"),
    "no directory": b"PK\x05\x06" + bytes(18),
    "directory before the file": patched(16, b"\xff\xff\xff\xff", b"PK\x05\x06"),
    "nothing": b"",
    "text": b"<html>",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_zip_of_any_kind_is_a_bad_archive(exchange: StandIn, kind: str) -> None:
    """Whatever Python's zipfile says of such bytes, here it has one name, and the next source is asked."""
    exchange.place(BTC.name, HOSTILE[kind])
    with pytest.raises(BadArchive):
        fetched(exchange, BTC)


def test_a_zip_holds_one_file(exchange: StandIn) -> None:
    """The right name twice is not alone."""
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED) as zip_:
        zip_.writestr(f"{BTC.name}.csv", ROW)
        with pytest.warns(UserWarning, match="Duplicate name"):
            zip_.writestr(f"{BTC.name}.csv", ROW)
    exchange.place(BTC.name, body.getvalue())
    with pytest.raises(BadArchive, match="it holds 2 files"):
        fetched(exchange, BTC)


def test_no_more_bytes_than_klines_fit(exchange: StandIn) -> None:
    """A file, and the CSV in it, may have some hundred bytes for each kline of its time."""
    exchange.place(BTC.name, zipped(f"{BTC.name}.csv", b"0" * 10**6))
    with pytest.raises(BadArchive, match="its CSV is longer than 641,536 bytes"):
        fetched(exchange, BTC)
    exchange.place(BTC.name, bytes(10**6))
    with pytest.raises(BadArchive, match="it is longer than 641,536 bytes"):
        fetched(exchange, BTC)


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, 250), st.binary(min_size=1, max_size=4)), max_size=4), st.integers(0, 250))
def test_garbage_is_unzipped_or_refused(changes: list[tuple[int, bytes]], cut: int) -> None:
    """Of any bytes that begin as a zip there is a CSV, or a bad archive, and nothing else."""
    body = bytearray(zipped(f"{BTC.name}.csv", ROW * 3))
    for at, value in changes:
        body[at : at + len(value)] = value
    try:
        assert ROW * 3 == unzipped(BTC, 2**20, bytes(body[: len(body) - cut if cut < 60 else None]))
    except BadArchive:
        pass
