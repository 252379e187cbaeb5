"""Which symbols a run takes: names, patterns, and what happens to them over time."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from klines.binance.listing import symbol_infos
from klines.errors import BadParameter
from klines.market import MARKETS
from klines.storage.database import in_memory
from klines.symbol import check_entries, choose
from klines.tables.symbols import known, note_listing
from tests.drive import NOON, at, audit_once, backfill_once, collect_once, query, recorded
from tests.exchange import StandIn

TRADING = ["BTCUSDT", "ETHUSDT", "ETHBTC", "USDCUSDT"]
HOUR = 60


@pytest.mark.parametrize(
    ("entries", "chosen"),
    [
        (["*USDT"], ["BTCUSDT", "ETHUSDT", "USDCUSDT"]),
        (["*USDT", "!USDC*"], ["BTCUSDT", "ETHUSDT"]),
        (["!USDC*", "*USDT"], ["BTCUSDT", "ETHUSDT"]),
        (["ETHBTC", "*USDT"], ["ETHBTC", "BTCUSDT", "ETHUSDT", "USDCUSDT"]),
        (["OLDUSDT", "ETH*"], ["OLDUSDT", "ETHBTC", "ETHUSDT"]),
        (["*", "!*USDT"], ["ETHBTC"]),
        (["???USDT", "!BTCUSDT"], ["ETHUSDT"]),
        (["NEWUSDT"], ["NEWUSDT"]),
    ],
)
def test_entries_are_or_ed_and_exclusions_take_away(entries: list[str], chosen: list[str]) -> None:
    """A name takes itself, whatever its status; a pattern what trades; ! takes away, wherever it stands."""
    assert chosen == choose(entries, TRADING, "spot")


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        (["BTCUDST*"], "BTCUDST* matches no symbol of spot that trades; the nearest are BTCUSDT"),
        (["OLD*"], "OLD* matches no symbol of spot that trades"),
        (["BTC*", "!*USDT"], "leaves no symbol of spot"),
    ],
)
def test_a_pattern_that_takes_nothing_is_refused(entries: list[str], said: str) -> None:
    """A pattern without a match is refused with the nearest symbols, as is a list that leaves nothing."""
    with pytest.raises(BadParameter) as error:
        choose(entries, TRADING, "spot")
    assert said in str(error.value)


@pytest.mark.parametrize("entries", [[], ["!BTC*"], ["btc*"], ["BTC USDT*"], ["BTC/*"], ["!"], ["!!BTC*"], ["BTC*!"]])
def test_what_is_no_entry(entries: list[str]) -> None:
    """Nothing to take, small letters, blanks and other signs are refused before anything is asked."""
    with pytest.raises(ValueError, match=r"symbol"):
        check_entries(entries)


def symbols(database: Path) -> list[str]:
    """The symbols of which anything is stored."""
    return [name for (name,) in query(database, "SELECT DISTINCT symbol FROM klines ORDER BY ALL")]


@pytest.fixture
def listed(exchange: StandIn) -> StandIn:
    """The exchange with two symbols that trade."""
    exchange.list("BTCUSDT")
    exchange.list("ETHUSDT")
    return exchange


def test_a_new_symbol_joins_with_its_history(listed: StandIn, database: Path) -> None:
    """A symbol that is listed while we collect is taken within the hour, from its first kline on, though it traded for
    longer than the lookback; before the hour is over exchangeInfo is not asked again."""
    collect_once(listed, database, ["*USDT"])
    listed.list("NEWUSDT", since_ms=at(5))
    listed.freeze(at(30) + 5_000)
    collect_once(listed, database, ["*USDT"])
    assert ["BTCUSDT", "ETHUSDT"] == symbols(database)
    listed.freeze(at(HOUR + 10) + 5_000)
    outcome = collect_once(listed, database, ["*USDT"], lookback=timedelta(minutes=10))
    assert "of 3 symbols" in outcome.message
    assert [(at(5), 65)] == query(
        database, "SELECT epoch_ms(min(open_time)), count(*) FROM klines WHERE symbol = 'NEWUSDT'"
    )
    assert 2 == sum(request.params == {"showPermissionSets": "false"} for request in listed.requests)


def test_a_delisted_symbol_is_not_asked_for_any_more(listed: StandIn, database: Path) -> None:
    """When a symbol stops trading, a pattern leaves it out, an hour after its last klines were asked for; its rows
    stay, and the table says when."""
    collect_once(listed, database, ["*USDT"])
    listed.list("ETHUSDT", until_ms=at(20), status="BREAK")
    listed.freeze(at(HOUR + 5) + 5_000)
    outcome = collect_once(listed, database, ["*USDT"])
    assert "of 2 symbols" in outcome.message
    assert [(at(19),)] == query(database, "SELECT epoch_ms(max(open_time)) FROM klines WHERE symbol = 'ETHUSDT'")
    listed.freeze(at(2 * HOUR + 10) + 5_000)
    listed.forget()
    outcome = collect_once(listed, database, ["*USDT"])
    assert "of 1 symbol" in outcome.message
    assert [] == listed.kline_requests("ETHUSDT")
    assert ["BTCUSDT", "ETHUSDT"] == symbols(database)
    assert [("BREAK", at(HOUR + 5))] == query(
        database,
        "SELECT status, epoch_ms(date_trunc('minute', delisted_at)) FROM symbols WHERE symbol = 'ETHUSDT'",
    )


def test_what_exchange_info_lists_no_more(listed: StandIn, database: Path) -> None:
    """A symbol that is gone from exchangeInfo is GONE, with what was known of it; its klines stay."""
    collect_once(listed, database, ["*USDT"])
    listed.list("ETHUSDT", markets=["usdm"])
    listed.freeze(at(HOUR + 5) + 5_000)
    assert "Completed" == collect_once(listed, database, ["*USDT"]).state
    rows = query(database, "SELECT status, base, delisted_at = last_checked FROM symbols WHERE symbol = 'ETHUSDT'")
    assert [("GONE", "ETH", True)] == rows
    assert ["BTCUSDT", "ETHUSDT"] == symbols(database)


def test_back_from_a_break(listed: StandIn, database: Path) -> None:
    """A symbol that trades again joins again, and nothing between is forgotten."""
    collect_once(listed, database, ["*USDT"])
    listed.list("ETHUSDT", until_ms=at(0), status="BREAK")
    listed.freeze(at(HOUR + 5) + 5_000)
    collect_once(listed, database, ["*USDT"])
    listed.list("ETHUSDT")
    listed.freeze(at(2 * HOUR + 10) + 5_000)
    outcome = collect_once(listed, database, ["*USDT"])
    assert "of 2 symbols" in outcome.message
    assert [(2 * HOUR + 10,)] == query(
        database, f"SELECT count(*) FROM klines WHERE symbol = 'ETHUSDT' AND open_time >= epoch_ms({NOON})"
    )


def test_a_halt_is_no_end(listed: StandIn, database: Path) -> None:
    """While trading is halted klines go on, so a pattern still takes the symbol, and it is not delisted."""
    listed.list("ETHUSDT", status="HALT")
    assert "of 2 symbols" in collect_once(listed, database, ["*USDT"]).message
    assert [("HALT", None)] == query(database, "SELECT status, delisted_at FROM symbols WHERE symbol = 'ETHUSDT'")


def test_what_is_not_known_yet_is_looked_up(listed: StandIn, database: Path) -> None:
    """A pattern that matches nothing asks exchangeInfo again, as the symbol may be new, but once a minute at most."""
    collect_once(listed, database, ["BTC*"])
    listed.list("NEWUSDT", since_ms=at(-5))
    listed.freeze(at(0) + 50_000)
    assert "Failed" == collect_once(listed, database, ["NEW*"]).state
    listed.freeze(at(2) + 5_000)
    assert "Completed" == collect_once(listed, database, ["NEW*"]).state


def test_an_audit_enters_what_exchange_info_says(listed: StandIn, database: Path) -> None:
    """An audit enters all symbols of the market, and asks for them again when an hour is over."""
    collect_once(listed, database, ["BTCUSDT"])
    assert [] == query(database, "FROM symbols")
    audit_once(listed, database)
    assert [("BTCUSDT",), ("ETHUSDT",)] == query(database, "SELECT symbol FROM symbols ORDER BY ALL")
    listed.list("NEWUSDT")
    listed.freeze(at(HOUR) + 30_000)
    audit_once(listed, database)
    assert [(3,)] == query(database, "SELECT count(*) FROM symbols")


def test_an_outage_of_exchange_info_changes_nothing(listed: StandIn, database: Path) -> None:
    """While exchangeInfo can't be had, the symbols are those that were known; a first run says that it can't know."""
    listed.fault(None, "status", status=500, path="exchangeInfo")
    assert "ExchangeDown" == collect_once(listed, database, ["*USDT"]).state
    listed.clear()
    collect_once(listed, database, ["*USDT"])
    listed.fault(None, "status", status=500, path="exchangeInfo")
    listed.freeze(at(2 * HOUR) + 5_000)
    outcome = collect_once(listed, database, ["*USDT"])
    assert ("Completed", True) == (outcome.state, "of 2 symbols" in outcome.message)


HARMFUL = "\ud800USDT", "../../xUSDT", "<img src=x>USDT", "", "\0USDT", "\nUSDT", "X" * 10_000 + "USDT"
HOSTILE: list[object] = [*HARMFUL, None, []]


@pytest.mark.parametrize("market", ["spot", "usdm"])
def test_entries_that_are_no_symbols(listed: StandIn, database: Path, market: str) -> None:
    """An entry of exchangeInfo with a name that could do harm spoils neither the run nor a message: it is left out, and
    how many there were is said."""
    entries = [{"symbol": name, "status": "TRADING"} for name in HOSTILE]
    listed.fault(None, "listed", path="exchangeInfo", entries=json.dumps(entries))
    outcome = collect_once(listed, database, ["*USDT"], market=market)
    assert "Completed" == outcome.state
    assert "9 entries of exchangeInfo are no symbols, and left out" in outcome.message
    assert ["BTCUSDT", "ETHUSDT"] == symbols(database)


def test_more_symbols_than_a_market_has(listed: StandIn, database: Path) -> None:
    """A hundred thousand symbols are not taken for a market's: nobody knows which there are, and the run says so."""
    entries = [{"symbol": f"S{n}USDT", "status": "TRADING"} for n in range(100_000)]
    listed.fault(None, "listed", path="exchangeInfo", entries=json.dumps(entries))
    outcome = collect_once(listed, database, ["*"])
    assert "ExchangeDown" == outcome.state
    assert "which symbols there are is not known" in outcome.message
    assert "exchangeInfo lists 100,002 symbols; at most 20,000 are believed" in outcome.message
    assert [] == listed.kline_requests()


def test_symbols_that_vanish_at_once_are_asked_for_twice(listed: StandIn, database: Path) -> None:
    """One answer of exchangeInfo without most of the symbols does not end them; a second one does."""
    for n in range(5):
        listed.list(f"S{n}USDT")
    collect_once(listed, database, ["*USDT"])
    few = json.dumps({"symbols": [{"symbol": "BTCUSDT", "status": "TRADING"}]})
    listed.fault(None, "body", path="exchangeInfo", body=few, times=2)  # the first is asked for the limits
    listed.freeze(at(HOUR + 5) + 5_000)
    assert "of 7 symbols" in collect_once(listed, database, ["*USDT"], lookback=timedelta(minutes=5)).message
    listed.fault(None, "body", path="exchangeInfo", body=few)
    listed.freeze(at(3 * HOUR) + 5_000)
    collect_once(listed, database, ["*USDT"], lookback=timedelta(minutes=5))
    assert [("GONE", 6)] == query(database, "SELECT status, count(*) FROM symbols WHERE status <> 'TRADING' GROUP BY 1")


@pytest.mark.parametrize("is_one_unknown", [False, True])
def test_many_symbols_whose_status_is_asked(exchange: StandIn, database: Path, is_one_unknown: bool) -> None:
    """Whether hundreds of symbols trade is asked in parts, or, where one of them is unknown, of the whole list: no URL
    grows with them, and those that have ended are not accused."""
    names = [f"S{n:03}USDT" for n in range(130)]
    for name in names:
        exchange.list(name, until_ms=at(-20), status="BREAK")
    if is_one_unknown:  # the first request is for the limits
        exchange.fault(None, "code", code=-1121, path="exchangeInfo", times=2)
    outcome = collect_once(exchange, database, ["BTCUSDT", *names])
    assert "130 not trading" in outcome.message
    assert "trading without a kline" not in outcome.message
    asked = [request.params["symbols"] for request in exchange.requests if "symbols" in request.params]
    assert (1 if is_one_unknown else 2) == len(asked)
    assert all(len(names) < 2100 for names in asked)


def test_symbols_of_which_nobody_can_say_whether_they_trade(exchange: StandIn, database: Path) -> None:
    """Where exchangeInfo can't be had, a symbol without klines is neither said to trade nor to have ended; the run is
    not Completed."""
    exchange.list("ETHUSDT", until_ms=at(-20), status="BREAK")
    exchange.fault(None, "status", status=500, path="exchangeInfo")
    outcome = collect_once(exchange, database, ["BTCUSDT", "ETHUSDT"])
    assert "Degraded" == outcome.state
    assert "1 without a kline for 5 minutes, and whether they trade could not be asked: ETHUSDT" in outcome.message
    assert "trading without a kline" not in outcome.message


def test_a_pattern_without_a_match_is_a_bad_parameter(listed: StandIn, database: Path) -> None:
    """The run fails with the pattern and the nearest symbols named, and asks for no kline."""
    outcome = collect_once(listed, database, ["BTCUSD?T"])
    assert "Failed" == outcome.state
    assert "BTCUSD?T matches no symbol of spot that trades; the nearest are BTCUSDT" in outcome.message
    assert [] == listed.kline_requests()


@pytest.mark.file
@pytest.mark.parametrize("dry_run", [True, False])
def test_a_backfill_takes_patterns(listed: StandIn, database: Path, dry_run: bool) -> None:
    """A backfill loads the symbols that match, and a dry run into a file that is not there yet counts them."""
    outcome = backfill_once(
        listed, database, ["*USDT", "!ETH*"], "2026-01-02T10:00", "2026-01-02T11:00", source="rest", dry_run=dry_run
    )
    assert ("Completed", True) == (outcome.state, "60 klines of 1 symbol" in outcome.message), outcome.message
    assert database.exists() != dry_run


def test_what_is_known_of_a_symbol(listed: StandIn, database: Path) -> None:
    """The table has base, quote and status of all that exchangeInfo lists, with the times of both ends."""
    collect_once(listed, database, ["BTC*"])
    rows = query(database, "SELECT symbol, base, quote, status, delisted_at FROM symbols WHERE symbol = 'BTCUSDT'")
    assert [("BTCUSDT", "BTC", "USDT", "TRADING", None)] == rows
    [(seen, unseen, checked)] = query(
        database, "SELECT first_seen, unseen_at, last_checked FROM symbols WHERE symbol = 'ETHUSDT'"
    )
    assert (seen, None) == (checked, unseen)


@pytest.mark.parametrize(
    ("market", "file", "trading", "symbol", "about"),
    [
        ("spot", "spot_exchangeInfo_2018-02.json", 265, "BTCUSDT", ("BTC", "USDT", None)),
        ("usdm", "usdm_exchangeInfo_2021-07.json", 121, "ETHUSDT", ("ETH", "USDT", "PERPETUAL")),
        ("coinm", "coinm_exchangeInfo_2021-07.json", 36, "BTCUSD_PERP", ("BTC", "USD", "PERPETUAL")),
    ],
)
def test_recorded_exchange_infos(
    market: str, file: str, trading: int, symbol: str, about: tuple[str, str, str | None]
) -> None:
    """What Binance really answered is read in all three markets; who is PENDING_TRADING is not taken yet."""
    listed = symbol_infos(json.loads(recorded("rest", file).read_bytes()))
    with in_memory() as connection:
        note_listing(connection, MARKETS[market], listed, NOON)
        assert trading == len(known(connection, MARKETS[market], NOON).trading)
        found = connection.execute("SELECT base, quote, contract_type FROM symbols WHERE symbol = ?", [symbol])
        assert [about] == found.fetchall()


def test_many_symbols_come_and_go(exchange: StandIn, database: Path) -> None:
    """While thirty symbols are collected, one is listed, one delisted, one renamed, one breaks and comes back, and
    exchangeInfo is out for three hours: at the end every kline that was published is stored, once."""
    for n in range(28):  # beside BTCUSDT and ETHUSDT
        exchange.list(f"S{n:03}USDT")
    minutes = 65

    def collect(hour: int) -> tuple[str, str]:
        exchange.freeze(at(hour * minutes) + 5_000)
        outcome = collect_once(exchange, database, ["*USDT", "!S027*"], lookback=timedelta(minutes=5))
        return outcome.state, outcome.message.split(" symbols")[0].split(" of ")[1]

    assert ("Completed", "29") == collect(0)
    exchange.list("NEWUSDT", since_ms=at(40))
    exchange.list("S001USDT", until_ms=at(50), status="BREAK")
    exchange.list("S002USDT", until_ms=at(55), status="BREAK")
    exchange.list("S002XUSDT", since_ms=at(55))
    assert ("Completed", "31") == collect(1)  # two that joined, and for the last time the two that stopped
    exchange.list("S003USDT", until_ms=at(70), status="BREAK")
    exchange.fault(None, "status", status=500, path="exchangeInfo")
    assert [("Degraded", "29")] * 3 == [collect(hour) for hour in (2, 3, 4)]  # nobody says that S003 does not trade
    exchange.clear()
    assert ("Completed", "29") == collect(5)
    assert ("Completed", "28") == collect(6)
    exchange.list("S003USDT")
    assert ("Completed", "29") == collect(7)
    counts = dict(
        query(database, f"SELECT symbol, count(*) FROM klines WHERE open_time >= epoch_ms({NOON}) GROUP BY 1")
    )
    [slots] = query(database, "SELECT count(*), count(DISTINCT (symbol, open_time)) FROM klines")
    assert slots[0] == slots[1]
    end = 7 * minutes
    odd = {"NEWUSDT": end - 40, "S002XUSDT": end - 55, "S001USDT": 50, "S002USDT": 55}
    assert odd == {symbol: counts.pop(symbol) for symbol in odd}
    assert [end] * 27 == list(counts.values())
    assert "S027USDT" not in counts
