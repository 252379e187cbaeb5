"""`klines.export`: what each program's files hold, what a second export writes, and what is left after a kill."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import polars as pl
import pyarrow.parquet as pq
import pytest

import klines
from klines.errors import BadParameter, DatabaseBusy, GiveUp, NoRoom, NotStored
from klines.exports.folder import Folder
from klines.exports.stored import Part
from klines.exports.targets import TARGETS
from klines.exports.turns import ROWS, turns
from klines.storage.database import opened
from klines.window import Window
from tests import CHECKOUT
from tests.drive import query

START, END = datetime(2025, 12, 31, 23), datetime(2026, 1, 1, 1)
HOLE = datetime(2025, 12, 31, 23, 30), datetime(2025, 12, 31, 23, 33)
KLINES = """
    INSERT INTO klines BY NAME
    SELECT market, symbol, '1m' AS interval, time AS open_time, 100 + n / 8 AS open, 200 + n / 8 AS high,
           50 + n / 8 AS low, 101 + n / 8 AS close, n + 0.00000001 AS volume,
           time + INTERVAL 59999 MILLISECONDS AS close_time, 100 * n + 0.5 AS quote_volume, n AS trades,
           n / 2 AS taker_buy_volume, 50 * n AS taker_buy_quote_volume, 'rest' AS source,
           TIMESTAMP '2026-01-02' AS fetched_at
    FROM (SELECT *, row_number() OVER (PARTITION BY market, symbol ORDER BY time) AS n FROM
            (VALUES ('spot', 'BTCUSDT'), ('spot', 'ETHBTC'), ('usdm', 'BTCUSDT'), ('usdm', 'BTCUSDT_260327'))
                t(market, symbol),
            (SELECT unnest(range(TIMESTAMP '2025-12-31 23:00', TIMESTAMP '2026-01-01 01:00', INTERVAL 1 MINUTE))
                AS time))
    WHERE NOT (symbol = 'BTCUSDT' AND time >= TIMESTAMP '2025-12-31 23:30' AND time < TIMESTAMP '2025-12-31 23:33')
"""
GAP = """
    INSERT INTO gaps BY NAME
    SELECT market, 'BTCUSDT' AS symbol, '1m' AS interval, TIMESTAMP '2025-12-31 23:30' AS start_time,
           TIMESTAMP '2025-12-31 23:33' AS end_time, 'exchange_outage' AS reason, TIMESTAMP '2026-01-02' AS first_seen,
           TIMESTAMP '2026-01-02' AS last_checked, 1 AS attempts
    FROM (VALUES ('spot'), ('usdm')) t(market)
"""
RULES = """
    INSERT INTO rules BY NAME
    SELECT market, 'BTCUSDT' AS symbol, TIMESTAMP '2026-01-02' AS first_seen, 'TRADING' AS status, 'BTC' AS base,
           'USDT' AS quote, '0.00100000' AS tick_size, '0.00001000' AS step_size, '0.00001000' AS min_quantity,
           '5.00000000' AS min_notional
    FROM (VALUES ('spot'), ('usdm')) t(market)
"""
OTHERS = """
    INSERT INTO klines BY NAME
    SELECT 'usdm' AS market, 'mark' AS kind, 'BTCUSDT' AS symbol, '1h' AS interval, TIMESTAMP '2026-01-01' AS open_time,
           1 AS open, 3 AS high, 0.5 AS low, 2 AS close, TIMESTAMP '2026-01-01 00:59:59.999' AS close_time,
           'rest' AS source, TIMESTAMP '2026-01-02' AS fetched_at
"""
RATES = """
    INSERT INTO funding BY NAME
    SELECT 'usdm' AS market, 'BTCUSDT' AS symbol, time AS funding_time, 0.0001 AS rate, 'rest' AS source,
           TIMESTAMP '2026-01-02' AS fetched_at
    FROM (VALUES (TIMESTAMP '2025-12-31 16:00:00.004'), (TIMESTAMP '2026-01-01 00:00:00.001')) t(time)
"""
MORE = """
    INSERT INTO klines
    SELECT * REPLACE (open_time + INTERVAL 2 HOUR AS open_time, close_time + INTERVAL 2 HOUR AS close_time,
                      TIMESTAMP '2026-01-03' AS fetched_at)
    FROM klines WHERE symbol = 'BTCUSDT' AND open_time >= TIMESTAMP '2026-01-01'
"""
ALL = sorted(TARGETS)
ONE_FILE = ["freqtrade", "jesse", "pandas"]


@pytest.fixture(scope="module")
def two_months(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The last hour of a month and the first of the next, of some symbols; of BTCUSDT three minutes are missing. It is
    kept open, as to open it costs more than to read it."""
    path = tmp_path_factory.mktemp("stored") / "klines.duckdb"
    with opened(path, time.monotonic() + 60) as connection:
        for sql in (KLINES, GAP, RULES, OTHERS, RATES):
            connection.execute(sql)
    with duckdb.connect(str(path), read_only=True):
        yield path


@pytest.fixture
def database(two_months: Path, tmp_path: Path) -> Path:
    """The same, for a test that writes it."""
    return Path(shutil.copy(two_months, tmp_path / "klines.duckdb"))


def files(folder: Path) -> dict[str, bytes]:
    """All that an export left, but for its notes."""
    found = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in sorted(found.items()) if not name.startswith(".klines")}


def rows_of(frame: pl.DataFrame, *names: str) -> list[tuple[object, ...]]:
    """Rows with times without a zone."""
    times = pl.col(pl.Datetime).dt.replace_time_zone(None).dt.cast_time_unit("us")
    return frame.select(*names).with_columns(times).rows()


SIX = ["open_time", "open", "high", "low", "close", "volume"]


@pytest.mark.parametrize(
    ("market", "symbol", "file"),
    [
        ("spot", "BTCUSDT", "BTC_USDT-1m.feather"),
        ("spot", "ETHBTC", "ETH_BTC-1m.feather"),
        ("usdm", "BTCUSDT", "futures/BTC_USDT_USDT-1m-futures.feather"),
    ],
)
def test_freqtrade(two_months: Path, tmp_path: Path, market: str, symbol: str, file: str) -> None:
    """A file is named as freqtrade names it, and has its six columns, times in ms and UTC."""
    klines.export("freqtrade", tmp_path, symbol, market=market, database=two_months)
    found = pl.read_ipc(tmp_path / file)
    assert ["date", *SIX[1:]] == found.columns
    assert pl.Datetime("ms", "UTC") == found.schema["date"]
    expected = klines.read(symbol, market=market, columns=SIX, database=two_months)
    assert rows_of(expected, *SIX) == rows_of(found, "date", *SIX[1:])


def test_freqtrades_candle_types(two_months: Path, tmp_path: Path) -> None:
    """Mark prices have no volume, which is zero there; funding rates have one column, at the full hour."""
    for kind in ("mark", "funding"):
        klines.export("freqtrade", tmp_path, market="usdm", kind=kind, interval="1h", database=two_months)
    names = {"mark": "BTC_USDT_USDT-1h-mark.feather", "funding": "BTC_USDT_USDT-1h-funding_rate.feather"}
    mark, rates = (pl.read_ipc(tmp_path / "futures" / name) for name in names.values())
    assert [(datetime(2026, 1, 1), 1.0, 3.0, 0.5, 2.0, 0.0)] == rows_of(mark, "date", *SIX[1:])
    expected = [(datetime(2025, 12, 31, 16), 0.0001), (datetime(2026, 1, 1), 0.0001)]
    assert expected == rows_of(rates, "date", "funding_rate")
    again = klines.export("freqtrade", tmp_path, market="usdm", kind="funding", interval="1h", database=two_months)
    assert [False] == again["written"].to_list()


def test_the_archives_csv_of_a_kind(two_months: Path, tmp_path: Path) -> None:
    """Mark prices stand in their own folder, with eight decimals and a header; their volumes are zero, as there, and of
    samples, which are not stored, there is no number."""
    made = klines.export("csv", tmp_path, market="usdm", kind="mark", interval="1h", database=two_months)
    path = "data/futures/um/monthly/markPriceKlines/BTCUSDT/1h/BTCUSDT-1h-2026-01.csv"
    assert [str(tmp_path / path)] == made["file"].to_list()
    header, *lines = (tmp_path / path).read_text().splitlines()
    assert ("open_time", "ignore") == (header.split(",")[0], header.split(",")[-1])
    times, prices = (1_767_225_600_000, 1_767_229_199_999), "1.00000000,3.00000000,0.50000000,2.00000000"
    assert [f"{times[0]},{prices},0,{times[1]},0,,0,0,0"] == lines


def test_pandas(two_months: Path, tmp_path: Path) -> None:
    """pandas reads a frame whose index is the open time in UTC."""
    pandas = pytest.importorskip("pandas")
    klines.export("pandas", tmp_path, "BTCUSDT", database=two_months)
    found = pandas.read_parquet(tmp_path / "spot-1m" / "BTCUSDT.parquet")
    assert ("open_time", "UTC") == (found.index.name, str(found.index.tz))
    columns = ["open_time", *found.columns]
    expected = klines.read("BTCUSDT", columns=columns, database=two_months)
    assert rows_of(expected, *columns) == rows_of(pl.from_pandas(found.reset_index()), *columns)


def test_parquet(database: Path, tmp_path: Path) -> None:
    """All files of all series are one table, with every column of the table klines and all digits of its amounts."""
    klines.export("parquet", tmp_path, database=database)
    found = query(
        database,
        f"""SELECT market, symbol, interval, open_time, open::DOUBLE, volume, trades, source, fetched_at
            FROM read_parquet('{tmp_path}/**/*.parquet') ORDER BY ALL""",
    )
    sql = "SELECT market, symbol, interval, open_time, open, volume, trades, source, fetched_at FROM klines"
    assert query(database, f"{sql} WHERE market = 'spot' ORDER BY ALL") == found
    made = klines.export("parquet", tmp_path, market="usdm", kind="mark", interval="1h", database=database)
    [file] = made["file"]
    assert "market=usdm/kind=mark/interval=1h/symbol=BTCUSDT/month=2026-01/klines.parquet" in file


def test_jesse(two_months: Path, tmp_path: Path) -> None:
    """An array with a row for each minute; minutes without a kline have the close before, and no volume."""
    numpy = pytest.importorskip("numpy")
    klines.export("jesse", tmp_path, "BTCUSDT", database=two_months)
    found = numpy.load(tmp_path / "Binance Spot" / "BTC-USDT.npy")
    filled = klines.read("BTCUSDT", START, END, fill="previous", database=two_months)
    expected = filled.select(pl.col("open_time").dt.epoch("ms"), "open", "close", "high", "low", "volume")
    assert expected.rows() == [tuple(row) for row in found]


def test_nautilus(two_months: Path, tmp_path: Path) -> None:
    """Bars are whole numbers of 10⁻¹⁶, rounded to the digits that the instrument has, at their close times; the
    instrument lies beside them."""
    klines.export("nautilus", tmp_path, "BTCUSDT", market="usdm", database=two_months)
    bars = sorted((tmp_path / "data" / "bar" / "BTCUSDT-PERP.BINANCE-1-MINUTE-LAST-EXTERNAL").iterdir())
    assert [
        "2025-12-01T00-00-00-000000000Z_2025-12-31T23-59-59-999999999Z.parquet",
        "2026-01-01T00-00-00-000000000Z_2026-01-31T23-59-59-999999999Z.parquet",
    ] == [path.name for path in bars]
    [first, *_] = pq.read_table(bars[0]).to_pylist()
    numbers = [Decimal(int.from_bytes(first[name], "little")) / 10**16 for name in ("open", "volume")]
    assert [Decimal("100.125"), Decimal(1)] == numbers
    assert 1_767_222_059_999_000_000 == first["ts_event"] == first["ts_init"]
    [kept] = (tmp_path / "data" / "crypto_perpetual").rglob("*.parquet")
    [instrument] = pq.read_table(kept).to_pylist()
    assert (3, 5, "0.001") == tuple(
        instrument[name] for name in ("price_precision", "size_precision", "price_increment")
    )


@pytest.mark.parametrize("to", ALL)
def test_what_is_missing_is_named(two_months: Path, tmp_path: Path, to: str) -> None:
    """Beside each series' files is what it lacks, and why."""
    klines.export(to, tmp_path, "BTCUSDT", database=two_months)
    expected = "interval,start_time,end_time,reason\n1m,2025-12-31 23:30:00,2025-12-31 23:33:00,exchange_outage\n"
    assert expected == (tmp_path / "gaps" / "spot-1m-BTCUSDT.csv").read_text()


@pytest.mark.parametrize("to", ALL)
def test_a_second_export(database: Path, tmp_path: Path, to: str) -> None:
    """It writes nothing where nothing is new; then what is new, and what was corrected since; what is there then is
    what a first export would have written."""
    folder, fresh = tmp_path / "folder", tmp_path / "fresh"

    def written() -> list[bool]:
        return klines.export(to, folder, ["BTCUSDT", "ETHBTC"], database=database)["written"].to_list()

    assert all(written())
    before = files(folder)
    assert not any(written())
    assert before == files(folder)
    query(database, MORE)
    is_split = to not in ONE_FILE
    assert ([False, True] if is_split else [True]) == written()[: 2 if is_split else 1]
    [(old,)] = query(database, "SELECT open_time FROM klines WHERE symbol = 'ETHBTC' ORDER BY 1 LIMIT 1")
    query(database, f"UPDATE klines SET volume = 7 WHERE symbol = 'ETHBTC' AND open_time = '{old}'")
    query(
        database,
        f"""INSERT INTO restatements BY NAME SELECT 'spot' AS market, 'ETHBTC' AS symbol, '1m' AS interval,
            TIMESTAMP '{old}' AS open_time, '{{}}' AS old, '{{}}' AS new, 'daily' AS source,
            now()::TIMESTAMP AS seen_at""",
    )
    assert ([False, False, True, False] if is_split else [False, True]) == written()
    klines.export(to, fresh, ["BTCUSDT", "ETHBTC"], database=database)
    assert files(fresh).keys() == files(folder).keys()
    if to in ("freqtrade", "pandas"):
        readers = {"freqtrade": pl.read_ipc, "pandas": pl.read_parquet}
        for name in files(fresh):
            if not name.endswith(".csv"):
                assert readers[to](fresh / name).equals(readers[to](folder / name)), name
    else:
        assert files(fresh) == files(folder)


@pytest.mark.parametrize("to", ONE_FILE)
def test_a_file_that_others_changed(database: Path, tmp_path: Path, to: str) -> None:
    """A file that is not as it was written, or is gone, is written anew as a whole; so is one that a disk has spoilt,
    whose size and time are as they were, when it is to grow."""
    made = klines.export(to, tmp_path / "folder", "BTCUSDT", database=database)
    file = Path(made.item(0, "file"))
    right = file.read_bytes()
    for spoil in (lambda: file.write_bytes(b"another program's"), file.unlink):
        spoil()
        assert [True] == klines.export(to, tmp_path / "folder", "BTCUSDT", database=database)["written"].to_list()
        assert right == file.read_bytes()
    written = file.stat()
    file.write_bytes(b"\xff" * written.st_size)
    os.utime(file, ns=(written.st_atime_ns, written.st_mtime_ns))
    query(database, MORE)
    klines.export(to, tmp_path / "folder", "BTCUSDT", database=database)
    klines.export(to, tmp_path / "fresh", "BTCUSDT", database=database)
    assert files(tmp_path / "fresh") == files(tmp_path / "folder")


def test_derived_klines(database: Path, tmp_path: Path) -> None:
    """An interval that is not stored is derived; a kline that becomes whole, as the ledger now explains what it lacks,
    is written by the next export."""
    query(database, "UPDATE gaps SET reason = 'unresolved'")

    def hours() -> list[tuple[object, ...]]:
        klines.export("freqtrade", tmp_path / "folder", "BTCUSDT", interval="1h", database=database)
        return rows_of(pl.read_ipc(tmp_path / "folder" / "BTC_USDT-1h.feather"), "date", *SIX[1:])

    assert [datetime(2026, 1, 1)] == [row[0] for row in hours()]
    query(database, "UPDATE gaps SET reason = 'exchange_outage'")
    assert rows_of(klines.read("BTCUSDT", interval="1h", columns=SIX, database=database), *SIX) == hours()


def test_klines_that_are_whole_no_longer(database: Path, tmp_path: Path) -> None:
    """A month of which no derived kline can be had any more, as the ledger has another reason, has no file either."""

    def months() -> list[int]:
        made = klines.export("parquet", tmp_path / "folder", "BTCUSDT", interval="1h", database=database)
        assert made.height == len(list((tmp_path / "folder").rglob("*.parquet")))
        return made["klines"].to_list()

    assert [1, 1] == months()
    query(database, "UPDATE gaps SET reason = 'unresolved'")
    assert [1] == months()
    assert [1] == months()


@pytest.mark.slow
def test_a_long_interval_crosses_months(database: Path, tmp_path: Path) -> None:
    """A kline that opens in one month and closes in the next is exported with the first, and again when a later part of
    it changes; months in which none opens have no file."""
    query(
        database,
        """INSERT INTO klines SELECT k.* REPLACE ('1d' AS interval, day AS open_time,
                                                day + INTERVAL 1 DAY - INTERVAL 1 MILLISECOND AS close_time)
           FROM (FROM klines WHERE symbol = 'ETHBTC' LIMIT 1) k,
                (SELECT unnest(range(TIMESTAMP '2025-12-29', TIMESTAMP '2026-01-05', INTERVAL 1 DAY)) AS day)""",
    )
    [(_, file, count, _)] = klines.export("csv", tmp_path / "folder", "ETHBTC", interval="1w", database=database).rows()
    assert ("ETHBTC-1w-2025-12.csv", 1) == (Path(file).name, count)
    query(database, "UPDATE klines SET fetched_at = '2026-02-01' WHERE interval = '1d' AND open_time = '2026-01-04'")
    again = klines.export("csv", tmp_path / "folder", "ETHBTC", interval="1w", database=database)
    assert [True] == again["written"].to_list()


def test_what_is_read_at_once() -> None:
    """Months that follow each other, also those of several files, of no more klines than memory is to hold: what lies
    between two that have changed is not read with them."""
    months = [Part(Window(start, start + 10), ROWS // 2, "") for start in (0, 10, 20, 50)]
    assert [months[:2], months[2:3], months[3:]] == list(turns(months))
    large = [Part(Window(start, start + 10), 2 * ROWS, "") for start in (0, 10)]
    assert [large[:1], large[1:]] == list(turns(large))


def test_ranges_and_patterns(two_months: Path, tmp_path: Path) -> None:
    """Only what opens in [start, end) is exported, of the symbols that patterns take."""
    made = klines.export("parquet", tmp_path, ["*USDT", "!ETH*"], "2025-12-31T23:50", "2026-01-01", database=two_months)
    assert [("BTCUSDT", 10)] == made.select("symbol", "klines").rows()


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"to": "excel"}, "to: 'excel' is none of freqtrade, nautilus"),
        ({"folder": __file__}, "folder: .*is a file"),
        ({"folder": "a\0b"}, "folder: 'a.x00b' is no path of a folder: embedded null"),
        ({"folder": "\udce4"}, "folder: '.udce4' is no path of a folder"),
        ({"folder": "long" * 100}, "folder: .*(File name too long|can't be written)"),
        ({"symbols": "*EUR"}, "EUR matches no symbol of spot that is stored"),
        ({"start": "2026-01-02", "end": "2026-01-01"}, "start: 2026-01-02 is not before"),
        ({"market": "coinm"}, "market: freqtrade does not trade COIN-M"),
        ({"interval": "10m"}, "interval: freqtrade knows"),
        ({"market": "usdm", "symbols": "BTCUSDT_260327"}, "symbols: freqtrade can't have BTCUSDT_260327: of futures"),
        ({"to": "jesse", "market": "usdm", "kind": "mark"}, "kind: jesse takes klines, not mark"),
        ({"to": "csv", "market": "usdm", "kind": "continuous"}, "kind: csv takes klines, mark, index, premium, not"),
        ({"market": "usdm", "kind": "funding"}, "interval: funding rates have slots of 1h"),
        ({"kind": "funding", "interval": "1h"}, "market: funding rates are of usdm and coinm"),
        ({"to": "jesse", "interval": "1h"}, "interval: jesse takes 1m"),
        ({"to": "nautilus", "interval": "1w"}, "interval: for nautilus 1s to 1d"),
    ],
)
def test_bad_parameters(two_months: Path, tmp_path: Path, given: dict[str, str], named: str) -> None:
    """They are refused with their name and what is allowed, and nothing is written."""
    parameters = {"to": "freqtrade", "folder": str(tmp_path / "folder"), "database": two_months} | given
    with pytest.raises(BadParameter, match=named):
        klines.export(**parameters)  # type: ignore[arg-type]
    assert {} == files(tmp_path)


def test_what_is_not_stored(two_months: Path, tmp_path: Path) -> None:
    """An unknown symbol, and one of which nothing is stored in the range."""
    with pytest.raises(NotStored, match=r"BTCUSD is not stored .*did you mean BTCUSDT"):
        klines.export("csv", tmp_path, "BTCUSD", database=two_months)
    with pytest.raises(NotStored, match="nothing is stored of BTCUSDT 1m"):
        klines.export("csv", tmp_path, "BTCUSDT", "2026-02-01", database=two_months)


def test_symbols_that_a_program_can_not_have(two_months: Path, tmp_path: Path) -> None:
    """Where none is named they are left out, and the others are exported."""
    made = klines.export("freqtrade", tmp_path, market="usdm", database=two_months)
    assert ["BTCUSDT"] == made["symbol"].to_list()


def test_one_symbol_spoils_only_itself(database: Path, tmp_path: Path) -> None:
    """A number that nautilus can't hold: the others are written, and then it is named."""
    query(database, "UPDATE klines SET volume = 99e12 WHERE symbol = 'BTCUSDT' AND open_time >= '2026-01-01'")
    with pytest.raises(GiveUp, match="BTCUSDT has numbers over"):
        klines.export("nautilus", tmp_path / "folder", ["BTCUSDT", "ETHBTC"], database=database)
    assert 2 == len(list((tmp_path / "folder").rglob("ETHBTC*/*.parquet")))


KILLED = """
import os, signal, sys
from pathlib import Path
from klines.exports.folder import Folder
with Folder(Path(sys.argv[1])) as folder, folder.writing("BTC_USDT-1m.feather") as file:
    file.write(b"half")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_killed_while_it_writes(two_months: Path, tmp_path: Path) -> None:
    """What was there stays; no half file is left where a program looks, and none at all after the next export."""
    klines.export("freqtrade", tmp_path, "BTCUSDT", database=two_months)
    before = files(tmp_path)
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], env=environment)
    assert -signal.SIGKILL == done.returncode
    assert before == files(tmp_path)
    klines.export("freqtrade", tmp_path, "BTCUSDT", database=two_months)
    assert before == files(tmp_path)
    assert [".json"] == [path.suffix for path in (tmp_path / ".klines").iterdir()]


@pytest.mark.parametrize("to", ["csv", "freqtrade", "parquet"])
def test_full_disk(two_months: Path, small_disk: Path, to: str) -> None:
    """It is named; nothing half is left, and with room again the same export is whole."""
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(shutil.disk_usage(small_disk).free - 3 * 4096))
    with pytest.raises(NoRoom, match="the disk is full"):
        klines.export(to, small_disk / "folder", database=two_months)
    ballast.unlink()
    assert klines.export(to, small_disk / "folder", database=two_months)["klines"].sum() >= 237


def test_a_folder_that_can_not_be_written(two_months: Path, small_disk: Path) -> None:
    """It is refused with what is in the way: on a disk that can only be read, and where a folder has the place of a
    file of ours or of the program."""
    klines.export("csv", small_disk / "folder", "ETHBTC", database=two_months)
    for to, path in (("freqtrade", "folder/BTC_USDT-1m.feather"), ("csv", "other/.klines/half")):
        (small_disk / path).mkdir(parents=True)
        with pytest.raises(BadParameter, match=f"folder: .*{path} can't be written"):
            klines.export(to, small_disk / Path(path).parts[0], "BTCUSDT", database=two_months)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(BadParameter, match=r"folder: .* can't be written: Read-only file system"):
        klines.export("csv", small_disk / "folder", database=two_months)


def test_two_at_once(two_months: Path, tmp_path: Path) -> None:
    """A folder has one export at a time."""
    with Folder(tmp_path), pytest.raises(DatabaseBusy, match="is being exported to by another process"):
        klines.export("csv", tmp_path, database=two_months)


def test_notes_that_can_not_be_read(two_months: Path, tmp_path: Path) -> None:
    """All is written again."""
    klines.export("csv", tmp_path, "BTCUSDT", database=two_months)
    [note] = (tmp_path / ".klines").glob("*.json")
    for text in ("{", "[]", json.dumps({"a": {"b": 1}}), json.dumps({"a": 1})):
        note.write_text(text)
        assert klines.export("csv", tmp_path, "BTCUSDT", database=two_months)["written"].all()
