"""`klines.read` and its sisters: what they give, what they say when they can't, and that they hold nobody up."""

from __future__ import annotations

import shutil
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, cast

import duckdb
import polars as pl
import pytest

import klines
from klines.columns import AMOUNTS
from klines.errors import BadDatabase, BadParameter, DatabaseBusy, NotStored
from klines.rows import AMOUNT
from klines.storage.database import opened_to_read
from tests import CHECKOUT
from tests.drive import NOON, collect_once, ms, published, query
from tests.exchange import StandIn

HOLE = ms("2026-01-02T11:40"), ms("2026-01-02T11:43"), "BTCUSDT"


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half an hour of two symbols, in which BTCUSDT has a hole of three minutes."""
    database = tmp_path_factory.mktemp("collected") / "klines.duckdb"
    with StandIn(any_symbol=True) as exchange:
        exchange.freeze(NOON + 5_000)
        exchange.hole(*HOLE)
        collect_once(exchange, database, ["BTCUSDT", "ETHUSDT"])
    return database


@pytest.fixture
def minutes(exchange: StandIn, collected: Path, database: Path) -> Path:
    """A copy of it, and the exchange that it is of."""
    exchange.hole(*HOLE)
    shutil.copy(collected, database)
    return database


def test_importing_klines_is_cheap() -> None:
    """Neither Prefect nor anything else that is slow comes with `import klines`, nor Prefect with reading."""
    code = "import sys, klines; print('polars' in sys.modules); klines.read; print('prefect' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert "False\nFalse\n" == printed.stdout


def test_what_is_stored_is_read(exchange: StandIn, minutes: Path) -> None:
    """The columns of the table, each value as the exchange published it, by symbol and time, whatever the order asked
    for; the range is half-open."""
    found = klines.read(["ETHUSDT", "BTCUSDT"], "2026-01-02T11:45", "2026-01-02T11:50", database=minutes)
    assert [name for (name,) in query(minutes, "SELECT column_name FROM (DESCRIBE klines)")] == found.columns
    expected = [
        row
        for symbol in ("BTCUSDT", "ETHUSDT")
        for row in published(exchange.klines(symbol, ms("2026-01-02T11:45"), ms("2026-01-02T11:50")))
    ]
    times = {name: pl.col(name).dt.epoch("ms") for name in ("open_time", "close_time")}
    values = found.with_columns(**times).drop("market", "kind", "symbol", "interval", "source", "fetched_at")
    assert [tuple(map(float, row)) for row in expected] == values.rows()
    assert ["BTCUSDT"] * 5 + ["ETHUSDT"] * 5 == found["symbol"].to_list()
    assert pl.Datetime("us") == found.schema["open_time"]


@pytest.mark.parametrize("interval", ["1m", "5m", "1h"])
def test_exact_values_are_those_of_binance(exchange: StandIn, database: Path, interval: str) -> None:
    """With `exact` prices and amounts are decimals, to the last of 23 digits, of stored and of derived klines, and of
    filled slots; without it they are the nearest doubles."""
    collect_once(exchange, database, ["SATSUSDT"], lookback=timedelta(hours=3))
    expected = published(exchange.klines("SATSUSDT", ms("2026-01-02T09:00"), NOON, interval))
    prices, amounts = ["open", "high", "low", "close"], list(AMOUNTS)
    for fill in (None, "previous"):
        found = klines.read("SATSUSDT", interval=interval, exact=True, fill=fill, database=database)
        assert {AMOUNT} == set(found.select(*prices, *amounts).dtypes)
        assert [tuple(row[i] for i in (5, 7, 9, 10)) for row in expected] == found.select(amounts).rows()
        assert [tuple(row[1:5]) for row in expected] == found.select(pl.col(prices).cast(pl.Float64)).rows()
    rounded = klines.read("SATSUSDT", interval=interval, database=database).select(amounts)
    assert [tuple(float(row[i]) for i in (5, 7, 9, 10)) for row in expected] == rounded.rows()
    assert any(Decimal(repr(value)) != row[7] for (_, value, *_), row in zip(rounded.rows(), expected, strict=True))


def test_exact_values_of_a_database_with_doubles(minutes: Path) -> None:
    """Where amounts are doubles still, nobody is told that they are exact: the text says what to do."""
    for name in AMOUNTS:
        query(minutes, f"ALTER TABLE klines ALTER {name} TYPE DOUBLE")
    assert 57 == klines.read(["BTCUSDT", "ETHUSDT"], database=minutes).height
    with pytest.raises(BadDatabase, match="klines maintain"):
        klines.read("BTCUSDT", exact=True, database=minutes)


@pytest.mark.parametrize("interval", ["1m", "5m"])
@pytest.mark.parametrize("fill", [None, "null", "previous"])
def test_columns(minutes: Path, interval: str, fill: Literal["null", "previous"] | None) -> None:
    """Those that are asked for, in that order, with the values that they have among all, and the flag of `fill`."""
    symbols = ["ETHUSDT", "BTCUSDT"]
    everything = klines.read(symbols, interval=interval, fill=fill, database=minutes)
    for columns in (["close"], ["trades", "open_time"], ["interval", "symbol", "market"], ["source"]):
        found = klines.read(symbols, interval=interval, fill=fill, columns=columns, database=minutes)
        assert [*columns, *(["filled"] if fill else [])] == found.columns
        assert everything.select(found.columns).equals(found)


def test_other_libraries_tables(minutes: Path) -> None:
    """Of Arrow and of pandas they have the same columns and rows; what is no library's is named."""
    expected = klines.read("BTCUSDT", database=minutes)
    arrow = klines.read("BTCUSDT", as_="arrow", database=minutes)
    assert expected.equals(cast(pl.DataFrame, pl.from_arrow(arrow)))
    pytest.importorskip("pandas")
    frame = klines.read("BTCUSDT", as_="pandas", database=minutes)
    assert expected.columns == list(frame.columns)
    assert expected["close"].to_list() == frame["close"].tolist()
    assert expected["open_time"].to_list() == frame["open_time"].dt.to_pydatetime().tolist()


def test_fill_null(minutes: Path) -> None:
    """Every slot of the range has a row; one without a kline has no values, and says so. Nothing of it is stored."""
    found = klines.read("BTCUSDT", "2026-01-02T11:38", "2026-01-02T11:45", fill="null", database=minutes)
    assert "filled" == found.columns[-1]
    assert [38, 39, 40, 41, 42, 43, 44] == found["open_time"].dt.minute().to_list()
    assert [False, False, True, True, True, False, False] == found["filled"].to_list()
    lacking = found.filter("filled")
    assert {"BTCUSDT"} == set(lacking["symbol"])
    assert {None} == set(lacking["close"]) == set(lacking["volume"]) == set(lacking["source"])
    assert [(27,)] == query(minutes, "SELECT count(*) FROM klines WHERE symbol = 'BTCUSDT'")


def test_fill_previous(minutes: Path) -> None:
    """A slot without a kline has the close before as prices and zero sums; where none is before, it has no values."""
    found = klines.read("BTCUSDT", "2026-01-02T11:28", "2026-01-02T11:45", fill="previous", database=minutes)
    before = found.filter(pl.col("open_time") == pl.datetime(2026, 1, 2, 11, 39))["close"].item()
    inside = found.filter(pl.col("filled") & (pl.col("open_time").dt.minute() >= 40))
    sums = ["volume", "quote_volume", "trades", "taker_buy_volume", "taker_buy_quote_volume"]
    assert [(before,) * 4] * 3 == inside.select("open", "high", "low", "close").rows()
    assert [(0, 0, 0, 0, 0)] * 3 == inside.select(sums).rows()
    assert [(True, None), (True, None)] == found.select("filled", "close").rows()[:2]


@pytest.mark.parametrize("interval", ["5m", "1h", "1w", "1M"])
def test_filled_slots_are_those_of_the_calendar(exchange: StandIn, database: Path, interval: str) -> None:
    """Every interval's slots follow each other without a hole and end where the next begins."""
    collect_once(exchange, database, ["BTCUSDT"], interval=interval, since=date(2025, 11, 1))
    query(database, "DELETE FROM klines WHERE open_time BETWEEN '2025-11-15' AND '2025-12-20'")
    found = klines.read("BTCUSDT", "2025-11-01", "2025-12-29", interval=interval, fill="null", database=database)
    expected = exchange.klines("BTCUSDT", ms("2025-11-01"), ms("2025-12-29"), interval)
    times = found.select(pl.col("open_time", "close_time").dt.epoch("ms")).rows()
    assert [(row[0], row[6]) for row in expected] == times
    assert found["filled"].any()


def test_the_future_is_not_filled(minutes: Path) -> None:
    """Without an end it is filled up to the last kline there is, with one that is yet to come up to now."""
    assert [False] * 2 == [
        klines.read("ETHUSDT", database=minutes, fill="previous", end=end)["filled"][-1]
        for end in (None, "2026-01-02T12")
    ]
    with pytest.raises(NotStored, match="nothing is stored of ETHUSDT 1m"):
        klines.read("ETHUSDT", "2100-01-01", "2100-01-02", fill="previous", database=minutes)


@pytest.mark.parametrize("end", ["9999-12-31", "2100-01-01T12:00"])
def test_what_is_to_come_lacks_nothing(minutes: Path, end: str) -> None:
    """Coverage ends now, however far its end: of days to come nothing is expected, and none has a row."""
    found = klines.coverage("BTCUSDT", "2026-01-02", end, database=minutes)
    now = datetime.now(UTC)
    assert found["day"].max() == now.date()
    assert 1440 == found["expected"][-2]
    assert found["expected"][-1] <= now.hour * 60 + now.minute
    assert klines.coverage("BTCUSDT", "2100-01-01", end, database=minutes).is_empty()


def test_an_unknown_symbol_is_met_with_the_nearest_names(minutes: Path) -> None:
    """A misspelt symbol is named, with those that are like it, also beside others that are right."""
    with pytest.raises(NotStored, match=r"^BTCUSTD is not stored \(spot\); did you mean BTCUSDT"):
        klines.read(["ETHUSDT", "BTCUSTD"], database=minutes)
    with pytest.raises(NotStored, match=r"^BTCUSTD is not stored"):
        klines.gaps("BTCUSTD", database=minutes)
    with pytest.raises(NotStored, match=r"^BTCUSTD is not stored"):
        klines.coverage("BTCUSTD", database=minutes)
    with pytest.raises(NotStored, match=r"^BTCUSDT is not stored \(usdm\): nothing is stored of usdm"):
        klines.read("BTCUSDT", market="usdm", database=minutes)


def test_an_empty_range_says_what_is_stored(minutes: Path) -> None:
    """Where there is nothing in the range, the error says what there is of the symbol."""
    with pytest.raises(NotStored, match="there is 1m from 2026-01-02 11:30 to 2026-01-02 11:59"):
        klines.read("BTCUSDT", "2020-01-01", "2021-01-01", database=minutes)
    with pytest.raises(NotStored, match="nothing is stored of BTCUSDT 1s"):
        klines.read("BTCUSDT", interval="1s", database=minutes)


def test_no_database_names_the_path_and_makes_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The absolute path that was looked for is named, of an argument and of the setting; a reader creates no file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KLINES_DATABASE", str(tmp_path / "set.duckdb"))
    for database, name in ((None, "set.duckdb"), ("other.duckdb", "other.duckdb")):
        with pytest.raises(NotStored, match=f"there is no database at {tmp_path / name};"):
            klines.read("BTCUSDT", database=database)
        with pytest.raises(NotStored, match=f"there is no database at {tmp_path / name};"):
            klines.connect(database=database)
    assert [] == list(tmp_path.iterdir())


def test_what_is_no_database_of_ours_is_refused(tmp_path: Path) -> None:
    """A folder, a file of another kind, and a database without klines are named, and left as they are."""
    text, foreign = tmp_path / "klines.csv", tmp_path / "foreign.duckdb"
    text.write_text("open,high\n" * 1000)
    duckdb.connect(str(foreign)).execute("CREATE TABLE prices (a INTEGER)").close()
    with pytest.raises(BadParameter, match="is a folder"):
        klines.symbols(database=tmp_path)
    with pytest.raises(BadDatabase, match=r"klines\.csv is no DuckDB database"):
        klines.symbols(database=text)
    with pytest.raises(BadDatabase, match="has no klines"):
        klines.symbols(database=foreign)
    assert "open,high\n" * 1000 == text.read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"symbols": "btcusdt"}, "symbols: 'btcusdt' is no symbol"),
        ({"symbols": []}, "symbols: name at least one symbol"),
        ({"start": "soon"}, "start: 'soon' is no time"),
        ({"start": "2026-01-02", "end": "2026-01-02"}, "start: 2026-01-02 is not before the end"),
        ({"market": "moon"}, "market: 'moon' is none of spot, usdm, coinm"),
        ({"interval": "7x"}, "interval: '7x' is none of"),
        ({"fill": "zero"}, "fill: 'zero' is neither"),
        ({"as_": "numpy"}, "as_: 'numpy' is none of polars, arrow, pandas"),
        ({"columns": "close"}, "columns: 'c' is none of market, symbol"),
        ({"columns": ["open", "Close"]}, "columns: 'Close' is none of"),
        ({"columns": []}, "columns: name at least one"),
        ({"columns": 5}, "columns: 5 is no list of names"),
        ({"fill": "null", "start": "0001-01-01"}, "fill: there would be 1,06[0-9,]+ rows, at most 50,000,000"),
        ({"columns": ["open", "open"]}, "columns: name at least one, each once"),
    ],
)
def test_bad_parameters_are_named(minutes: Path, arguments: dict[str, Any], message: str) -> None:
    """Each with what it was."""
    asked: dict[str, Any] = {"symbols": "BTCUSDT", "database": minutes} | arguments
    with pytest.raises(BadParameter, match=message):
        klines.read(**asked)


def test_a_busy_file_names_who_has_it(minutes: Path) -> None:
    """A writer of this very process is named as such, at the deadline."""
    with (
        duckdb.connect(str(minutes)),
        pytest.raises(DatabaseBusy, match="open in this process"),
    ):
        opened_to_read(minutes, 0)


def test_the_file_is_let_go(exchange: StandIn, minutes: Path) -> None:
    """After each call, also one that fails, the file can be written."""
    for ask in (klines.symbols, klines.gaps, klines.coverage):
        ask(database=minutes)
    with pytest.raises(NotStored):
        klines.read("NONE", database=minutes)
    klines.read("BTCUSDT", database=minutes)
    exchange.freeze(NOON + 65_000)
    assert "Completed" == collect_once(exchange, minutes, ["BTCUSDT", "ETHUSDT"], deadline_s=20).state


def test_symbols(exchange: StandIn, minutes: Path) -> None:
    """A row per series, with its first and last kline and how many there are."""
    collect_once(exchange, minutes, ["BTCUSDT"], market="usdm", interval="1h", lookback=timedelta(hours=3))
    expected = [
        ("spot", "klines", "BTCUSDT", "1m", "11:30", "11:59", 27),
        ("spot", "klines", "ETHUSDT", "1m", "11:30", "11:59", 30),
        ("usdm", "klines", "BTCUSDT", "1h", "09:00", "11:00", 3),
    ]
    found = klines.symbols(database=minutes).with_columns(pl.col("first", "last").dt.strftime("%H:%M"))
    assert expected == found.rows()
    assert expected[2:] == found.filter(market="usdm").rows()
    assert 1 == klines.symbols(market="usdm", database=minutes).height


def test_gaps(minutes: Path) -> None:
    """The ledger's rows that overlap the range, of some symbols or of all."""
    assert [("BTCUSDT", "unresolved")] == klines.gaps(database=minutes).select("symbol", "reason").rows()
    for start, end, count in (("11:39", "11:40", 0), ("11:39", "11:41", 1), ("11:42", "11:43", 1), ("11:43", None, 0)):
        end = end and f"2026-01-02T{end}"
        assert count == klines.gaps("BTCUSDT", f"2026-01-02T{start}", end, database=minutes).height
    assert 0 == klines.gaps("ETHUSDT", database=minutes).height
    assert 0 == klines.gaps(interval="1h", database=minutes).height


def test_coverage(exchange: StandIn, database: Path) -> None:
    """Per symbol and day what should be there, is there, and is explained; the rest is unexplained. A symbol begins
    with its listing, or where it is known from; a day that goes on has the slots that are over."""
    exchange.list("NEWUSDT", since_ms=ms("2026-01-01T18:00"))
    exchange.hole(ms("2026-01-02T03:00"), ms("2026-01-02T03:10"))
    collect_once(exchange, database, ["BTCUSDT", "NEWUSDT"], since=date(2026, 1, 1))
    query(database, "UPDATE gaps SET reason = 'exchange_outage' WHERE symbol = 'BTCUSDT'")
    query(database, "DELETE FROM klines WHERE symbol = 'BTCUSDT' AND open_time >= '2026-01-02 11:58'")
    found = klines.coverage(end="2026-01-02T12:00", database=database)
    assert [
        ("BTCUSDT", date(2026, 1, 1), 1440, 1440, 0, 0),
        ("BTCUSDT", date(2026, 1, 2), 720, 708, 10, 2),
        ("NEWUSDT", date(2026, 1, 1), 1440, 360, 1080, 0),
        ("NEWUSDT", date(2026, 1, 2), 720, 710, 0, 10),
    ] == found.rows()
    part = klines.coverage("NEWUSDT", "2026-01-01T17:30", "2026-01-01T18:30", database=database)
    assert [("NEWUSDT", date(2026, 1, 1), 60, 30, 30, 0)] == part.rows()
    with pytest.raises(BadParameter, match="interval: days are counted in klines of up to 1d, not of 1w"):
        klines.coverage(interval="1w", database=database)
