"""Without survivors' bias: whatever the archive ever had is taken, and a name that is used again has two lives."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from klines.cli import exit_status
from tests.backfill.test_run import gaps, is_complete
from tests.drive import audit_once, backfill_once, ms, query, stored, want_on
from tests.exchange import StandIn

LISTED, ENDED, AGAIN = "2025-10-30T08:30", "2025-11-05T10:00", "2025-12-03T09:15"
FOREVER = "9999-12-31 00:00"
SYMBOLS = {"spot": "LUNAUSDT", "usdm": "LUNAUSDT", "coinm": "LUNAUSD_PERP"}


def spaced(time: str) -> str:
    """As the ledger is shown."""
    return time.replace("T", " ")


@pytest.mark.parametrize("market", list(SYMBOLS))
def test_a_name_of_two_lives(exchange: StandIn, database: Path, market: str) -> None:
    """Both contracts are stored, the first from the archive alone; the time between is delisted, to the minute, and
    settled; `symbols` says when the one ended and the other began; nothing is asked again."""
    symbol = SYMBOLS[market]
    exchange.list(symbol, since_ms=ms(LISTED))
    exchange.relist(symbol, ms(ENDED), ms(AGAIN))
    outcome = backfill_once(exchange, database, [symbol], "2025-10-01", "2025-12-06", market=market)
    assert "Completed" == outcome.state, outcome.message
    assert [
        ("2025-10-01 00:00", spaced(LISTED), "not_listed"),
        (spaced(ENDED), spaced(AGAIN), "delisted"),
    ] == gaps(database, symbol)
    exchange.begin(symbol, 0)
    assert is_complete(exchange, database, "2025-10-01", "2025-12-06", symbol, market=market)
    exchange.begin(symbol, ms(AGAIN))
    lives = "epoch_ms(listed_at), epoch_ms(ended_at), epoch_ms(relisted_at)"
    assert [(ms(LISTED), ms(ENDED), ms(AGAIN))] == query(
        database, f"SELECT {lives} FROM symbols WHERE symbol = '{symbol}'"
    )
    exchange.forget()
    again = backfill_once(exchange, database, [symbol], "2025-10-01", "2025-12-06", market=market)
    assert ("Completed", []) == (again.state, exchange.kline_requests())
    want_on(database)
    assert [("fresh",)] == query(database, "SELECT DISTINCT replace(state, 'stale', 'fresh') FROM freshness")


def test_an_audit_leaves_two_lives_as_they_are(exchange: StandIn, database: Path) -> None:
    """An audit neither asks for the time between nor calls it a hole, and the certificate has no slot unexplained."""
    exchange.list("LUNAUSDT", since_ms=ms(LISTED))
    exchange.relist("LUNAUSDT", ms(ENDED), ms(AGAIN))
    backfill_once(exchange, database, ["LUNAUSDT"], "2025-10-01", "2026-01-02T12:00", interval="1h")
    before = gaps(database, "LUNAUSDT")
    exchange.freeze(ms("2026-01-04T12:00"))
    outcome = audit_once(exchange, database)
    assert "Completed" == outcome.state, outcome.message
    assert before == gaps(database, "LUNAUSDT")
    assert (spaced("2025-11-05T10:00"), spaced("2025-12-03T09:00"), "delisted") in before
    assert [(0,)] == query(database, "SELECT unexplained FROM certificate")


def test_what_was_unresolved_before_it_was_known(exchange: StandIn, database: Path) -> None:
    """Where REST alone was asked first, the time before its klines is unresolved; a later backfill that sees the
    archive's files stores the first life and settles what is between."""
    exchange.list("LUNAUSDT", since_ms=ms(LISTED))
    exchange.relist("LUNAUSDT", ms(ENDED), ms(AGAIN))
    backfill_once(exchange, database, ["LUNAUSDT"], "2025-11-01", "2026-01-01", source="rest", interval="1h")
    assert {"unresolved"} == {why for *_, why in gaps(database, "LUNAUSDT")}
    outcome = backfill_once(exchange, database, ["LUNAUSDT"], "2025-11-01", "2026-01-01", interval="1h")
    assert "Completed" == outcome.state, outcome.message
    assert [("2025-11-05 10:00", "2025-12-03 09:00", "delisted")] == gaps(database, "LUNAUSDT")


def test_a_hole_is_no_second_life(exchange: StandIn, database: Path) -> None:
    """A month without klines within one contract, both of whose sides REST has, is no delisting."""
    exchange.list("USDCUSDT", since_ms=ms(LISTED))
    exchange.hole(ms(ENDED), ms(AGAIN), "USDCUSDT")
    backfill_once(exchange, database, ["USDCUSDT"], "2025-10-10", "2026-01-01", interval="1h")
    assert "delisted" not in {why for *_, why in gaps(database, "USDCUSDT")}
    assert [(None,)] == query(database, "SELECT relisted_at FROM symbols WHERE symbol = 'USDCUSDT'")


@pytest.fixture
def dead() -> StandIn:
    """An exchange that lists two symbols, and whose archive has a third, which REST does not know any more."""
    exchange = StandIn(["BTCUSDT", "ETHUSDT"])
    exchange.freeze(ms("2026-01-02T12:00:05"))
    exchange.list("DEADUSDT", since_ms=ms("2025-10-10T08:30"), until_ms=ms("2025-11-20T10:00"))
    exchange.unlist("DEADUSDT")
    return exchange


def test_all_symbols_are_those_of_the_archive(dead: StandIn, database: Path) -> None:
    """With all symbols a pattern takes what is delisted, too; all of its life is stored, with the time before and after
    it in the ledger, and a second run finds nothing to do. Without, it takes what trades."""
    with dead as exchange:
        asked = (exchange, database, ["*USDT", "!ETH*"], "2025-10-01", "2025-12-01")
        few = backfill_once(*asked, interval="1h", dry_run=True)
        assert "of 1 symbol" in few.message
        plan = backfill_once(*asked, interval="1h", dry_run=True, all_symbols=True)
        assert f"planned {61 * 24 + 42 * 24:,} klines of 2 symbols" in plan.message, plan.message
        outcome = backfill_once(*asked, interval="1h", all_symbols=True)
        assert "Completed" == outcome.state, outcome.message
        dead_rows = stored(database, "DEADUSDT", "1h")
        assert (ms("2025-10-10T08:00"), ms("2025-11-20T09:00")) == (dead_rows[0][0], dead_rows[-1][0])
        assert [
            ("2025-10-01 00:00", "2025-10-10 08:00", "not_listed"),
            ("2025-11-20 10:00", FOREVER, "delisted"),
        ] == gaps(database, "DEADUSDT")
        exchange.forget()
        again = backfill_once(*asked, interval="1h", all_symbols=True)
        assert ("Completed", []) == (again.state, exchange.archive_requests()), again.message


def test_an_audit_of_a_dead_symbol(dead: StandIn, database: Path) -> None:
    """It finds nothing to do, and nothing unexplained; once a week it looks whether the archive has more."""
    with dead as exchange:
        backfill_once(exchange, database, ["DEADUSDT"], "2025-10-01", "2025-12-01", interval="1h")
        before = gaps(database, "DEADUSDT")
        for day, asks in ((4, False), (10, True), (12, False)):
            exchange.freeze(ms(f"2026-01-{day:02}T12:00"))
            exchange.forget()
            outcome = audit_once(exchange, database)
            assert "Completed" == outcome.state, outcome.message
            listings = sum("DEADUSDT" in request.params.get("prefix", "") for request in exchange.requests)
            assert (asks, before) == (listings > 0, gaps(database, "DEADUSDT"))
        assert [(0,)] == query(database, "SELECT unexplained FROM certificate")


def test_a_dead_symbol_of_which_a_file_is_refused(dead: StandIn, database: Path) -> None:
    """What could not be read is neither called a hole nor the end: it is missing, and the run says so."""
    with dead as exchange:
        exchange.spoil("DEADUSDT-1m-2025-11", "cut_zip")
        exchange.spoil("DEADUSDT-1m-2025-11-19", "cut_zip")
        outcome = backfill_once(exchange, database, ["DEADUSDT"], "2025-10-01", "2026-01-01")
        assert "Degraded" == outcome.state
        assert "1,440" in outcome.message, outcome.message
        ends = [(start, end, why) for start, end, why in gaps(database, "DEADUSDT") if why != "not_listed"]
        assert [("2025-11-20 10:00", FOREVER, "delisted")] == ends


def test_a_hole_of_a_dead_symbol(dead: StandIn, database: Path) -> None:
    """Nobody can say why files lack what is between their klines."""
    with dead as exchange:
        exchange.hole(ms("2025-10-20T01:00"), ms("2025-10-20T02:00"), "DEADUSDT")
        outcome = backfill_once(exchange, database, ["DEADUSDT"], "2025-10-15", "2025-11-01")
        assert "Completed" == outcome.state, outcome.message
        assert ("2025-10-20 01:00", "2025-10-20 02:00", "unresolved") in gaps(database, "DEADUSDT")


@pytest.mark.parametrize("kind", ["status", "html"])
def test_without_the_archives_listing_nobody_knows_all_symbols(dead: StandIn, database: Path, kind: str) -> None:
    """Then the run takes none of them, and says why; names need no listing."""
    with dead as exchange:
        exchange.fault(None, kind, path="bucket", **({"status": 500} if kind == "status" else {}))
        outcome = backfill_once(exchange, database, ["*"], "2025-12-30", "2026-01-01", all_symbols=True)
        assert "ExchangeDown" == outcome.state
        assert "which symbols there ever were is not known" in outcome.message
        named = backfill_once(exchange, database, ["BTCUSDT"], "2025-12-30", "2026-01-01", all_symbols=True)
        assert "Completed" == named.state


def test_a_pattern_that_takes_nothing_at_all(dead: StandIn, database: Path) -> None:
    """It is refused with the nearest of all names."""
    with dead as exchange:
        outcome = backfill_once(exchange, database, ["DEADBUSD*"], "2025-12-30", "2026-01-01", all_symbols=True)
        assert "Failed" == outcome.state
        assert "matches no symbol of spot that there ever was; the nearest are DEADUSDT" in outcome.message


@pytest.mark.file
def test_all_symbols_on_the_terminal(
    dead: StandIn, database: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`klines listing --all` has what the archive ever had, with the status of what is listed, without any database."""
    monkeypatch.setenv("KLINES_DATABASE", str(database))
    with dead as exchange:
        monkeypatch.setenv("KLINES_ARCHIVE_URL", exchange.url)
        assert 0 == exit_status(["listing", "--all"])
        said = capsys.readouterr().out
        assert said.startswith("3 symbols of spot that there ever was, 0 of them known to trade:")
        assert "DEADUSDT" in said
        backfill_once(exchange, database, ["BTC*"], "2026-01-01", "2026-01-02", source="rest", interval="1h")
        assert 0 == exit_status(["listing", "*USDT", "!ETH*", "--all", "--json"])
        assert [
            {"symbol": "BTCUSDT", "status": "TRADING"},
            {"symbol": "DEADUSDT", "status": None},
        ] == json.loads(capsys.readouterr().out)
        assert 2 == exit_status(["listing", "--all", "--at", "2026-01-01"])
    assert 1 == exit_status(["listing", "--all"])
    assert "the archive's listing can't be had" in capsys.readouterr().err
