"""A backfill: archive files and REST pages become the same klines, whatever is wrong with which of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from klines.backfill.job import BackfillJob
from klines.backfill.run import Backfill
from klines.settings import Settings
from tests.drive import NOON, backfill_once, collect_once, ms, published, query, stored
from tests.exchange import StandIn
from tests.exchange.archives import KINDS
from tests.exchange.market import Row, Rows
from tests.turns import in_turn

DAY = "2025-12-30"


def files(exchange: StandIn, suffix: str = ".zip") -> list[str]:
    """The archive's files that were asked for, by name."""
    return sorted(
        r.path.rsplit("/", 1)[1].removesuffix(suffix) for r in exchange.archive_requests() if r.path.endswith(suffix)
    )


def sources(database: Path) -> dict[str, int]:
    """How many klines came from where."""
    return dict(query(database, "SELECT source, count(*) FROM klines GROUP BY 1"))


def gaps(database: Path, symbol: str = "BTCUSDT") -> list[tuple[str, str, str]]:
    """The ledger of a symbol, to the minute."""
    return query(
        database,
        f"""SELECT strftime(start_time, '%Y-%m-%d %H:%M'), strftime(end_time, '%Y-%m-%d %H:%M'), reason FROM gaps
            WHERE symbol = '{symbol}' ORDER BY 1""",
    )


def is_complete(
    exchange: StandIn, database: Path, start: str, end: str, symbol: str = "BTCUSDT", **series: Any
) -> bool:
    """Whether all that the exchange has of the range is stored, value by value, and nothing else."""
    rows = exchange.klines(symbol, ms(start), ms(end), **series)
    return published(rows) == stored(database, symbol, series.get("interval", "1m"))


@pytest.mark.parametrize(
    ("market", "symbol", "day"),
    [
        ("spot", "BTCUSDT", "2024-12-31"),
        ("usdm", "BTCUSDT", "2021-12-31"),
        ("coinm", "BTCUSD_PERP", "2024-12-31"),
    ],
)
def test_archive_and_rest_give_identical_rows(
    exchange: StandIn, ready: Callable[[str], Path], market: str, symbol: str, day: str
) -> None:
    """The same days from the archive and by REST are the same rows, across spot's switch to microseconds and the first
    header of futures, contracts and base volume of COIN-M included."""
    start, end = f"{day}T00:00", f"{int(day[:4]) + 1}-01-02T00:00"
    archive, rest = ready("archive"), ready("rest")
    for source, database in (("archive", archive), ("rest", rest)):
        outcome = backfill_once(exchange, database, [symbol], start, end, market=market, source=source)
        assert ("Completed", 2 * 1440) == (outcome.state, len(stored(database, symbol)))
    assert stored(rest, symbol) == stored(archive, symbol)
    assert is_complete(exchange, archive, start, end, symbol, market=market)
    assert [{"daily": 2880}, {"rest": 2880}] == [sources(archive), sources(rest)]
    assert [(2, 2)] == query(archive, "SELECT count(*), count(verified_at) FROM archive_files")


def test_months_that_are_missing_as_a_whole_come_as_one_file(exchange: StandIn, database: Path) -> None:
    """Whole months are one file each, whole days around them too, and only what is left is asked of REST."""
    outcome = backfill_once(exchange, database, ["BTCUSDT"], "2025-10-30T12:00", "2025-12-02T00:30")
    assert "Completed" == outcome.state
    assert ["BTCUSDT-1m-2025-10-31", "BTCUSDT-1m-2025-11", "BTCUSDT-1m-2025-12-01"] == files(exchange)
    assert files(exchange) == files(exchange, ".zip.CHECKSUM")
    assert {"monthly": 43_200, "daily": 2880, "rest": 750} == sources(database)
    assert is_complete(exchange, database, "2025-10-30T12:00", "2025-12-02T00:30")
    assert [] == gaps(database)


def test_a_second_run_changes_nothing(exchange: StandIn, database: Path) -> None:
    """What is stored is not fetched again: the second run asks for the clock, and for no file and no page."""
    for asked in (6, 0):
        exchange.forget()
        assert "Completed" == backfill_once(exchange, database, ["BTCUSDT"], "2025-12-29", "2026-01-01").state
        assert asked == len(exchange.archive_requests())
    assert [] == exchange.kline_requests()
    assert is_complete(exchange, database, "2025-12-29", "2026-01-01")


def test_days_on_which_the_monthly_file_is_wrong_come_from_the_daily_one(exchange: StandIn, database: Path) -> None:
    """2021-04-22 and 23 are never taken from spot's monthly file, whatever it says."""
    outcome = backfill_once(exchange, database, ["BTCUSDT"], "2021-04-01", "2021-05-01")
    assert "Completed" == outcome.state
    assert ["BTCUSDT-1m-2021-04", "BTCUSDT-1m-2021-04-22", "BTCUSDT-1m-2021-04-23"] == files(exchange)
    assert {"monthly": 28 * 1440, "daily": 2 * 1440} == sources(database)


def spoiled_days(exchange: StandIn, times: int = -1) -> dict[str, str]:
    """A kind of bad file for each of eight days from 2025-12-02 on, by the file's name."""
    names = {f"BTCUSDT-1m-2025-12-{day:02}": kind for day, kind in enumerate(KINDS, 2)}
    for name, kind in names.items():
        exchange.spoil(name, kind, times)
    return names


EIGHT = ("2025-12-01", "2025-12-11")
"""Those days, and a good one on each side."""


def test_a_file_that_is_not_as_it_should_be(exchange: StandIn, database: Path) -> None:
    """Of every kind of bad file not one row is read: it is asked for twice more, then that day comes by REST, and the
    message says which file and why; the other days come from their files."""
    names = spoiled_days(exchange)
    outcome = backfill_once(exchange, database, ["BTCUSDT"], *EIGHT)
    assert "Completed" == outcome.state
    assert "; 8 files that could not be used: " in outcome.message
    for name, kind in names.items():
        assert (kind, 1) == (kind, outcome.message.count(f"{name}.zip (daily): it"))
        assert (kind, 3) == (kind, files(exchange).count(name))
    assert {"daily": 2880, "rest": 8 * 1440} == sources(database)
    assert is_complete(exchange, database, *EIGHT)
    assert 2 == len(query(database, "FROM archive_files"))


def test_a_file_that_is_right_the_third_time(exchange: StandIn, database: Path) -> None:
    """A fault that passes is no trouble: the third download is as good as a first."""
    spoiled_days(exchange, times=2)
    outcome = backfill_once(exchange, database, ["BTCUSDT"], *EIGHT)
    assert ("Completed", False) == (outcome.state, "could not be used" in outcome.message)
    assert {"daily": 10 * 1440} == sources(database)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("status", {"status": 403}),
        ("truncate", {}),
        *(
            pytest.param(kind, options, marks=pytest.mark.full)
            for kind, options in (("status", {"status": 500}), ("reset", {}), ("redirect", {}))
        ),
    ],
)
def test_an_archive_that_does_not_serve(exchange: StandIn, database: Path, kind: str, options: dict[str, Any]) -> None:
    """With the archive down everything comes by REST."""
    exchange.fault(None, kind, path="archive", **options)
    outcome = backfill_once(exchange, database, ["BTCUSDT"], "2025-12-31", "2026-01-01")
    assert "Completed" == outcome.state
    assert "1 file that could not be used" in outcome.message
    assert {"rest": 1440} == sources(database)


def test_files_that_are_not_published_yet(exchange: StandIn, database: Path) -> None:
    """A missing month is looked for among the days, a missing day comes by REST, and neither is a trouble."""
    exchange.published_after_ms = {"monthly": 40 * 86_400_000, "daily": 3 * 86_400_000}
    outcome = backfill_once(exchange, database, ["BTCUSDT"], "2025-12-01", "2026-01-01")
    assert ("Completed", False) == (outcome.state, "could not be used" in outcome.message)
    assert {"daily": 29 * 1440, "rest": 2 * 1440} == sources(database)
    assert is_complete(exchange, database, "2025-12-01", "2026-01-01")


def spoil_day(day: str, column: int, value: str) -> Any:
    """An edit of a file: one field of the noon kline of a day."""
    return spoil_days({day: (column, value)})


def spoil_days(wrong: Mapping[str, tuple[int, str]]) -> Any:
    """An edit of a file: of each of these days one field of the noon kline."""
    at_noon = {ms(f"{day}T12:00"): field for day, field in wrong.items()}

    def edit(rows: Rows) -> Rows:
        return [_with(row, *at_noon[row[0]]) if row[0] in at_noon else row for row in rows]

    return edit


def _with(row: Row, column: int, value: str) -> Row:
    return [*row[:column], value, *row[column + 1 :]]


def test_days_that_differ_from_the_1d_kline_come_from_elsewhere(exchange: StandIn, database: Path) -> None:
    """A wrong high, low, volume or number of trades in a monthly file is noticed by the exchange's own 1d kline: that
    day alone comes from the daily file, and the month is not verified."""
    days = ("2025-11-05", "2025-11-10", "2025-11-15", "2025-11-20")
    fields = ((2, "999999.0"), (3, "0.1"), (5, "77.5"), (8, "99999"))
    exchange.misprint("BTCUSDT-1m-2025-11", spoil_days(dict(zip(days, fields, strict=True))))
    outcome = backfill_once(exchange, database, ["BTCUSDT"], "2025-11-01", "2025-12-01")
    assert ("Completed", False) == (outcome.state, "differ" in outcome.message)
    assert f"1 file used in part: BTCUSDT-1m-2025-11.zip (monthly): not {', '.join(days[:3])} …, " in outcome.message
    assert ["BTCUSDT-1m-2025-11", *(f"BTCUSDT-1m-{day}" for day in days)] == files(exchange)
    assert {"monthly": 26 * 1440, "daily": 4 * 1440} == sources(database)
    assert is_complete(exchange, database, "2025-11-01", "2025-12-01")
    verified = query(database, "SELECT path LIKE '%daily%', verified_at IS NOT NULL FROM archive_files ORDER BY 1")
    assert [(False, False), *[(True, True)] * 4] == verified


def test_a_day_wrong_in_both_files_comes_by_rest(exchange: StandIn, database: Path) -> None:
    """Monthly and daily file wrong: REST has the last word."""
    for name in ("BTCUSDT-1m-2025-11", "BTCUSDT-1m-2025-11-15"):
        exchange.misprint(name, spoil_day("2025-11-15", 5, "77.5"))
    outcome = backfill_once(exchange, database, ["BTCUSDT"], "2025-11-01", "2025-12-01")
    assert ("Completed", False) == (outcome.state, "differ" in outcome.message)
    assert {"monthly": 29 * 1440, "rest": 1440} == sources(database)
    assert is_complete(exchange, database, "2025-11-01", "2025-12-01")


def test_a_day_on_which_the_exchange_disagrees_with_itself_is_reported(exchange: StandIn, database: Path) -> None:
    """If REST's own minutes do not add up to its 1d kline, they are stored as published, and the message names the
    day."""
    exchange.restate("BTCUSDT", ms(DAY), interval="1d", volume="1.0")
    outcome = backfill_once(exchange, database, ["BTCUSDT"], "2025-12-29", "2026-01-01")
    assert "Completed" == outcome.state
    assert f"1 day differing from Binance's own 1d kline: BTCUSDT {DAY}" in outcome.message
    assert is_complete(exchange, database, "2025-12-29", "2026-01-01")


def test_a_file_without_minutes_that_rest_has(exchange: StandIn, database: Path) -> None:
    """Minutes that a file lacks come by REST, with their day; nothing is taken for a hole on the archive's word."""
    exchange.misprint(f"BTCUSDT-1m-{DAY}", lambda rows: [*rows[:600], *rows[660:]])
    assert "Completed" == backfill_once(exchange, database, ["BTCUSDT"], "2025-12-29", "2026-01-01").state
    assert is_complete(exchange, database, "2025-12-29", "2026-01-01")
    assert [] == gaps(database)


def test_zero_volume_minutes_that_a_file_lacks(exchange: StandIn, database: Path) -> None:
    """Minutes without trades leave no trace in the 1d kline: they come by REST all the same."""
    quiet = {row[0] for row in exchange.klines("BTCUSDT", ms(DAY), ms("2025-12-31")) if row[8] == 0}
    assert len(quiet) > 5
    exchange.misprint(f"BTCUSDT-1m-{DAY}", lambda rows: [row for row in rows if row[0] not in quiet])
    assert "Completed" == backfill_once(exchange, database, ["BTCUSDT"], "2025-12-29", "2026-01-01").state
    assert {"daily": 4320 - len(quiet), "rest": len(quiet)} == sources(database)
    assert is_complete(exchange, database, "2025-12-29", "2026-01-01")


def test_rows_of_a_file_that_the_checks_refuse(exchange: StandIn, database: Path) -> None:
    """A refused row is kept in `rejects` with its source, and its day comes by REST."""
    exchange.misprint(f"BTCUSDT-1m-{DAY}", spoil_day(DAY, 2, "0.00000001"))
    assert "Completed" == backfill_once(exchange, database, ["BTCUSDT"], "2025-12-29", "2026-01-01").state
    assert [("daily", "high below open or close")] == query(database, "SELECT source, reason FROM rejects")
    assert is_complete(exchange, database, "2025-12-29", "2026-01-01")


def test_an_outage_inside(exchange: StandIn, database: Path) -> None:
    """Minutes that neither the file nor REST has are in the ledger, exactly; the day's file is verified even so."""
    exchange.hole(ms(f"{DAY}T03:00"), ms(f"{DAY}T05:30"))
    outcome = backfill_once(exchange, database, ["BTCUSDT"], "2025-12-29", "2026-01-01")
    assert "Completed" == outcome.state
    assert "150 that Binance does not have, see gaps" in outcome.message
    assert [(f"{DAY} 03:00", f"{DAY} 05:30", "unresolved")] == gaps(database)
    assert [(3,)] == query(database, "SELECT count(verified_at) FROM archive_files")
    exchange.forget()
    assert "Completed" == backfill_once(exchange, database, ["BTCUSDT"], "2025-12-29", "2026-01-01").state
    assert [] == exchange.kline_requests()


@pytest.mark.parametrize(("market", "source"), in_turn([("auto",), ("rest",)]))
def test_an_exchange_that_has_nothing_of_what_its_archive_has(
    exchange: StandIn, database: Path, market: str, source: str
) -> None:
    """While REST answers every question, also for 1d klines, with an empty list, nothing is stored and nothing settled:
    the run is Degraded, and all is due, and stored when REST is itself again."""
    symbol = "BTCUSD_PERP" if market == "coinm" else "BTCUSDT"
    exchange.fault(None, "empty", path="klines")
    options: dict[str, Any] = {"market": market, "source": source}
    outcome = backfill_once(exchange, database, [symbol], "2025-12-29", "2026-01-01", **options)
    assert "Degraded" == outcome.state
    assert "stored 0 klines" in outcome.message
    assert "4,320 still due" in outcome.message
    assert "does not have" not in outcome.message
    assert {"due"} == {reason for *_, reason in gaps(database, symbol)}
    exchange.clear()
    assert "Completed" == backfill_once(exchange, database, [symbol], "2025-12-29", "2026-01-01", **options).state
    assert is_complete(exchange, database, "2025-12-29", "2026-01-01", symbol, market=market)


@pytest.mark.parametrize("is_right", [True, False])
@pytest.mark.parametrize("fault", ["more", "unusable"])
def test_minutes_that_rest_does_not_have_and_the_archive_may(
    exchange: StandIn, database: Path, is_right: bool, fault: str
) -> None:
    """Where the day's file has minutes that REST does not have, or can't be used, the 1d kline decides: what is stored
    adds up to it, or the run is Degraded and says how many klines are in question."""
    if fault == "unusable":
        exchange.spoil(f"BTCUSDT-1m-{DAY}", "wrong_checksum")
    else:
        whole = [list(row) for row in exchange.klines("BTCUSDT", ms(DAY), ms("2025-12-31"))]
        exchange.misprint(f"BTCUSDT-1m-{DAY}", lambda _: whole)
    exchange.hole(ms(f"{DAY}T03:00"), ms(f"{DAY}T05:30"))
    if not is_right:
        exchange.restate("BTCUSDT", ms(DAY), interval="1d", volume="1.0")
    outcome = backfill_once(exchange, database, ["BTCUSDT"], "2025-12-29", "2026-01-01")
    assert ("Completed" if is_right else "Degraded") == outcome.state
    said = "150 klines that REST does not have, but the archive may: not stored"
    assert (is_right, not is_right) == ("150 that Binance does not have" in outcome.message, said in outcome.message)
    assert [(f"{DAY} 03:00", f"{DAY} 05:30", "unresolved")] == gaps(database)
    assert is_complete(exchange, database, "2025-12-29", "2026-01-01")


def test_before_the_listing(exchange: StandIn, database: Path) -> None:
    """No file and no page from before the first kline is asked for; that time is `not_listed`; the month of the listing
    is whole from there on."""
    exchange.list("NEWUSDT", since_ms=ms("2025-11-15T08:30"))
    outcome = backfill_once(exchange, database, ["NEWUSDT"], "2020-01-01", "2025-12-02")
    assert "Completed" == outcome.state
    assert ["NEWUSDT-1m-2025-11", "NEWUSDT-1m-2025-12-01"] == files(exchange)
    assert [("2020-01-01 00:00", "2025-11-15 08:30", "not_listed")] == gaps(database, "NEWUSDT")
    assert is_complete(exchange, database, "2020-01-01", "2025-12-02", "NEWUSDT")


def test_a_delisted_symbol(exchange: StandIn, database: Path) -> None:
    """Of a symbol that has ended all of its life is stored, and nothing after it is asked for."""
    exchange.list("OLDUSDT", since_ms=ms("2025-10-20"), until_ms=ms("2025-11-10T10:00"))
    outcome = backfill_once(exchange, database, ["OLDUSDT"], "2025-10-01", "2026-01-01")
    assert "Completed" == outcome.state
    assert "1 no longer trading: OLDUSDT" in outcome.message
    assert ["OLDUSDT-1m-2025-10", "OLDUSDT-1m-2025-11"] == files(exchange)
    assert is_complete(exchange, database, "2025-10-01", "2026-01-01", "OLDUSDT")
    assert [
        ("2025-10-01 00:00", "2025-10-20 00:00", "not_listed"),
        ("2025-11-10 10:00", "9999-12-31 00:00", "delisted"),
    ] == gaps(database, "OLDUSDT")
    exchange.forget()
    backfill_once(exchange, database, ["OLDUSDT"], "2025-10-01", "2026-01-01")
    assert [] == exchange.kline_requests()


def test_a_symbol_that_only_the_archive_still_has(exchange: StandIn, database: Path) -> None:
    """Futures that the exchange knows no more are loaded from their files, which then can't be checked."""
    exchange.list("DEADUSDT", since_ms=ms("2025-10-10"))
    backfill_once(exchange, database.with_name("warm"), ["DEADUSDT"], "2025-10-01", "2025-11-01", market="usdm")
    exchange.fault("DEADUSDT", "code", code=-1121)
    outcome = backfill_once(exchange, database, ["DEADUSDT"], "2025-09-01", "2025-11-01", market="usdm")
    assert "1 of them not checked against 1d klines" in outcome.message
    assert {"monthly": 22 * 1440} == sources(database)


def test_a_misspelt_symbol(exchange: StandIn, database: Path) -> None:
    """A name that neither the exchange nor the archive knows is named with the nearest ones, owes nothing, and costs no
    file; the others are loaded, and as not all that was asked for is stored, the backfill is not Completed."""
    with StandIn(["BTCUSDT", "ETHUSDT"]) as exchange:
        exchange.freeze(NOON + 5_000)
        outcome = backfill_once(exchange, database, ["BTCUSTD", "BTCUSDT"], "2025-12-30", "2026-01-01")
        assert "Degraded" == outcome.state
        assert "Binance knows none of BTCUSTD; the nearest are BTCUSDT." in outcome.message
        assert "still due" not in outcome.message
        assert "Run it again" not in outcome.message
        assert [] == exchange.archive_requests("BTCUSTD")
        assert ([], 2 * 1440) == (gaps(database, "BTCUSTD"), len(stored(database, "BTCUSDT")))
        for source in ("auto", "archive", "rest"):
            outcome = backfill_once(exchange, database, ["NOPE"], "2025-12-31", "2026-01-01", source=source)
            assert ("Degraded", True) == (outcome.state, "Binance knows none of NOPE" in outcome.message)
            assert "still due" not in outcome.message


def test_a_misspelt_symbol_where_the_archive_has_no_listing(exchange: StandIn, database: Path) -> None:
    """Then its months are looked for one by one, and it owes nothing all the same."""
    with StandIn(["BTCUSDT"]) as exchange:
        exchange.freeze(NOON + 5_000)
        exchange.fault(None, "status", path="bucket", status=500)
        outcome = backfill_once(exchange, database, ["BTCUSTD"], "2025-12-01", "2026-01-01")
        assert ("Degraded", True) == (outcome.state, "Binance knows none of BTCUSTD" in outcome.message)
        assert [] == gaps(database, "BTCUSTD")


@pytest.mark.parametrize("kind", ["wrong_checksum", "odd_member", "absent"])
def test_the_archive_alone_without_a_file_that_can_be_used(exchange: StandIn, database: Path, kind: str) -> None:
    """What was asked for is not stored, so it is not Completed: each file that is refused is named with its reason, and
    what is missing is counted."""
    for day in ("2025-12-30", "2025-12-31"):
        if kind == "absent":
            exchange.place(f"BTCUSDT-1m-{day}", None)
        else:
            exchange.spoil(f"BTCUSDT-1m-{day}", kind)
    outcome = backfill_once(exchange, database, ["BTCUSDT"], "2025-12-30", "2026-01-01", source="archive")
    assert "Degraded" == outcome.state
    assert "2,880 not in the archive, still due" in outcome.message
    assert (2 if kind != "absent" else 0) == outcome.message.count(".zip (daily): it")
    assert [("2025-12-30 00:00", "2026-01-01 00:00", "due")] == gaps(database)


@pytest.mark.parametrize("source", ["auto", pytest.param("archive", marks=pytest.mark.full)])
def test_a_file_with_ten_columns(exchange: StandIn, database: Path, source: str) -> None:
    """A month of which not one row is a kline: twenty rows are kept, all counted, the file is named, and the days come
    from their own files."""
    exchange.misprint("BTCUSDT-1m-2025-11", lambda rows: [row[:10] for row in rows])
    outcome = backfill_once(exchange, database, ["BTCUSDT"], "2025-11-01", "2025-12-01", source=source)
    assert "Completed" == outcome.state
    assert "43,200 rejected, the first 20 kept" in outcome.message
    said = "BTCUSDT-1m-2025-11.zip (monthly): not one of its 43,200 rows is a kline: 10 fields instead of 12"
    assert said in outcome.message
    assert [(20, "monthly")] == query(database, "SELECT count(*), any_value(source) FROM rejects")
    assert {"daily": 43_200} == sources(database)


@pytest.mark.parametrize("slots", [1, 1000, 1001, *(pytest.param(n, marks=pytest.mark.full) for n in (999, 2001))])
def test_so_many_klines_exactly(exchange: StandIn, database: Path, slots: int) -> None:
    """One kline, a page, a page and one, two pages and one: none is lost, none is too many."""
    end_ms = NOON - 60_000 * 60
    start, end = (f"{query_time(time)}" for time in (end_ms - slots * 60_000, end_ms))
    assert "Completed" == backfill_once(exchange, database, ["BTCUSDT"], start, end, source="rest").state
    assert slots == len(stored(database, "BTCUSDT"))
    assert is_complete(exchange, database, start, end)


def query_time(time_ms: int) -> str:
    """An ISO time without a zone."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).replace(tzinfo=None).isoformat()


@pytest.mark.parametrize(
    "interval",
    [*("1s", "5m", "1d", "3d", "1M"), *(pytest.param(name, marks=pytest.mark.full) for name in ("1h", "8h", "1w"))],
)
def test_every_kind_of_interval(exchange: StandIn, database: Path, interval: str) -> None:
    """Intervals with daily files, with monthly ones only, and with few klines a month: all are complete, and none that
    still forms is stored."""
    start = {"1s": "2026-01-02T11:30", "5m": "2025-11-28"}.get(interval, "2025-10-01")
    outcome = backfill_once(exchange, database, ["BTCUSDT"], start, "2026-01-02T12:00", interval=interval)
    assert "Completed" == outcome.state
    expected = published(exchange.klines("BTCUSDT", ms(start), NOON, interval))
    assert expected == stored(database, "BTCUSDT", interval)
    assert len(expected) >= 3


@pytest.mark.parametrize(
    "interval", [*("1h", "1d", "1M"), *(pytest.param(name, marks=pytest.mark.full) for name in ("3d", "1w"))]
)
def test_the_archive_alone_for_long_intervals(exchange: StandIn, database: Path, interval: str) -> None:
    """From the archive alone whatever it has is loaded; what it lacks yet stays due, and that is not Completed."""
    outcome = backfill_once(
        exchange, database, ["BTCUSDT"], "2025-10-01", "2026-01-02T12:00", interval=interval, source="archive"
    )
    assert ("Completed" if interval == "1d" else "Degraded") == outcome.state
    whole = published(exchange.klines("BTCUSDT", ms("2025-10-01"), ms("2025-12-01"), interval))
    assert whole == stored(database, "BTCUSDT", interval)[: len(whole)]
    assert set(sources(database)) <= {"monthly", "daily"}


def test_a_backfill_is_judged_by_its_range(exchange: StandIn, database: Path) -> None:
    """That a symbol which trades has had no kline for an hour is nothing to a range that ended before; of one that goes
    on to now it is said. A backfill of 2017 to 2025 was Degraded for it."""
    exchange.late(3_600_000, "BTCUSDT")
    for end, state in (("2026-01-01T01:00", "Completed"), ("2027-01-01", "Degraded")):
        outcome = backfill_once(exchange, database, ["BTCUSDT"], "2026-01-01", end, source="rest")
        is_said = "1 trading without a kline for 5 minutes: BTCUSDT" in outcome.message
        assert (state, state == "Degraded") == (outcome.state, is_said)


def test_the_end_in_the_future_is_now(exchange: StandIn, database: Path) -> None:
    """A kline that still forms is never asked for, nor stored, whatever the end."""
    assert "Completed" == backfill_once(exchange, database, ["BTCUSDT"], "2026-01-02T10:00", "2030-01-01").state
    assert is_complete(exchange, database, "2026-01-02T10:00", "2026-01-02T12:00")
    assert 120 == len(stored(database, "BTCUSDT"))
    assert [] == gaps(database)


@pytest.mark.file
@pytest.mark.parametrize(("start", "end"), [("2025-01-02", "2025-01-01"), ("2025-01-01", "2025-01-01")])
def test_a_start_not_before_the_end_is_refused(exchange: StandIn, database: Path, start: str, end: str) -> None:
    """An empty or backward range is refused before any request, in one line that names both."""
    outcome = backfill_once(exchange, database, ["BTCUSDT"], start, end)
    assert "Failed" == outcome.state
    assert outcome.message.startswith(f"start: {start} 00:00 is not before the end, {end} 00:00")
    assert [] == exchange.requests
    assert not database.exists()


def test_all_in_the_future_is_nothing_to_do(exchange: StandIn, database: Path) -> None:
    """A range of which no kline has closed is done at once."""
    assert "Completed" == backfill_once(exchange, database, ["BTCUSDT"], "2027-01-01", "2028-01-01").state
    assert [] == exchange.kline_requests()


@pytest.mark.file
def test_a_dry_run_does_nothing(exchange: StandIn, database: Path) -> None:
    """The plan costs no file and no page, and leaves no database behind; in one that is there nothing changes."""
    assert "Completed" == backfill_once(exchange, database, ["BTCUSDT"], "2025-12-01", "2026-01-01", dry_run=True).state
    assert ([], False) == (exchange.archive_requests(), database.exists())
    collect_once(exchange, database, ["BTCUSDT"])
    backfill_once(exchange, database, ["BTCUSDT"], "2025-12-01", "2026-01-01", dry_run=True)
    assert [] == gaps(database)


@pytest.mark.file
def test_a_dry_run_says_what_it_could_not_ask(exchange: StandIn, database: Path) -> None:
    """A plan that lacks symbols, as the exchange did not answer for them, or does not know them, says so."""
    exchange.fault("ETHUSDT", "status", status=500)
    exchange.fault("NOPE", "code", code=-1121)
    outcome = backfill_once(
        exchange, database, ["BTCUSDT", "ETHUSDT", "NOPE"], "2025-12-31", "2026-01-01", dry_run=True
    )
    assert "Degraded" == outcome.state
    assert "1 could not be asked about: ETHUSDT (HTTP 500" in outcome.message
    assert "unknown to Binance: NOPE" in outcome.message
    assert not database.exists()


def test_the_archive_alone_with_a_clock_that_is_wrong(exchange: StandIn, database: Path) -> None:
    """Where the exchange can't be asked, this machine's clock is not believed alone either: the archive's answers have
    a Date."""
    exchange.fault(None, "status", status=451, path="time")
    exchange.set_clock(offset_ms=600_000)
    outcome = backfill_once(exchange, database, ["BTCUSDT"], "2025-12-31", "2026-01-01", source="archive")
    assert ("Degraded", 1440) == (outcome.state, len(stored(database, "BTCUSDT")))
    assert "this machine's clock is 10 min behind the Date of the archive's answers" in outcome.message


def test_refresh_finds_restatements(exchange: StandIn, database: Path) -> None:
    """Fetching again what is stored updates what Binance gives differently now, keeps the old value, and leaves equal
    rows, their source and their time alone."""
    backfill_once(exchange, database, ["BTCUSDT"], "2025-12-29", "2026-01-01")
    before = query(database, "SELECT DISTINCT fetched_at FROM klines")
    exchange.restate("BTCUSDT", ms(f"{DAY}T12:00"), close="12.5", low="12.5")
    assert "Completed" == backfill_once(exchange, database, ["BTCUSDT"], "2025-12-29", "2026-01-01").state
    assert [] == query(database, "FROM restatements")
    outcome = backfill_once(exchange, database, ["BTCUSDT"], "2025-12-29", "2026-01-01", refresh=True)
    assert "stored 0 klines" in outcome.message
    assert "1 restated" in outcome.message
    assert is_complete(exchange, database, "2025-12-29", "2026-01-01")
    assert [(12.5,)] == query(database, "SELECT (new->>'close')::DOUBLE FROM restatements")
    assert before == query(database, "SELECT DISTINCT fetched_at FROM klines")
    assert [] == gaps(database)


def test_one_symbol_that_fails_leaves_the_others(exchange: StandIn, database: Path) -> None:
    """A failed part leaves the rest stored, `Degraded` names it, what it owes stays due, and the next run heals it."""
    exchange.fault("ETHUSDT", "status", status=500)
    outcome = backfill_once(exchange, database, ["BTCUSDT", "ETHUSDT"], "2026-01-01T00:00", "2026-01-02T10:00")
    assert "Degraded" == outcome.state
    assert "1 failed: ETHUSDT" in outcome.message
    assert is_complete(exchange, database, "2026-01-01", "2026-01-02T10:00")
    assert [("2026-01-01 00:00", "2026-01-02 10:00", "due")] == gaps(database, "ETHUSDT")
    exchange.clear()
    assert "Completed" == backfill_once(exchange, database, ["ETHUSDT"], "2026-01-01", "2026-01-02T10:00").state
    assert is_complete(exchange, database, "2026-01-01", "2026-01-02T10:00", "ETHUSDT")


@pytest.mark.parametrize(("status", "state"), [(451, "Blocked"), (403, "Blocked"), (418, "RateLimited")])
def test_an_exchange_that_stops_us(exchange: StandIn, database: Path, status: int, state: str) -> None:
    """A block or ban in the middle ends the run with that state; the rest is due, and anybody's."""
    exchange.fault("ETHUSDT", "status", status=status)
    outcome = backfill_once(exchange, database, ["BTCUSDT", "ETHUSDT"], "2025-12-31", "2026-01-02T10:00")
    assert state == outcome.state
    assert set() == {reason for *_, reason in gaps(database, "ETHUSDT")} - {"due"}


def test_the_archive_serves_where_the_exchange_does_not(exchange: StandIn, database: Path) -> None:
    """From the archive alone a blocked place is no hindrance; the message says that nothing was cross-checked."""
    exchange.fault(None, "status", status=451, path="time")
    exchange.set_clock()
    outcome = backfill_once(exchange, database, ["BTCUSDT"], "2025-12-29", "2026-01-01", source="archive")
    assert "Completed" == outcome.state
    assert "3 of them not checked against 1d klines (HTTP 451" in outcome.message
    assert {"daily": 4320} == sources(database)
    assert [(3, 0)] == query(database, "SELECT count(*), count(verified_at) FROM archive_files")


def test_collect_leaves_a_running_backfill_its_work(exchange: StandIn, database: Path) -> None:
    """What a backfill has noted as due is not asked for by the minute while it works, and is once it has ended."""
    settings = Settings(database=database, spot_url=exchange.url, archive_url=exchange.url)
    start, end = datetime(2026, 1, 2), datetime(2026, 1, 2, 6)
    with Backfill(settings, BackfillJob.of(settings, ["BTCUSDT"], start, end, source="rest")) as run:
        run.health()
        run.plan()
        assert "Completed" == collect_once(exchange, database, ["BTCUSDT"]).state
        assert [("2026-01-02 00:00", "2026-01-02 06:00", "due")] == gaps(database)[:1]
        assert [] == [row for row in stored(database, "BTCUSDT") if row[0] < ms("2026-01-02T06:00")]
    assert "Completed" == collect_once(exchange, database, ["BTCUSDT"]).state
    asked = [row for row in stored(database, "BTCUSDT") if row[0] < ms("2026-01-02T06:00")]
    assert published(exchange.klines("BTCUSDT", ms("2026-01-02"), ms("2026-01-02T06:00"))) == asked
