"""One run after the other against the exchange: what is stored, what the ledger says, what was asked."""

from __future__ import annotations

import csv
import io
import tarfile
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from klines.outcome import NEXT_RUN, Outcome
from tests.drive import MINUTE, NOON, at, collect_once, ledger, ms, published, query, recorded, stored
from tests.exchange import StandIn
from tests.storage.test_database import held


def test_first_run_stores_one_lookback_exactly_as_published(exchange: StandIn, database: Path) -> None:
    """A symbol with no rows begins one lookback ago; the last closed kline is the newest stored, values unchanged."""
    outcome = collect_once(exchange, database, ["BTCUSDT", "ETHUSDT"])

    assert outcome.state == "Completed"
    assert outcome.message.startswith("stored 60 klines of 2 symbols in ")
    for symbol in ("BTCUSDT", "ETHUSDT"):
        assert published(exchange.klines(symbol, at(-30), at(0))) == stored(database, symbol)
    assert [] == ledger(database, "BTCUSDT")


def test_open_kline_is_never_stored(exchange: StandIn, database: Path) -> None:
    """The exchange answers with the kline that still forms when a window reaches now; it is never stored."""
    exchange.freeze(NOON + 30_000)
    collect_once(exchange, database, ["BTCUSDT"])

    assert at(-1) == stored(database, "BTCUSDT")[-1][0]


@pytest.mark.parametrize("offset_minutes", [-10, 10])
def test_the_exchanges_clock_alone_decides(exchange: StandIn, database: Path, offset_minutes: int) -> None:
    """A machine whose clock is wrong by ten minutes still stores exactly the klines that are closed."""
    exchange.set_clock(offset_ms=offset_minutes * MINUTE)
    before_ms = exchange.now_ms() // MINUTE * MINUTE
    collect_once(exchange, database, ["BTCUSDT"])
    after_ms = exchange.now_ms() // MINUTE * MINUTE

    newest_ms = stored(database, "BTCUSDT")[-1][0]
    assert newest_ms in {before_ms - MINUTE, after_ms - MINUTE}


def test_second_run_asks_nothing_and_changes_nothing(exchange: StandIn, database: Path) -> None:
    """Running twice in one minute changes nothing: nothing is due, so no kline is asked for."""
    collect_once(exchange, database, ["BTCUSDT"])
    before = query(database, "FROM klines ORDER BY ALL")
    exchange.forget()
    outcome = collect_once(exchange, database, ["BTCUSDT"])

    assert outcome.message.startswith("stored 0 klines of 1 symbol in ")
    assert [] == exchange.kline_requests()
    assert before == query(database, "FROM klines ORDER BY ALL")


def test_next_minute_costs_one_request_that_covers_three_klines_more(exchange: StandIn, database: Path) -> None:
    """The newest request covers the new kline and the 3 before it, with a limit of just that, at no extra weight."""
    collect_once(exchange, database, ["BTCUSDT"])
    exchange.freeze(at(1) + 5_000)
    exchange.forget()
    collect_once(exchange, database, ["BTCUSDT"])

    [request] = exchange.kline_requests()
    expected = {"startTime": str(at(-3)), "endTime": str(at(1) - 1), "limit": "4"}
    assert expected == {name: str(request.params[name]) for name in expected}
    assert 31 == len(stored(database, "BTCUSDT"))


def test_downtime_is_caught_up_beyond_the_lookback(exchange: StandIn, database: Path) -> None:
    """After 3 days without a run all is fetched from the last stored kline on, whatever the lookback is."""
    collect_once(exchange, database, ["BTCUSDT"])
    exchange.freeze(at(3 * 1440) + 5_000)
    collect_once(exchange, database, ["BTCUSDT"])

    assert published(exchange.klines("BTCUSDT", at(-30), at(3 * 1440))) == stored(database, "BTCUSDT")
    assert [] == ledger(database, "BTCUSDT")


def test_a_page_that_fails_in_the_middle_of_a_catch_up_is_not_forgotten(exchange: StandIn, database: Path) -> None:
    """What was asked for in vain is in the ledger as due, so it is made up for by the next run although newer klines
    are stored and the lookback is short."""
    collect_once(exchange, database, ["BTCUSDT"])
    exchange.freeze(at(3 * 1440) + 5_000)
    exchange.fault("BTCUSDT", "latency", seconds=0.0, times=2)
    exchange.fault("BTCUSDT", "status", status=500, times=1, retry_after=None)
    exchange.clear()
    exchange.fault("BTCUSDT", "reset", times=None)
    assert collect_once(exchange, database, ["BTCUSDT"]).state == "ExchangeDown"
    due = ledger(database, "BTCUSDT")
    exchange.clear()
    exchange.freeze(at(3 * 1440 + 1) + 5_000)
    outcome = collect_once(exchange, database, ["BTCUSDT"])

    assert [(0, 3 * 1440, "due")] == due
    assert outcome.state == "Completed"
    assert published(exchange.klines("BTCUSDT", at(-30), at(3 * 1440 + 1))) == stored(database, "BTCUSDT")
    assert [] == ledger(database, "BTCUSDT")


def test_history_begins_at_since_and_the_time_before_the_listing_is_named(exchange: StandIn, database: Path) -> None:
    """With KLINES_SINCE a new symbol's history begins there; what is before its first kline is `not_listed`."""
    exchange.list("NEWUSDT", since_ms=at(-90))
    outcome = collect_once(exchange, database, ["NEWUSDT"], since=date(2026, 1, 2))

    assert outcome.state == "Completed"
    assert published(exchange.klines("NEWUSDT", at(-90), at(0))) == stored(database, "NEWUSDT")
    assert [(-720, -90, "not_listed")] == ledger(database, "NEWUSDT")


def test_years_before_the_listing_cost_two_requests(exchange: StandIn, database: Path) -> None:
    """The first kline is asked for once, and whether there is one before it, so that no page is spent on the years."""
    exchange.list("NEWUSDT", since_ms=at(-30))
    collect_once(exchange, database, ["NEWUSDT"], since=date(2020, 1, 1))

    assert 3 == len(exchange.kline_requests())
    assert [(ms("2020-01-01"), at(-30))] == query(database, "SELECT epoch_ms(start_time), epoch_ms(end_time) FROM gaps")


def test_catch_up_of_years_takes_the_newest_klines_first_and_ends(exchange: StandIn, database: Path) -> None:
    """Of a catch-up too big for one run the newest pages come first; the rest stays due, and the runs work it off."""
    symbols = [f"S{n}USDT" for n in range(10)]
    outcome = collect_once(exchange, database, symbols, lookback=timedelta(minutes=2500), pages=10)
    first = query(database, "SELECT min(n), max(n), sum(n) FROM (SELECT count(*) n FROM klines GROUP BY symbol)")
    assert [(2000, 2000, 20_000)] == first
    assert outcome.state == "Completed"
    assert "5,000 older ones still due" in outcome.message
    outcome = collect_once(exchange, database, symbols, lookback=timedelta(minutes=2500), pages=10)
    assert "due" not in outcome.message
    assert [(2500, 2500, 10)] == query(
        database, "SELECT min(n), max(n), count(*) FROM (SELECT count(*) n FROM klines GROUP BY symbol)"
    )
    assert [] == query(database, "FROM gaps")


def test_hole_of_the_exchange_enters_the_ledger_and_is_not_asked_for_each_minute(
    exchange: StandIn, database: Path
) -> None:
    """Slots that the exchange lacks while it has later ones are `unresolved`; asked again when their check comes."""
    exchange.hole(at(-20), at(-15))
    collect_once(exchange, database, ["BTCUSDT"])
    assert [(-20, -15, "unresolved")] == ledger(database, "BTCUSDT")
    assert 25 == len(stored(database, "BTCUSDT"))

    exchange.freeze(at(1) + 5_000)
    exchange.forget()
    collect_once(exchange, database, ["BTCUSDT"])
    assert [str(at(-3))] == [str(request.params["startTime"]) for request in exchange.kline_requests()]

    exchange.freeze(at(61) + 5_000)
    exchange.forget()
    collect_once(exchange, database, ["BTCUSDT"])
    assert str(at(-20)) in [str(request.params.get("startTime")) for request in exchange.kline_requests()]
    assert [(2,)] == query(database, "SELECT attempts FROM gaps")


def test_corrected_value_is_noticed_within_three_minutes(exchange: StandIn, database: Path) -> None:
    """A value corrected after the close is updated and the old one recorded; when the row was first stored stays."""
    collect_once(exchange, database, ["BTCUSDT"])
    [(old, fetched_at)] = query(database, f"SELECT close, fetched_at FROM klines WHERE open_time = epoch_ms({at(-2)})")
    exchange.restate("BTCUSDT", at(-2), volume="123.5")
    exchange.freeze(at(1) + 5_000)
    outcome = collect_once(exchange, database, ["BTCUSDT"])

    assert "1 restated" in outcome.message
    assert [(123.5, fetched_at)] == query(
        database, f"SELECT volume, fetched_at FROM klines WHERE open_time = epoch_ms({at(-2)})"
    )
    [(key, close, volume)] = query(
        database, "SELECT epoch_ms(open_time), old->>'close', new->>'volume' FROM restatements"
    )
    assert (at(-2), old, 123.5) == (key, float(close), float(volume))


def test_unknown_symbol_fails_alone_and_waits_an_hour(exchange: StandIn, database: Path) -> None:
    """The exchange's -1121 fails one symbol; the others are stored, and for an hour nobody asks for it again."""
    exchange.fault("NOUSDT", "code", status=400, code=-1121)
    outcome = collect_once(exchange, database, ["BTCUSDT", "NOUSDT"])
    assert outcome.state == "Completed"
    assert "1 unknown to Binance, asked again in an hour: NOUSDT" in outcome.message
    assert 30 == len(stored(database, "BTCUSDT"))

    exchange.freeze(at(59) + 5_000)
    exchange.forget()
    outcome = collect_once(exchange, database, ["BTCUSDT", "NOUSDT"])
    assert outcome.state == "Completed"
    assert [] == exchange.kline_requests("NOUSDT")

    exchange.clear()
    exchange.freeze(at(61) + 5_000)
    outcome = collect_once(exchange, database, ["BTCUSDT", "NOUSDT"])
    assert "unknown" not in outcome.message
    assert 30 == len(stored(database, "NOUSDT"))


def test_only_unknown_symbols_are_no_success(exchange: StandIn, database: Path) -> None:
    """A run whose every symbol is unknown stored nothing, and says to check the spelling."""
    exchange.fault(None, "code", status=400, code=-1121)
    outcome = collect_once(exchange, database, ["BTCUSD"])

    assert outcome.state == "Degraded"
    assert "Check the spelling" in outcome.message


def test_one_failing_symbol_spoils_only_itself(exchange: StandIn, database: Path) -> None:
    """One symbol's fault leaves the run Degraded with the others stored; the next run heals it."""
    symbols = [f"S{n}USDT" for n in range(20)]
    exchange.fault("S7USDT", "status", status=500)
    outcome = collect_once(exchange, database, symbols)
    assert outcome.state == "Degraded"
    assert "1 failed: S7USDT (HTTP 500" in outcome.message
    assert [(19,)] == query(database, "SELECT count(DISTINCT symbol) FROM klines")

    exchange.clear()
    assert collect_once(exchange, database, symbols).state == "Completed"
    assert [(20, 600)] == query(database, "SELECT count(DISTINCT symbol), count(*) FROM klines")


def test_late_kline_is_asked_for_twice_more_then_left(exchange: StandIn, database: Path) -> None:
    """A kline not published yet is asked for twice more within the run; then the run is Completed and names it."""
    collect_once(exchange, database, ["BTCUSDT", "ETHUSDT"])
    exchange.freeze(at(1) + 5_000)
    exchange.late(30_000, "ETHUSDT")
    exchange.forget()
    outcome = collect_once(exchange, database, ["BTCUSDT", "ETHUSDT"])
    assert outcome.state == "Completed"
    assert "1 published late: ETHUSDT" in outcome.message
    assert (1, 3) == (len(exchange.kline_requests("BTCUSDT")), len(exchange.kline_requests("ETHUSDT")))
    assert [] == ledger(database, "ETHUSDT")

    exchange.freeze(at(1) + 35_000)
    collect_once(exchange, database, ["BTCUSDT", "ETHUSDT"])
    assert 31 == len(stored(database, "ETHUSDT"))


def test_symbol_that_trades_without_klines_for_five_minutes_degrades(exchange: StandIn, database: Path) -> None:
    """A due kline over 5 minutes late while the symbol trades is a failure that names the symbol."""
    collect_once(exchange, database, ["BTCUSDT", "ETHUSDT"])
    exchange.freeze(at(8) + 5_000)
    exchange.late(3_600_000, "ETHUSDT")
    outcome = collect_once(exchange, database, ["BTCUSDT", "ETHUSDT"])

    assert outcome.state == "Degraded"
    assert "1 trading without a kline for 5 minutes: ETHUSDT" in outcome.message
    assert [] == ledger(database, "ETHUSDT")


def test_symbol_that_stopped_trading_is_named_and_its_gap_grows_as_one(exchange: StandIn, database: Path) -> None:
    """A symbol in BREAK is no failure: its missing klines are one unresolved gap that isn't asked for each minute."""
    collect_once(exchange, database, ["BTCUSDT", "ETHUSDT"])
    exchange.list("ETHUSDT", until_ms=at(0), status="BREAK")
    for minute in (8, 9, 10):
        exchange.freeze(at(minute) + 5_000)
        exchange.forget()
        outcome = collect_once(exchange, database, ["BTCUSDT", "ETHUSDT"])
        assert outcome.state == "Completed"
        assert "1 not trading: ETHUSDT" in outcome.message
        assert [(0, minute, "unresolved")] == ledger(database, "ETHUSDT")
    assert 1 == len(exchange.kline_requests("ETHUSDT"))


def test_no_symbol_with_a_new_kline_is_the_exchange(exchange: StandIn, database: Path) -> None:
    """When no symbol at all has had its kline for 5 minutes it is the exchange; nothing is blamed on the symbols."""
    collect_once(exchange, database, ["BTCUSDT", "ETHUSDT"])
    exchange.freeze(at(8) + 5_000)
    exchange.late(3_600_000)
    outcome = collect_once(exchange, database, ["BTCUSDT", "ETHUSDT"])

    assert outcome.state == "ExchangeDown"
    assert [] == query(database, "FROM gaps")


def test_maintenance_ends_the_run_before_any_kline_is_asked(exchange: StandIn, database: Path) -> None:
    """Under maintenance the run is ExchangeDown and not one kline is asked for."""
    exchange.maintenance = True
    outcome = collect_once(exchange, database, ["BTCUSDT"])

    assert outcome.state == "ExchangeDown"
    assert "maintenance" in outcome.message
    assert [] == exchange.kline_requests()


def test_base_url_without_system_status_is_pinged(exchange: StandIn, database: Path) -> None:
    """data-api.binance.vision has no /sapi: there a ping stands for the system status."""
    exchange.sapi = False
    assert collect_once(exchange, database, ["BTCUSDT"]).state == "Completed"
    assert "/api/v3/ping" in [request.path for request in exchange.requests]


def test_unreachable_exchange(exchange: StandIn, database: Path) -> None:
    """No answer at all is ExchangeDown, in a sentence."""
    exchange.down = True
    outcome = collect_once(exchange, database, ["BTCUSDT"])

    assert outcome == Outcome("ExchangeDown", outcome.message)
    assert outcome.message.startswith("no answer: ")
    assert outcome.message.endswith(NEXT_RUN)


def test_exchange_slower_than_the_run(exchange: StandIn, database: Path) -> None:
    """When not even the clock is answered before the run's time is over it is ExchangeDown, in a sentence."""
    for path in ("time", "status", "exchangeInfo"):
        exchange.fault(None, "latency", seconds=3, path=path)
    outcome = collect_once(exchange, database, ["BTCUSDT"], deadline_s=1.5, request_timeout_s=5)

    assert "ExchangeDown" == outcome.state
    assert outcome.message.startswith("the exchange did not answer within the run's time. ")


def test_ban_is_remembered_and_until_its_end_nothing_is_asked(exchange: StandIn, database: Path) -> None:
    """After a 418 no run makes any request, not even a ping, until the time that the exchange told."""
    exchange.set_clock(offset_ms=0)
    exchange.fault("ETHUSDT", "status", status=418, retry_after=2)
    outcome = collect_once(exchange, database, ["BTCUSDT", "ETHUSDT"])
    assert outcome.state == "RateLimited"
    assert "No request is made before" in outcome.message

    exchange.clear()
    exchange.forget()
    assert collect_once(exchange, database, ["BTCUSDT"]).state == "RateLimited"
    assert [] == exchange.requests
    [(pool, message)] = query(database, "SELECT pool, message FROM bans")
    assert pool == "spot"
    assert "418" in message


def test_short_429_is_waited_out_by_everybody(exchange: StandIn, database: Path) -> None:
    """A 429 whose Retry-After fits into the run stops asking for everyone, and then the run goes on and completes."""
    exchange.set_clock(offset_ms=0)
    exchange.fault("ETHUSDT", "status", status=429, retry_after=1, times=1)
    outcome = collect_once(exchange, database, ["BTCUSDT", "ETHUSDT"])

    assert outcome.state == "Completed"
    assert [] == query(database, "FROM bans")


def test_long_429_ends_the_run_and_keeps_what_was_fetched(exchange: StandIn, database: Path) -> None:
    """A 429 that outlasts the run ends it as RateLimited; klines fetched before it are stored."""
    exchange.set_clock(offset_ms=0)
    collect_once(exchange, database, ["BTCUSDT"])
    exchange.set_clock(offset_ms=2 * MINUTE)
    exchange.fault("ETHUSDT", "status", status=429, retry_after=600)
    exchange.fault("ETHUSDT", "latency", seconds=0.3)
    outcome = collect_once(exchange, database, ["BTCUSDT", "ETHUSDT"])

    assert outcome.state == "RateLimited"
    assert 30 < len(stored(database, "BTCUSDT"))
    assert [("RateLimited",)] == query(database, "SELECT state FROM bans")


@pytest.mark.parametrize(("status", "advice", "bans"), [(403, "firewall", 1), (451, "KLINES_SPOT_URL", 0)])
def test_refused_address(exchange: StandIn, database: Path, status: int, advice: str, bans: int) -> None:
    """403 and 451 are Blocked; a 403 is remembered, for a 451 the message says which setting helps."""
    exchange.fault("BTCUSDT", "status", status=status)
    outcome = collect_once(exchange, database, ["BTCUSDT"])

    assert outcome.state == "Blocked"
    assert advice in outcome.message
    assert bans == len(query(database, "FROM bans"))


def test_weight_stays_below_ninety_percent_of_the_stated_limit(exchange: StandIn, database: Path) -> None:
    """The limit is the exchange's own statement: with 200 a minute a run stops at 180, leaves the rest due, and
    says of whom not even the newest klines were asked for."""
    exchange.weight_limit["spot"] = 200
    symbols = [f"S{n}USDT" for n in range(90)]
    outcome = collect_once(exchange, database, symbols)

    assert exchange.used_weight("spot") <= 180
    assert all(request.status == 200 for request in exchange.requests)
    assert outcome.state == "Degraded"
    assert "11 not asked for, as weight or time ran out: S79USDT" in outcome.message


def test_refused_row_is_kept_apart_and_the_good_ones_stored(exchange: StandIn, database: Path) -> None:
    """A row that fails the checks goes to `rejects` and its slot to the ledger with back-off; its page is stored."""
    exchange.fault("BTCUSDT", "high_below_low", open_time_ms=at(-10))
    collect_once(exchange, database, ["BTCUSDT"])
    assert 29 == len(stored(database, "BTCUSDT"))
    assert [(-10, -9, "rejected")] == ledger(database, "BTCUSDT")
    [(key, seen)] = query(database, "SELECT epoch_ms(open_time), seen FROM rejects")
    assert (at(-10), 1) == (key, seen)

    exchange.freeze(at(1) + 5_000)
    exchange.forget()
    collect_once(exchange, database, ["BTCUSDT"])
    assert [str(at(-3))] == [str(request.params["startTime"]) for request in exchange.kline_requests()]

    exchange.clear()
    exchange.freeze(at(11) + 5_000)
    collect_once(exchange, database, ["BTCUSDT"])
    assert [] == ledger(database, "BTCUSDT")
    assert published(exchange.klines("BTCUSDT", at(-30), at(11))) == stored(database, "BTCUSDT")


def test_refused_newest_row_is_not_asked_for_again_at_once(exchange: StandIn, database: Path) -> None:
    """The newest row being refused is no lateness: it waits for its check like any refused row."""
    exchange.fault("BTCUSDT", "nan", open_time_ms=at(-1))
    collect_once(exchange, database, ["BTCUSDT"])

    assert 1 == len([r for r in exchange.kline_requests() if int(r.params.get("startTime", 0)) > 0])
    assert [(-1, 0, "rejected")] == ledger(database, "BTCUSDT")


@pytest.mark.file
@pytest.mark.parametrize("mode", ["read", "write"])
def test_file_held_until_the_deadline_ends_the_run(exchange: StandIn, database: Path, mode: str) -> None:
    """While another process holds the file until the run's deadline the run is DatabaseBusy, names it, asks nothing;
    the next run stores what this one could not."""
    collect_once(exchange, database, ["BTCUSDT"])
    exchange.freeze(at(1) + 5_000)
    exchange.forget()
    with held(database, mode) as pid:
        outcome = collect_once(exchange, database, ["BTCUSDT"], deadline_s=1)
    assert outcome.state == "DatabaseBusy"
    assert f"pid {pid}," in outcome.message
    assert [] == exchange.requests

    collect_once(exchange, database, ["BTCUSDT"])
    assert 31 == len(stored(database, "BTCUSDT"))


@pytest.mark.file
@pytest.mark.parametrize("mode", ["read", "write"])
def test_file_held_for_five_seconds_costs_waiting(exchange: StandIn, database: Path, mode: str) -> None:
    """A reader or writer that lets go after five seconds delays the run and nothing else."""
    collect_once(exchange, database, ["BTCUSDT"])
    exchange.freeze(at(1) + 5_000)
    with held(database, mode, seconds=5):
        outcome = collect_once(exchange, database, ["BTCUSDT"])

    assert outcome.state == "Completed"
    assert 31 == len(stored(database, "BTCUSDT"))


def test_symbols_outside_ascii_work(exchange: StandIn, database: Path) -> None:
    """Binance lists names such as 币安人生USDT; they are asked for and stored as they are."""
    exchange.list("币安人生USDT")
    assert collect_once(exchange, database, ["币安人生USDT"]).state == "Completed"
    assert 30 == len(stored(database, "币安人生USDT"))


def test_nothing_is_due_for_an_hour_between_its_closes(exchange: StandIn, database: Path) -> None:
    """A run for 1h every minute asks for nothing while no hour has closed."""
    exchange.freeze(at(5))
    collect_once(exchange, database, ["BTCUSDT"], interval="1h", lookback=timedelta(days=1))
    assert 24 == len(stored(database, "BTCUSDT", "1h"))
    exchange.freeze(at(59))
    exchange.forget()
    collect_once(exchange, database, ["BTCUSDT"], interval="1h", lookback=timedelta(days=1))
    assert [] == exchange.kline_requests()


@pytest.mark.parametrize("first", ["2025-02-25", pytest.param("2024-12-01", marks=pytest.mark.full)])
def test_recorded_days_are_stored_value_by_value(exchange: StandIn, database: Path, first: str) -> None:
    """With recorded days as the exchange's past, a run stores exactly Binance's rows."""
    rows = []
    with tarfile.open(recorded("spot_archive", "BTCUSDT-1m-daily_2024-12_2025-02.tar.xz")) as archive:
        for member in archive:
            extracted = archive.extractfile(member)
            assert extracted is not None
            rows += list(csv.reader(io.TextIOWrapper(extracted)))
    every_row: list[list[Any]] = sorted([_ms(r[0]), *r[1:6], _ms(r[6]), r[7], int(r[8]), *r[9:]] for r in rows)
    recorded_rows = [row for row in every_row if row[0] >= ms(first)]
    exchange.replay("BTCUSDT", recorded_rows)
    exchange.freeze(ms("2025-03-01T00:00:05"))
    outcome = collect_once(exchange, database, ["BTCUSDT"], since=date.fromisoformat(first))

    assert outcome.state == "Completed"
    assert 4 * 1440 <= len(recorded_rows)
    assert published(recorded_rows) == stored(database, "BTCUSDT")


def test_outage_and_cut_close_times_of_recorded_days(exchange: StandIn, database: Path) -> None:
    """8–9 February 2018: the hole of the exchange is in the ledger to the minute, the cut kline is stored as it is."""
    rows = []
    for day in ("2018-02-08", "2018-02-09"):
        with recorded("spot_archive", f"BTCUSDT-1m-{day}.csv").open() as file:
            rows += [[int(r[0]), *r[1:6], int(r[6]), r[7], int(r[8]), *r[9:]] for r in csv.reader(file)]
    exchange.replay("BTCUSDT", rows)
    exchange.freeze(ms("2018-02-10T00:00:05"))
    collect_once(exchange, database, ["BTCUSDT"], since=date(2018, 2, 8))

    assert published(rows) == stored(database, "BTCUSDT")
    assert [(ms("2018-02-08T00:29"), ms("2018-02-09T10:00"), "unresolved")] == query(
        database, "SELECT epoch_ms(start_time), epoch_ms(end_time), reason FROM gaps"
    )


def _ms(text: str) -> int:
    """A time of the archives, which are in microseconds from 2025 on, in ms."""
    return int(text) // (1000 if len(text) > 13 else 1)
