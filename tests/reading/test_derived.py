"""Klines that are derived from shorter ones are the exchange's own, or they are not there."""

from __future__ import annotations

import io
import json
import math
import shutil
import tarfile
import time
import zipfile
from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

import klines
from klines.errors import NotStored
from klines.interval import INTERVALS
from klines.reading.parameters import interval_named
from klines.storage.database import opened
from klines.tables.counts import count_month
from klines.tables.ends import newest, note_ends
from klines.tables.hours import make_hours, note_hours_to_make
from tests.backfill.test_recorded import FOLDER, rest_rows
from tests.drive import MINUTE, NOON, audit_once, backfill_once, collect_once, ms, query, recorded, want_on
from tests.exchange import StandIn
from tests.exchange.market import HOUR_MS

LISTED, OUTAGE, NOW = "2025-12-03T03:17", ("2025-12-20T05:10", "2025-12-20T17:33"), "2026-01-05T00:00:05"
SINCE = "2025-12-01"
LONGER = [name for name in INTERVALS if name not in ("1s", "1m")]
EXACT = ("open_time", "open", "high", "low", "close", "close_time", "trades")
SUMS = ("volume", "quote_volume", "taker_buy_volume", "taker_buy_quote_volume")


@pytest.fixture(scope="module")
def exchange_with_history() -> Any:
    """One listing in the middle of a day, and an outage of half a day, over the turn of months and years."""
    with StandIn(any_symbol=True) as exchange:
        exchange.list("ETHUSDT", since_ms=ms(LISTED))
        exchange.hole(ms(OUTAGE[0]), ms(OUTAGE[1]))
        exchange.freeze(ms(NOW))
        yield exchange


@pytest.fixture(scope="module")
def minutes(exchange_with_history: StandIn, empty: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five weeks of 1m of two symbols, audited; and a 3d kline of another, which shows their phase."""
    database = Path(shutil.copy(empty, tmp_path_factory.mktemp("minutes") / "klines.duckdb"))
    with duckdb.connect(str(database)):  # whoever opens it meanwhile need not read it
        backfill_once(exchange_with_history, database, ["BTCUSDT", "ETHUSDT"], SINCE, NOW)
        collect_once(exchange_with_history, database, ["SOLUSDT"], interval="3d", lookback=timedelta(days=10))
        audit_once(exchange_with_history, database, since=date.fromisoformat(SINCE))
    return database


def differences(expected: Sequence[Sequence[Any]], actual: pl.DataFrame) -> list[str]:
    """What is not the same, to the last digit; of frames with doubles sums to 1e-12."""
    if len(expected) != actual.height:
        return [f"{len(expected)} klines expected, there are {actual.height}"]
    agree = _is_same if actual.schema["volume"].is_decimal() else _is_close
    texts = pl.col(pl.Decimal, pl.Float64).cast(pl.String)  # within polars: in Python they cost more than all the rest
    times = pl.col("open_time", "close_time").dt.epoch("ms")
    rows = actual.select(*EXACT, *SUMS).with_columns(texts, times).rows()
    found = []
    for want, have in zip(expected, rows, strict=True):
        whole = (want[0], want[6], want[8]) == (have[0], *have[5:7])
        prices = all(map(_is_same, want[1:5], have[1:5]))
        is_same = whole and prices and all(map(agree, [want[i] for i in (5, 7, 9, 10)], have[7:]))
        found += [] if is_same else [f"{want} is not {have}"]
    return found


def _is_same(want: str, have: str) -> bool:
    return want == have or Decimal(want) == Decimal(have)


def _is_close(want: str, have: str) -> bool:
    return math.isclose(float(want), float(have), rel_tol=1e-12)


@pytest.mark.parametrize("interval", LONGER)
def test_every_interval_is_the_exchanges_own(exchange_with_history: StandIn, minutes: Path, interval: str) -> None:
    """Over a listing and an outage all klines of all intervals that lie whole in what is stored are the exchange's, on
    its boundaries; none is missing, none too many, and the one that still forms is not there."""
    start_ms = INTERVALS[interval].ceil(ms(SINCE))
    if interval == "3d":
        [(start_ms,)] = query(
            minutes,
            f"""SELECT min(epoch_ms(open_time)) - (min(epoch_ms(open_time)) - {ms(SINCE)}) // 259200000 * 259200000
                FROM klines WHERE interval = '3d'""",
        )
    found = klines.read(["BTCUSDT", "ETHUSDT"], interval=interval, exact=True, database=minutes)
    for symbol in ("BTCUSDT", "ETHUSDT"):
        expected = exchange_with_history.klines(symbol, start_ms, ms(NOW), interval)
        assert [] == differences(expected, found.filter(symbol=symbol))
    assert {"1m"} == set(found["source"])


@pytest.mark.parametrize("interval", ["45m", "36h", "2w"])
def test_multiples_that_the_exchange_has_not(exchange_with_history: StandIn, minutes: Path, interval: str) -> None:
    """A multiple's klines lie on its own grid, follow each other, and have all the trades of their minutes."""
    actual = klines.read("BTCUSDT", SINCE, "2026-01-05", interval=interval, database=minutes)
    length_ms = interval_named(interval).length_ms
    first_ms, last_ms = (actual["open_time"].dt.epoch("ms")[i] for i in (0, -1))
    parts = exchange_with_history.klines("BTCUSDT", first_ms, last_ms + length_ms)
    assert sum(row[8] for row in parts) == actual["trades"].sum()
    assert max(float(row[2]) for row in parts) == actual["high"].max()
    assert {0} == set((actual["open_time"].dt.epoch("ms") - first_ms) % length_ms)


def test_many_symbols(exchange: StandIn, database: Path) -> None:
    """Of many symbols come the same klines as of each alone, and none of those between that are not asked for, be
    they none, few, many or most of what maintenance saw."""
    asked, beside = ([f"A{n:02}{end}" for n in range(40) for end in ends] for ends in (["USDT"], ["XUSDT", "YUSDT"]))
    for some in (asked, beside[:2], beside[2:20], beside[20:]):
        collect_once(exchange, database, some)
        with opened(database, time.monotonic() + 10) as connection:
            note_ends(connection, newest(connection, whole=True), NOON)
        found = klines.read(asked, interval="5m", database=database)
        assert asked == found["symbol"].unique(maintain_order=True).to_list()
        for symbol in asked[::20]:
            assert klines.read(symbol, interval="5m", database=database).equals(found.filter(symbol=symbol))


@pytest.mark.parametrize("symbol", ["SLOTUSDT", "KEYSBEGINUSDT"])
def test_symbols_are_names_and_no_sql(exchange: StandIn, database: Path, symbol: str) -> None:
    """A symbol that holds a word of which our statement is made is read as any other, alone and beside another."""
    collect_once(exchange, database, [symbol, "BTCUSDT"])
    alone = klines.read(symbol, interval="5m", database=database)
    assert 6 == alone.height
    assert alone.equals(klines.read([symbol, "BTCUSDT"], interval="5m", database=database).filter(symbol=symbol))


def test_a_kline_with_an_unexplained_hole_is_left_out(exchange: StandIn, database: Path) -> None:
    """Minutes that we never fetched, and an outage that nobody has looked into, leave their hours out; an audit brings
    them back: ours repaired, the exchange's as it has them."""
    exchange.hole(ms("2026-01-01T04:10"), ms("2026-01-01T05:20"))
    for start, end in (("2026-01-01", "2026-01-01T02:30"), ("2026-01-01T02:31", "2026-01-01T09:30")):
        backfill_once(exchange, database, ["BTCUSDT"], start, end, source="rest")
    before = klines.read("BTCUSDT", interval="1h", database=database)
    want_on(database)
    audit_once(exchange, database)
    after = klines.read("BTCUSDT", interval="1h", database=database)
    assert [0, 1, 3, 6, 7, 8] == before["open_time"].dt.hour().to_list()
    start_ms = ms("2026-01-01")
    assert [] == differences(exchange.klines("BTCUSDT", start_ms, start_ms + 36 * HOUR_MS, "1h"), after)


@pytest.mark.parametrize("reason", ["due", "unresolved", "rejected"])
def test_a_gap_that_is_ours_or_unclear_is_no_excuse(exchange: StandIn, database: Path, reason: str) -> None:
    """Only what the exchange never had may be missing of a kline: not what is due, unclear, or was refused by us."""
    exchange.hole(ms("2026-01-02T10:10"), ms("2026-01-02T10:20"))
    collect_once(exchange, database, ["BTCUSDT"], lookback=timedelta(hours=4))
    hours = {}
    for why in (reason, "exchange_hole"):
        query(database, f"UPDATE gaps SET reason = '{why}'")
        hours[why] = klines.read("BTCUSDT", interval="1h", database=database)["open_time"].dt.hour().to_list()
    assert {reason: [8, 9, 11], "exchange_hole": [8, 9, 10, 11]} == hours


def test_before_its_listing_a_symbol_lacks_nothing(exchange: StandIn, database: Path) -> None:
    """The first day begins with the listing, as the exchange's; where we began to collect later, it is left out."""
    exchange.list("NEWUSDT", since_ms=ms("2026-01-01T03:00"))
    collect_once(exchange, database, ["NEWUSDT"], since=date(2026, 1, 1))
    collect_once(exchange, database, ["OLDUSDT"], lookback=timedelta(hours=30))
    both = klines.read(["NEWUSDT", "OLDUSDT"], interval="1d", database=database)
    assert ["NEWUSDT"] == both["symbol"].to_list()
    assert [] == differences(exchange.klines("NEWUSDT", ms("2026-01-01"), ms("2026-01-02"), "1d"), both)


def test_the_last_kline_of_a_delisted_symbol(exchange: StandIn, database: Path) -> None:
    """After the end of trading nothing is missing: its last day is there when it is over."""
    exchange.list("ENDUSDT", until_ms=ms("2026-01-01T09:30"), status="BREAK")
    backfill_once(exchange, database, ["ENDUSDT"], "2025-12-31", "2026-01-02", source="rest")
    query(database, "UPDATE gaps SET reason = 'delisted', end_time = '9999-12-31'")
    days = klines.read("ENDUSDT", interval="1d", database=database)
    assert [] == differences(exchange.klines("ENDUSDT", ms("2025-12-31"), ms("2026-01-02"), "1d"), days)


def test_what_is_stored_goes_before_what_is_derived(exchange: StandIn, database: Path) -> None:
    """Between the first and the last stored 1h kline of a symbol only stored ones are given; the rest is derived from
    the longest interval there is."""
    for interval, start, end in (("1m", "01T00", "02T12"), ("15m", "01T00", "01T20"), ("1h", "01T10", "01T12")):
        times = (f"2026-01-{start}:00", f"2026-01-{end}:00")
        backfill_once(exchange, database, ["BTCUSDT"], *times, interval=interval, source="rest")
    hours = klines.read("BTCUSDT", interval="1h", database=database)
    assert ["15m"] * 10 + ["rest"] * 2 + ["15m"] * 8 + ["1m"] * 16 == hours["source"].to_list()
    assert [] == differences(exchange.klines("BTCUSDT", ms("2026-01-01"), ms("2026-01-02T12:00"), "1h"), hours)


def test_3d_needs_a_kline_that_shows_its_days(exchange: StandIn, database: Path) -> None:
    """Nothing says on which days Binance's 3d begin: without any stored 3d kline none is derived."""
    collect_once(exchange, database, ["BTCUSDT"], lookback=timedelta(hours=4))
    with pytest.raises(NotStored, match=r"3d .* only one shows on which days they begin"):
        klines.read("BTCUSDT", interval="3d", database=database)


def with_hours(database: Path) -> None:
    """Let longer klines of all months but the last be made of hours."""
    with opened(database, time.monotonic() + 10) as connection:
        [(now_ms,)] = connection.execute("SELECT epoch_ms(max(open_time)) + 60000 FROM klines").fetchall()
        while count_month(connection, now_ms):
            pass
        make_hours(connection, note_hours_to_make(connection, now_ms))


def replayed(
    exchange: StandIn, database: Path, rows: list[list[Any]], start: str, end: str, source: str = "rest"
) -> None:
    """Recorded minutes, stored and audited, at their end; when they come from the archive, as soon as it has them."""
    exchange.freeze(ms(end) + 5_000 + (HOUR_MS if source == "archive" else 0))
    exchange.published_after_ms = dict.fromkeys(exchange.published_after_ms, 0)
    exchange.replay("BTCUSDT", rows)
    with duckdb.connect(str(database)):  # whoever opens it meanwhile need not read it
        backfill_once(exchange, database, ["BTCUSDT"], start, end, source=source)
        audit_once(exchange, database)
        with_hours(database)


@pytest.mark.parametrize("days", [("2018-02-08", "2018-02-09"), ("2020-12-21",), ("2017-09-06",)])
def test_recorded_outages(exchange: StandIn, database: Path, days: Sequence[str]) -> None:
    """Days with holes, minutes that were cut short and minutes off the grid: hours and days made of Binance's recorded
    minutes, added up in decimals, are those that are derived."""
    rows = [row for day in days for row in rest_rows(recorded(FOLDER, f"BTCUSDT-1m-{day}.csv").read_text())]
    end = (date.fromisoformat(days[-1]) + timedelta(days=1)).isoformat()
    replayed(exchange, database, rows, days[0], end)
    for interval in ("3m", "15m", "1h", "4h", "1d"):
        expected = exchange.klines("BTCUSDT", ms(days[0]), ms(end), interval)
        actual = klines.read("BTCUSDT", days[0], end, interval=interval, exact=True, database=database)
        assert [] == differences(expected, actual)


@pytest.mark.parametrize(
    ("day", "minutes", "interval", "klines_there"),
    [("2020-01-01", 1440, "5m", 24), ("2020-01-03", 1440, "1d", 1), ("2020-12-21", 1188, "1d", 1)],
)
def test_binances_own_klines(
    exchange: StandIn, database: Path, day: str, minutes: int, interval: str, klines_there: int
) -> None:
    """What Binance itself answered for 5m and 1d is what is derived of its 1m: on the day in December 2020 on which it
    was down for four hours, too."""
    rows = rest_rows(day_of_minutes(day))
    end = (date.fromisoformat(day) + timedelta(days=1)).isoformat()
    expected = {row[0]: row for row in recorded_answers("BTCUSDT", interval) if ms(day) <= row[0] < ms(end)}
    assert (minutes, klines_there) == (len(rows), len(expected))
    replayed(exchange, database, rows, day, end)
    actual = klines.read("BTCUSDT", day, end, interval=interval, exact=True, database=database)
    assert [] == differences(list(expected.values()), actual.head(klines_there))


def recorded_answers(symbol: str, interval: str) -> list[list[Any]]:
    """The rows of Binance's own answers about a series of spot."""
    routes = json.loads(recorded("rest", "recorded_rest.json").read_text())["routes"]
    asked = {f"symbol={symbol}", f"interval={interval}"}
    answers = routes["/api/v3/klines"]["GET"]
    return [row for answer in answers if asked <= set(answer["queryString"].split("&")) for row in answer["data"]]


def day_of_minutes(day: str) -> str:
    """The recorded CSV of a day, which some have in its zip."""
    name = f"BTCUSDT-1m-{day}"
    if day.startswith("2020-01"):
        return zipfile.ZipFile(recorded(FOLDER, f"{name}.zip")).read(f"{name}.csv").decode()
    return recorded(FOLDER, f"{name}.csv").read_text()


def test_recorded_months(exchange: StandIn, database: Path, full: bool) -> None:
    """December 2024 and the week that ends in January, in full to the end of February: every interval up to the
    month."""
    end = "2025-03-01" if full else "2025-01-06"
    with tarfile.open(recorded(FOLDER, "BTCUSDT-1m-daily_2024-12_2025-02.tar.xz")) as tar:
        days = sorted(name for name in tar.getnames() if name < f"BTCUSDT-1m-{end}")
        rows = [row for name in days for row in rest_rows(tar.extractfile(name).read().decode())]  # type: ignore[union-attr]
    replayed(exchange, database, rows, "2024-12-01", end, "archive")
    for interval in (name for name in LONGER if name != "3d"):
        start_ms = INTERVALS[interval].ceil(ms("2024-12-01"))
        end_ms = INTERVALS[interval].floor(ms(end))
        expected = exchange.klines("BTCUSDT", start_ms, end_ms, interval)
        actual = klines.read("BTCUSDT", None, end, interval=interval, exact=True, database=database)
        assert [] == differences(expected, actual)


def test_a_recorded_month_of_futures(exchange: StandIn, database: Path) -> None:
    """ALGOUSDT of September 2024, USDS-M: its days and hours."""
    body = recorded("usdm_archive", "ALGOUSDT-1m-2024-09.zip").read_bytes()
    rows = rest_rows(zipfile.ZipFile(io.BytesIO(body)).read("ALGOUSDT-1m-2024-09.csv").decode())
    exchange.freeze(ms("2024-10-01") + HOUR_MS)
    exchange.replay("ALGOUSDT", rows)
    exchange.published_after_ms = dict.fromkeys(exchange.published_after_ms, 0)
    backfill_once(exchange, database, ["ALGOUSDT"], "2024-09-01", "2024-10-01", market="usdm", source="archive")
    for interval in ("5m", "1h", "1d", "1M"):
        expected = exchange.klines("ALGOUSDT", ms("2024-09-01"), ms("2024-10-01"), interval, "usdm")
        actual = klines.read("ALGOUSDT", market="usdm", interval=interval, exact=True, database=database)
        assert [] == differences(expected, actual)
        assert expected[-1][6] == actual["close_time"].dt.epoch("ms")[-1] == rows[-1][0] + MINUTE - 1
