"""What a kline takes in a lake and in a file, of made-up values and of recorded ones."""

from __future__ import annotations

import io
import tarfile
import time
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest

from benchmarks.lake.ground import Ground, bytes_of_klines, fill
from benchmarks.lake.stock import Part
from benchmarks.lake.upkeep import maintained, merged
from benchmarks.table import line
from klines.interval import INTERVALS, MINUTE
from klines.market import MARKETS
from klines.rows import sift
from klines.settings import Address
from klines.storage.access import place_of
from klines.storage.store import scope_of, store
from klines.want import Want
from klines.window import Window
from tests.backfill.test_recorded import FOLDER, rest_rows
from tests.drive import maintain_once, recorded


def measure_room(ground: Ground) -> None:
    """Bytes a row, after maintenance in both places."""
    parts = month_in_order(ground)
    in_lake = sum(part.path.stat().st_size for part in parts) / ground.stock.rows
    database = ground.file()
    fill(database, parts)
    in_file = bytes_of_klines(database) / ground.stock.rows
    database.unlink()
    line("a row of made-up values", in_lake, "bytes", peer="the file", other=in_file, limit="≤ 32")
    try:
        for name, market, rows in recorded_months():
            measure_recorded(ground, name, market, rows)
    except pytest.skip.Exception as missing:
        print(f"left out: {missing}")


def month_in_order(ground: Ground) -> list[Part]:
    """The measured month as maintenance leaves it, which is done now unless it was before."""
    if not ground.merged:
        address = ground.lake([], beside=ground.daily)
        maintained(ground, address)
        ground.merged = merged(ground, address)
        ground.drop(address)
    return ground.merged


def recorded_months() -> Iterator[tuple[str, str, list[list[Any]]]]:
    """Symbol, market and rows of what was recorded of Binance; raises what a test is skipped by."""
    with tarfile.open(recorded(FOLDER, "BTCUSDT-1m-daily_2024-12_2025-02.tar.xz")) as tar:
        files = [file for name in sorted(tar.getnames()) if (file := tar.extractfile(name))]
        yield "BTCUSDT", "spot", [row for file in files for row in rest_rows(file.read().decode())]
    body = recorded("usdm_archive", "ALGOUSDT-1m-2024-09.zip").read_bytes()
    csv = zipfile.ZipFile(io.BytesIO(body)).read("ALGOUSDT-1m-2024-09.csv").decode()
    yield "ALGOUSDT", "usdm", rest_rows(csv)


def measure_recorded(ground: Ground, symbol: str, market: str, rows: list[list[Any]]) -> None:
    """Store them in both places, maintain, and show the line."""
    database, address = ground.file(), ground.lake([])
    for place in (database, address):
        put(place, symbol, market, rows)
        outcome = maintain_once(place, time.time_ns() // 1_000_000)
        if outcome.state != "Completed":
            raise SystemExit(f"{outcome.state}: {outcome.message}")
    in_lake, in_file = place_of(address).size() / len(rows), bytes_of_klines(database) / len(rows)
    ground.drop(address)
    database.unlink()
    what = f"a row of {symbol} as recorded, {len(rows):,} of them"
    line(what, in_lake, "bytes", peer="the file", other=in_file, limit="ratio ≤ 1")


def put(database: Address, symbol: str, market: str, rows: list[list[Any]]) -> None:
    """Store what REST would have answered."""
    window, minute = Window(rows[0][0], rows[-1][0] + MINUTE), INTERVALS["1m"]
    want = Want(symbol, [window])
    want.rows, want.rejects = sift(rows, minute, window)
    want.answered = [window]
    scope = scope_of(MARKETS[market], minute, [want])
    place_of(database).write(
        time.monotonic() + 60,
        scope,
        lambda connection: store(connection, MARKETS[market], minute, [want], now_ms=window.end_ms),
    )
