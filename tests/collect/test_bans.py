"""Silence that is asked for: kept, never forgotten, and never longer than one answer may ask for it."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from klines.binance import silence
from klines.cli import exit_status
from klines.errors import Blocked, RateLimited
from klines.interval import MINUTE
from klines.storage.database import opened
from klines.tables.bans import active_ban, lift, remember_ban
from tests.drive import NOON, backfill_once, collect_once, query
from tests.exchange import StandIn
from tests.storage.test_database import held
from tests.turns import in_turn

FAR = NOON + 2 * 86_400_000
LONG = [
    {"status": 429, "retry_after": 10**9},
    {"status": 503, "retry_after": 10**6, "body": json.dumps({"code": -1003, "msg": f"IP banned until {FAR}."})},
    {"status": 400, "retry_after": None, "body": json.dumps({"code": -1003, "msg": f"IP banned until {FAR}."})},
]


@pytest.mark.parametrize("options", LONG)
@pytest.mark.parametrize("path", ["klines", "time"])
def test_only_a_418_deserves_days(exchange: StandIn, database: Path, path: str, options: dict[str, Any]) -> None:
    """Whatever silence any other answer asks for: minutes later one request, alone, asks whether it still holds; where
    it does not, the run goes on and stores everything."""
    exchange.fault(None, "status", path=path, **options)
    assert "RateLimited" == collect_once(exchange, database, ["BTCUSDT"]).state
    assert [(True,)] == query(database, "SELECT until - since <= INTERVAL 5 MINUTE FROM bans")
    exchange.forget()
    assert "RateLimited" == collect_once(exchange, database, ["BTCUSDT"]).state
    assert [] == exchange.requests

    over(database)
    exchange.clear()
    exchange.fault(None, "status", path="ping", **options)
    assert "RateLimited" == collect_once(exchange, database, ["BTCUSDT"]).state
    assert ["/api/v3/ping"] == [request.path for request in exchange.requests]

    over(database)
    exchange.clear()
    assert "Completed" == collect_once(exchange, database, ["BTCUSDT"]).state


def over(database: Path) -> None:
    """The silence has just ended."""
    query(database, "UPDATE bans SET until = epoch_ms(epoch_ms(now()) - 1000)")


def test_a_429_that_comes_again_and_again(exchange: StandIn, database: Path) -> None:
    """A second of silence asked for each time, without end: the run ends after a few, and does not go on till its
    deadline, nor a backfill for days."""
    exchange.fault("BTCUSDT", "status", status=429, retry_after=1)
    assert "RateLimited" == collect_once(exchange, database, ["BTCUSDT"]).state
    assert 6 == len(exchange.kline_requests("BTCUSDT"))
    query(database, "DELETE FROM bans")
    outcome = backfill_once(exchange, database, ["BTCUSDT"], "2026-01-02T10:00", "2026-01-02T11:00", source="rest")
    assert "RateLimited" == outcome.state


WIRES = ["drip", "hang", "truncate", "reset", "huge", "gzip_garbage"]


@pytest.mark.parametrize(("status", "wire"), in_turn([(wire,) for wire in WIRES], [418, 403, 451]))
def test_the_status_counts_whatever_the_body_does(exchange: StandIn, database: Path, status: int, wire: str) -> None:
    """A ban or block whose body does not come, or does not end, is one: only an answer that never begins is none."""
    state = "RateLimited" if status == 418 else "Blocked"
    exchange.fault("BTCUSDT", "status", status=status, wire=wire)
    outcome = collect_once(exchange, database, ["BTCUSDT"], request_timeout_s=3)
    assert (state if wire != "hang" else "ExchangeDown") == outcome.state


@pytest.mark.file
@pytest.mark.parametrize(("status", "path"), in_turn([("klines",), ("time",)], [418, 403]))
def test_a_ban_that_comes_while_the_file_is_held(exchange: StandIn, database: Path, status: int, path: str) -> None:
    """It is the run's state, and not forgotten: the next run, that has the file, makes no request."""
    collect_once(exchange, database, ["BTCUSDT"])
    exchange.freeze(NOON + 65_000)
    exchange.forget()
    exchange.fault(None, "status", path=path, status=status)
    exchange.gate = path
    outcomes = []

    def run() -> None:
        outcomes.append(collect_once(exchange, database, ["BTCUSDT"], deadline_s=30))

    runner = threading.Thread(target=run)
    runner.start()
    while not [request for request in exchange.requests if request.path.endswith(path)]:
        time.sleep(0.01)
    with held(database, "read"):
        exchange.gate = ""
        runner.join()
    assert ["RateLimited" if status == 418 else "Blocked"] == [outcome.state for outcome in outcomes]
    assert [] == query(database, "FROM bans")

    exchange.clear()
    exchange.forget()
    assert outcomes[0].state == collect_once(exchange, database, ["BTCUSDT"]).state
    assert [] == exchange.requests
    assert 1 == len(query(database, "FROM bans"))
    assert not database.with_name(f"{database.name}.bans").exists()


@pytest.mark.usefixtures("in_settings")
@pytest.mark.parametrize("status", [418, 403])
@pytest.mark.parametrize("is_beside", [False, True])
def test_a_ban_is_lifted_by_a_command(
    exchange: StandIn, database: Path, status: int, is_beside: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the run's message names: `klines unban` ends the silence of its pool, in the database and beside it; the
    next run asks once whether it still holds, and goes on where it does not. The other pool's stays."""
    exchange.fault(None, "status", status=status, path="time")
    outcome = collect_once(exchange, database, ["BTCUSDT"])
    assert "`klines unban` lets the next run ask at once" in outcome.message
    now_ms = time.time_ns() // 1_000_000
    ban = RateLimited("HTTP 418", now_ms + 60_000, banned=True)
    silence.keep(database, "futures", "", ban, now_ms, now_ms)
    if is_beside:
        query(database, "DELETE FROM bans")
        silence.keep(database, "spot", "", ban, now_ms, now_ms)
    assert 0 == exit_status(["unban", "spot"])
    told = capsys.readouterr().out
    assert told.startswith("spot: the silence until ")
    assert 1 == told.count("\n")

    exchange.forget()
    assert outcome.state == collect_once(exchange, database, ["BTCUSDT"]).state
    assert ["/api/v3/ping"] == [request.path for request in exchange.requests[:1]]
    exchange.clear()
    exit_status(["unban"])
    assert "Completed" == collect_once(exchange, database, ["BTCUSDT"]).state
    capsys.readouterr()
    assert 0 == exit_status(["unban"])
    assert "no ban holds of funding, futures, spot\n" == capsys.readouterr().out


def test_a_block_that_was_lifted_soon(database: Path) -> None:
    """A 403 that comes again after its block was lifted is not asked about for five minutes, as at first."""
    blocked = Blocked("HTTP 403", remember=True)
    with opened(database, time.monotonic() + 5) as connection:
        remember_ban(connection, "spot", "", blocked, now_ms=NOON, exchange_now_ms=NOON)
        assert {"spot": NOON + 5 * MINUTE} == lift(connection, ["spot"], "", NOON + 9_000)
        assert {} == lift(connection, ["spot"], "", NOON + 9_000)
        remember_ban(connection, "spot", "", blocked, now_ms=NOON + 10_000, exchange_now_ms=NOON)
        assert active_ban(connection, "spot", "", NOON + 5 * MINUTE)
