"""Recorded archive files of Binance, served as they are: loaded, compared value by value, beside REST, and exported."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from collections import defaultdict
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

import klines
from tests.drive import backfill_once, published, query, recorded, stored
from tests.exchange import StandIn
from tests.exchange.archives import zipped

FOLDER = "spot_archive"


def rest_rows(csv: str) -> list[list[Any]]:
    """The lines of a CSV as REST would send them: times in ms."""
    rows: list[list[Any]] = []
    for line in csv.split():
        if line[0].isdigit():
            row: list[Any] = line.split(",")
            times = [int(row[i]) // (1000 if int(row[i]) > 10**14 else 1) for i in (0, 6)]
            rows.append([times[0], *row[1:6], times[1], row[7], int(row[8]), *row[9:]])
    return rows


def both(exchange: StandIn, tmp_path: Path, symbol: str, start: str, end: str, **options: Any) -> list[tuple[Any, ...]]:
    """The rows from the archive, after making sure that REST gives the same."""
    for source in ("archive", "rest"):
        outcome = backfill_once(exchange, tmp_path / source, [symbol], start, end, source=source, **options)
        assert "Completed" == outcome.state, outcome.message
    assert stored(tmp_path / "archive", symbol) == stored(tmp_path / "rest", symbol)
    return stored(tmp_path / "archive", symbol)


def exported(database: Path, **options: str) -> list[bytes]:
    """The CSV files of the archive that klines makes of a database, by month."""
    made = klines.export("csv", database.with_name(f"{database.name}.csv"), database=database, **options)
    return [Path(file).read_bytes() for file in made["file"].sort()]


def test_recorded_zips_with_their_own_checksums(exchange: StandIn, tmp_path: Path) -> None:
    """Three days as zips of 2020: the archive's own SHA-256 is the one that is noted, each value is the CSV's, and what
    is exported is the same bytes."""
    rows: list[list[Any]] = []
    csv = b""
    for day in ("2020-01-01", "2020-01-02", "2020-01-03"):
        name = f"BTCUSDT-1m-{day}"
        body = recorded(FOLDER, f"{name}.zip").read_bytes()
        assert hashlib.sha256(body).hexdigest() == recorded(FOLDER, f"{name}.zip.CHECKSUM").read_text().split()[0]
        exchange.place(name, body)
        days = zipfile.ZipFile(io.BytesIO(body)).read(f"{name}.csv")
        csv, rows = csv + days, rows + rest_rows(days.decode())
    exchange.replay("BTCUSDT", rows)
    assert published(rows) == both(exchange, tmp_path, "BTCUSDT", "2020-01-01", "2020-01-04")
    assert [csv] == exported(tmp_path / "archive")
    noted = query(
        tmp_path / "archive", "SELECT path, sha256, rows, verified_at IS NOT NULL FROM archive_files ORDER BY 1"
    )
    checksum = recorded(FOLDER, "BTCUSDT-1m-2020-01-01.zip.CHECKSUM").read_text().split()[0]
    assert ("data/spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2020-01-01.zip", checksum, 1440, True) == noted[0]


@pytest.mark.parametrize(
    ("first", "last"),
    [("2024-12-30", "2025-01-02"), pytest.param("2024-12-01", "2025-02-28", marks=pytest.mark.full)],
)
def test_recorded_days_over_the_switch_to_microseconds(
    exchange: StandIn, tmp_path: Path, first: str, last: str
) -> None:
    """The days around New Year of 2025, or the three months around it as monthly files made of their days: each row as
    in the CSV, and exported to the byte, in milliseconds and microseconds."""
    with tarfile.open(recorded(FOLDER, "BTCUSDT-1m-daily_2024-12_2025-02.tar.xz")) as tar:
        days = {name[-14:-4]: tar.extractfile(name).read() for name in sorted(tar.getnames())}  # type: ignore[union-attr]
    days = {day: body for day, body in days.items() if first <= day <= last}
    rows = [row for csv in days.values() for row in rest_rows(csv.decode())]
    exchange.replay("BTCUSDT", rows)
    months: dict[str, bytes] = defaultdict(bytes)
    for day, csv in days.items():
        months[day[:7]] += csv
    is_monthly = len(days) > 31
    files = months if is_monthly else days
    for of, csv in files.items():
        exchange.place(f"BTCUSDT-1m-{of}", zipped(f"BTCUSDT-1m-{of}.csv", csv))
    end = str(date.fromisoformat(last) + timedelta(days=1))
    assert published(rows) == both(exchange, tmp_path, "BTCUSDT", first, end)
    assert list(months.values()) == exported(tmp_path / "archive")
    source = "monthly" if is_monthly else "daily"
    assert [(source, len(days) * 1440)] == query(tmp_path / "archive", "SELECT source, count(*) FROM klines GROUP BY 1")
    checked = query(tmp_path / "archive", "SELECT count(*), count(verified_at) FROM archive_files")
    assert [(len(files), len(files))] == checked


def test_a_recorded_month_of_futures(exchange: StandIn, tmp_path: Path) -> None:
    """ALGOUSDT of September 2024, with its header: a monthly file of USDS-M, value by value; exported to
    the byte."""
    body = recorded("usdm_archive", "ALGOUSDT-1m-2024-09.zip").read_bytes()
    csv = zipfile.ZipFile(io.BytesIO(body)).read("ALGOUSDT-1m-2024-09.csv")
    rows = rest_rows(csv.decode())
    exchange.place("ALGOUSDT-1m-2024-09", body)
    exchange.replay("ALGOUSDT", rows)
    assert published(rows) == both(exchange, tmp_path, "ALGOUSDT", "2024-09-01", "2024-10-01", market="usdm")
    assert [csv] == exported(tmp_path / "archive", market="usdm")


def test_february_2018(exchange: StandIn, tmp_path: Path) -> None:
    """The outage of 8 and 9 February 2018 from the recorded files: cut close times and off-grid rows are kept as they
    are, and exported, and the hole is in the ledger to the minute."""
    rows: list[list[Any]] = []
    whole = b""
    for day in ("2018-02-08", "2018-02-09"):
        csv = recorded(FOLDER, f"BTCUSDT-1m-{day}.csv").read_bytes()
        exchange.place(f"BTCUSDT-1m-{day}", zipped(f"BTCUSDT-1m-{day}.csv", csv))
        rows, whole = rows + rest_rows(csv.decode()), whole + csv
    exchange.replay("BTCUSDT", rows)
    backfill_once(exchange, tmp_path / "auto", ["BTCUSDT"], "2018-02-08", "2018-02-10")
    assert published(rows) == stored(tmp_path / "auto", "BTCUSDT")
    assert [whole] == exported(tmp_path / "auto")
    holes = query(tmp_path / "auto", "SELECT start_time::VARCHAR, end_time::VARCHAR, reason FROM gaps")
    assert [("2018-02-08 00:29:00", "2018-02-09 10:00:00", "unresolved")] == holes


def test_2017_and_2020_with_their_holes(exchange: StandIn, tmp_path: Path) -> None:
    """Days of known outages: what the files have is stored, what they lack is in the ledger, as facts tell."""
    for day, hole in (
        ("2017-09-06", ("2017-09-06 16:01:00", "2017-09-06 23:00:00")),
        ("2020-12-21", ("2020-12-21 13:48:00", "2020-12-21 18:00:00")),
    ):
        csv = recorded(FOLDER, f"BTCUSDT-1m-{day}.csv").read_bytes()
        exchange.place(f"BTCUSDT-1m-{day}", zipped(f"BTCUSDT-1m-{day}.csv", csv))
        exchange.replay("BTCUSDT", rest_rows(csv.decode()))
        database = tmp_path / day
        backfill_once(exchange, database, ["BTCUSDT"], day, f"{day[:8]}{int(day[8:]) + 1:02}")
        assert published(rest_rows(csv.decode())) == stored(database, "BTCUSDT")
        assert [hole] == query(database, "SELECT start_time::VARCHAR, end_time::VARCHAR FROM gaps")
