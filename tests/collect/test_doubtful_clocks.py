"""Wrong clocks in every combination: nothing open is stored, no run is Completed, and the message says which it is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from itertools import product
from pathlib import Path

import pytest

from klines.outcome import Outcome
from tests.drive import MINUTE, NOON, at, audit_once, backfill_once, collect_once, ms, published, query, stored
from tests.exchange import StandIn
from tests.turns import in_turn

TEN = 10 * MINUTE
NOW = NOON + 45_000
MARKETS = {"spot": "BTCUSDT", "usdm": "BTCUSDT", "coinm": "BTCUSD_PERP"}


def set_clocks(exchange: StandIn, server_ms: int, date_ms: int | None, machine_ms: int) -> Callable[[], int]:
    """Clocks that are so far from the truth, in which klines close; this machine's is returned."""
    exchange.freeze(NOW)
    exchange.server_time = str(NOW + server_ms)
    exchange.date_offset_ms = date_ms
    return lambda: NOW + machine_ms


def closed(exchange: StandIn, market: str, interval: str = "1m") -> set[tuple[object, ...]]:
    """All klines that are really closed."""
    return set(published(exchange.klines(MARKETS[market], at(-3000), NOW, interval, market)))


@pytest.mark.parametrize(
    ("market", "clocks", "said"),
    in_turn(
        [
            ((TEN, 0, 0), "Binance's clock (serverTime) is 10 min ahead of"),
            ((TEN, None, 0), "Binance's clock (serverTime) is 10 min ahead of"),
            ((30_000, 0, 0), "Binance's clock (serverTime) is 30 s ahead of"),
            ((30_000, None, 0), "30 s"),
            ((-TEN, 0, 0), "Binance's clock (serverTime) is 10 min behind"),
            ((-TEN, None, 0), "Binance's clock (serverTime) is 10 min behind"),
            ((-TEN, -TEN, 0), "Binance's clock (serverTime) is 10 min behind"),
            ((TEN, TEN, 0), "10 min ahead of this machine's clock"),
            ((TEN, TEN, -TEN), "20 min"),
            ((TEN, 0, TEN), "10 min"),
            ((0, TEN, 0), "the Date of Binance's answers is 10 min ahead of"),
            ((0, -TEN, 0), "the Date of Binance's answers is 10 min behind"),
            ((0, TEN, TEN), "10 min"),
            ((TEN, -TEN, 0), "the Date of Binance's answers is 10 min behind"),
            ((TEN, TEN, TEN), "ago by every clock"),
        ]
    ),
)
def test_a_doubtful_clock(
    exchange: StandIn, database: Path, market: str, clocks: tuple[int, int | None, int], said: str
) -> None:
    """Behind, ahead, alone or together: the run is Degraded, says by how much, and stores nothing that is open."""
    clock = set_clocks(exchange, *clocks)
    outcome = collect_once(exchange, database, [MARKETS[market]], market=market, clock=clock)
    assert outcome.state in ("Degraded", "ExchangeDown")
    assert said in outcome.message
    assert set() == set(stored(database, MARKETS[market])) - closed(exchange, market)


@pytest.mark.parametrize(
    ("market", "machine_ms", "date_ms"),
    in_turn(product([2_000, -2_000, 30_000, -30_000, TEN, -TEN, 3000 * TEN, -3000 * TEN], [0, None])),
)
def test_this_machines_clock_alone(
    exchange: StandIn, database: Path, market: str, machine_ms: int, date_ms: int | None
) -> None:
    """Where the exchange's clocks and the newest kline agree, a wrong clock of this machine's stops nothing; without a
    Date it does where the newest kline can't decide."""
    clock = set_clocks(exchange, 0, date_ms, machine_ms)
    outcome = collect_once(exchange, database, [MARKETS[market]], market=market, clock=clock)
    is_undecided = date_ms is None and abs(machine_ms) == 30_000
    assert ("Degraded" if is_undecided else "Completed") == outcome.state, outcome.message
    assert set() == set(stored(database, MARKETS[market])) - closed(exchange, market)
    assert len(stored(database, MARKETS[market])) >= 29


ABSURD = ["0", "-5", "1.5", "true", "1970", '"123"', f'"{NOW}"', "1e400", "-1e400", "NaN", "null", "[]", "{}", "1e13",
          str(NOW * 1000), str(NOW // 1000), f"{NOW}.0", "9" * 40]  # fmt: skip


@pytest.mark.parametrize("value", ABSURD)
def test_what_is_no_time(exchange: StandIn, database: Path, value: str) -> None:
    """A serverTime that no clock shows is named; what the other clocks say is closed is stored, and no more."""
    clock = set_clocks(exchange, 0, 0, 0)
    exchange.server_time = value
    outcome = collect_once(exchange, database, ["BTCUSDT"], clock=clock)
    assert "Degraded" == outcome.state
    assert "which is no time" in outcome.message
    assert published(exchange.klines("BTCUSDT", at(-30), NOON)) == stored(database, "BTCUSDT")


@pytest.mark.parametrize("date", ["Thu, 01 Jan 1970 00:00:00 GMT", "yesterday", "", "Fri, 02 Jan 99999 12:00:00 GMT"])
def test_a_date_that_is_none(exchange: StandIn, database: Path, date: str) -> None:
    """So for the Date of the answers."""
    clock = set_clocks(exchange, 0, 0, 0)
    exchange.date = date
    outcome = collect_once(exchange, database, ["BTCUSDT"], clock=clock)
    assert ("Degraded", True) == (outcome.state, "the Date of Binance's answers says" in outcome.message)


@pytest.mark.parametrize("body", ["{}", "[]", "null", "1", '{"time":1}', "<html>", '{"serverTime":' + "9" * 5000 + "}"])
def test_no_server_time_at_all(exchange: StandIn, database: Path, body: str) -> None:
    """An answer without one is no answer, and asked for again."""
    exchange.fault(None, "body", path="time", body=body)
    outcome = collect_once(exchange, database, ["BTCUSDT"])
    assert "ExchangeDown" == outcome.state
    assert [] == exchange.kline_requests()


def test_a_clock_that_a_cache_keeps(exchange: StandIn, database: Path) -> None:
    """A proxy that answers serverTime and Date from its cache, run after run, is found out by the newest kline, and by
    what it says of its age."""
    for minute in range(3):
        clock = set_clocks(exchange, 0, 0, minute * MINUTE)
        exchange.freeze(NOW + minute * MINUTE)
        exchange.date_offset_ms = -minute * MINUTE
        outcome = collect_once(exchange, database, ["BTCUSDT"], clock=clock)
        assert ("Degraded" if minute else "Completed") == outcome.state, outcome.message
    assert "Binance's clock (serverTime) is 2 min behind" in outcome.message
    exchange.fault(None, "age", path="time", seconds=120)
    assert "a cache had kept the exchange's time for 120 s" in collect_once(exchange, database, ["BTCUSDT"]).message


@pytest.mark.parametrize("market", list(MARKETS))
def test_an_exchange_that_stands_still(exchange: StandIn, database: Path, market: str) -> None:
    """serverTime, Date and klines of a moment that is over: what a whole exchange in a cache answers. The run that
    meets it again says so and is not Completed, nor are those after it; once it goes on all is well."""
    exchange.list(MARKETS[market], since_ms=ms("2025-12-01"))
    collect_once(exchange, database, [MARKETS[market]], market=market)
    for minute in (1, 2, 3):
        clock = set_clocks(exchange, 0, 0, minute * MINUTE)
        outcome = collect_once(exchange, database, [MARKETS[market]], market=market, clock=clock)
        assert "Degraded" == outcome.state, outcome.message
        assert "Binance's clock (serverTime) has lost " in outcome.message
    assert "Degraded" == audit_once(exchange, database, clock=set_clocks(exchange, 0, 0, 4 * MINUTE)).state
    exchange.server_time = None
    exchange.freeze(NOW + 5 * MINUTE)
    for _ in range(2):
        assert "Completed" == collect_once(exchange, database, [MARKETS[market]], market=market).state


def test_a_machines_clock_that_was_put_forward(exchange: StandIn, database: Path) -> None:
    """It looks the same in the one run after that, and heals with the next, although it stays wrong."""
    states = []
    for minute, ahead_ms in enumerate((0, 0, TEN, TEN, TEN)):
        exchange.freeze(NOW + minute * MINUTE)
        clock = partial(int, NOW + minute * MINUTE + ahead_ms)
        states.append(collect_once(exchange, database, ["BTCUSDT"], clock=clock).state)
    assert ["Completed", "Completed", "Degraded", "Completed", "Completed"] == states


@pytest.mark.parametrize("interval", ["1m", "5m", "1h", "1d"])
def test_klines_of_another_time_than_all_clocks(exchange: StandIn, database: Path, interval: str) -> None:
    """Where the klines alone are behind, the newest one may be open, of any interval: it is not stored."""
    clock = set_clocks(exchange, 26 * 60 * MINUTE, 26 * 60 * MINUTE, 26 * 60 * MINUTE)
    lookback = timedelta(days=2)
    outcome = collect_once(exchange, database, ["BTCUSDT"], interval=interval, clock=clock, lookback=lookback)
    assert "the newest kline is of 2026-01-02 12:00" in outcome.message
    assert outcome.state in ("Degraded", "ExchangeDown")
    assert len(stored(database, "BTCUSDT", interval)) > 0
    assert set() == set(stored(database, "BTCUSDT", interval)) - closed(exchange, "spot", interval)


def backfill(exchange: StandIn, database: Path, clock: Callable[[], int]) -> Outcome:
    """Up to now and beyond, by REST."""
    return backfill_once(exchange, database, ["BTCUSDT"], "2026-01-02T10:00", "2026-01-03", source="rest", clock=clock)


def audit(exchange: StandIn, database: Path, clock: Callable[[], int]) -> Outcome:
    """Of what a collect with right clocks has stored."""
    exchange.server_time, exchange.date_offset_ms, told = None, 0, (exchange.server_time, exchange.date_offset_ms)
    collect_once(exchange, database, ["BTCUSDT"])
    exchange.server_time, exchange.date_offset_ms = told
    return audit_once(exchange, database, clock=clock)


@pytest.mark.parametrize("run", [backfill, audit])
@pytest.mark.parametrize(
    "clocks", [(TEN, 0, 0), (-TEN, 0, 0), (TEN, TEN, 0), (TEN, TEN, TEN), (0, TEN, 0), (TEN, None, 0)]
)
def test_backfills_and_audits(
    exchange: StandIn, database: Path, run: Callable[..., Outcome], clocks: tuple[int, int | None, int]
) -> None:
    """The same holds for them: not Completed, nothing open."""
    exchange.list("BTCUSDT", since_ms=ms("2025-12-01"))
    outcome = run(exchange, database, set_clocks(exchange, *clocks))
    assert "Degraded" == outcome.state, outcome.message
    assert "The clocks are in doubt" in outcome.message
    assert set() == set(stored(database, "BTCUSDT")) - closed(exchange, "spot")


def test_it_heals_with_the_clock(exchange: StandIn, database: Path) -> None:
    """Once the clocks agree again everything is there, and nothing of the doubt is left in the ledger."""
    for clocks in ((TEN, 0, 0), (-TEN, 0, 0), (0, TEN, 0), (TEN, TEN, 0)):
        collect_once(exchange, database, ["BTCUSDT"], clock=set_clocks(exchange, *clocks))
    assert "Completed" == collect_once(exchange, database, ["BTCUSDT"], clock=set_clocks(exchange, 0, 0, 0)).state
    right = published(exchange.klines("BTCUSDT", at(-45), NOON))
    assert right[-30:] == stored(database, "BTCUSDT")[-30:]
    assert [] == query(database, "FROM gaps WHERE end_time > TIMESTAMP '2026-01-02 11:30'")
