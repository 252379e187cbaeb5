"""Answers that are none to what was asked: refused after one request, and never a finding."""

from __future__ import annotations

import json
from datetime import date, timedelta
from itertools import product
from pathlib import Path

import pytest

from tests.drive import at, audit_once, backfill_once, collect_once, ledger, ms, published, query, stored
from tests.exchange import StandIn
from tests.turns import in_turn

SYMBOLS = {"spot": "BTCUSDT", "usdm": "BTCUSDT", "coinm": "BTCUSD_PERP"}
WHOLE = ["microseconds", "another_day", "floats", "nulls", "ten_fields", "flood"]


@pytest.mark.parametrize(("market", "kind", "minutes"), in_turn([*product(WHOLE, [30]), *product(WHOLE[:2], [3000])]))
def test_an_answer_without_one_kline_is_asked_for_once(
    exchange: StandIn, database: Path, market: str, kind: str, minutes: int
) -> None:
    """Times of another day or in microseconds, floats, nulls, missing fields, or sixty thousand rows: one request, a
    failure that says why, and nothing of it is stored or in the ledger but as due."""
    symbol = SYMBOLS[market]
    exchange.fault(symbol, kind)
    outcome = collect_once(exchange, database, [symbol, "ETHUSDT"], market=market, lookback=timedelta(minutes=minutes))

    assert "Degraded" == outcome.state
    assert f"1 failed: {symbol}" in outcome.message
    assert 1 == len(exchange.kline_requests(symbol))
    assert [] == stored(database, symbol)
    assert [(-minutes, 0, "due")] == ledger(database, symbol)
    assert minutes == len(stored(database, "ETHUSDT"))


@pytest.mark.parametrize(
    "body", ["[" + "[]," * 2_000_000 + "[]]", "[" * 10**6, '{"a":' * 10**5, "[" + "1," * 10**6 + "1]"]
)
def test_an_answer_of_megabytes(exchange: StandIn, database: Path, body: str) -> None:
    """However many rows, brackets or numbers come: it costs that symbol its minute and no other."""
    exchange.fault("ETHUSDT", "body", body=body)
    outcome = collect_once(exchange, database, ["BTCUSDT", "ETHUSDT"])

    assert "Degraded" == outcome.state
    assert 30 == len(stored(database, "BTCUSDT"))
    assert 1 == len(exchange.kline_requests("ETHUSDT"))


def test_a_page_that_comes_row_by_row(exchange: StandIn, database: Path) -> None:
    """An exchange that gives one kline for each request is not asked a thousand times for a page."""
    exchange.list("BTCUSDT", since_ms=ms("2025-12-01"))
    collect_once(exchange, database, ["BTCUSDT"])
    exchange.freeze(at(3000) + 5_000)
    exchange.forget()
    exchange.ignore("limit", "1")
    outcome = collect_once(exchange, database, ["BTCUSDT"], lookback=timedelta(minutes=10))

    assert "Degraded" == outcome.state
    assert "in over 5 answers" in outcome.message
    assert len(exchange.kline_requests()) <= 20


IGNORED = {"startTime": None, "endTime": None, "limit": None, "interval": "1h", "symbol": "SOLUSDT"}


@pytest.mark.parametrize(
    "names",
    [
        *([name] for name in IGNORED),
        [*IGNORED][:3],
        pytest.param(["startTime", "endTime"], marks=pytest.mark.full),
    ],
)
def test_what_was_asked_is_ignored(exchange: StandIn, database: Path, names: list[str]) -> None:
    """An exchange, or a cache before it, that ignores what was asked makes us store nothing wrong and settle nothing:
    not by collecting, a backfill or an audit, whether or not a symbol has a hole; and when it heeds us again everything
    is there."""
    symbols, listed, begin = ["BTCUSDT", "ETHUSDT"], "2026-01-02T02:00", "2026-01-01"
    for symbol in symbols:
        exchange.list(symbol, since_ms=ms(listed))
    exchange.hole(at(-200), at(-150), "ETHUSDT")
    for name in names:
        exchange.ignore(name, IGNORED[name])
    outcomes = [
        collect_once(exchange, database, symbols, since=date(2026, 1, 2)),
        backfill_once(exchange, database, symbols, begin, "2026-01-02", source="rest"),
        audit_once(exchange, database),
    ]
    exchange.ignored = {}
    for symbol in symbols:
        right = set(published(exchange.klines(symbol, ms(listed), at(0))))
        assert set() == set(stored(database, symbol)) - right
        settled = query(
            database,
            f"""SELECT reason, epoch_ms(start_time), epoch_ms(end_time) FROM gaps
                WHERE symbol = '{symbol}' AND reason NOT IN ('due', 'unresolved')""",
        )
        for reason, start_ms, end_ms in settled:
            is_true = reason == "not_listed" and end_ms <= ms(listed)
            is_true |= (start_ms, end_ms) == (at(-200), at(-150)) and symbol == "ETHUSDT"
            assert is_true, (reason, start_ms, end_ms)
    if names == ["symbol"]:
        assert {"Completed"} != {outcome.state for outcome in outcomes}
    assert "Completed" == backfill_once(exchange, database, symbols, begin, "2026-01-02T12:00").state
    for symbol in symbols:
        assert published(exchange.klines(symbol, ms(listed), at(0))) == stored(database, symbol)


def test_two_symbols_with_the_very_same_klines(exchange: StandIn, database: Path) -> None:
    """Where the same answer came for two symbols nobody knows whose it is: neither is stored, also when asked again."""
    exchange.ignore("symbol", "BTCUSDT")
    for minute in (0, 1):
        exchange.freeze(at(minute) + 5_000)
        outcome = collect_once(exchange, database, ["BTCUSDT", "ETHUSDT", "SOLUSDT"])
        assert "Degraded" == outcome.state
        assert "have the very same klines: not the answer to our request" in outcome.message
    assert [] == query(database, "FROM klines")


@pytest.mark.parametrize("market", ["spot", "usdm"])
def test_a_first_kline_that_is_none(exchange: StandIn, database: Path, market: str) -> None:
    """An exchange that takes the newest kline for the first one has not ended a history: it contradicts itself."""
    exchange.list("BTCUSDT", since_ms=ms("2025-12-01"))
    exchange.hole(ms("2026-01-01"), at(-40))
    exchange.ignore("startTime")
    outcome = backfill_once(exchange, database, ["BTCUSDT"], "2025-11-01", "2026-01-02", market=market, source="rest")
    assert "Degraded" == outcome.state
    assert "the first kline of all is said to be of 2026-01-02 12:00, and there is one before that" in outcome.message
    assert [] == query(database, "FROM gaps WHERE reason <> 'due'")


@pytest.mark.parametrize("force", [False, True])
def test_an_end_alone_that_is_answered_with_nothing(exchange: StandIn, database: Path, force: bool) -> None:
    """An exchange that has klines, and none before now when asked for the last one, contradicts itself: neither a
    backfill nor an audit is Completed, what is missing stays due, and both say what could not be asked."""
    exchange.list("BTCUSDT", since_ms=ms("2025-12-01"))
    exchange.silent_ends = True
    collect_once(exchange, database, ["BTCUSDT"])
    outcome = backfill_once(exchange, database, ["BTCUSDT"], "2025-12-01", "2025-12-03", source="rest")
    assert ("Degraded", True) == (outcome.state, "its answers contradict" in outcome.message)
    outcome = audit_once(exchange, database, force=force, since=date(2025, 12, 1))
    assert ("Degraded", True) == (outcome.state, "its answers contradict" in outcome.message)
    assert [("due",)] == query(database, "SELECT DISTINCT reason FROM gaps")


@pytest.mark.parametrize(
    "body", [[[at(0), "1"]], [[at(0) + 60_000]], [["x"]], [[]], [[None]], [[1e400]], [[True], [True]]]
)
def test_a_phase_that_no_grid_has(exchange: StandIn, database: Path, body: object) -> None:
    """Where the days of 3d begin is learnt from klines of 3d, and from nothing else."""
    exchange.fault("BTCUSDT", "body", body=json.dumps(body))
    outcome = collect_once(exchange, database, ["BTCUSDT"], interval="3d", lookback=timedelta(days=9))
    assert "ExchangeDown" == outcome.state
    assert [] == query(database, "FROM klines")
    exchange.clear()
    exchange.ignore("interval", "1h")
    assert "ExchangeDown" == collect_once(exchange, database, ["BTCUSDT"], interval="3d").state


def test_refused_rows_are_counted_and_the_first_kept(exchange: StandIn, database: Path) -> None:
    """Of many refused rows of an answer twenty are kept, the message counts all, and each slot is in the ledger."""
    for minute in range(-28, -1):
        exchange.fault("BTCUSDT", "nan", open_time_ms=at(minute))
    outcome = collect_once(exchange, database, ["BTCUSDT"])
    assert "27 rejected, the first 20 kept" in outcome.message
    assert [(20,)] == query(database, "SELECT count(*) FROM rejects")
    assert [(-28, -1, "rejected")] == ledger(database, "BTCUSDT")
