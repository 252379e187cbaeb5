"""`klines.scan`: what it gives is what `read` gives, and what a query does not need is not read."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

import klines
from klines.errors import BadParameter, KlinesError, NotStored
from klines.interval import INTERVALS, Interval
from klines.market import market_of
from klines.reading.derived import Asked
from klines.reading.predicate import passing_symbols, passing_window
from klines.reading.scan import Scanned
from klines.reading.spans import Span, passing, pieces, spans_stored
from klines.storage.access import reading_at, stored_at
from klines.window import Window
from tests.drive import NOON, backfill_once, ms
from tests.exchange import StandIn

TIME, NINE, TEN = pl.col("open_time"), datetime(2026, 1, 2, 9), datetime(2026, 1, 2, 10)
SYMBOLS, ONE = ["BTCUSDT", "ETHUSDT", "SOLUSDT"], ["BTCUSDT"]


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Four hours of three symbols with a hole; of one of them also some hours and quarters, so that hours are stored in
    the middle, and before and after derived from two intervals. It is kept open, as to open it costs more than to read
    most of the hundreds of pieces."""
    database = tmp_path_factory.mktemp("stored") / "klines.duckdb"
    with StandIn(any_symbol=True) as exchange:
        exchange.freeze(NOON + 5_000)
        exchange.hole(ms("2026-01-02T09:40"), ms("2026-01-02T09:43"), "ETHUSDT")
        for symbols, interval, first, last in ((SYMBOLS, "1m", 8, 12), (ONE, "15m", 8, 11), (ONE, "1h", 9, 10)):
            times = (f"2026-01-02T{first:02}:00", f"2026-01-02T{last:02}:00")
            backfill_once(exchange, database, symbols, *times, interval=interval, source="rest")
    with duckdb.connect(str(database), read_only=True):
        yield database


ASKED: dict[str, dict[str, Any]] = {
    "minutes": {},
    "hours": {"interval": "1h"},
    "a range": {"start": "2026-01-02T08:30", "end": "2026-01-02T10:30", "interval": "5m"},
    "columns": {"columns": ["close", "symbol", "open_time"]},
    "exact": {"exact": True, "interval": "15m"},
    "filled": {"fill": "previous"},
}
QUERIES: dict[str, Any] = {
    "all": lambda frame: frame,
    "a symbol": lambda frame: frame.filter(symbol="ETHUSDT"),
    "some symbols": lambda frame: frame.filter(pl.col("symbol").is_in(["SOLUSDT", "BTCUSDT"]), pl.col("close") > 1),
    "from a time": lambda frame: frame.filter(TIME >= NINE).select("close"),
    "between": lambda frame: frame.filter(TIME.is_between(NINE, TEN)),
    "another column": lambda frame: frame.filter((TIME < TEN) & (pl.col("close") > pl.col("close").mean())),
    "nothing": lambda frame: frame.filter(symbol="XRPUSDT"),
    "the first rows": lambda frame: frame.head(5),
    "a symbol of the first": lambda frame: frame.head(5).filter(symbol="SOLUSDT"),
    "the first of a symbol": lambda frame: frame.filter(symbol="SOLUSDT").head(3),
    "how many": lambda frame: frame.select(pl.len()),
    "per symbol": lambda frame: frame.group_by("symbol").agg(pl.col("close").max()).sort("symbol"),
}


@pytest.mark.parametrize("asked", ASKED)
def test_a_query_has_the_same_answer_as_of_what_is_read(stored: Path, asked: str) -> None:
    """Whatever the parameters, and whatever polars pushes down."""
    read = klines.read(SYMBOLS, database=stored, **ASKED[asked])
    scanned = klines.scan(SYMBOLS, database=stored, **ASKED[asked])
    for name, query in QUERIES.items():
        assert (name, True) == (name, query(scanned).collect().equals(query(read.lazy()).collect()))
    assert scanned.collect(engine="in-memory").equals(read)


def source(database: Path, interval: Interval, slots: int) -> Scanned:
    """All of the interval, in pieces of so many slots."""
    asked = Asked(market_of("spot", "klines"), SYMBOLS, Window(0, NOON), [])
    place = stored_at(database)
    with reading_at(place) as connection:
        return Scanned(place, asked, interval, NOON, spans_stored(connection, asked, interval), slots)


@pytest.mark.parametrize("interval", ["1m", "5m", "1h"])
@pytest.mark.parametrize("slots", [7, 100, 300])
def test_pieces_together_are_the_whole(stored: Path, interval: str, slots: int) -> None:
    """However small the pieces are, and whatever is derived, together and in order they are what `read` gives."""
    columns = ["symbol", "open_time", "close", "source"]
    whole = klines.read(SYMBOLS, end="2026-01-02T12:00", interval=interval, columns=columns, database=stored)
    frames = list(source(stored, INTERVALS[interval], slots).frames(columns, None, None))
    assert pl.concat(frames).equals(whole)
    cut = [frame for frame in frames if "BTCUSDT" not in frame["symbol"] or interval == "1m"]
    assert max((frame.height for frame in cut), default=0) <= slots


def test_what_a_query_does_not_need_is_not_read(stored: Path) -> None:
    """A filter of symbols and times leaves pieces out; one that depends on more than that leaves none out."""
    whole = source(stored, INTERVALS["1m"], 60)
    needs = (TIME >= NINE) & (pl.col("symbol") == "SOLUSDT") & (pl.col("close") > 0)
    [piece, *more] = pieces(passing(whole.spans, needs), whole.interval, 60)
    assert (["SOLUSDT"], Window(ms("2026-01-02T09:00"), ms("2026-01-02T10:00"))) == piece
    assert 2 == len(more)
    either = (TIME >= NINE) | (pl.col("close") > 0)
    assert whole.spans == list(passing(whole.spans, either))


NINE_MS, TEN_MS = ms("2026-01-02T09:00"), ms("2026-01-02T10:00")
DAY = Window(ms("2026-01-02"), ms("2026-01-03"))
PREDICATES: list[tuple[pl.Expr, int, int]] = [
    (TIME >= NINE, NINE_MS, DAY.end_ms),
    (pl.lit(NINE) < TIME, NINE_MS, DAY.end_ms),
    (TIME <= TEN, DAY.start_ms, TEN_MS + 1),
    (TIME == NINE, NINE_MS, NINE_MS + 1),
    (TIME.is_between(NINE, TEN, "none"), NINE_MS, TEN_MS + 1),
    ((TIME > NINE) & (pl.col("close") > 1) & (TIME < TEN), NINE_MS, TEN_MS + 1),
    (TIME != NINE, DAY.start_ms, DAY.end_ms),
    ((TIME > TEN) | (TIME < NINE), DAY.start_ms, DAY.end_ms),
    (TIME.dt.hour() >= 9, DAY.start_ms, DAY.end_ms),
    (pl.col("close_time") >= NINE, DAY.start_ms, DAY.end_ms),
]


@pytest.mark.parametrize("case", PREDICATES, ids=lambda case: str(case[0])[:60])
def test_the_times_that_a_predicate_lets_pass(case: tuple[pl.Expr, int, int]) -> None:
    """A comparison of the open time bounds it, from whatever side it is written; what is not understood does not."""
    predicate, start_ms, end_ms = case
    assert Window(start_ms, end_ms) == passing_window(predicate, DAY)


def test_a_predicate_that_lets_nothing_pass() -> None:
    """There is no window, and no symbol."""
    assert passing_window((TIME < NINE) & (TIME > TEN), DAY) is None
    assert [] == passing_symbols(pl.col("symbol") == "XRPUSDT", SYMBOLS)
    assert [] == list(passing([Span("BTCUSDT", DAY, can_be_cut=True)], TIME < datetime(2020, 1, 1)))


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        ({"interval": "7x"}, BadParameter, "interval: "),
        ({"fill": "zero"}, BadParameter, "fill: "),
        ({"columns": ["Close"]}, BadParameter, "columns: "),
        ({"symbols": ["BTCUSTD", "ETHUSDT"]}, NotStored, "did you mean BTCUSDT"),
        ({"start": "2020-01-01", "end": "2021-01-01"}, NotStored, "in this range; there is 15m from"),
        ({"interval": "3d"}, NotStored, "only one shows on which days they begin"),
    ],
)
def test_what_is_wrong_is_said_at_once(
    stored: Path, asked: dict[str, Any], error: type[KlinesError], message: str
) -> None:
    """By the same errors as of `read`, before anything is collected."""
    arguments: dict[str, Any] = {"symbols": "BTCUSDT", "database": stored} | asked
    for ask in (klines.read, klines.scan):
        with pytest.raises(error, match=message):
            ask(**arguments)


def test_what_goes_wrong_later_is_ours_too(stored: Path, tmp_path: Path) -> None:
    """A database that is gone when the frame is collected is named by our error, not by one of polars."""
    moved = tmp_path / "klines.duckdb"
    moved.write_bytes(stored.read_bytes())
    frame = klines.scan("BTCUSDT", database=moved)
    moved.unlink()
    with pytest.raises(KlinesError, match=r"klines\.duckdb"):
        frame.collect()
