"""A server of a test's own on 127.0.0.1, whose loop runs in a thread."""

from __future__ import annotations

import asyncio
import threading
from typing import Self

TURNS = 5
"""Turns of the loop, after which whoever was let in just now has begun to talk."""


class LoopbackServer:
    """Answers connections while its block lasts, and leaves none of them open; a port of 0 is any free one."""

    def __init__(self, port: int = 0) -> None:
        self._port = port
        self._ready = threading.Event()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=type(self).__name__, daemon=True)
        self._open: dict[asyncio.StreamWriter, asyncio.Task[None]] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        if self._failed is not None:
            self._thread.join()
            raise self._failed
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection, and close it."""
        raise NotImplementedError

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as failed:
            self._failed = failed
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._connected, "127.0.0.1", self._port, backlog=1024)
        self._port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for _ in range(TURNS):
            await asyncio.sleep(0)
        while tasks := list(self._open.values()):
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for _ in range(TURNS):
                await asyncio.sleep(0)
        await server.wait_closed()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open[writer] = self._loop.create_task(self._talk(reader, writer))
        self._open[writer].add_done_callback(lambda _: self._ended(writer))

    def _ended(self, writer: asyncio.StreamWriter) -> None:
        del self._open[writer]
        writer.transport.abort()  # where it was cancelled before it had begun, or had closed it
