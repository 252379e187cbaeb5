"""Runs of shards: each speaks of its own symbols, and all of them together store what one run would."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from klines.collect.incidents import Seen, follow
from klines.collect.review import Review
from klines.collect.run import Collect, CollectJob
from klines.errors import BadParameter
from klines.settings import Settings
from klines.shard import Shard
from klines.tables.incidents import Incident
from tests.drive import MINUTE, NOON, collect_once, query
from tests.exchange import StandIn

SYMBOLS = [f"S{number:02}USDT" for number in range(24)]
SHARDS = [Shard(number, 3) for number in (1, 2, 3)]


def parts(*symbols: str) -> list[list[str]]:
    """The symbols of each shard."""
    return [[symbol for symbol in symbols or SYMBOLS if shard.takes(symbol)] for shard in SHARDS]


def test_shards_store_what_one_run_would(exchange: StandIn, database: Path) -> None:
    """Each stores its own symbols, be they named or taken by a pattern, and says how many these are."""
    for symbol in SYMBOLS:
        exchange.list(symbol)
    for entries in (SYMBOLS, ["S??USDT"]):
        exchange.forget()
        outcomes = [collect_once(exchange, database, entries, shard=str(shard)) for shard in SHARDS]
        assert ["Completed"] * 3 == [outcome.state for outcome in outcomes]
        assert [*map(len, parts())] == [outcome.numbers["symbols"] for outcome in outcomes]
        assert [(24, 24 * 30)] == query(database, "SELECT count(DISTINCT symbol), count(*) FROM klines")
    listings = [request for request in exchange.requests if request.path.endswith("exchangeInfo")]
    assert 3 + 1 == len(listings), "three ask for the limits, the first of them for all symbols"


def test_a_shard_without_a_symbol(exchange: StandIn, database: Path) -> None:
    """Where there are more shards than symbols, a shard that has none is well."""
    empty = next(shard for shard in SHARDS if not shard.takes("BTCUSDT"))
    outcome = collect_once(exchange, database, ["BTCUSDT"], shard=str(empty))
    assert ("Completed", True) == (outcome.state, outcome.message.startswith("stored 0 klines of 0 symbols"))


@pytest.mark.parametrize("shard", ["0/10", "11/10", "third"])
def test_nonsense_is_refused(shard: str) -> None:
    """Before anything is asked, and by the parameter's name."""
    with pytest.raises(BadParameter, match=r"^shard: "):
        CollectJob.of(Settings(), ["BTCUSDT"], "spot", "1m", timedelta(hours=1), shard)


def test_where_all_of_a_shard_are_silent(exchange: StandIn, database: Path) -> None:
    """It says that of its own symbols; the other shards are well, and freshness is of each."""
    first, *_ = parts()
    for shard in SHARDS:
        collect_once(exchange, database, SYMBOLS, shard=str(shard))
    for symbol in first:
        exchange.fault(symbol, "empty")
    exchange.freeze(NOON + 7 * MINUTE)
    outcomes = [collect_once(exchange, database, SYMBOLS, shard=str(shard)) for shard in SHARDS]
    assert ["ExchangeDown", "Completed", "Completed"] == [outcome.state for outcome in outcomes]
    assert outcomes[0].message.startswith("no symbol of shard 1/3 has a new kline for 5 minutes")


def test_freshness_is_of_a_shard(exchange: StandIn, database: Path) -> None:
    """It names the shard, has its symbols alone, and the last hour is that of these."""
    collect_once(exchange, database, SYMBOLS)
    exchange.freeze(NOON + 2 * MINUTE)
    settings = Settings(database=database, spot_url=exchange.url, archive_url=exchange.url)
    job = CollectJob.of(settings, SYMBOLS, "spot", "1m", timedelta(minutes=30), "2/3")
    with Collect(settings, job, clock=exchange.now_ms) as run:
        run.health()
        run.fetch(run.plan())
        run.store()
        run.outcome()
    found, own = Review(run).freshness(), len(parts()[1])
    assert found is not None
    assert f"spot 1m 2/3: {own} of {own} symbols are fresh" == found.said
    hour = Review(run).timeliness()
    assert own * 32 == hour.klines + hour.caught_up


class Market:
    """Incidents of a market as runs of its parts change them."""

    def __init__(self) -> None:
        self.going_on: dict[str, Incident] = {}
        self.told: list[str] = []
        self.minute = 0

    def see(self, part: str, state: str, *stale: str) -> None:
        """One run."""
        self.minute += 1
        seen = Seen(state, "it says why", stale if state != "ExchangeDown" else None)
        followed = follow([*self.going_on.values()], "spot", part, seen, self.minute * MINUTE)
        self.told += [f"{one.kind} began" for one in followed.began] + [f"{one.kind} ended" for one in followed.ended]
        changed = self.going_on | {one.kind: one for one in followed.changed}
        self.going_on = {kind: one for kind, one in changed.items() if one.ended_ms is None}


def test_shards_share_an_outage() -> None:
    """What all shards see is told once, and its end when the last of them is well; none ends another's."""
    market = Market()
    for part in ("1m 1/3", "1m 2/3", "1m 3/3"):
        market.see(part, "ExchangeDown")
    market.see("1m 1/3", "Completed")
    market.see("1m 2/3", "Completed")
    market.see("1m 1/3", "Completed")
    assert ["ExchangeDown began"] == market.told
    assert ["1m 3/3"] == list(market.going_on["ExchangeDown"].intervals)
    market.see("1m 3/3", "Completed")
    assert ["ExchangeDown began", "ExchangeDown ended"] == market.told


def test_a_stale_symbol_is_its_shards() -> None:
    """A shard whose symbols are fresh says nothing of another's that is stale."""
    market = Market()
    market.see("1m 2/3", "Degraded", "AUSDT")
    for part in ("1m 1/3", "1m 3/3"):
        market.see(part, "Completed")
    assert ["stale began"] == market.told
    market.see("1m 2/3", "Completed")
    assert ["stale began", "stale ended"] == market.told


@pytest.mark.parametrize("part", ["1m 1/5", "1m"])
def test_shards_that_are_no_more_end(part: str) -> None:
    """Once there is another number of shards, or none, what the former saw is not waited for; other intervals are."""
    market = Market()
    for before in ("1m 1/3", "1m 2/3", "1h"):
        market.see(before, "ExchangeDown")
    market.see(part, "Completed")
    assert ["1h"] == list(market.going_on["ExchangeDown"].intervals)
    market.see(part, "ExchangeDown")
    assert ["1h", part] == list(market.going_on["ExchangeDown"].intervals)
