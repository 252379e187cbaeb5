"""Questions that wait for their answer: few at once, some in a queue, the rest refused; none that nobody awaits."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import anyio
import duckdb
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

AT_ONCE, WAITING = 4, 16
"""A page asks three questions, and awaits none that it has asked before."""
RETRY_AFTER_S, SENDING_S = 5, 30
"""When to ask again; and how long one may take to receive an answer, which lies in memory until then."""
_AGAIN_S = 0.05


class Gone(Exception):
    """Nobody awaits the answer any more."""


class Question:
    """A question that a thread answers; `end` interrupts what it reads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._is_over = False
        self.is_answered = False

    @contextlib.contextmanager
    def reading(self, connection: duckdb.DuckDBPyConnection) -> Iterator[duckdb.DuckDBPyConnection]:
        """The connection, closed at the end. Raises Gone when nobody awaits the answer any more."""
        self._now_reads(connection)
        try:
            self.check()
            yield connection
        except duckdb.InterruptException:
            raise Gone from None
        finally:
            self._now_reads(None)
            connection.close()

    def _now_reads(self, connection: duckdb.DuckDBPyConnection | None) -> None:
        with self._lock:
            self._connection = connection

    def check(self) -> None:
        """Raises Gone when nobody awaits the answer any more."""
        if self._is_over:
            raise Gone

    def end(self) -> None:
        """Nobody awaits the answer. Call it again until the thread is free: DuckDB forgets it before a statement."""
        self._is_over = True
        with self._lock:
            if self._connection:
                self._connection.interrupt()


Answer = Callable[[Request, Question], Response]


class Queue:
    """Room for some questions, of which a few are answered at once."""

    def __init__(self, at_once: int = AT_ONCE, waiting: int = WAITING) -> None:
        self._threads = anyio.CapacityLimiter(at_once)
        self._room = at_once + waiting
        self.taken = 0

    @contextlib.contextmanager
    def place(self) -> Iterator[bool]:
        """A place until the block ends; false where none is left."""
        is_free = self.taken < self._room
        self.taken += is_free
        try:
            yield is_free
        finally:
            self.taken -= is_free

    async def answered(self, request: Request, answer: Answer) -> Response | None:
        """The answer, once a thread is free; None if whoever asked has gone before."""
        question = Question()
        found: Response | Exception | None = None
        async with anyio.create_task_group() as group:
            group.start_soon(_end_when_gone, request, question, group.cancel_scope)
            try:
                found = await anyio.to_thread.run_sync(answer, request, question, limiter=self._threads)
            except Exception as error:
                found = error  # raised below, as a group wraps what is raised in it
            finally:
                question.is_answered = True
                group.cancel_scope.cancel()
        if isinstance(found, Exception) and not isinstance(found, Gone):
            raise found
        return found if isinstance(found, Response) else None


async def _end_when_gone(request: Request, question: Question, scope: anyio.CancelScope) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    scope.cancel()  # for one that waits
    with anyio.CancelScope(shield=True):
        while not question.is_answered:
            question.end()
            await anyio.sleep(_AGAIN_S)


class Queued:
    """The ASGI application that answers one kind of question; the place is held until the answer is sent."""

    def __init__(self, queue: Queue, answer: Answer) -> None:
        self._queue = queue
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse with 503 where too many ask."""
        with self._queue.place() as is_free:
            request = Request(scope, receive)
            response = await self._queue.answered(request, self._answer) if is_free else _too_many()
            if response is not None:
                with anyio.move_on_after(SENDING_S):
                    await response(scope, receive, send)


def _too_many() -> Response:
    said = f"{AT_ONCE + WAITING} questions are waiting already: close a page or two, and ask again in {RETRY_AFTER_S} s"
    return JSONResponse({"error": said}, 503, {"Retry-After": str(RETRY_AFTER_S)})
