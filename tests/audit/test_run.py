"""An audit: what is missing is found, repaired, and of the rest the ledger says truthfully why it is not there."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from klines.window import Window
from tests.drive import (
    MINUTE,
    NOON,
    PATIENCE_S,
    at,
    audit_once,
    backfill_once,
    collect_once,
    ms,
    published,
    query,
    stored,
    want_on,
)
from tests.exchange import Request, StandIn
from tests.exchange.market import DAY_MS, HOUR_MS

SINCE = date(2026, 1, 1)
START = ms("2026-01-01")


def reasons(database: Path, symbol: str = "BTCUSDT") -> list[tuple[str, str, str]]:
    """The ledger of a symbol, to the minute."""
    return query(
        database,
        f"""SELECT strftime(start_time, '%m-%d %H:%M'), strftime(end_time, '%m-%d %H:%M'), reason FROM gaps
            WHERE symbol = '{symbol}' ORDER BY start_time""",
    )


def certified(database: Path) -> list[tuple[Any, ...]]:
    """Expected, stored, unexplained and share of each series."""
    return query(database, "SELECT symbol, expected, stored, unexplained, percent_complete FROM certificate ORDER BY 1")


def is_complete(exchange: StandIn, database: Path, symbol: str = "BTCUSDT", start_ms: int = START) -> bool:
    """Whether all that the exchange has since then is stored, value by value."""
    return published(exchange.klines(symbol, start_ms, NOON)) == stored(database, symbol)


def test_our_own_downtime_is_repaired(exchange: StandIn, database: Path) -> None:
    """What is missing since KLINES_SINCE is fetched, whatever it was: before the first row, between, a whole day."""
    collect_once(exchange, database, ["BTCUSDT", "ETHUSDT"])
    outcome = audit_once(exchange, database, since=SINCE)
    assert "Completed" == outcome.state
    assert "of 4,320 klines 4,320 are stored, 0 explained, 0 unexplained" in outcome.message
    assert is_complete(exchange, database)
    assert is_complete(exchange, database, "ETHUSDT")
    assert [("BTCUSDT", 2160, 2160, 0, 100.0), ("ETHUSDT", 2160, 2160, 0, 100.0)] == certified(database)
    assert [] == query(database, "FROM gaps")


def test_what_is_wanted_is_audited_and_no_more(exchange: StandIn, database: Path) -> None:
    """After a backfill of two days of a symbol that is collected these and the present are audited and certified, each
    as a range; a dry run says what that costs and leaves no trace; what lies between is said, with its cost and a
    command, and not fetched. That was 2.9 million klines."""
    backfill_once(exchange, database, ["BTCUSDT"], "2025-11-01", "2025-11-03")
    collect_once(exchange, database, ["BTCUSDT"])
    query(database, "DELETE FROM klines WHERE open_time = '2025-11-02 07:00'")
    exchange.forget()
    planned = audit_once(exchange, database, dry_run=True)
    assert "spot 1m: planned 1 kline of 1 symbol: 0 monthly and 0 daily files" in planned.message
    assert "lie between what is wanted" in planned.message
    assert [(0, 0)] == query(database, "SELECT (SELECT count(*) FROM audits), (SELECT count(*) FROM gaps)")
    outcome = audit_once(exchange, database)
    assert ("Completed", True) == (outcome.state, "of 2,910 klines 2,910 are stored" in outcome.message)
    assert "; 1 kline fetched; " in outcome.message
    assert (
        "87,087 klines of 1 symbol lie between what is wanted (2 monthly and 1 daily files, about 4 MB, weight 4"
        in (outcome.message)
    )
    said = "and were not fetched: `klines wanted BTCUSDT --add --start 2025-11-03 --end 2026-01-02T11:27` wants them"
    assert said in outcome.message
    assert [("BTCUSDT", 30, 30, 0, 100.0), ("BTCUSDT", 2880, 2880, 0, 100.0)] == sorted(certified(database))
    missing = query(database, "SELECT count(*) FROM klines WHERE open_time > '2025-11-03' AND open_time < '2026-01-01'")
    assert ([(0,)], []) == (missing, reasons(database))


def test_an_outage_over_many_symbols_with_ragged_edges(exchange: StandIn, database: Path, full: bool) -> None:
    """Many symbols that stop and begin again within minutes of each other: an outage of the exchange, for each of them
    to its own minute; one that stops at another time is a hole of its own."""
    symbols = [f"S{n:02}USDT" for n in range(40 if full else 12)]
    for n, symbol in enumerate(symbols):
        exchange.hole(START + 3 * HOUR_MS + n % 3 * MINUTE, START + 5 * HOUR_MS - n % 2 * MINUTE, symbol)
    exchange.hole(START + 8 * HOUR_MS, START + 8 * HOUR_MS + 7 * MINUTE, "S07USDT")
    collect_once(exchange, database, symbols)
    outcome = audit_once(exchange, database, since=SINCE)
    assert "Completed" == outcome.state
    assert "0 unexplained" in outcome.message
    for n, symbol in enumerate(symbols):
        own = [("01-01 08:00", "01-01 08:07", "exchange_hole")] if n == 7 else []
        assert [(f"01-01 03:0{n % 3}", "01-01 04:59" if n % 2 else "01-01 05:00", "exchange_outage"), *own] == reasons(
            database, symbol
        )
        assert is_complete(exchange, database, symbol)


def test_one_symbols_own_hole(exchange: StandIn, database: Path) -> None:
    """Where the large symbols have klines, it is a hole of that symbol, and not an outage."""
    exchange.hole(START + 3 * HOUR_MS, START + 4 * HOUR_MS, "ADAUSDT")
    collect_once(exchange, database, ["ADAUSDT", "BTCUSDT"])
    audit_once(exchange, database, since=SINCE)
    assert [("01-01 03:00", "01-01 04:00", "exchange_hole")] == reasons(database, "ADAUSDT")
    assert [] == reasons(database)


def test_a_one_symbol_database(exchange: StandIn, database: Path) -> None:
    """Witnesses that are not stored are asked for that window, so that an outage is one in a one-symbol database."""
    exchange.hole(START + 3 * HOUR_MS, START + 4 * HOUR_MS)
    collect_once(exchange, database, ["ADAUSDT"])
    audit_once(exchange, database, since=SINCE)
    assert [("01-01 03:00", "01-01 04:00", "exchange_outage")] == reasons(database, "ADAUSDT")
    assert [("ADAUSDT",)] == query(database, "SELECT DISTINCT symbol FROM klines")


def test_fewer_than_three_witnesses(database: Path) -> None:
    """On an exchange of two symbols there is nobody to tell an outage from a hole: it is called a hole."""
    with StandIn(["ADAUSDT", "BTCUSDT"]) as exchange:
        exchange.freeze(NOON + 5_000)
        exchange.hole(START + 3 * HOUR_MS, START + 4 * HOUR_MS)
        collect_once(exchange, database, ["ADAUSDT"])
        audit_once(exchange, database, since=SINCE)
    assert [("01-01 03:00", "01-01 04:00", "exchange_hole")] == reasons(database, "ADAUSDT")


def test_our_downtime_during_the_exchanges_outage(exchange: StandIn, database: Path) -> None:
    """We were down from 02:00 to 06:00, the exchange from 03:00 to 05:00: ours is repaired, its own remains."""
    exchange.hole(START + 3 * HOUR_MS, START + 5 * HOUR_MS)
    for start, end in (("2026-01-01T00:00", "2026-01-01T02:00"), ("2026-01-01T06:00", "2026-01-02T12:00")):
        backfill_once(exchange, database, ["BTCUSDT", "ETHUSDT"], start, end, source="rest")
    want_on(database)
    audit_once(exchange, database)
    assert [("01-01 03:00", "01-01 05:00", "exchange_outage")] == reasons(database)
    assert is_complete(exchange, database)


def test_a_listing_in_the_middle(exchange: StandIn, database: Path) -> None:
    """Before the first kline a symbol was not listed, settled at once."""
    exchange.list("NEWUSDT", since_ms=START + 10 * HOUR_MS)
    collect_once(exchange, database, ["NEWUSDT"])
    audit_once(exchange, database, since=SINCE)
    assert [("01-01 00:00", "01-01 10:00", "not_listed")] == reasons(database, "NEWUSDT")
    assert [(None,)] == query(database, "SELECT next_check FROM gaps")
    assert [("NEWUSDT", 2160, 1560, 0, 100.0)] == certified(database)


def test_delisting_and_relisting(exchange: StandIn, database: Path) -> None:
    """After the last trading time a symbol is delisted, open-ended, and looked at daily; when it trades again, all that
    it has is stored, and what was between is a hole."""
    exchange.list("OLDUSDT", until_ms=START + 20 * HOUR_MS)
    backfill_once(exchange, database, ["OLDUSDT"], "2026-01-01T00:00", "2026-01-01T10:00")
    want_on(database)
    audit_once(exchange, database)
    assert [("01-01 20:00", "12-31 00:00", "delisted")] == reasons(database, "OLDUSDT")
    assert [(NOON + DAY_MS) // DAY_MS] == [
        t[0] // DAY_MS for t in query(database, "SELECT epoch_ms(next_check) FROM gaps")
    ]
    assert [("OLDUSDT", 2160, 1200, 0, 100.0)] == certified(database)
    exchange.forget()
    audit_once(exchange, database)
    assert [] == exchange.kline_requests("OLDUSDT")

    exchange.list("OLDUSDT")
    exchange.hole(START + 20 * HOUR_MS, NOON, "OLDUSDT")
    exchange.freeze(NOON + 2 * DAY_MS + 5_000)
    audit_once(exchange, database)
    assert [("01-01 20:00", "01-02 12:00", "exchange_hole")] == reasons(database, "OLDUSDT")
    assert published(exchange.klines("OLDUSDT", START, NOON + 2 * DAY_MS)) == stored(database, "OLDUSDT")


def test_a_symbol_that_is_listed_no_more(exchange: StandIn, database: Path) -> None:
    """An ended symbol that exchangeInfo does not list is looked at weekly."""
    backfill_once(exchange, database, ["GONEUSDT"], "2026-01-01T00:00", "2026-01-01T10:00")
    want_on(database)
    exchange.hole(START + 10 * HOUR_MS, NOON + DAY_MS, "GONEUSDT")
    audit_once(exchange, database)
    [(reason, next_check_ms)] = query(database, "SELECT reason, epoch_ms(next_check) FROM gaps")
    assert "delisted" == reason
    assert NOON + 7 * DAY_MS <= next_check_ms < NOON + 7 * DAY_MS + HOUR_MS


def test_an_exchange_info_without_symbols_ends_none(database: Path) -> None:
    """Where exchangeInfo lists no symbol at all, none is delisted for that: the audit says that nobody could say."""
    with StandIn([], any_symbol=True) as exchange:
        exchange.freeze(NOON + 5_000)
        backfill_once(exchange, database, ["GONEUSDT"], "2026-01-02T00:00", "2026-01-02T10:00", source="rest")
        want_on(database)
        exchange.hole(NOON - 2 * HOUR_MS, NOON + DAY_MS, "GONEUSDT")
        outcome = audit_once(exchange, database)
    assert ("Degraded", True) == (outcome.state, "exchangeInfo lists no symbol" in outcome.message)
    assert {"delisted"} != {reason for *_, reason in reasons(database, "GONEUSDT")}


@pytest.mark.parametrize("hours", [2, 30])
def test_phantom_klines_after_the_end(exchange: StandIn, database: Path, hours: int) -> None:
    """Futures that trade no more go on with empty klines: they end with their last trade, and none after it is stored,
    be it within the last page or long ago."""
    ended = NOON - hours * HOUR_MS
    exchange.list("DEADUSDT", since_ms=START - 30 * DAY_MS, until_ms=ended, phantom=True)
    assert 0 == exchange.klines("DEADUSDT", ended, ended + MINUTE, market="usdm")[0][8]
    start = f"{date.fromtimestamp((ended - 5 * HOUR_MS) / 1000)}T00:00"
    backfill_once(exchange, database, ["DEADUSDT"], start, "2026-01-02T12:00", market="usdm")
    assert "Completed" == audit_once(exchange, database).state
    last_ms = stored(database, "DEADUSDT")[-1][0]
    assert ended - 60 * MINUTE < last_ms < ended
    assert [("delisted", last_ms + MINUTE)] == query(database, "SELECT reason, epoch_ms(start_time) FROM gaps")
    assert published(exchange.klines("DEADUSDT", ms(start), last_ms + MINUTE, market="usdm")) == stored(
        database, "DEADUSDT"
    )


def test_a_gap_that_fills_by_itself(exchange: StandIn, database: Path) -> None:
    """A hole is looked at again after an hour and after a day; what is there then is stored, and nothing is missing."""
    collect_once(exchange, database, ["ADAUSDT"])
    exchange.place("ADAUSDT-1m-2026-01-01", None)
    exchange.hole(START + 3 * HOUR_MS, START + 4 * HOUR_MS, "ADAUSDT")
    audit_once(exchange, database, since=SINCE)
    assert [("exchange_hole", False)] == query(database, "SELECT reason, next_check IS NULL FROM gaps")
    exchange.unhole()
    audit_once(exchange, database, since=SINCE)
    assert 1 == len(reasons(database, "ADAUSDT"))
    exchange.freeze(NOON + DAY_MS + HOUR_MS)
    assert "Completed" == audit_once(exchange, database, since=SINCE).state
    assert [] == reasons(database, "ADAUSDT")
    assert 1440 == sum(START <= row[0] < START + DAY_MS for row in stored(database, "ADAUSDT"))


def asked_for(exchange: StandIn, hole: Window, symbol: str = "ADAUSDT") -> list[Request]:
    """The requests of 1m klines whose range holds anything of a window."""
    asked = [r for r in exchange.kline_requests(symbol) if r.params["interval"] == "1m" and "startTime" in r.params]
    return [r for r in asked if int(r.params["startTime"]) < hole.end_ms and hole.start_ms <= int(r.params["endTime"])]


def test_three_empty_answers_settle_a_gap(exchange: StandIn, database: Path) -> None:
    """A hole between present neighbours is settled by its third empty answer; nothing asks for it then, but force."""
    exchange.hole(START + 3 * HOUR_MS, START + 4 * HOUR_MS, "ADAUSDT")
    collect_once(exchange, database, ["ADAUSDT"])
    attempts = []
    for day in range(3):
        exchange.freeze(NOON + day * 2 * DAY_MS + 5_000)
        audit_once(exchange, database, since=SINCE)
        attempts += query(database, "SELECT attempts, next_check IS NULL FROM gaps")
    assert [(2, False), (3, True), (3, True)] == attempts
    exchange.forget()
    audit_once(exchange, database, since=SINCE)
    collect_once(exchange, database, ["ADAUSDT"])
    backfill_once(exchange, database, ["ADAUSDT"], "2026-01-01", "2026-01-02", refresh=True, source="rest")
    assert [] == asked_for(exchange, Window(START + 3 * HOUR_MS, START + 4 * HOUR_MS))
    audit_once(exchange, database, since=SINCE, force=True)
    assert [] != asked_for(exchange, Window(START + 3 * HOUR_MS, START + 4 * HOUR_MS))
    assert [(4, True)] == query(database, "SELECT attempts, next_check IS NULL FROM gaps")


@pytest.mark.parametrize(
    "kind", [*("hang", "empty"), *(pytest.param(kind, marks=pytest.mark.full) for kind in ("reset", "object"))]
)
def test_a_week_of_failed_checks_settles_nothing(exchange: StandIn, database: Path, kind: str) -> None:
    """Only an answer with the row before and the row after counts: a week without one leaves the gap unexplained."""
    exchange.hole(START + 3 * HOUR_MS, START + 4 * HOUR_MS, "ADAUSDT")
    backfill_once(exchange, database, ["ADAUSDT"], "2026-01-01T00:00", "2026-01-02T12:00", source="rest")
    before = query(database, "SELECT reason, attempts FROM gaps")
    assert [("unresolved", 1)] == before
    exchange.fault("ADAUSDT", kind)
    patience_s = 0.2 if kind == "hang" else PATIENCE_S
    for day in (0, 2, 7):
        exchange.freeze(NOON + day * DAY_MS + 5_000)
        audit_once(exchange, database, request_timeout_s=patience_s, end_ms=NOON)
        assert ("unresolved", 1) == query(database, "SELECT reason, attempts FROM gaps ORDER BY start_time")[0]


def test_without_repair_it_only_says(exchange: StandIn, database: Path) -> None:
    """Without repair nothing is fetched: what is missing is due, and the message counts it."""
    collect_once(exchange, database, ["BTCUSDT"])
    outcome = audit_once(exchange, database, since=SINCE, repair=False)
    assert "2,130 unexplained" in outcome.message
    assert [("01-01 00:00", "01-02 11:30", "due")] == reasons(database)
    assert 30 == len(stored(database, "BTCUSDT"))


def change(exchange: StandIn, database: Path, minute: int, **values: str) -> None:
    """Store a day by REST, and change one of its values in the file."""
    backfill_once(exchange, database, ["BTCUSDT"], "2026-01-01T00:00", "2026-01-02T12:00", source="rest")
    sets = ", ".join(f"{name} = {value}" for name, value in values.items())
    query(database, f"UPDATE klines SET {sets} WHERE open_time = epoch_ms({START + minute * MINUTE}::BIGINT)")


def test_live_rows_that_agree_with_the_archive(exchange: StandIn, database: Path) -> None:
    """Equal rows keep their source and time, and the file is noted as verified."""
    backfill_once(exchange, database, ["BTCUSDT"], "2026-01-01T00:00", "2026-01-02T12:00", source="rest")
    before = query(database, "FROM klines ORDER BY open_time")
    outcome = audit_once(exchange, database)
    assert "1 daily file agrees with what was collected live" in outcome.message
    assert before == query(database, "FROM klines ORDER BY open_time")
    assert [(1440, True)] == query(database, "SELECT rows, verified_at IS NOT NULL FROM archive_files")
    exchange.forget()
    audit_once(exchange, database)
    assert [".CHECKSUM"] == [request.path[-9:] for request in exchange.archive_requests()]


def test_a_restated_row(exchange: StandIn, database: Path) -> None:
    """Archive and REST agree on another value than the stored one: they win, and the old value is kept."""
    change(exchange, database, 100, close="12.5", low="12.5")
    outcome = audit_once(exchange, database)
    assert "1 kline corrected" in outcome.message
    assert is_complete(exchange, database)
    assert [(12.5,)] == query(database, "SELECT (old->>'close')::DOUBLE FROM restatements")


def test_an_archive_that_is_wrong_where_rest_is_right(exchange: StandIn, database: Path) -> None:
    """Stored and REST agree against the archive: nothing changes, and the file is named and not verified."""
    exchange.misprint("BTCUSDT-1m-2026-01-01", lambda rows: [[*rows[0][:5], "77.0", *rows[0][6:]], *rows[1:]])
    backfill_once(exchange, database, ["BTCUSDT"], "2026-01-01T00:00", "2026-01-02T12:00", source="rest")
    outcome = audit_once(exchange, database)
    assert "disputed" not in outcome.message
    said = "1 file with klines that REST does not confirm, not taken: BTCUSDT-1m-2026-01-01.zip (1 kline)"
    assert said in outcome.message
    assert is_complete(exchange, database)
    assert [(False,)] == query(database, "SELECT verified_at IS NOT NULL FROM archive_files")


@pytest.mark.parametrize(
    "kind",
    [
        *("wrong_checksum", "corrupt_zip"),
        *(pytest.param(kind, marks=pytest.mark.full) for kind in ("no_checksum", "odd_member")),
    ],
)
def test_a_file_that_is_refused_is_named(exchange: StandIn, database: Path, kind: str) -> None:
    """Whether it was to repair or to compare with: the message has each file with its reason, and how many klines were
    fetched; what is missing comes from elsewhere."""
    collect_once(exchange, database, ["BTCUSDT"])
    exchange.spoil("BTCUSDT-1m-2026-01-01", kind)
    outcome = audit_once(exchange, database, since=SINCE)
    assert "Completed" == outcome.state
    assert "2,130 klines fetched" in outcome.message
    assert "1 file that could not be used, or only in part: BTCUSDT-1m-2026-01-01.zip (daily): it" in outcome.message
    assert "1 file not compared: BTCUSDT-1m-2026-01-01.zip: it" in outcome.message


def test_a_file_whose_rows_are_refused_agrees_with_nothing(exchange: StandIn, database: Path) -> None:
    """A daily file of which rows are no klines is named with its reason, and is neither said to agree nor verified."""
    exchange.misprint("BTCUSDT-1m-2026-01-01", lambda rows: [row[:10] for row in rows])
    backfill_once(exchange, database, ["BTCUSDT"], "2026-01-01T00:00", "2026-01-02T12:00", source="rest")
    outcome = audit_once(exchange, database)
    refused = "BTCUSDT-1m-2026-01-01.zip: 1,440 of its rows are no klines: 10 fields instead of 12"
    assert f"1 file not compared: {refused}" in outcome.message
    assert "agree with what was collected live" not in outcome.message
    assert [(False,)] == query(database, "SELECT verified_at IS NOT NULL FROM archive_files")
    assert is_complete(exchange, database)


def test_what_nobody_could_explain_is_not_completed(exchange: StandIn, database: Path) -> None:
    """An audit that leaves klines neither stored nor explained says of which symbols, and how many; what closed just
    now is only late."""
    collect_once(exchange, database, ["BTCUSDT", "ETHUSDT"])
    outcome = audit_once(exchange, database, since=SINCE, repair=False)
    assert "Degraded" == outcome.state
    assert "nobody could say why these are missing: BTCUSDT 2,130, ETHUSDT 2,130." in outcome.message
    assert "Completed" == audit_once(exchange, database, since=SINCE).state
    exchange.freeze(NOON + 4 * MINUTE)
    exchange.late(3 * MINUTE)
    assert "Completed" == audit_once(exchange, database, since=SINCE).state


def test_three_sources_that_all_differ(exchange: StandIn, database: Path) -> None:
    """Where no two agree the stored value stays, and the minute is reported as disputed."""
    change(exchange, database, 0, volume="12.5")
    exchange.misprint("BTCUSDT-1m-2026-01-01", lambda rows: [[*rows[0][:5], "77.0", *rows[0][6:]], *rows[1:]])
    outcome = audit_once(exchange, database)
    assert "1 disputed, kept as stored: BTCUSDT 2026-01-01 00:00" in outcome.message
    assert 12.5 == stored(database, "BTCUSDT")[0][5]
    assert [] == query(database, "FROM restatements")


def test_a_file_that_was_uploaded_again(exchange: StandIn, database: Path) -> None:
    """A changed checksum brings the file under comparison again, and with REST on its side it wins."""
    backfill_once(exchange, database, ["BTCUSDT"], "2026-01-01T00:00", "2026-01-02T12:00", source="rest")
    audit_once(exchange, database)
    exchange.restate("BTCUSDT", START, volume="77.00000000")
    outcome = audit_once(exchange, database)
    assert "1 kline corrected" in outcome.message
    assert is_complete(exchange, database)


def test_what_the_archive_has_besides_is_stored_only_where_it_is_wanted(exchange: StandIn, database: Path) -> None:
    """Of a day of which half is wanted the other half is not stored, although archive and REST agree on it: that were
    82,800 klines of 1s; the file is noted as verified."""
    collect_once(exchange, database, ["BTCUSDT"], lookback=timedelta(days=1))
    outcome = audit_once(exchange, database)
    assert ("Completed", False) == (outcome.state, "more kline" in outcome.message)
    assert [(True,)] == query(database, "SELECT verified_at IS NOT NULL FROM archive_files")
    assert [(True, 720)] == query(
        database,
        "SELECT min(open_time) = (SELECT min(since) FROM wanted), count(*) FILTER (day(open_time) = 1) FROM klines",
    )


def test_rows_that_the_archive_lacks_stay(exchange: StandIn, database: Path) -> None:
    """A file that lacks minutes takes none away."""
    exchange.misprint("BTCUSDT-1m-2026-01-01", lambda rows: rows[60:])
    backfill_once(exchange, database, ["BTCUSDT"], "2026-01-01T00:00", "2026-01-02T12:00", source="rest")
    audit_once(exchange, database)
    assert is_complete(exchange, database)


def test_the_certificate_of_two_machines(exchange: StandIn, ready: Callable[[str], Path]) -> None:
    """The same rows have the same hash, in whatever order and from whichever source they came; one other value has
    another."""
    hashes = []
    for name, source in (("a", "rest"), ("b", "archive"), ("c", "auto")):
        database = ready(name)
        backfill_once(exchange, database, ["BTCUSDT"], "2026-01-01T00:00", "2026-01-02T00:00", source=source)
        if name == "c":
            query(database, "UPDATE klines SET volume = volume + 1e-8 WHERE open_time = '2026-01-01 10:00'")
        audit_once(exchange, database, end_ms=START + DAY_MS, repair=False)
        hashes += query(database, "SELECT hash, stored FROM certificate")
    assert hashes[0] == hashes[1] != hashes[2]
    assert 32 == len(hashes[0][0])


def test_findings(exchange: StandIn, database: Path) -> None:
    """What looks wrong is said, with the days that were looked at, and examples, and never changed."""
    change(exchange, database, 5, high="0.5", trades="0")
    query(
        database,
        f"UPDATE klines SET close_time = close_time - INTERVAL 30 SECOND WHERE open_time = epoch_ms({at(-60)}::BIGINT)",
    )
    query(database, f"INSERT INTO klines SELECT * FROM klines WHERE open_time = epoch_ms({at(-50)}::BIGINT)")
    before = query(database, "SELECT count(*) FROM klines")
    message, days = audit_once(exchange, database, repair=False).message, "2025-12-31 to 2026-01-02"
    assert f"1 × two rows in a slot in {days}: BTCUSDT 1m 2026-01-02 11:10 (2 rows)" in message
    assert f"1 × high or low between open and close in {days}: BTCUSDT 1m 2026-01-01 00:05" in message
    assert f"1 × closed early in {days}: BTCUSDT 1m 2026-01-02 11:00 (lasted 30000 ms)" in message
    assert before == query(database, "SELECT count(*) FROM klines")


def test_every_market_and_interval(exchange: StandIn, database: Path) -> None:
    """Everything stored is audited, each market and interval by itself."""
    exchange.hole(START + 3 * HOUR_MS, START + 7 * HOUR_MS)
    collect_once(exchange, database, ["BTCUSDT"])
    collect_once(exchange, database, ["BTCUSDT"], market="usdm", interval="5m")
    collect_once(exchange, database, ["BTCUSD_PERP"], market="coinm", interval="1h")
    outcome = audit_once(exchange, database, since=SINCE)
    assert "Completed" == outcome.state
    assert "audited 3 series" in outcome.message
    rows = query(
        database, "SELECT market, interval, expected, stored, exchange_outage, unexplained FROM certificate ORDER BY 1"
    )
    assert [("coinm", "1h", 36, 32, 4, 0), ("spot", "1m", 2160, 1920, 240, 0), ("usdm", "5m", 432, 384, 48, 0)] == rows
