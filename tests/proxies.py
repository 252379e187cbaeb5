"""Proxies as companies and networks have them: HTTP and SOCKS5, which lead any name under `.example` to this machine,
refuse loopback, and note what they were asked for."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from urllib.parse import urlsplit

from tests.loopback import LoopbackServer

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class ProxyServer(LoopbackServer):
    """A proxy on loopback, in a thread of its own; `asked` are the hosts of the requests, `refused` those of loopback
    among them, `clients` the addresses of those who asked. With `password` (`name:password`) it serves nobody else."""

    def __init__(self, scheme: str = "http", password: str = "") -> None:
        super().__init__()
        self.scheme = scheme
        self.password = password
        self.asked: list[str] = []
        self.refused: list[str] = []
        self.clients: set[str] = set()

    @property
    def url(self) -> str:
        """Its address, as an environment variable has it."""
        return f"{self.scheme}://{self.password + '@' if self.password else ''}127.0.0.1:{self._port}"

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.clients.add(writer.get_extra_info("peername")[0])
        talk = self._socks if self.scheme.startswith("socks") else self._http
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await talk(reader, writer)
        if not writer.transport.is_closing():
            writer.close()

    def _is_refused(self, host: str) -> bool:
        self.asked.append(host)
        if not host.endswith(".example"):
            self.refused.append(host)
        return not host.endswith(".example")

    async def _http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """CONNECT, or one request with the whole address."""
        head = await reader.readuntil(b"\r\n\r\n")
        method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
        known = base64.b64encode(self.password.encode())
        if self.password and b"proxy-authorization: basic " + known.lower() not in head.lower():
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return await writer.drain()
        parts = urlsplit(f"//{target}" if method == "CONNECT" else target)
        if self._is_refused(parts.hostname or ""):
            writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            return await writer.drain()
        there = await asyncio.open_connection("127.0.0.1", parts.port or 80)
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        else:
            path = f"{parts.path}?{parts.query}".encode()
            there[1].write(
                head.replace(target.encode(), path, 1).replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
            )
        return await _joined((reader, writer), there)

    async def _socks(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """SOCKS5 without a password, by name (RFC 1928)."""
        _, count = await reader.readexactly(2)
        await reader.readexactly(count)
        writer.write(b"\x05\x00")
        _, _, _, kind = await reader.readexactly(4)
        length = (await reader.readexactly(1))[0] if kind == 3 else 4
        host = (await reader.readexactly(length)).decode("latin-1")
        port = int.from_bytes(await reader.readexactly(2), "big")
        if self._is_refused(host if kind == 3 else "an address"):
            writer.write(b"\x05\x02\x00\x01" + bytes(6))
            return await writer.drain()
        there = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"\x05\x00\x00\x01" + bytes(6))
        return await _joined((reader, writer), there)


async def _joined(here: Ends, there: Ends) -> None:
    """Hand on what either side says, until one has ended."""
    try:
        await asyncio.gather(_pumped(here[0], there[1]), _pumped(there[0], here[1]))
    finally:
        here[1].transport.abort()
        there[1].transport.abort()


async def _pumped(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while part := await source.read(65536):
        target.write(part)
        await target.drain()
    if target.can_write_eof() and not target.transport.is_closing():
        target.write_eof()
