"""A stand-in of Binance's market-data REST API: a real HTTP server on loopback that keeps the exchange's rules.

    with StandIn(symbols=["BTCUSDT"]) as exchange:
        exchange.fault("BTCUSDT", "status", status=503, times=1)
        urlopen(exchange.url + "/api/v3/klines?symbol=BTCUSDT&interval=1m&limit=3")

One port serves /api/v3, /sapi and the archive below /data (pool "spot"), /fapi/v1 and /dapi/v1 (one pool, "futures"),
and counts the weight of each address that asks, as 127.0.0.2, by itself; and for a hand at the keyboard the switches
/faults and /latency, and /record, which counts the answers by status. HTTP is spoken by hand: faults of the wire need
the socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import struct
import zlib
from collections import Counter
from collections.abc import Iterable
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

from tests.exchange.faults import Answer, Asked, page
from tests.exchange.rules import ROUTES, Rules
from tests.loopback import LoopbackServer

HANG_S, HUGE_BYTES = 60, 10**9
PHRASES = {status.value: status.phrase for status in HTTPStatus}


class StandIn(Rules, LoopbackServer):
    """The exchange on a port, in a thread of its own; answers on a route that ends in `gate` wait while that is set."""

    def __init__(
        self,
        symbols: Iterable[str] = ("BTCUSDT", "ETHUSDT"),
        markets: Iterable[str] = ("spot", "usdm", "coinm"),
        port: int = 0,
        any_symbol: bool = False,
    ) -> None:
        Rules.__init__(self, symbols, markets, any_symbol)
        LoopbackServer.__init__(self, port)
        self.gate = ""

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._port}"

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection's requests until either side closes it."""
        try:
            while not self.down and await self._exchange(reader, writer):
                pass
            if self.down:
                _reset(writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer; False: close the connection."""
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
        if length := int(headers.get("content-length", 0)):
            await reader.readexactly(length)
        if self.down:
            return False
        path, _, query = target.partition("?")
        params = dict(parse_qsl(query, keep_blank_values=True))
        address = str(writer.get_extra_info("peername")[0])
        asked = Asked(unquote(path), params, headers, self.now_ms(), address=address)
        answer = self._switched(method, asked) or self.answer(asked)
        while self.gate and asked.path.endswith(self.gate):
            await asyncio.sleep(0.01)
        if answer.delay_s or self.latency_s:
            await asyncio.sleep(answer.delay_s + self.latency_s)
        if answer.file is not None and not answer.wire:
            return await self._sent(answer, answer.file, asked, writer)
        head, body = self._bytes(answer, asked)
        if answer.wire and not answer.wire.startswith("gzip"):
            return await _spoiled(answer.wire, head, body, reader, writer)
        writer.write(head + body)
        await writer.drain()
        return is_kept_alive(asked)

    async def _sent(self, answer: Answer, file: Path, asked: Asked, writer: asyncio.StreamWriter) -> bool:
        """Send a file of the disk without taking it into this process."""
        with file.open("rb") as content:
            writer.write(self._head(answer, asked, file.stat().st_size))
            await self._loop.sendfile(writer.transport, content)
        return is_kept_alive(asked)

    def _bytes(self, answer: Answer, asked: Asked) -> tuple[bytes, bytes]:
        if answer.file is not None:
            answer.raw = answer.file.read_bytes()
        text = answer.body if answer.rows is None else json.dumps(answer.rows, separators=(",", ":"))
        body, more = (
            text.encode() if answer.raw is None else answer.raw,
            "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items()),
        )
        if answer.wire == "gzip_garbage":
            body, more = b"\x1f\x8b" + bytes(range(100, 200)), more + "Content-Encoding: gzip\r\n"
        elif answer.wire == "gzip_bomb":
            body, more = bomb(), more + "Content-Encoding: gzip\r\n"
        elif (
            answer.raw is None
            and len(body) > 1024
            and answer.wire != "huge"
            and "gzip" in asked.headers.get("accept-encoding", "")
        ):
            packer = zlib.compressobj(1, wbits=31)
            body, more = packer.compress(body) + packer.flush(), more + "Content-Encoding: gzip\r\n"
        return self._head(answer, asked, len(body), more), body

    def _head(self, answer: Answer, asked: Asked, length: int, more: str = "") -> bytes:
        market, _ = ROUTES.get(asked.path, ("spot", ""))
        used = self.used_weight(self.pool(market), asked.address)
        weight = f"X-MBX-USED-WEIGHT: {used}\r\nX-MBX-USED-WEIGHT-1M: {used}\r\n"
        more += weight if "weight is stated" not in self.broken else ""
        more += "".join(f"{name}: {value}\r\n" for name, value in self.dated(asked).items())
        return (
            f"HTTP/1.1 {answer.status} {PHRASES.get(answer.status, 'Unknown')}\r\nContent-Type: {answer.kind}\r\n"
            f"Content-Length: {length}\r\n{more}\r\n"
        ).encode()

    def _switched(self, method: str, asked: Asked) -> Answer | None:
        """The switches over HTTP: /faults, /latency; /record; and the page a redirect leads to."""
        if asked.path == "/elsewhere":
            return page(200, "Elsewhere")
        if asked.path == "/record":
            return Answer(body=json.dumps(Counter(request.status for request in self.requests)))
        if asked.path not in ("/faults", "/latency"):
            return None if method == "GET" else Answer(405, "")
        options: dict[str, Any] = {k: _plain(v) for k, v in asked.params.items() if k not in ("symbol", "kind")}
        try:
            if asked.path == "/latency" and method == "POST":
                self.latency_s = float(asked.params["seconds"])
            elif method == "POST":
                self.fault(asked.params.get("symbol"), asked.params["kind"], **options)
            elif method == "DELETE":
                self.clear(asked.params.get("symbol"))
        except (KeyError, ValueError) as wrong:
            return Answer(400, json.dumps({"msg": f"{type(wrong).__name__}: {wrong}"}))
        listed = [
            {"symbol": one.symbol, "kind": one.kind, "times": one.times, "path": one.path} | one.options
            for one in self.faults()
        ]
        return Answer(body=json.dumps({"latency_s": self.latency_s} if asked.path == "/latency" else listed))


@cache
def bomb() -> bytes:
    """A quarter of a gigabyte in a quarter of a megabyte."""
    packer = zlib.compressobj(9, wbits=31)
    return packer.compress(b"[" + b" " * 2**28) + packer.flush()


def is_kept_alive(asked: Asked) -> bool:
    """Whether the client goes on with the connection after the answer."""
    return asked.headers.get("connection", "").lower() != "close"


def _plain(text: str) -> int | float | str:
    """A number where the text is one."""
    for number in (int, float):
        with contextlib.suppress(ValueError):
            return number(text)
    return text


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST instead of FIN."""
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _spoiled(kind: str, head: bytes, body: bytes, reader: asyncio.StreamReader,
                   writer: asyncio.StreamWriter) -> bool:  # fmt: skip
    """Send an answer with a fault of the wire; always the connection's last."""
    if kind == "hang":
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(reader.read(1), HANG_S)
        return False
    if kind == "huge":
        writer.write(re.sub(rb"Content-Length: \d+\r\n", b"Connection: close\r\n", head) + b"[")
        block = (body[1:-1] or b"0") + b","
        block *= 65_536 // len(block) + 1
        for _ in range(HUGE_BYTES // len(block)):
            writer.write(block)
            await writer.drain()
        return False
    writer.write(head)
    if kind == "drip":
        for byte in body:
            writer.write(bytes((byte,)))
            await writer.drain()
            await asyncio.sleep(1)
        return False
    writer.write(body[: len(body) // 2])
    await writer.drain()
    if kind == "reset":
        await asyncio.sleep(0.02)
        _reset(writer)
    return False
