"""Runs that once broke the promise, or ended in the wrong state."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from tests.drive import at, collect_once, ledger, ms, published, query, stored
from tests.exchange import StandIn


def test_rows_refused_for_ever_are_no_success(exchange: StandIn, database: Path) -> None:
    """When each new row of a symbol is refused, the symbol has no kline for 5 minutes, and the run says so."""
    collect_once(exchange, database, ["BTCUSDT", "ETHUSDT"])
    exchange.list("ETHUSDT")
    for minute in range(9):
        exchange.fault("ETHUSDT", "short_row", open_time_ms=at(minute))
    states = []
    for minute in (1, 2, 8):
        exchange.freeze(at(minute) + 5_000)
        states.append(collect_once(exchange, database, ["BTCUSDT", "ETHUSDT"]).state)

    assert ["Completed", "Completed", "Degraded"] == states


def test_refused_first_kline_does_not_stop_the_catch_up(exchange: StandIn, database: Path) -> None:
    """A symbol whose very first kline is refused is caught up all the same; that kline's slot is `rejected`."""
    exchange.list("NEWUSDT", since_ms=at(-2500))
    exchange.fault("NEWUSDT", "nan", open_time_ms=at(-2500))
    collect_once(exchange, database, ["NEWUSDT"], since=date(2025, 12, 30))

    assert 2499 == len(stored(database, "NEWUSDT"))
    assert (-2500, -2499, "rejected") in ledger(database, "NEWUSDT")


def test_listing_is_the_same_for_every_interval(exchange: StandIn, database: Path) -> None:
    """The day's kline of a symbol listed at noon says nothing false about its minutes before the listing."""
    exchange.list("NEWUSDT", since_ms=at(-30))
    collect_once(exchange, database, ["NEWUSDT"], interval="1d", lookback=timedelta(days=3))
    collect_once(exchange, database, ["NEWUSDT"], since=date(2026, 1, 1))

    assert [("not_listed", ms("2026-01-01"), at(-30))] == query(
        database, "SELECT reason, epoch_ms(start_time), epoch_ms(end_time) FROM gaps WHERE interval = '1m'"
    )


def test_symbol_not_yet_due_is_no_failure(exchange: StandIn, database: Path) -> None:
    """A symbol listed today has no closed day yet: nothing of it is late."""
    exchange.list("NEWUSDT", since_ms=at(-30))
    outcome = collect_once(exchange, database, ["NEWUSDT"], interval="1d", lookback=timedelta(days=3))

    assert "Completed" == outcome.state


def test_symbol_that_fails_is_owed_in_one_row_of_the_ledger(exchange: StandIn, database: Path) -> None:
    """What is asked for in vain, minute by minute, is due as one gap, and nothing of it is lost when it goes on longer
    than the lookback."""
    exchange.fault("ETHUSDT", "status", status=500)
    for minute in range(0, 60, 6):
        exchange.freeze(at(minute) + 5_000)
        collect_once(exchange, database, ["BTCUSDT", "ETHUSDT"])
    assert [(-30, 54, "due")] == ledger(database, "ETHUSDT")

    exchange.clear()
    exchange.freeze(at(60) + 5_000)
    assert "Completed" == collect_once(exchange, database, ["BTCUSDT", "ETHUSDT"]).state
    assert published(exchange.klines("ETHUSDT", at(-30), at(60))) == stored(database, "ETHUSDT")
    assert [] == ledger(database, "ETHUSDT")


@pytest.mark.parametrize(("interval", "lookback"), [("1m", timedelta(0)), ("1w", timedelta(days=1))])
def test_short_lookback_begins_with_the_newest_closed_kline(
    exchange: StandIn, database: Path, interval: str, lookback: timedelta
) -> None:
    """However short the lookback is, a symbol without rows begins with the newest kline that has closed."""
    exchange.list("BTCUSDT", since_ms=ms("2025-12-01"))
    collect_once(exchange, database, ["BTCUSDT"], interval=interval, lookback=lookback)

    assert 1 == len(stored(database, "BTCUSDT", interval))


def test_symbols_that_all_stopped_trading_are_no_outage(exchange: StandIn, database: Path) -> None:
    """When the exchange says of every symbol of a run that it does not trade, that is what the run says."""
    symbols = ["BTCUSDT", "ETHUSDT"]
    collect_once(exchange, database, symbols)
    for symbol in symbols:
        exchange.list(symbol, until_ms=at(0), status="BREAK")
    exchange.freeze(at(8) + 5_000)
    outcome = collect_once(exchange, database, symbols)

    assert "Completed" == outcome.state
    assert "2 not trading: BTCUSDT, ETHUSDT" in outcome.message
    assert [(0, 8, "unresolved")] == ledger(database, "BTCUSDT")


def test_phase_of_three_days_is_learnt_from_whoever_answers(exchange: StandIn, database: Path) -> None:
    """3d: one failing symbol does not keep the others from being collected; a ban is remembered there too."""
    for symbol in ("BTCUSDT", "ETHUSDT"):
        exchange.list(symbol, since_ms=ms("2025-12-20"))
    exchange.fault("BTCUSDT", "status", status=500)
    outcome = collect_once(exchange, database, ["BTCUSDT", "ETHUSDT"], interval="3d", lookback=timedelta(days=6))
    assert "1 failed: BTCUSDT" in outcome.message
    assert 2 == len(stored(database, "ETHUSDT", "3d"))

    query(database, "DELETE FROM klines")
    exchange.fault("ETHUSDT", "status", status=418)
    assert "RateLimited" == collect_once(exchange, database, ["ETHUSDT"], interval="3d").state
    assert 1 == len(query(database, "FROM bans"))


def test_three_days_of_an_unknown_symbol(exchange: StandIn, database: Path) -> None:
    """3d of a symbol that the exchange does not know is no success."""
    exchange.fault("NOUSDT", "code", status=400, code=-1121)
    outcome = collect_once(exchange, database, ["NOUSDT"], interval="3d")

    assert "Degraded" == outcome.state
    assert "Check the spelling" in outcome.message


def test_page_that_can_not_be_read_does_not_hide_older_ones(exchange: StandIn, database: Path) -> None:
    """An older page whose answer is no list of klines stays due; what is before it is fetched."""
    exchange.list("BTCUSDT", since_ms=at(-5000))
    exchange.fault("BTCUSDT", "too_many", open_time_ms=at(-1500))
    outcome = collect_once(exchange, database, ["BTCUSDT"], lookback=timedelta(minutes=3500))

    assert "Degraded" == outcome.state
    assert [(-2000, -1000, "due")] == ledger(database, "BTCUSDT")
    assert 2500 == len(stored(database, "BTCUSDT"))


@pytest.mark.parametrize("lookback", [timedelta(days=800_000), timedelta(days=20_000)])
def test_lookback_before_the_exchange_began(exchange: StandIn, database: Path, lookback: timedelta) -> None:
    """A lookback of ages, and a `since` before Binance, mean from the beginning."""
    exchange.list("BTCUSDT", since_ms=ms("2025-10-15"))
    outcome = collect_once(exchange, database, ["BTCUSDT"], interval="1M", lookback=lookback, since=date(1, 1, 1))

    assert "Completed" == outcome.state
    assert [ms("2025-10-01"), ms("2025-11-01"), ms("2025-12-01")] == [
        row[0] for row in stored(database, "BTCUSDT", "1M")
    ]
