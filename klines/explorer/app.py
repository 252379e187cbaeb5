"""The page and its questions, over HTTP; what can't be answered is `{"error": …}`, a sentence for a person."""

from __future__ import annotations

import time
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from klines.clock import time_ms
from klines.errors import BadParameter, DatabaseBusy, KlinesError
from klines.explorer.door import Door
from klines.explorer.lists import News, lately, ledger_rows, no_news
from klines.explorer.pictures import Series, charted, covered, fresh_now, listed
from klines.explorer.queue import Question, Queue, Queued
from klines.explorer.source import Snapshot, Source
from klines.explorer.stream import Stream
from klines.interval import DAY
from klines.market import KLINES, market_of, series_name
from klines.storage.access import cursor_to_read
from klines.window import Window, window


def create(source: Source, news: News = no_news) -> Starlette:
    """The application; answers are made in threads, as they wait for DuckDB. `news` knows of Prefect's last runs."""
    queue, stream = Queue(), Stream(source)
    app = Starlette(
        routes=[
            Route("/api/state", stream.follow, methods=["GET"]),
            Route("/api/renew", renew, methods=["POST"]),
            *(Route(f"/api/{name}", Queued(queue, answer), methods=["GET"]) for name, answer in ANSWERS.items()),
            Mount("/", StaticFiles(directory=Path(__file__).parent / "page", html=True)),
        ],
        middleware=[Middleware(Door)],
        exception_handlers={KlinesError: _refused, Exception: _refused},
    )
    app.state.source, app.state.stream, app.state.news = source, stream, news
    return app


def renew(request: Request) -> JSONResponse:
    """Take a newer snapshot; the stream of states tells how far it is."""
    source: Source = request.app.state.source
    source.renew()
    return JSONResponse({})


def answer_series(request: Request, question: Question) -> JSONResponse:
    """What there is: the symbols of each market, kind and interval."""
    source: Source = request.app.state.source
    snapshot = source.snapshot(question)
    about = {"taken_ms": snapshot.taken_ms, "until_ms": snapshot.until_ms}
    return JSONResponse(about | {"series": listed(snapshot.series)})


def answer_freshness(request: Request, question: Question) -> JSONResponse:
    """`market`, `kind`, `interval`: whose newest kline is in the file itself, just now."""
    source: Source = request.app.state.source
    some = _series(request, source.snapshot(question))
    with question.reading(source.live()) as connection:
        found = fresh_now(connection, some, time.time_ns() // 1_000_000)
    return JSONResponse(found)


def answer_coverage(request: Request, question: Question) -> JSONResponse:
    """`market`, `kind`, `interval`, `start`, `end`: the counts of each day of all symbols, the last one as far as it
    has gone."""
    source: Source = request.app.state.source
    snapshot = source.snapshot(question)
    first = _series(request, snapshot)[0]
    asked = _window(request, 0, snapshot.until_ms)
    wanted = Window(asked.start_ms // DAY * DAY, asked.end_ms)
    with question.reading(cursor_to_read(snapshot.connection, source.database)) as connection:
        return JSONResponse(covered(connection, market_of(first.market, first.kind), first.interval, wanted))


def answer_klines(request: Request, question: Question) -> JSONResponse:
    """`market`, `kind`, `interval`, `symbol`, `start`, `end`: what there is of a symbol."""
    source: Source = request.app.state.source
    snapshot = source.snapshot(question)
    symbol = request.query_params.get("symbol")
    found = next((some for some in _series(request, snapshot) if some.symbol == symbol), None)
    if found is None:
        raise BadParameter(f"there is no {symbol} in the file; choose one of the list")
    wanted = _window(request, found.since_ms, found.interval.floor(snapshot.until_ms))
    with question.reading(cursor_to_read(snapshot.connection, source.database)) as connection:
        return JSONResponse(charted(connection, found, wanted))


def answer_ledger(request: Request, question: Question) -> JSONResponse:
    """`market`, `kind`, `interval`, `symbol` (part of it), `reason`, `start`, `end`; all after the interval may be
    left out."""
    source: Source = request.app.state.source
    snapshot = source.snapshot(question)
    first = _series(request, snapshot)[0]
    symbol, reason = (request.query_params.get(name, "") for name in ("symbol", "reason"))
    asked = _window(request, 0, snapshot.until_ms)
    with question.reading(cursor_to_read(snapshot.connection, source.database)) as connection:
        return JSONResponse(
            ledger_rows(connection, market_of(first.market, first.kind), first.interval, asked, symbol, reason)
        )


def answer_lately(request: Request, question: Question) -> JSONResponse:
    """The incidents of the last days, as the snapshot has them, and the last runs, as Prefect's server has them now."""
    source: Source = request.app.state.source
    snapshot = source.snapshot(question)
    with question.reading(cursor_to_read(snapshot.connection, source.database)) as connection:
        return JSONResponse(lately(connection, snapshot.taken_ms, request.app.state.news))


ANSWERS = {
    "series": answer_series,
    "freshness": answer_freshness,
    "coverage": answer_coverage,
    "klines": answer_klines,
    "ledger": answer_ledger,
    "lately": answer_lately,
}
"""The questions below /api/, each with what answers it."""


def _series(request: Request, snapshot: Snapshot) -> list[Series]:
    """Those of the market, kind and interval asked for; at least one."""
    asked = request.query_params
    whose = asked.get("market", ""), asked.get("kind", KLINES.name), asked.get("interval", "")
    found = [some for some in snapshot.series if (some.market, some.kind, some.interval.name) == whose]
    if not found:
        raise BadParameter(f"there is nothing of {series_name(*whose)} in the file")
    return found


def _window(request: Request, since_ms: int, until_ms: int) -> Window:
    """From `start` to `end`, as far as something should be there; left out, from the beginning and to the end."""
    start_ms, end_ms = (time_ms(name, request.query_params.get(name) or None) for name in ("start", "end"))
    for found in window(max(start_ms or 0, since_ms), until_ms if end_ms is None else min(end_ms, until_ms)):
        return found
    raise BadParameter("no kline should be there in this range: it is before the symbol began, or yet to come")


def _refused(request: Request, error: Exception) -> JSONResponse:
    source: Source = request.app.state.source
    error = source.named(error)
    status = 503 if isinstance(error, DatabaseBusy) else 400 if isinstance(error, KlinesError) else 500
    return JSONResponse({"error": str(error)}, status)
