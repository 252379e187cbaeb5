"""`klines status`: what is fresh, what is behind and why, as the file and the server have it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from klines.cli import exit_status
from klines.interval import MINUTE
from klines.reading.status import status
from klines.storage.database import opened
from tests.drive import audit_once, collect_once, query
from tests.exchange import StandIn

SYMBOLS = ["BTCUSDT", "ETHUSDT", "SOLUSDT"]


@pytest.fixture(autouse=True)
def _environment() -> Iterator[None]:
    """The command completes the environment of its process, which here is that of the tests."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def behind(database: Path) -> Path:
    """Of three symbols one has had no kline for an hour; another has a hole that is an outage; a trouble goes on."""
    now_ms = time.time_ns() // 1_000_000
    hole_ms = now_ms // MINUTE * MINUTE - 20 * MINUTE
    with StandIn(any_symbol=True) as exchange:
        exchange.hole(hole_ms, hole_ms + 5 * MINUTE)
        collect_once(exchange, database, SYMBOLS)
        audit_once(exchange, database)
    with opened(database, time.monotonic() + 5) as connection:
        connection.execute(
            "DELETE FROM klines WHERE symbol = 'SOLUSDT' AND open_time >= epoch_ms(?::BIGINT)", [hole_ms]
        )
        connection.execute("DELETE FROM gaps WHERE symbol = 'SOLUSDT'")
        connection.execute(
            """INSERT INTO gaps VALUES ('spot', 'SOLUSDT', '1m', epoch_ms($1::BIGINT), epoch_ms($2::BIGINT),
                                        'unresolved', now(), now(), 1, TIMESTAMP '2100-01-01', 'klines')""",
            [hole_ms, hole_ms + 5 * MINUTE],
        )
        connection.execute(
            "INSERT INTO incidents VALUES ('spot', 'stale', ['1m'], ['SOLUSDT'], now(), NULL, 3, true, 'SOLUSDT is')"
        )
        connection.execute(
            """INSERT INTO alarms
               VALUES ('spot', 'stale', now(), 'm', now(), false, 'h.example', 2, now(), 'HTTP 500', NULL)"""
        )
    return database


def test_what_is_behind_and_why(behind: Path) -> None:
    """Symbols are counted by how far they are; who is behind is named, with what the ledger says of the first kline
    that it lacks; slots of the ledger are counted by reason."""
    found = status(behind)
    [(newest, last)] = query(behind, "SELECT max(open_time), max(open_time) FILTER (symbol = 'SOLUSDT') FROM klines")
    [series] = found.series
    assert ("spot", "1m", 3, 1, newest) == (series.market, series.interval, series.symbols, series.stale, series.newest)
    assert 2 == series.fresh + series.late
    worst = found.behind[0]
    assert ("SOLUSDT", "stale", last, "unresolved", 2100) == (
        *(worst.symbol, worst.state, worst.last, worst.reason),
        worst.next_check and worst.next_check.year,
    )
    assert 19 <= worst.lacking <= 30
    assert [("exchange_outage", 2, 2, 10), ("unresolved", 1, 1, 5)] == [
        (one.reason, one.rows, one.series, one.slots) for one in found.ledger
    ]
    assert [("spot", "stale")] == [(incident.market, incident.kind) for incident in found.incidents]
    assert (str(behind), behind.stat().st_size) == (found.database, found.bytes)


def test_one_screen(
    behind: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All of it in one screen, also where no server runs; with --json as one object."""
    monkeypatch.setenv("KLINES_DATABASE", str(behind))
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    assert 0 == exit_status(["status"])
    shown = capsys.readouterr().out
    assert len(shown.splitlines()) < 24
    for text in (
        str(behind),
        "spot    klines  1m",
        "spot 1m SOLUSDT  stale",
        "unresolved; asked again at 2100-01-01 00:00",
        "exchange_outage 10 (2 symbols)",
        "spot: SOLUSDT is",
        "1 alarm not delivered: h.example said HTTP 500 at attempt 2",
        "no Prefect server of ours answers",
    ):
        assert text in shown
    assert 0 == exit_status(["status", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert (str(behind), "SOLUSDT", None) == (told["database"], told["behind"][0]["symbol"], told["runs"])


class _Prefect(BaseHTTPRequestHandler):
    """Answers what the question for the last runs is answered; asks for a password."""

    def do_POST(self) -> None:
        """One run, to who has the password."""
        is_known = self.headers["Authorization"] == "Basic bmFtZTpwYXNzd29yZA=="
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        run = {"name": "spot 1m 07:31", "start_time": "2026-11-24T07:31:05.123Z", "state_name": "Degraded"}
        body = json.dumps([run | {"state": {"message": "stored\n9 [b]klines"}}][: asked["limit"]]).encode()
        self.send_response(200 if is_known else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Say nothing."""


@pytest.fixture
def prefect_api() -> Iterator[str]:
    """The address of a server that answers as Prefect's does."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Prefect) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/api"
        server.shutdown()


def test_the_last_runs(
    behind: Path, prefect_api: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The runs are those of the server that PREFECT_API_URL names, asked with the password that the settings have;
    without it there is a line."""
    monkeypatch.setenv("KLINES_DATABASE", str(behind))
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    monkeypatch.setenv("PREFECT_API_URL", prefect_api)
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "name:password")
    assert 0 == exit_status(["status"])
    shown = capsys.readouterr().out
    assert "11-24 07:31:05  spot 1m 07:31  Degraded  stored 9 [b]klines" in shown
    monkeypatch.delenv("PREFECT_API_AUTH_STRING")
    assert 0 == exit_status(["status"])
    assert "no Prefect server of ours answers" in capsys.readouterr().out


def test_nothing_is_behind(database: Path) -> None:
    """In a file without klines there is no series, nobody behind, nothing in the ledger, no trouble."""
    with opened(database, time.monotonic() + 5):
        pass
    found = status(database)
    assert ([], [], [], []) == (found.series, found.behind, found.ledger, found.incidents)
