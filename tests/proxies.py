"""Proxies as companies and networks have them: HTTP and SOCKS5, which lead any name under `.example` to this machine,
refuse loopback, and note what they were asked for."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import threading
from collections.abc import Awaitable, Callable
from typing import Self
from urllib.parse import urlsplit

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class ProxyServer:
    """A proxy on loopback, in a thread of its own; `asked` are the hosts of the requests, `refused` those of loopback
    among them. With `password` (`name:password`) it serves nobody else."""

    def __init__(self, scheme: str = "http", password: str = "") -> None:
        self.scheme = scheme
        self.password = password
        self.asked: list[str] = []
        self.refused: list[str] = []
        self._port = 0
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    @property
    def url(self) -> str:
        """Its address, as an environment variable has it."""
        return f"{self.scheme}://{self.password + '@' if self.password else ''}127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        talk = self._socks if self.scheme.startswith("socks") else self._http
        server = await asyncio.start_server(lambda *ends: self._talk(talk, *ends), "127.0.0.1", 0)
        self._port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for _ in range(5):  # turns of the loop, after which whoever was let in just now has begun to talk
            await asyncio.sleep(0)
        for task in (tasks := asyncio.all_tasks() - {asyncio.current_task()}):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _talk(self, talk: Talk, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
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
