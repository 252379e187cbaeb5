"""Runs of funding rates against the stand-in: what is stored, what the ledger says, and how a run ends."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

import klines
from klines.cli.screen import _funding as shown
from klines.interval import DAY, HOUR, MINUTE
from klines.rates.job import FundingJob
from klines.rates.run import FundingRun
from klines.reading.status import status
from klines.settings import Address
from tests.drive import NOON, collect_once, funding_once, ms, query, settings_of
from tests.exchange import StandIn

BEGIN, DECEMBER = "2025-11-01", "2025-12-01"
BTC = "BTCUSDT"
MIDNIGHT = NOON - 12 * HOUR
PATH = "fundingRate"


def stored(database: Address, symbol: str = BTC) -> list[tuple[Any, ...]]:
    """Time, rate and mark price of each stored rate of a symbol, ascending."""
    which = f"FROM funding WHERE symbol = '{symbol}' ORDER BY funding_time"
    return query(database, f"SELECT epoch_ms(funding_time), rate, mark_price {which}")


def published(exchange: StandIn, symbol: str = BTC, market: str = "usdm", since: str = BEGIN) -> list[tuple[Any, ...]]:
    """What REST has of a symbol since a day, in the shape of `stored`."""
    rates = exchange.rates(market, symbol, ms(since), exchange.now_ms(), exchange.now_ms())
    return [(rate["fundingTime"], Decimal(rate["fundingRate"]), Decimal(rate["markPrice"])) for rate in rates]


def without_price(rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Times and rates: the archive has no mark prices."""
    return [row[:2] for row in rows]


def ledger(database: Address, symbol: str = BTC) -> list[tuple[str, int, str]]:
    """The gaps of a symbol: from when, for how many hours, and why."""
    hours = f"(epoch_ms(end_time) - epoch_ms(start_time)) // {HOUR}"
    which = f"FROM gaps WHERE symbol = '{symbol}' ORDER BY start_time"
    return query(database, f"SELECT strftime(start_time, '%m-%d %H'), {hours}, reason {which}")


def test_history_comes_from_the_archive_and_the_rest_by_rest(exchange: StandIn, database: Address) -> None:
    """One run stores all rates since a day exactly as published: whole months from the archive with their intervals,
    the rest by REST with mark prices. A second one asks for nothing, and changes nothing."""
    outcome = funding_once(exchange, database, [BTC], since=BEGIN)
    assert "Completed" == outcome.state
    assert without_price(published(exchange)) == without_price(stored(database))
    assert published(exchange, since=DECEMBER) == [row for row in stored(database) if row[0] >= ms(DECEMBER)]
    sources = "SELECT source, any_value(interval_hours), count(*) FROM funding GROUP BY ALL ORDER BY ALL"
    assert [("monthly", 8, 90), ("rest", None, 98)] == query(database, sources)
    assert (188, 188, 0) == tuple(outcome.numbers[name] for name in ("expected", "there", "unexplained"))
    assert [] == ledger(database)

    exchange.forget()
    again = funding_once(exchange, database, [BTC], since=BEGIN)
    assert ("Completed", 0) == (again.state, again.numbers["stored"])
    assert [] == exchange.funding_requests() + exchange.archive_requests()


def test_each_symbol_has_hours_of_its_own_and_they_change(exchange: StandIn, database: Address) -> None:
    """Rates every 8, 4 and 1 hours, and changes between them, are no gaps; each later run asks only who is due."""
    exchange.fund("ETHUSDT", 4, MIDNIGHT - 2 * DAY)
    exchange.fund("SOLUSDT", 1)
    exchange.fund("XRPUSDT", 1, MIDNIGHT - 4 * DAY)
    exchange.fund("XRPUSDT", 8, MIDNIGHT - 3 * DAY)
    symbols = [BTC, "ETHUSDT", "SOLUSDT", "XRPUSDT"]
    outcome = funding_once(exchange, database, symbols, since="2025-12-28")
    assert ("Completed", 0) == (outcome.state, outcome.numbers["unexplained"])
    for symbol in symbols:
        assert published(exchange, symbol, since="2025-12-28") == stored(database, symbol)
        assert [] == ledger(database, symbol)

    exchange.forget()
    exchange.freeze(NOON + HOUR + 5_000)
    assert 1 == funding_once(exchange, database, symbols, since="2025-12-28").numbers["stored"]
    assert ["SOLUSDT"] == [request.params["symbol"] for request in exchange.funding_requests()]


def test_holes_are_named_and_filled_when_they_can_be(exchange: StandIn, database: Address) -> None:
    """What the exchange does not have between two rates is its hole, asked for again with growing pauses, and leaves
    the ledger when it comes; before the first rate it was not listed, where the archive agrees."""
    exchange.list(BTC, since_ms=ms("2025-11-10"))
    exchange.unfund(MIDNIGHT - DAY, MIDNIGHT - DAY + 16 * HOUR)
    outcome = funding_once(exchange, database, [BTC], since=BEGIN)
    assert ("Completed", 2, 0) == (outcome.state, outcome.numbers["explained"], outcome.numbers["unexplained"])
    hole = ("01-01 00", 16, "exchange_hole")
    assert [("11-01 00", 216, "not_listed"), hole] == ledger(database)

    exchange.forget()
    funding_once(exchange, database, [BTC], since=BEGIN)
    assert [] == exchange.funding_requests()
    exchange.freeze(NOON + HOUR + MINUTE)
    exchange.refill()
    assert 2 == funding_once(exchange, database, [BTC], since=BEGIN).numbers["stored"]
    assert [("11-01 00", 216, "not_listed")] == ledger(database)


@pytest.mark.file
def test_the_certificate_has_a_row_of_each_symbols_rates(exchange: StandIn, database: Address) -> None:
    """It counts slots by the symbol's own hours, from its first rate on: those that are stored, as the table is now,
    and the others by reason. Rates of whatever source have one hash."""
    exchange.list(BTC, since_ms=ms("2025-11-10"))
    exchange.unfund(MIDNIGHT - DAY, MIDNIGHT - DAY + 16 * HOUR)
    funding_once(exchange, database, [BTC], since=BEGIN)
    counts = "strftime(since, '%m-%d %H'), expected - stored, exchange_hole, unexplained, percent_complete, hash"
    [(*counted, of_archive)] = query(database, f"SELECT {counts} FROM certificate WHERE kind = 'funding'")
    assert ["11-10 00", 2, 2, 0, 100.0] == counted
    query(database, "DELETE FROM funding WHERE source = 'monthly'")
    assert [(21 * 3,)] == query(database, "SELECT unexplained FROM certificate")
    funding_once(exchange, database, [BTC], since=BEGIN)
    assert [(0, of_archive)] == query(database, "SELECT unexplained, hash FROM certificate")
    assert [("rest",)] == query(database, "SELECT DISTINCT source FROM funding")


@pytest.mark.file
def test_an_answer_without_a_rate_settles_nothing(exchange: StandIn, database: Address) -> None:
    """Empty answers leave what lacks unresolved, the run Degraded, and `klines status` names it; the next check has
    it."""
    funding_once(exchange, database, [BTC], since="2026-01-01")
    exchange.freeze(NOON + DAY)
    exchange.fault(BTC, "empty", path=PATH)
    outcome = funding_once(exchange, database, [BTC], since="2026-01-01")
    assert "Degraded" == outcome.state
    assert "BTCUSDT 3 since 2026-01-02 16:00" in outcome.message
    assert [("01-02 16", 17, "unresolved")] == ledger(database)
    gaps = klines.gaps(BTC, market="usdm", kind="funding", database=database)
    assert ["unresolved"] == gaps["reason"].to_list()
    [now] = status(database).funding
    assert (1, ["BTCUSDT since 2026-01-02 16:00 (unresolved)"]) == (now.symbols, now.lacking)
    assert "usdm: 1 symbol, the newest rate of 2026-01-02 08:00; [yellow]lacking: BTCUSDT since" in shown(now)
    exchange.clear()
    exchange.freeze(NOON + DAY + HOUR + MINUTE)
    assert "Completed" == funding_once(exchange, database, [BTC], since="2026-01-01").state
    assert published(exchange, since="2026-01-01") == stored(database)


def test_an_answer_that_is_cut_is_gone_on_from(exchange: StandIn, database: Address) -> None:
    """Where an answer holds only the first rates of what was asked for, the rest is asked for at once."""
    rates = exchange.rates("usdm", BTC, ms("2026-01-01"), NOON, NOON)
    exchange.fault(BTC, "body", body=json.dumps(rates[:2]), path=PATH, times=1)
    assert "Completed" == funding_once(exchange, database, [BTC], since="2026-01-01").state
    assert published(exchange, since="2026-01-01") == stored(database)
    assert 3 == len(exchange.funding_requests())  # the last one for what is after the newest rate


def test_rows_that_are_no_rates_are_kept_apart(exchange: StandIn, database: Address) -> None:
    """A rate that is no number, and one of a time that is yet to come, are rejects; the good ones are stored, and the
    hour is rejected until it comes well."""
    rates = exchange.rates("usdm", BTC, ms("2026-01-01"), NOON, NOON)
    broken = [rates[0], rates[1] | {"fundingRate": "NaN"}, *rates[2:]]
    broken.append(rates[0] | {"fundingTime": NOON + 4 * HOUR})
    exchange.fault(BTC, "body", body=json.dumps(broken), path=PATH, times=1)
    outcome = funding_once(exchange, database, [BTC], since="2026-01-01")
    assert ("Completed", 2) == (outcome.state, outcome.numbers["rejected"])
    assert published(exchange, since="2026-01-01")[0] == stored(database)[0]
    assert ["a value is no decimal number", "it is of a time that is yet to come"] == [
        reason for (reason,) in query(database, "SELECT reason FROM rejects ORDER BY open_time")
    ]
    assert [("01-01 08", 1, "rejected"), ("01-01 09", 7, "exchange_hole")] == ledger(database)

    exchange.freeze(NOON + HOUR)
    assert "Completed" == funding_once(exchange, database, [BTC], since="2026-01-01").state
    assert published(exchange, since="2026-01-01") == stored(database)
    assert [] == ledger(database)


def test_one_bad_symbol_spoils_only_itself(exchange: StandIn, database: Address) -> None:
    """What one symbol's answers spoil is due, the others are stored; a name that Binance does not know owes nothing."""
    exchange.list("GHOST", markets=["spot"])
    exchange.fault(BTC, "status", status=503, path=PATH)
    outcome = funding_once(exchange, database, [BTC, "ETHUSDT", "GHOST"], since="2026-01-01")
    assert "Degraded" == outcome.state
    assert "1 failed: BTCUSDT" in outcome.message
    assert "1 unknown to Binance: GHOST" in outcome.message
    assert [] == ledger(database, "GHOST")
    assert published(exchange, "ETHUSDT", since="2026-01-01") == stored(database, "ETHUSDT")
    assert [("01-01 00", 36, "due")] == ledger(database)
    exchange.clear()
    assert "Completed" == funding_once(exchange, database, [BTC], since="2026-01-01").state
    assert [] == ledger(database)


def test_a_run_that_ended_early_is_gone_on_from(exchange: StandIn, database: Address) -> None:
    """What a run had written when it was ended stays, and only the rest is asked for by the next one. Its plan had all
    rates that there are."""
    settings = settings_of(exchange, database)
    job = FundingJob.of(settings, [BTC, "ETHUSDT"], "usdm", datetime(2026, 1, 1))
    with FundingRun(settings, job, clock=exchange.now_ms) as run:
        run.health()
        run.plan()
        assert 2 * len(published(exchange, since="2026-01-01")) == run.told().counts["rates"]
        for batch in ([BTC], ["ETHUSDT"]):
            run.begin(batch)
            run.fetch()
            if batch == [BTC]:
                run.store()
        assert "Degraded" == run.outcome().state
    assert [] == stored(database, "ETHUSDT")
    exchange.forget()
    assert "Completed" == funding_once(exchange, database, [BTC, "ETHUSDT"], since="2026-01-01").state
    assert {"ETHUSDT"} == {request.params["symbol"] for request in exchange.funding_requests()}
    assert published(exchange, "ETHUSDT", since="2026-01-01") == stored(database, "ETHUSDT")


def test_the_pool_of_rates_has_silence_of_its_own(exchange: StandIn, database: Address) -> None:
    """429 of the pool of rates ends the run, and is remembered: until its end rates are not asked for, klines are."""
    exchange.weight_limit["funding"] = 2
    outcome = funding_once(exchange, database, [BTC, "ETHUSDT", "SOLUSDT"], since="2026-01-01", deadline_s=20)
    assert "RateLimited" == outcome.state
    assert [("funding", "RateLimited")] == query(database, "SELECT pool, state FROM bans")
    exchange.forget()
    assert "RateLimited" == funding_once(exchange, database, [BTC], since="2026-01-01").state
    assert [] == exchange.requests
    assert "Completed" == collect_once(exchange, database, [BTC], market="usdm").state


def test_the_archive_is_published_later_and_stands(exchange: StandIn, database: Address) -> None:
    """A month that was had by REST is compared with its file when that is there: what differs is stored as the archive
    has it, and noted; REST does not take that back."""
    eighth = ms("2025-12-08")
    [rate] = exchange.rates("usdm", BTC, eighth, eighth + HOUR, NOON)
    exchange.refund(BTC, eighth, fundingRate="0.00012345")
    exchange.unfund(eighth + 8 * HOUR, eighth + 16 * HOUR)  # a hole that is asked for again with that hour beside it
    funding_once(exchange, database, [BTC], since=DECEMBER)
    assert Decimal("0.00012345") in [row[1] for row in stored(database)]
    exchange.freeze(NOON + 2 * DAY)
    exchange.forget()
    outcome = funding_once(exchange, database, [BTC], since=DECEMBER)
    assert eighth in [int(request.params["startTime"]) for request in exchange.funding_requests()]
    assert (1, 1) == (outcome.numbers["restated"], outcome.numbers["files"])
    which = f"epoch_ms(funding_time) = {rate['fundingTime']}"
    found = query(database, f"SELECT rate, mark_price, interval_hours, source FROM funding WHERE {which}")
    assert [(Decimal(rate["fundingRate"]), Decimal(rate["markPrice"]), 8, "monthly")] == found
    [(old, new, source)] = query(database, "SELECT old, new, source FROM restatements")
    assert ("0.000123450000", "monthly") == (json.loads(old, parse_float=str)["rate"], source)
    assert Decimal(rate["fundingRate"]) == Decimal(json.loads(new, parse_float=str)["rate"])


def test_a_file_that_can_not_be_trusted_is_left_to_rest(exchange: StandIn, database: Address) -> None:
    """Its rates come by REST, the message names it, and the next run loads it."""
    exchange.spoil("BTCUSDT-fundingRate-2025-11", "wrong_checksum", times=3)
    outcome = funding_once(exchange, database, [BTC], since=BEGIN)
    assert "Completed" == outcome.state
    assert "BTCUSDT-fundingRate-2025-11.zip: its SHA-256 is not the one" in outcome.message
    assert published(exchange) == stored(database)
    outcome = funding_once(exchange, database, [BTC], since=BEGIN)
    assert (1, 0, 0) == tuple(outcome.numbers[name] for name in ("files", "stored", "restated"))


def test_what_ends_has_an_end(exchange: StandIn, database: Address) -> None:
    """A contract that does not trade any more is delisted after its last rate; the run is Completed."""
    exchange.list(BTC, until_ms=MIDNIGHT - 4 * HOUR)
    outcome = funding_once(exchange, database, [BTC], since="2026-01-01")
    assert "Completed" == outcome.state
    [(start, hours, reason)] = ledger(database)
    assert ("01-02 00", "delisted") == (start, reason)
    assert hours > 10**6


def test_all_symbols_are_those_of_the_archive(exchange: StandIn, database: Address) -> None:
    """With all symbols a pattern takes what REST knows no more: its rates come from the archive alone, before and after
    them is in the ledger, so the run is Completed, and the next one asks for nothing. Without, it takes what trades."""
    exchange.list("DEADUSDT", since_ms=ms("2025-11-10"), until_ms=ms("2025-11-20"))
    exchange.unlist("DEADUSDT")
    few = funding_once(exchange, database, ["*USDT", "!ETH*", "!SOL*"], since="2026-01-01")
    assert "of 1 symbol" in few.message
    outcome = funding_once(exchange, database, ["DEAD*"], since=BEGIN, all_symbols=True)
    assert ("Completed", 0) == (outcome.state, outcome.numbers["unexplained"]), outcome.message
    assert "1 from the archive alone, as REST knows them no more: DEADUSDT" in outcome.message
    assert 10 * 3 == len(stored(database, "DEADUSDT"))
    assert [("11-01 00", 216, "not_listed"), ("11-20 00", "delisted")] == [
        (start, hours, reason) if reason == "not_listed" else (start, reason)
        for start, hours, reason in ledger(database, "DEADUSDT")
    ]
    exchange.forget()
    again = funding_once(exchange, database, ["DEAD*"], since=BEGIN, all_symbols=True)
    assert ("Completed", []) == (again.state, exchange.funding_requests())


def test_coinm_is_weighed_with_klines_and_has_contracts_without_funding(exchange: StandIn, database: Address) -> None:
    """A pattern takes perpetual contracts only; each request of coinm costs 1 of the pool of futures."""
    exchange.list("BTCUSD_PERP")
    exchange.list("BTCUSD_260327")
    outcome = funding_once(exchange, database, ["BTCUSD*"], market="coinm", since="2026-01-01")
    assert "Completed" == outcome.state
    assert published(exchange, "BTCUSD_PERP", "coinm", "2026-01-01") == stored(database, "BTCUSD_PERP")
    assert {"BTCUSD_PERP"} == {request.params["symbol"] for request in exchange.funding_requests()}


def test_bad_input_is_refused_before_any_request(exchange: StandIn, database: Address) -> None:
    """A contract that is delivered, a market without funding, and a day that is yet to come are named."""
    for symbols, market, since, said in (
        (["BTCUSD_260327"], "coinm", None, "symbols: BTCUSD_260327 is delivered on a day"),
        ([BTC], "spot", None, "market: 'spot' has no funding rates"),
    ):
        outcome = funding_once(exchange, database, symbols, market=market, since=since)
        assert "Failed" == outcome.state
        assert outcome.message.startswith(said)
    assert [] == exchange.requests
    assert "yet to come" in funding_once(exchange, database, [BTC], since="2027-01-01").message
    assert [] == exchange.funding_requests()
