"""The border under fire: whatever bytes an exchange answers, there are true klines, or an error of ours."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from klines.binance.exchange import Exchange
from klines.errors import KlinesError
from klines.interval import INTERVALS
from klines.market import MARKETS
from klines.want import Want
from klines.window import Window
from tests.drive import NOON, at, published
from tests.exchange import StandIn

M1 = INTERVALS["1m"]
ASKED = Window(at(-30), at(0))


@pytest.fixture(scope="module")
def standin() -> Iterator[StandIn]:
    """One stand-in for all examples."""
    with StandIn(["BTCUSDT", "BNBUSDT", "BTCUSD_PERP", "BNBUSD_PERP"]) as standin:
        standin.freeze(NOON + 5_000)
        yield standin


def anew(standin: StandIn) -> None:
    """Without faults, and without the weight that the examples before have used in this minute."""
    standin.clear()
    standin.forget()
    standin._used.clear()


def ask(url: str, market: str, questions: Callable[[Exchange], Awaitable[Any]]) -> Any:
    """What comes of questions to an exchange."""

    async def run() -> Any:
        until_s = time.monotonic() + 20
        exchange = Exchange(MARKETS[market], url, deadline_s=until_s, request_timeout_s=10, late_pauses_s=(),
                            clock=lambda: NOON + 5_000)  # fmt: skip
        async with exchange:
            return await questions(exchange)

    return asyncio.run(run())


async def everything(exchange: Exchange) -> list[Any]:
    """All kinds of questions, one after the other: what each gave, or its error."""
    symbol = "BTCUSD_PERP" if exchange.market.name == "coinm" else "BTCUSDT"
    want = Want(symbol, [ASKED])
    found: list[Any] = []
    for question in (
        exchange.health,
        lambda: exchange.fetch(want, M1),
        lambda: exchange.between(symbol, M1, Window(at(-10), at(-5))),
        lambda: exchange.span(symbol, M1, None),
        lambda: exchange.last_trade(symbol, M1, at(-1)),
        lambda: exchange.phase_ms(symbol, INTERVALS["3d"]),
        lambda: exchange.statuses([symbol]),
        exchange.symbol_infos,
    ):
        try:
            found.append(await question())
        except KlinesError as error:
            found.append(error)
    found[1] = want
    return found


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(
    [NOON, NOON * 1000, at(-3), "1.5", "TRADING", "REQUEST_WEIGHT", "MINUTE", 0, -1, 1e400, 2**63, "BTCUSDT"]
)  # fmt: skip
names = st.sampled_from(["serverTime", "status", "symbols", "symbol", "rateLimits", "limit", "intervalNum", "interval",
                         "rateLimitType", "onboardDate", "deliveryDate", "code", "msg"])  # fmt: skip
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=13) | st.dictionaries(names, inner), max_leaves=30
)


@st.composite
def spoilt_rows(draw: st.DrawFn) -> list[Any]:
    """True klines with a few of their fields, or rows, changed, repeated, or gone."""
    rows: list[Any] = [
        [at(n), "2.0", "3.0", "1.0", "2.5", "10", at(n + 1) - 1, "20", 5, "4", "8", "0"]
        for n in range(draw(st.integers(-40, -1)), draw(st.integers(0, 3)))
    ]
    for _ in range(draw(st.integers(0, 3))):
        row = draw(st.integers(0, len(rows) - 1))
        change = draw(st.sampled_from(["field", "short", "long", "row", "twice", "gone", "order"]))
        if change == "field" and isinstance(rows[row], list) and len(rows[row]) > 2:
            rows[row] = list(rows[row])
            rows[row][draw(st.integers(0, len(rows[row]) - 1))] = draw(scalars)
        elif change == "row":
            rows[row] = draw(anything)
        elif change == "twice":
            rows.append(rows[row])
        elif change == "order":
            rows.reverse()
        elif change == "gone" and len(rows) > 1:
            del rows[row]
        elif isinstance(rows[row], list):
            rows[row] = rows[row][:-1] if change == "short" else [*rows[row], "0"]
    return rows


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data(), st.sampled_from(list(MARKETS)))
def test_any_json(standin: StandIn, data: st.DataObject, market: str) -> None:
    """Of any JSON on any route there come closed klines of the window, a clock that some clock shows, a limit that can
    be worked with, or an error of ours; nothing else, and never more than a few requests a question."""
    anew(standin)
    for path in data.draw(st.sets(st.sampled_from(["klines", "time", "status", "exchangeInfo"]), min_size=1)):
        body = data.draw(spoilt_rows() | anything if path == "klines" else anything)
        standin.fault(None, "body", path=path, body=json.dumps(body))
    found = ask(standin.url, market, everything)
    want = found[1]
    assert want.error is None or isinstance(want.error, KlinesError), repr(want.error)
    assert all(at(-33) <= row.open_time < at(0) and row.close_time < NOON + 5_000 for row in want.rows)
    assert len(standin.requests) < 60


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_text(standin: StandIn, data: st.DataObject) -> None:
    """So for what is no JSON, on every route, and as any status."""
    anew(standin)
    texts = st.text(max_size=40) | st.sampled_from(
        ["[" * 5000, "{" * 5000, "[[[]]" * 99, '{"code":' + "9" * 5000 + "}"]
    )
    for path in ("klines", "time", "status", "exchangeInfo", "ping"):
        if status := data.draw(st.sampled_from([0, 200, 202, 400, 404, 500, 503])):
            standin.fault(None, "status", path=path, status=status, retry_after=None, body=data.draw(texts))
    found = ask(standin.url, "spot", everything)
    assert found[1].error is None or isinstance(found[1].error, KlinesError), repr(found[1].error)


def test_true_answers_are_taken(standin: StandIn) -> None:
    """Without a fault all the questions have their answers, in every market."""
    anew(standin)
    for market in MARKETS:
        _, want, inside, (begin, last_ms), *_ = ask(standin.url, market, everything)
        assert want.error is None
        rows = published(standin.klines(want.symbol, at(-30), at(0), market=market))
        assert rows == [tuple(row) for row in want.rows]
        assert (True, at(-1)) == (bool(begin.first_ms), last_ms)
        assert inside


@pytest.fixture
def raw() -> Iterator[tuple[str, list[bytes]]]:
    """A server that answers every request with the bytes in a list, and closes."""
    answers: list[bytes] = []
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                connection.recv(65_536)
                connection.sendall(answers[0])

    thread = threading.Thread(target=serve)
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}", answers
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    thread.join()


OK = b"HTTP/1.1 200 OK\r\n"
BYTES = {
    "no HTTP": b"\x00\x01\x02\xff" * 10,
    "nothing": b"",
    "no status": b"HTTP/1.1\r\n\r\n",
    "status of letters": b"HTTP/1.1 abc OK\r\n\r\n",
    "status 999": b"HTTP/1.1 999 \r\nContent-Length: 2\r\n\r\n{}",
    "status of 400 digits": b"HTTP/1.1 " + b"2" * 400 + b" OK\r\n\r\n",
    "reason with a terminal's command": b"HTTP/1.1 500 \x1b[2J\r\nContent-Length: 5\r\n\r\n\x1b[2J!",
    "length that is none": OK + b"Content-Length: x\r\n\r\n{}",
    "length below 0": OK + b"Content-Length: -5\r\n\r\n{}",
    "two lengths": OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "header of 1 MB": OK + b"X-A: " + b"a" * 10**6 + b"\r\n\r\n{}",
    "a hundred thousand headers": OK + b"X-A: a\r\n" * 100_000 + b"\r\n{}",
    "header without a colon": OK + b"nonsense\r\n\r\n{}",
    "header of no text": OK
    + b"X-MBX-USED-WEIGHT-1M: \xff\xfe\r\nDate: \xff\r\nAge: \xc3\x28\r\nContent-Length: 2\r\n\r\n{}",
    "cookie of no sense": OK + b"Set-Cookie: =;=;\x01=\x02\r\nContent-Length: 2\r\n\r\n{}",
    "unknown encoding": OK + b"Content-Encoding: br\r\nContent-Length: 2\r\n\r\n{}",
    "gzip that is none": OK + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
    "deflate that is none": OK + b"Content-Encoding: deflate\r\nContent-Length: 2\r\n\r\n{}",
    "zstd that is none": OK + b"Content-Encoding: zstd\r\nContent-Length: 2\r\n\r\n{}",
    "chunks that are none": OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "charset that is none": OK + b"Content-Type: application/json; charset=none\r\nContent-Length: 2\r\n\r\n{}",
    "redirect to nowhere": b"HTTP/1.1 302 Found\r\nLocation: http://[::1\r\nContent-Length: 0\r\n\r\n",
    "upgrade": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    "continue without end": b"HTTP/1.1 100 Continue\r\n\r\n" * 50,
    "proxy wants a password": b"HTTP/1.1 407 Proxy\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("kind", BYTES)
def test_any_bytes(raw: tuple[str, list[bytes]], kind: str) -> None:
    """What is no HTTP, or hardly, is an error of ours in one line that can be printed."""
    url, answers = raw
    answers.append(BYTES[kind])
    for error in ask(url, "spot", everything)[2:4]:
        assert isinstance(error, KlinesError)
        assert str(error).isprintable()
        assert 500 > len(str(error))
