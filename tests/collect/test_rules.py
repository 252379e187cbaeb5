"""What exchangeInfo says of symbols is kept, a row for each change."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from klines.binance.listing import GONE, Listing, SymbolInfo, symbol_infos
from klines.market import MARKETS
from klines.settings import Address, LakeAddress
from klines.storage.access import place_of
from klines.storage.database import in_memory
from klines.storage.place import Scope
from klines.tables.rules import SAID
from klines.tables.symbols import note_listing
from tests.drive import NOON, at, collect_once, query
from tests.exchange import StandIn
from tests.lakes import Lakes

SPOT, HOUR = MARKETS["spot"], 60


def listing(**symbols: dict[str, Any]) -> Listing:
    """What exchangeInfo says of symbols that trade, apart from these fields."""
    usual = {"status": "TRADING", "baseAsset": "B", "quoteAsset": "Q"}
    return symbol_infos({"symbols": [{"symbol": name} | usual | fields for name, fields in symbols.items()]})


def ticks(size: str) -> dict[str, Any]:
    """The filter that states a tick size."""
    return {"filters": [{"filterType": "PRICE_FILTER", "tickSize": size}]}


def noted(database: Address, minute: int, said: Listing, market: str = "spot") -> None:
    """Enter an answer of that minute, as a run does."""
    do = partial(note_listing, market=MARKETS[market], entries=said, now_ms=at(minute))
    place_of(database).write(time.monotonic() + 60, Scope(market, "klines", "1m", notes=True), do)


def rows(database: Address, symbol: str = "AQ") -> list[tuple[Any, ...]]:
    """The rows of a symbol: minutes from NOON of the answer before and of the first, its status and tick size."""
    found = query(
        database,
        f"""SELECT epoch_ms(unseen_at), epoch_ms(first_seen), status, tick_size FROM rules
            WHERE symbol = '{symbol}' ORDER BY first_seen""",
    )
    return [(None if b is None else (b - NOON) // 60_000, (f - NOON) // 60_000, *rest) for b, f, *rest in found]


def test_only_a_change_adds_a_row(database: Address) -> None:
    """The first answer adds a row for each symbol, one that says the same none, and a change one, with the answers
    between which it happened."""
    for minute in (0, 60, 120):
        noted(database, minute, listing(AQ=ticks("0.01000000"), BQ={}))
    assert [(2,)] == query(database, "SELECT count(*) FROM rules")
    noted(database, 180, listing(AQ=ticks("0.00100000"), BQ={}))
    assert [(None, 0, "TRADING", "0.01000000"), (120, 180, "TRADING", "0.00100000")] == rows(database)
    assert [(None, 0, "TRADING", None)] == rows(database, "BQ")


def test_rules_that_flip_back(database: Address) -> None:
    """A rule that comes back is a change as any other: each time has what was said then."""
    for hour, size in enumerate(("0.1", "0.01", "0.1", "0.01")):
        noted(database, hour * HOUR, listing(AQ=ticks(size)))
    assert ["0.1", "0.01", "0.1", "0.01"] == [size for *_, size in rows(database)]
    noted(database, 5 * HOUR, listing(AQ=ticks("0.01")))
    assert 4 == len(rows(database))


def test_a_symbol_that_goes_and_comes_back(database: Address) -> None:
    """One that is not listed any more is GONE, once; one that is listed again is a change with the rules of then; one
    that is new was not listed by the answer before."""
    noted(database, 0, listing(AQ={}, BQ={}))
    noted(database, 60, listing(BQ={}))
    noted(database, 120, listing(BQ={}, CQ={}))
    noted(database, 180, listing(AQ=ticks("1"), BQ={}, CQ={}))
    assert [(None, 0, "TRADING", None), (0, 60, GONE, None), (120, 180, "TRADING", "1")] == rows(database)
    assert [(60, 120, "TRADING", None)] == rows(database, "CQ")
    gone = query(database, f"SELECT COLUMNS(c -> c IN {SAID}) FROM rules WHERE status = '{GONE}'")
    assert [(GONE, *[None] * (len(SAID) - 1))] == gone


def test_markets_are_apart(database: Address) -> None:
    """An answer of one market says nothing of another's symbols."""
    noted(database, 0, listing(AQ={}))
    noted(database, 60, listing(BQ={}), market="usdm")
    assert [("spot", "AQ", None), ("usdm", "BQ", None)] == query(
        database, "SELECT market, symbol, unseen_at FROM rules ORDER BY 1"
    )


def test_what_was_known_before_it_was_kept(database: Address) -> None:
    """Of a file from before rules were kept, the first answer is taken for no change: nobody knows what was said until
    then, and who was GONE already has no row."""
    noted(database, 0, listing(AQ={}, BQ={}))
    noted(database, 60, listing(AQ={}))
    query(database, "DELETE FROM rules")
    noted(database, 120, listing(AQ={}))
    assert ([(None, 120, "TRADING", None)], []) == (rows(database), rows(database, "BQ"))


def test_a_run_keeps_what_it_asks(exchange: StandIn, database: Address) -> None:
    """A collect with a pattern keeps all symbols' rules, of the whole market, and an hour later what has changed."""
    exchange.rule("BTCUSDT", tickSize="0.10000000")
    collect_once(exchange, database, ["BTC*"])
    exchange.freeze(at(HOUR) + 10_000)
    exchange.rule("BTCUSDT", tickSize="0.01000000")
    collect_once(exchange, database, ["BTC*"])
    assert [(None, 0, "TRADING", "0.10000000"), (0, 60, "TRADING", "0.01000000")] == rows(database, "BTCUSDT")
    assert [(None, 0, "TRADING", "0.01000000")] == rows(database, "ETHUSDT")
    [(permissions, minimum)] = query(database, "SELECT DISTINCT permissions, min_notional FROM rules")
    assert ("SPOT", "5.00000000") == (permissions, minimum)


def test_two_machines_that_ask_at_once(exchange: StandIn, lake: LakeAddress) -> None:
    """Runs that ask at the same time enter what was said once: the second to have the market's turn leaves it."""
    with ThreadPoolExecutor(3) as threads:
        jobs = [threads.submit(collect_once, exchange, lake, [name]) for name in ("BTC*", "ETH*", "*USDT")]
        assert ["Completed"] * 3 == [job.result().state for job in jobs]
    assert [(2, 2)] == query(lake, "SELECT count(*), count(DISTINCT symbol) FROM rules")


def test_the_columns_are_those_of_an_entry() -> None:
    """All that is read of a symbol is kept: the table has a column for each field, times as times."""
    fields = {name.replace("_ms", "_at") for name in SymbolInfo._fields}
    assert fields == set(SAID)
    with in_memory() as connection:
        columns = connection.execute("SELECT column_name FROM (DESCRIBE rules)").fetchall()
    assert ["market", "symbol", "unseen_at", "first_seen", *SAID] == [name for (name,) in columns]


def test_a_year_of_a_large_market(database: Address) -> None:
    """3,500 symbols of which each changes once a month are 42,000 rows a year beside the first ones, however often it
    is asked."""
    names = [f"S{n}Q" for n in range(3_500)]
    entries = {name: SymbolInfo("TRADING", None, "B", "Q", tick_size="0.01") for name in names}
    for month in range(3):
        for question in range(3):
            said = {name: entries[name]._replace(tick_size=f"0.{month}1") for name in names}
            noted(database, month * 1000 + question * 60, Listing(said))
    assert [(3 * 3_500,)] == query(database, "SELECT count(*) FROM rules")


def test_rules_stay_in_the_catalog_of_a_lake(lake: LakeAddress, lakes: Lakes) -> None:
    """A change of many symbols makes no file of the table, however many there are."""
    names = [f"S{n}Q" for n in range(300)]
    for hour, size in enumerate(("0.1", "0.2")):
        noted(lake, hour * HOUR, listing(**dict.fromkeys(names, ticks(size))))
    assert [(600,)] == query(lake, "SELECT count(*) FROM rules")
    files = "SELECT count(*) FROM ducklake_data_file JOIN ducklake_table USING (table_id) WHERE table_name = 'rules'"
    assert [(0,)] == lakes.postgres.ask(lake.name, files)
