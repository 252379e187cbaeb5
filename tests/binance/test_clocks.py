"""Four clocks, of which any may be wrong: what is closed by all of them, and which one differs by how much."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from klines.binance.clocks import AGREE_MS, STANDS_MS, Readings, Shown, Verdict, header_ms, is_time, judge_clocks
from klines.interval import HOUR, MINUTE
from tests.drive import NOON

NOW = NOON + 5_000
TEN = 10 * MINUTE


def readings(
    server: int | None = 0, date: int | None = 0, machine: int = 0, newest: int | None = 0, now: int = NOW
) -> Readings:
    """Clocks that are so many ms off; None: there is none. The newest kline is of this minute."""
    newest_ms = None if newest is None else (now + newest) // MINUTE * MINUTE
    date_ms = None if date is None else (now + date) // 1000 * 1000
    return Readings(now + machine, None if server is None else now + server, date_ms, newest_ms)


def judged(*offsets: int | None) -> Verdict:
    """The verdict over serverTime, Date, this machine's clock and the newest kline."""
    return judge_clocks(readings(*offsets))  # type: ignore[arg-type]


@pytest.mark.parametrize("newest", [0, None])
@pytest.mark.parametrize(
    "offsets", [(0, 0, 0), (2_000, 0, 0), (0, -2_000, 0), (0, 0, 3_000), (0, 0, -3_000), (-900, 900, 2_000)]
)
def test_clocks_that_agree(offsets: tuple[int, int, int], newest: int | None) -> None:
    """A few seconds are no difference; the earliest decides."""
    verdict = judged(*offsets, newest)
    assert ("", None) == (verdict.doubt, verdict.closed_ms)
    assert NOW + min(offsets) <= verdict.now_ms < NOW + min(offsets) + 1_000


@pytest.mark.parametrize("date", [0, None])
@pytest.mark.parametrize("machine", [TEN, -TEN, 300 * HOUR, -300 * HOUR, -NOW, 10**15])
def test_this_machine_alone_is_wrong(machine: int, date: int | None) -> None:
    """Where the exchange's clocks and the newest kline agree, this machine's is wrong, and does not matter."""
    verdict = judged(0, date, machine, 0)
    assert ("", None) == (verdict.doubt, verdict.closed_ms)
    assert NOON <= verdict.now_ms <= NOW


@pytest.mark.parametrize(
    ("offsets", "off_ms", "said"),
    [
        ((TEN, 0, 0, 0), 0, "Binance's clock (serverTime) is 10 min ahead of this machine's clock"),
        ((-TEN, 0, 0, 0), -TEN, "Binance's clock (serverTime) is 10 min behind this machine's clock"),
        ((TEN, None, 0, 0), 0, "Binance's clock (serverTime) is 10 min ahead of this machine's clock"),
        ((-TEN, None, 0, 0), -TEN, "Binance's clock (serverTime) is 10 min behind this machine's clock"),
        ((TEN, None, 0, None), 0, "10 min"),
        ((30_000, 0, 0, 0), 0, "Binance's clock (serverTime) is 30 s ahead of"),
        ((0, TEN, 0, 0), 0, "the Date of Binance's answers is 10 min ahead of"),
        ((0, -TEN, 0, 0), -TEN, "the Date of Binance's answers is 10 min behind"),
        ((TEN, TEN, 0, 0), 0, "the Date of Binance's answers is 10 min ahead of this machine's clock"),
        ((-TEN, -TEN, 0, 0), -TEN, "Binance's clock (serverTime) is 10 min behind this machine's clock"),
        ((TEN, TEN, 0, None), 0, "this machine's clock is 10 min behind the Date of"),
        ((TEN, 0, TEN, 0), 0, "the Date of Binance's answers"),
        ((0, TEN, TEN, 0), 0, "ahead of"),
        ((TEN, -TEN, 0, 0), -TEN, "Binance's clock (serverTime) is 10 min ahead of this machine's clock; the Date"),
        ((0, 0, 0, TEN), 0, "the newest kline opens at 2026-01-02 12:10, 10 min after every clock's time"),
        ((0, 0, 0, -TEN), 0, "the newest kline is of 2026-01-02 11:50, 9 min ago by every clock"),
        ((TEN, TEN, TEN, 0), TEN, "the newest kline is of 2026-01-02 12:00, 9 min ago by every clock"),
        ((0, 0, TEN, -TEN), 0, "this machine's clock is 10 min ahead of"),
    ],
)
def test_a_clock_in_doubt(offsets: tuple[int | None, ...], off_ms: int, said: str) -> None:
    """Any other difference is named, with how much it is, and the earliest clock decides."""
    verdict = judged(*offsets)
    assert said in verdict.doubt
    assert "The clocks are in doubt: " in verdict.doubt
    assert abs(NOW + off_ms - verdict.now_ms) < 1_000


def test_what_is_no_time() -> None:
    """A clock that shows no time is left out, and the others go on with a doubt."""
    verdict = judge_clocks(Readings(NOW, None, NOW, NOON, ("serverTime says 1.5, which is no time",)))
    assert NOW - 1_000 <= verdict.now_ms <= NOW
    assert "in doubt: serverTime says 1.5, which is no time. Only" in verdict.doubt
    assert "no clock shows a time" in judge_clocks(Readings(0)).doubt


@pytest.mark.parametrize("age_s", [5, 3600])
def test_a_cache_before_the_exchange(age_s: int) -> None:
    """An answer that says how long it was kept is no clock."""
    kept = judge_clocks(Readings(NOW, NOW - age_s * 1000, NOW - age_s * 1000, NOON, age_s=age_s))
    assert f"a cache had kept the exchange's time for {age_s} s" in kept.doubt
    assert kept.now_ms <= NOW - age_s * 1000 + 1000


@pytest.mark.parametrize("late_ms", [0, MINUTE, 4 * MINUTE])
def test_klines_that_are_published_late_are_no_doubt(late_ms: int) -> None:
    """While all clocks agree, the newest kline may be up to five minutes late."""
    assert Verdict(NOW, None) == judged(0, 0, 0, -late_ms)


def in_a_row(*times: tuple[int, int]) -> list[bool]:
    """Whether each of some runs is in doubt, in which serverTime, Date and the newest kline, and this machine's clock,
    are so many ms after NOW."""
    doubts, before = [], None
    for exchange, machine in times:
        of_run = replace(readings(0, 0, machine - exchange, 0, NOW + exchange), before=before)
        doubts.append(bool(judge_clocks(of_run).doubt))
        before = of_run.shown
    return doubts


@pytest.mark.parametrize(
    ("times", "doubts"),
    [
        ([(0, minute * MINUTE) for minute in range(4)], [False, True, True, True]),
        ([(0, HOUR), (0, HOUR + MINUTE), (MINUTE, HOUR + 2 * MINUTE)], [False, True, True]),
        ([(0, second * 20_000) for second in range(5)], [False, False, False, True, True]),
        ([(0, -HOUR), (0, -HOUR + MINUTE)], [False, True]),
        ([(0, 0), (-HOUR, MINUTE), (-HOUR + MINUTE, 2 * MINUTE)], [False, True, False]),
        ([(0, 0), (MINUTE, MINUTE + HOUR), (2 * MINUTE, 2 * MINUTE + HOUR)], [False, True, False]),
        ([(0, 0), (2_000, HOUR), (MINUTE, MINUTE + HOUR), (2 * MINUTE, 2 * MINUTE + HOUR)], [False, True, True, False]),
        ([(0, 0), (MINUTE, MINUTE - HOUR), (2 * MINUTE, 2 * MINUTE - HOUR)], [False, False, False]),
        ([(minute * MINUTE, minute * (MINUTE + 5_000)) for minute in range(9)], [False] * 9),
        ([(day * 24 * HOUR, day * 25 * HOUR) for day in range(4)], [False] * 4),
    ],
    ids=["stands still", "and goes on", "often", "a machine behind", "set back", "a machine put forward",
         "and asked at once", "a machine put back", "a machine that hurries", "for days"],
)  # fmt: skip
def test_an_exchange_that_stands_still(times: list[tuple[int, int]], doubts: list[bool]) -> None:
    """One that has not gone on with this machine's clock since the run before is in doubt until it does; a machine
    whose clock was put forward is so for the time of that run alone."""
    assert doubts == in_a_row(*times)


def test_how_much_it_has_lost() -> None:
    """The sentence has the time that it lost, and in how long; a run a minute is enough to see it."""
    assert MINUTE > STANDS_MS
    doubt = judge_clocks(replace(readings(0, 0, 6 * MINUTE, 0), before=Shown(NOW - MINUTE, NOW + MINUTE))).doubt
    said = "Binance's clock (serverTime) has lost 4 min against this machine's clock in the 5 min since a run before"
    assert said in doubt


def test_of_klines_that_are_too_old_the_newest_may_be_open() -> None:
    """When the newest kline contradicts all clocks, only what closed before it opened is closed."""
    assert NOON - TEN == judged(0, 0, 0, -TEN).closed_ms


off = st.sampled_from(
    [0, 500, -500, 3_000, 20_000, 45_000, TEN, -20_000, -45_000, -TEN, 40 * HOUR, -40 * HOUR]
) | st.integers(-2 * HOUR, 2 * HOUR)


@settings(max_examples=500)
@given(st.integers(0, 3 * MINUTE), off, off | st.none(), off, st.integers(-9_000, 0) | st.none())
@example(since=0, server=3_000, date=-3_000, machine=0, newest=None)
def test_nothing_open_is_closed(since: int, server: int, date: int | None, machine: int, newest: int | None) -> None:
    """Law: while any one clock is not ahead of the truth, no kline that is open counts as closed; and whenever a clock
    is off by more than a few seconds it is a doubt, but for this machine's alone."""
    truth = NOON + since
    known = readings(server, date, machine, newest, truth)
    verdict = judge_clocks(known)
    closed_ms = verdict.now_ms if verdict.closed_ms is None else min(verdict.now_ms, verdict.closed_ms)
    if min(server, machine, server if date is None else date) <= 0:
        assert closed_ms // 1000 <= truth // 1000
    exchange = [server] if date is None else [server, date]
    if max(exchange) - min(exchange) >= AGREE_MS + 1_000:
        assert verdict.doubt
    if newest is not None and abs(server) > 7 * MINUTE:
        assert verdict.doubt


@pytest.mark.parametrize(
    "value", [0, -5, 1.5, True, "123", 1e400, float("nan"), None, [], {}, 10**12, 10**13, 10**15, 10**30]
)
def test_what_no_clock_shows(value: object) -> None:
    """Seconds, microseconds, 1970, floats, texts: none of them is a time in ms of this century."""
    assert not is_time(value)


def test_a_date_header() -> None:
    """It is read to the second; what is none is none."""
    assert NOON == header_ms("Fri, 02 Jan 2026 12:00:00 GMT")
    for header in (
        "",
        "x",
        "Fri, 99 Jan 2026 12:00:00 GMT",
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "0",
        "Fri, 02 Jan 99999 12:00:00 GMT",
    ):
        assert header_ms(header) is None
