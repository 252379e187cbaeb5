"""Which of the archive's files a gap is worth, and what they are called."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klines.backfill.chunks import MOST_CHUNKS, NOTHING, Piece, chunks, slots_of, work
from klines.binance.files import File, Life, files_for
from klines.interval import DAY, HOUR, INTERVALS
from klines.market import MARKETS
from klines.window import Window, intersect, merge, subtract
from tests.drive import ms

SPOT, MINUTES = MARKETS["spot"], INTERVALS["1m"]
NOW = ms("2026-01-10")


def window(start: str, end: str) -> Window:
    """A window between two times in UTC."""
    return Window(ms(start), ms(end))


def life(start: str = "2017-01-01", end_ms: int = NOW, now_ms: int = NOW) -> Life:
    """A symbol's life until now."""
    return Life(ms(start), end_ms, now_ms)


def chosen(*gaps: Window, is_month: bool, interval: str = "1m", lives: Life | None = None, **more: bool) -> list[str]:
    """The names of the files for gaps, without symbol and interval."""
    files = files_for(gaps, "X", SPOT, INTERVALS[interval], lives or life(), is_month=is_month, **more)
    return [file.name.removeprefix(f"X-{interval}-") for file in files]


@pytest.mark.parametrize(
    ("market", "interval", "is_month", "path"),
    [
        ("spot", "1m", False, "data/spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2025-11-01.zip"),
        ("spot", "1M", True, "data/spot/monthly/klines/BTCUSDT/1mo/BTCUSDT-1mo-2025-11.zip"),
        ("usdm", "1h", True, "data/futures/um/monthly/klines/BTCUSDT/1h/BTCUSDT-1h-2025-11.zip"),
        ("coinm", "1m", False, "data/futures/cm/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2025-11-01.zip"),
    ],
)
def test_paths(market: str, interval: str, is_month: bool, path: str) -> None:
    """The archive's own paths; the month is `1mo` there."""
    assert path == File(market, "BTCUSDT", interval, is_month, ms("2025-11-01")).path


def test_symbols_outside_ascii_are_quoted() -> None:
    """Binance lists 币安人生USDT: its path is UTF-8, percent-encoded in the URL only."""
    file = File("spot", "币安人生USDT", "1m", False, ms("2025-11-01"))
    assert "币安人生USDT" in file.path
    assert file.url_path.isascii()


def test_whole_months_and_whole_days() -> None:
    """A month, or a day, is chosen only when all of it is missing."""
    gap = window("2025-10-30T12:00", "2025-12-02T12:00")
    assert ["2025-11"] == chosen(gap, is_month=True)
    assert ["2025-10-31", *(f"2025-11-{day:02}" for day in range(1, 31)), "2025-12-01"] == chosen(gap, is_month=False)
    assert [] == chosen(window("2025-11-01", "2025-11-15"), window("2025-11-15T00:01", "2025-12-01"), is_month=True)


def test_a_month_is_whole_without_what_is_outside_of_the_symbols_life() -> None:
    """Listed, or ended, in the middle of a month: that part of it is all there is."""
    lives = Life(ms("2025-11-15T08:30"), ms("2025-12-10T00:00"), NOW)
    gap = window("2025-11-15T08:30", "2025-12-10T00:00")
    assert ["2025-11", "2025-12"] == chosen(gap, is_month=True, lives=lives)
    assert "2025-11-15" == chosen(gap, is_month=False, lives=lives)[0]


def test_what_is_not_over_has_no_file() -> None:
    """Neither this month nor today has a file, and a day has none within an hour of its end."""
    gap = window("2025-12-31", "2026-01-10T00:30")
    assert [] == chosen(gap, is_month=True)
    late = life(end_ms=ms("2026-01-10T00:30"), now_ms=ms("2026-01-10T00:30"))
    assert "2026-01-08" == chosen(gap, is_month=False, lives=late)[-1]


@pytest.mark.parametrize(
    ("interval", "months", "days"),
    [("1s", 0, 31), ("1m", 1, 31), ("3m", 1, 0), ("15m", 1, 0), ("1h", 0, 0), ("1d", 0, 0), ("3d", 0, 0), ("1M", 0, 0)],
)
def test_a_file_is_worth_several_pages(interval: str, months: int, days: int) -> None:
    """Where one page of REST has all of a file's klines, the page is asked; months of 1s would not fit into memory."""
    gap = window("2025-10-01", "2025-11-01")
    counts = [len(chosen(gap, is_month=is_month, interval=interval)) for is_month in (True, False)]
    assert [months, days] == counts


def test_from_the_archive_alone_every_file_counts() -> None:
    """Without REST days of which a minute is missing are chosen, and months of what has no days."""
    gap = window("2025-10-01T23:59", "2025-10-02T00:01")
    assert ["2025-10-01", "2025-10-02"] == chosen(gap, is_month=False, every=True)
    assert [] == chosen(gap, is_month=True, every=True)
    week = window("2025-10-06", "2025-10-13")
    assert ["2025-10"] == [name[-7:] for name in chosen(week, is_month=True, interval="1w", every=True)]


def test_days_on_which_the_monthly_file_is_wrong() -> None:
    """Spot's months of 2020 and 2021 are not trusted on the days of binance-public-data#475; daily files are."""
    month = File("spot", "BTCUSDT", "1m", True, ms("2021-04-01"))
    wrong = window("2021-04-22", "2021-04-24")
    assert [wrong] == subtract([month.window], month.trusted)
    day = File("spot", "BTCUSDT", "1m", False, ms("2021-04-22"))
    assert [day.window] == day.trusted
    assert [month.window] == File("usdm", "BTCUSDT", "1m", True, ms("2021-04-01")).trusted


times = st.integers(0, 3000).map(lambda hour: ms("2025-06-01") + hour * HOUR)
spans = st.builds(lambda start, hours: Window(start, start + hours * HOUR), times, st.integers(1, 900))
windows = st.lists(spans, min_size=1)


@given(windows.map(merge))
def test_files_lie_within_the_gaps(gaps: list[Window]) -> None:
    """Law: a chosen file's time is missing as a whole, and no slot of a month is in two files of a kind."""
    for is_month in (True, False):
        files = files_for(gaps, "X", SPOT, MINUTES, life(), is_month=is_month)
        held = [file.window for file in files]
        assert [] == subtract(held, gaps)
        assert slots_of(held, MINUTES) == slots_of(merge(held), MINUTES)


@given(st.lists(windows.map(merge), min_size=1, max_size=300), st.sampled_from(["1m", "1h"]))
def test_chunks_are_all_of_the_gaps(symbols: list[list[Window]], name: str) -> None:
    """Law: the chunks' gaps are those of the symbols, each slot once; at most a few hundred; each has a name."""
    interval = INTERVALS[name]
    pieces = [Piece(f"S{n}", gaps, life(), "auto") for n, gaps in enumerate(symbols)]
    made = chunks(pieces, interval)
    for piece in pieces:
        parts = [part for chunk in made for one in chunk.pieces if one.symbol == piece.symbol for part in one.gaps]
        assert merge(piece.gaps) == merge(parts)
        assert slots_of(piece.gaps, interval) == slots_of(parts, interval)
    assert len(made) <= 2 * MOST_CHUNKS
    assert len(made) == len({chunk.name for chunk in made})


def test_what_a_range_costs() -> None:
    """The plan of a year and a bit: months, then days, then pages; the weight of the 1d klines that files are checked
    against is in it."""
    gaps = [window("2025-01-01", "2026-01-09T12:00")]
    cost = work(Piece("X", gaps, life(), "auto"), SPOT, MINUTES)
    assert (12, 8, 1) == (cost.monthly, cost.daily, cost.pages)
    assert (373 * 1440 + 720, 2 + 2) == (cost.klines, cost.weight)
    assert 26 < cost.megabytes < 28
    rest = work(Piece("X", gaps, life(), "rest"), SPOT, MINUTES)
    assert (0, 0, 538, 1076) == (rest.monthly, rest.daily, rest.pages, rest.weight)
    assert rest.klines == (cost + NOTHING).klines


def test_time_at_the_current_budget() -> None:
    """What fits into this minute's weight costs no wait; each further minute's worth costs one."""
    cost = work(Piece("X", [window("2025-01-01", "2026-01-01")], life(), "rest"), SPOT, MINUTES)
    assert cost.seconds(2000) < 2
    assert 60 == cost.seconds(1000)
    assert 600 == cost.seconds(100)


def test_intersections_of_days() -> None:
    """A day's file is one day long, a month's as long as its month."""
    assert DAY == File("spot", "X", "1m", False, ms("2025-02-28")).window.end_ms - ms("2025-02-28")
    february = File("spot", "X", "1m", True, ms("2024-02-01")).window
    assert [february] == intersect([february], [window("2024-02-01", "2024-03-01")])
