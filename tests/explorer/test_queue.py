"""The explorer's queue, over real HTTP and DuckDB: how many questions it takes, and what becomes of the forgotten."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator

import duckdb
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from klines.explorer.queue import RETRY_AFTER_S, Gone, Question, Queue, Queued

ENDLESS = "SELECT sum(hash(a.range) % 7) FROM range(1000000000) AS a, range(1000000) AS b"
PATIENCE_S = 60


class Asked:
    """A server with room for two questions at once and one that waits: the question `endless` takes for ever."""

    def __init__(self) -> None:
        self.queue = Queue(at_once=2, waiting=1)
        self.reading = threading.Semaphore(0)
        self.gone = threading.Semaphore(0)
        app = Starlette(routes=[Route("/{name}", Queued(self.queue, self.answer), methods=["GET"])])
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="critical"))
        self.thread = threading.Thread(target=lambda: asyncio.run(self.server.serve([self.socket])))
        self.thread.start()

    def answer(self, request: Request, question: Question) -> Response:
        """The answer from DuckDB, in a thread."""
        try:
            with question.reading(duckdb.connect()) as connection:
                self.reading.release()
                sql = ENDLESS if request.path_params["name"] == "endless" else "SELECT 42"
                return PlainTextResponse(str(connection.sql(sql).fetchall()[0][0]))
        except Gone:
            self.gone.release()
            raise

    def ask(self, name: str) -> socket.socket:
        """A question, as the connection on which its answer will come."""
        connection = socket.create_connection(self.socket.getsockname(), timeout=PATIENCE_S)
        connection.sendall(f"GET /{name} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        return connection


@pytest.fixture
def asked() -> Iterator[Asked]:
    """A server of the test's own."""
    found = Asked()
    yield found
    found.server.should_exit = True
    found.thread.join()
    found.socket.close()


def answer(connection: socket.socket) -> str:
    """All that comes on a connection."""
    with connection:
        received = b""
        while part := connection.recv(65536):
            received += part
    return received.decode()


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until it holds."""
    until_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until_s
        time.sleep(0.01)


def test_a_question_is_answered(asked: Asked) -> None:
    """One after the other, any number of questions is answered."""
    for _ in range(5):
        assert answer(asked.ask("short")).endswith("42")
    assert 0 == asked.queue.taken


def test_what_nobody_awaits_is_interrupted(asked: Asked) -> None:
    """When whoever asked has gone, his statement ends, and his thread answers others."""
    endless = [asked.ask("endless") for _ in range(2)]
    for _ in endless:
        assert asked.reading.acquire(timeout=PATIENCE_S)
    waiting = asked.ask("short")
    for connection in endless:
        connection.close()
    for _ in endless:
        assert asked.gone.acquire(timeout=PATIENCE_S)
    assert answer(waiting).endswith("42")


def test_too_many_questions_are_refused(asked: Asked) -> None:
    """Beyond those that are answered and those that wait, a question is refused in a sentence that says when to ask
    again; one that waits and is forgotten leaves its place to another."""
    taken = [asked.ask("endless") for _ in range(2)]
    for _ in taken:
        assert asked.reading.acquire(timeout=PATIENCE_S)
    waiting = asked.ask("short")
    wait_for(lambda: asked.queue.taken == 3)
    refused = answer(asked.ask("short"))
    assert refused.startswith("HTTP/1.1 503 ")
    assert f"retry-after: {RETRY_AFTER_S}\r\n" in refused
    assert "ask again in" in refused
    waiting.close()
    wait_for(lambda: asked.queue.taken == 2)
    taken.append(asked.ask("endless"))
    wait_for(lambda: asked.queue.taken == 3)
    for connection in taken:
        connection.close()
    wait_for(lambda: asked.queue.taken == 0)


def test_an_error_is_the_one_that_was_raised(asked: Asked) -> None:
    """What goes wrong in a thread is raised as it is, so that it can be told in its own words."""

    def fail(_: Request, __: Question) -> Response:
        raise ValueError("no answer")

    async def receive() -> dict[str, str]:
        await asyncio.sleep(PATIENCE_S)
        return {"type": "http.disconnect"}

    with pytest.raises(ValueError, match="no answer"):
        asyncio.run(asked.queue.answered(Request({"type": "http"}, receive), fail))
