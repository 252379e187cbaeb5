"""What a page is told without asking, as server-sent events: as of when its pictures are, and how far a newer state is.

That the stream ends tells the page at once that its server has.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from typing import Any

import anyio
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from klines.explorer.source import Source

PAGES = 32
"""So many pages are told at once; a page that is hidden does not listen."""
LOOK_S, SILENT_S = 0.5, 15.0
"""How often it is looked whether there is news, and how long a stream is silent at most."""


class Stream:
    """The streams of all pages; they end once the server is to end."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._pages = 0
        self.is_over = False

    async def follow(self, _: Request) -> Response:
        """A stream of states, each when it has changed; refused with 503 where too many listen."""
        if self._pages >= PAGES:
            return JSONResponse({"error": f"{PAGES} pages are open already: close some"}, 503)
        return StreamingResponse(self._told(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})

    async def _told(self) -> AsyncIterator[str]:
        self._pages += 1
        try:
            last: dict[str, Any] = {}
            told_s = 0.0
            while not self.is_over:
                self._source.look()
                state = self._source.state()
                if state != last or time.monotonic() - told_s > SILENT_S:
                    last, told_s = state, time.monotonic()
                    yield f"data: {json.dumps(state | {'now_ms': time.time_ns() // 1_000_000})}\n\n"
                await anyio.sleep(LOOK_S)
        finally:
            self._pages -= 1
