"""What is stored, printed as a decimal, is the number that Binance published: on all recorded data, and on made-up
values up to 10^15 with eight decimals."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs

import duckdb
import polars as pl
import pytest

from klines.binance.csv import raw_rows, read_csv
from klines.columns import as_decimals
from klines.interval import INTERVALS, Interval
from klines.market import MARKETS
from klines.rows import sift
from klines.storage.database import in_memory
from klines.tables.merge import merge_rows, prepare, stage
from klines.window import Window
from tests.drive import NOON, audit_once, backfill_once, collect_once, ms, query, recorded
from tests.exchange import StandIn

FIELDS = (*("open", "high", "low", "close", "volume"), *("quote_volume", "taker_buy_volume", "taker_buy_quote_volume"))
PLACES = (1, 2, 3, 4, 5, 7, 9, 10)
EVER = Window(0, 2**50)
ROUTES = {"/api/v3/klines": "spot", "/fapi/v1/klines": "usdm", "/dapi/v1/klines": "coinm"}


class Answer(NamedTuple):
    """Recorded klines as they were published, and of which series."""

    name: str
    market: str
    symbol: str
    interval: Interval
    raw: list[list[Any]]
    csv: bytes | None = None


def answers(full: bool = True) -> Iterator[Answer]:  # noqa: ARG001 - they are few
    """All that were recorded of REST."""
    routes = json.loads(recorded("rest", "recorded_rest.json").read_text())["routes"]
    for route, market in ROUTES.items():
        for answer in routes[route]["GET"]:
            asked = {name: value for name, [value] in parse_qs(answer["queryString"]).items()}
            if isinstance(answer["data"], list):
                series = (market, asked["symbol"], INTERVALS[asked["interval"]])
                yield Answer(f"{route}?{answer['queryString']}", *series, answer["data"])


def files(full: bool = True) -> Iterator[Answer]:
    """All that were recorded of the archive; of three months of days each sixth, unless in full."""
    for path in sorted(recorded("spot_archive").glob("*.csv")) + sorted(recorded("spot_archive").glob("*.zip")):
        yield _file(path.name, "spot", _csv(path))
    with tarfile.open(recorded("spot_archive", "BTCUSDT-1m-daily_2024-12_2025-02.tar.xz")) as tar:
        for name in sorted(name for name in tar.getnames() if name.endswith(".csv"))[:: 1 if full else 6]:
            yield _file(Path(name).name, "spot", tar.extractfile(name).read())  # type: ignore[union-attr]
    path = recorded("usdm_archive", "ALGOUSDT-1m-2024-09.zip")
    yield _file(path.name, "usdm", _csv(path))


def _csv(path: Path) -> bytes:
    body = path.read_bytes()
    if path.suffix != ".zip":
        return body
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        return archive.read(archive.namelist()[0])


def _file(name: str, market: str, csv: bytes) -> Answer:
    symbol, interval, *_ = name.split("-")
    body = csv.partition(b"\n")[2] if csv.startswith(b"open_time") else csv
    return Answer(name, market, symbol, INTERVALS[interval], raw_rows(body), csv)


def differing(connection: duckdb.DuckDBPyConnection, answer: Answer) -> Iterator[str]:
    """The values of an answer that are stored as another number, and rows that are not stored."""
    if answer.csv is None:
        rows, rejects = sift(answer.raw, answer.interval, EVER)
        frames = stage([(answer.symbol, rows)])
    else:
        frame, rejects = read_csv(answer.csv, answer.interval, EVER)
        frames = [frame.with_columns(symbol=pl.lit(answer.symbol))]
    connection.execute("DELETE FROM klines")
    bulk = prepare(frames, answer.interval)
    merge_rows(connection, MARKETS[answer.market], answer.interval, bulk, source="daily", now_ms=NOON)
    texts = ", ".join(f"{name}::VARCHAR" for name in FIELDS)
    stored = connection.execute(f"SELECT epoch_ms(open_time), {texts} FROM klines").fetchall()
    held = {open_ms: list(map(Decimal, values)) for open_ms, *values in stored}
    yield from (f"{reject.reason}: {reject.row}" for reject in rejects)
    for row in answer.raw:
        if held.get(row[0]) != [Decimal(row[place]) for place in PLACES]:
            yield f"{answer.name}: {row} is {held.get(row[0])}"


@pytest.mark.parametrize(("source", "least"), [(answers, 3_000), (files, 70_000)])
def test_recorded_values_are_stored_exactly(source: Callable[[bool], Iterator[Answer]], least: int, full: bool) -> None:
    """Each value of each recorded kline, of REST (1m to 1M of all markets) and of the archive, printed as a decimal by
    the database, is what Binance sent."""
    compared = 0
    with in_memory() as connection:
        for answer in source(full):
            assert [] == list(differing(connection, answer))
            compared += len(answer.raw)
    assert least < compared


@pytest.mark.parametrize("price", ["-0.00042931", "-40000000.12345678", "40000000.12345678", "-33554432.00000001"])
def test_a_price_is_the_same_decimal(price: str) -> None:
    """The decimal that `exact=True` gives of a price is what was published, also below zero, as of a premium index."""
    with in_memory() as connection:
        sql = f"SELECT {as_decimals('open')} FROM (SELECT {price}::DOUBLE AS open)"
        assert [(Decimal(price),)] == connection.execute(sql).fetchall()


SERIES = [("spot", "SATSUSDT"), ("usdm", "SATSUSDT"), ("coinm", "SATSUSD_PERP")]


@pytest.mark.parametrize(("market", "symbol"), SERIES)
def test_made_up_values_are_stored_exactly(exchange: StandIn, tmp_path: Path, market: str, symbol: str) -> None:
    """Amounts up to 10^15 with eight decimals, collected, and loaded from REST and from the archive: stored to the last
    digit, equal wherever they came from, and their days add up to the 1d klines without a tolerance."""
    start, end = "2026-01-01", "2026-01-02"
    databases = {source: tmp_path / f"{source}.duckdb" for source in ("rest", "archive")}
    for source, database in databases.items():
        outcome = backfill_once(exchange, database, [symbol], start, end, market=market, source=source)
        assert "Completed" == outcome.state, outcome.message
    collect_once(exchange, tmp_path / "live.duckdb", [symbol], market=market)
    raw = exchange.klines(symbol, ms(start), ms(end), market=market)
    assert printed(raw) == held(databases["rest"]) == held(databases["archive"])
    assert printed(exchange.klines(symbol, NOON - 1_800_000, NOON, market=market)) == held(tmp_path / "live.duckdb")
    assert 10**14 < max(max(values[4:6]) for values in held(databases["rest"]))
    assert [(1, 1)] == query(databases["archive"], "SELECT count(*), count(verified_at) FROM archive_files")


def printed(raw: list[list[Any]]) -> list[list[Decimal]]:
    """The values as they were published."""
    return [[Decimal(row[place]) for place in PLACES] for row in raw]


def held(database: Path) -> list[list[Decimal]]:
    """The values as the database prints them."""
    texts = ", ".join(f"{name}::VARCHAR" for name in FIELDS)
    return [list(map(Decimal, row)) for row in query(database, f"SELECT {texts} FROM klines ORDER BY open_time")]


@pytest.mark.parametrize(("market", "symbol"), SERIES)
def test_a_last_digit_is_a_correction(exchange: StandIn, database: Path, market: str, symbol: str) -> None:
    """A value that differs in its last digit, though one double stands for both, is corrected, noted with all digits,
    and changes the certificate's hash."""
    collect_once(exchange, database, [symbol], market=market)
    audit_once(exchange, database)
    [(before,)] = query(database, "SELECT hash FROM certificate")
    [*_, row] = exchange.klines(symbol, NOON - 120_000, NOON, market=market)
    quote = Decimal(row[7]) + Decimal("0.00000001")
    assert float(quote) == float(row[7])
    exchange.restate(symbol, row[0], quote_volume=str(quote))
    exchange.freeze(NOON + 60_000)
    collect_once(exchange, database, [symbol], market=market)
    [(old, new)] = query(database, "SELECT old, new FROM restatements")
    noted = [json.loads(text, parse_float=Decimal)["quote_volume"] for text in (old, new)]
    assert [Decimal(row[7]), quote] == noted
    assert [(quote,)] == query(database, f"SELECT quote_volume FROM klines WHERE epoch_ms(open_time) = {row[0]}")
    assert [(before,)] != query(database, "SELECT hash FROM certificate")
