"""Incidents: told once when they begin and once when they end, whatever happens in between."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from klines.collect.freshness import STALE
from klines.collect.incidents import Followed, Seen, follow
from klines.market import MARKETS
from klines.storage.database import opened
from klines.tables.incidents import Incident, going_on, write_incidents

MINUTE = 60_000


class Watch:
    """Follows runs a minute apart, and keeps what was told."""

    def __init__(self) -> None:
        self.going_on: list[Incident] = []
        self.told: list[str] = []
        self.minute = 0

    def see(self, state: str, stale: list[str] | None = None, interval: str = "1m") -> None:
        """One run."""
        followed = follow(self.going_on, "spot", interval, Seen(state, "it says why", stale), self.minute * MINUTE)
        self.told += [f"{'LOUD ' * incident.loud}{incident.kind} began" for incident in followed.began]
        self.told += [f"{'LOUD ' * incident.loud}{incident.kind} ended" for incident in followed.ended]
        kept = {incident.kind: incident for incident in [*self.going_on, *followed.changed]}
        self.going_on = [incident for incident in kept.values() if incident.ended_ms is None]
        self.minute += 1


def test_an_outage_is_told_once_and_its_end() -> None:
    """However many runs see an outage, it is told once; and once when the exchange has answered again."""
    watch = Watch()
    for state in ("Completed", *["ExchangeDown"] * 5, "Completed", "Completed"):
        watch.see(state)
    assert ["LOUD ExchangeDown began", "LOUD ExchangeDown ended"] == watch.told


def test_rates_and_klines_are_said_apart() -> None:
    """What lacks its newest funding rate is stale as what lacks a kline, and is named for what it is."""
    watch = Watch()
    watch.see("Degraded", ["BTCUSDT"], "funding")
    [message] = [one.message for one in watch.going_on if one.kind == STALE]
    assert "1 symbol trading without a funding rate that is due: BTCUSDT" == message
    followed = follow(watch.going_on, "spot", "1m", Seen("Degraded", "", ["ETHUSDT"]), MINUTE)
    both = "spot: 1 more symbol trading without a 1m kline for 5 minutes, or a funding rate that is due: ETHUSDT"
    assert [both] == [spread.said for spread in followed.spread]


def test_a_run_that_could_not_ask_ends_no_outage() -> None:
    """A ban, a held file or a bug in the middle of an outage says nothing of the exchange: the outage goes on."""
    watch = Watch()
    for state in ("ExchangeDown", "RateLimited", "DatabaseBusy", "Failed", "ExchangeDown", "Degraded"):
        watch.see(state)
    assert ["LOUD ExchangeDown began", "LOUD ExchangeDown ended"] == watch.told


def test_degraded_is_told_after_three_in_a_row() -> None:
    """Two Degraded runs are nothing, nor are three with another between; the third in a row is told, once."""
    watch = Watch()
    for state in ("Degraded", "Degraded", "Completed", "Degraded", "Degraded", "ExchangeDown", "Degraded", "Degraded"):
        watch.see(state)
    assert ["LOUD ExchangeDown began", "LOUD ExchangeDown ended"] == watch.told
    for state in ("Degraded", "Degraded", "Completed"):
        watch.see(state)
    assert ["LOUD Degraded began", "LOUD Degraded ended"] == watch.told[2:]


def test_stale_symbols_are_one_incident() -> None:
    """Symbols that become stale one after the other are one incident of the market, which ends with the last of them
    and names all; runs that don't know leave it."""
    watch = Watch()
    for stale in (["B"], ["B", "A"], None, ["A"], []):
        watch.see("Degraded" if stale is None else "Completed", stale)
        if stale == ["A"]:
            assert ["B", "A"] == list(watch.going_on[0].symbols)
    assert ["LOUD stale began", "LOUD stale ended"] == watch.told


def test_one_trouble_is_one_alarm() -> None:
    """A symbol that fails is Degraded in three runs and stale after five minutes: both are told, one is loud. In an
    outage all symbols are stale: the outage is loud."""
    watch = Watch()
    for stale in ([], [], [], [], [], ["A"], ["A"]):
        watch.see("Degraded", stale)
    watch.see("Completed", [])
    assert ["LOUD Degraded began", "stale began", "stale ended", "LOUD Degraded ended"] == watch.told

    watch = Watch()
    for state, stale in (("ExchangeDown", ["A", "B"]), ("ExchangeDown", ["A", "B"]), ("Completed", [])):
        watch.see(state, stale)
    assert ["LOUD ExchangeDown began", "stale began", "LOUD ExchangeDown ended", "stale ended"] == watch.told


def test_an_outage_is_loud_beside_a_stale_symbol() -> None:
    """A symbol that has been stale for days keeps no outage from being loud."""
    watch = Watch()
    watch.see("Degraded", ["A"])
    watch.see("ExchangeDown", None)
    assert ["LOUD stale began", "LOUD ExchangeDown began"] == watch.told


def test_two_intervals_share_an_outage() -> None:
    """An outage that runs of two intervals see is one, and goes on until both are well again."""
    watch = Watch()
    for state, interval in (
        ("ExchangeDown", "1m"),
        ("ExchangeDown", "1h"),
        ("Completed", "1m"),
        ("Completed", "1m"),
    ):
        watch.see(state, interval=interval)
    assert ["LOUD ExchangeDown began"] == watch.told
    watch.see("Completed", interval="1h")
    assert ["LOUD ExchangeDown began", "LOUD ExchangeDown ended"] == watch.told


@pytest.mark.parametrize("symbols", [[], ["BTCUSDT"], ["BTCUSDT", "币安人生USDT"]])
def test_the_file_remembers(database: Path, symbols: list[str]) -> None:
    """What goes on is read as it was written; what has ended stays in the file, and is not read."""
    incident = Incident("spot", "stale", ["1m", "1h"], symbols, 5 * MINUTE, "it says why", 7, True)
    with opened(database, time.monotonic() + 5) as connection:
        write_incidents(connection, [incident])
        assert [incident] == going_on(connection, MARKETS["spot"])
        assert [] == going_on(connection, MARKETS["usdm"])
        followed = follow([incident], "spot", "1m", Seen("Completed", "", []), 9 * MINUTE)
        write_incidents(connection, followed.changed)
        assert [["1h"]] == [list(left.intervals) for left in going_on(connection, MARKETS["spot"])]
        ended = follow(going_on(connection, MARKETS["spot"]), "spot", "1h", Seen("Completed", "", []), 10)
        write_incidents(connection, ended.changed)
        assert [] == going_on(connection, MARKETS["spot"])
        assert [(1, 7)] == connection.execute("SELECT count(ended_at), max(runs) FROM incidents").fetchall()


def test_a_well_market_writes_nothing() -> None:
    """A Completed run without any incident changes nothing."""
    assert Followed() == follow([], "spot", "1m", Seen("Completed", "", []), 0)


def test_kinds_are_parts_of_their_own() -> None:
    """A kind's shards are replaced by others of that kind and interval alone."""
    watch = Watch()
    for part in ("1m 1/2", "mark 1m 1/2", "mark 1h"):
        watch.see("ExchangeDown", interval=part)
    for part in ("mark 1m 1/3", "mark 1h"):
        watch.see("Completed", interval=part)
    assert ["LOUD ExchangeDown began"] == watch.told
    watch.see("Completed", interval="1m 1/2")
    assert ["LOUD ExchangeDown began", "LOUD ExchangeDown ended"] == watch.told
