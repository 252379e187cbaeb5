"""Gaps → pages → findings, slot by slot, on the grid of every interval."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from itertools import islice, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klines.interval import INTERVALS, Interval
from klines.ledger import NOT_LISTED, REJECTED, UNRESOLVED
from klines.market import MARKETS
from klines.reasons import reasons, slots
from klines.rows import Reject, Rejects, Row
from klines.want import Want, overlapped, pages, share_out
from klines.window import Window

NONE = Decimal(0)

MINUTE, T = INTERVALS["1m"], 1_709_164_800_000  # 2024-02-29
intervals = st.sampled_from([INTERVALS[name] for name in ("1m", "4h", "1w", "1M")])
chosen = st.sets(st.integers(0, 40), min_size=1)
sizes = st.integers(1, 12)


def windows(numbers: Iterable[int], interval: Interval = MINUTE) -> list[Window]:
    """The slots of these numbers, counted from T, as windows that don't touch."""
    return slots((interval.step(T, number) for number in numbers), interval)


def numbers(of: Iterable[Window], interval: Interval = MINUTE) -> list[int]:
    """The numbers of the slots of `of`, each as often as it is there; fails where a window is off the grid."""
    found: list[int] = []
    for w in of:
        assert (w.start_ms, w.end_ms) == (interval.floor(w.start_ms), interval.floor(w.end_ms))
        first = interval.slots(interval.floor(T), w.start_ms)
        found += range(first, first + interval.slots(w.start_ms, w.end_ms))
    return found


def want(gaps: Iterable[int], stored: Iterable[int] = (), last: int | None = None) -> Want:
    """A want of these slots, of which `stored` were answered with a row; `last` is stored already."""
    made = Want("BTCUSDT", windows(gaps), None if last is None else MINUTE.step(T, last))
    made.rows = [row(number) for number in stored]
    return made


def row(number: int) -> Row:
    """A kline of this slot."""
    time = MINUTE.step(T, number)
    return Row(time, 1.0, 1.0, 1.0, 1.0, NONE, time + 59_999, NONE, 0, NONE, NONE)


def reject(number: int | None) -> Reject:
    """A refused row of this slot, or of an unreadable time."""
    return Reject(None if number is None else MINUTE.step(T, number), "broken", "[]")


@given(intervals, chosen)
def test_slots_make_windows_and_back(interval: Interval, some: set[int]) -> None:
    """Open times in any order, repeated or off the grid, become the windows of their slots."""
    made = slots((interval.step(T, n) + late for n in some for late in (14_789, 0)), interval)
    assert sorted(some) == numbers(made, interval)
    assert all(one.end_ms < other.start_ms for one, other in pairwise(made))


@given(intervals, chosen, sizes)
def test_pages_cover_gaps_exactly(interval: Interval, some: set[int], size: int) -> None:
    """Every slot of the gaps is in exactly one page, no other is, no page is too long, the newest come first."""
    found = list(pages(windows(some, interval), interval, size))
    assert sorted(some, reverse=True) == [n for page in found for n in reversed(numbers([page], interval))]
    assert size >= max(interval.slots(page.start_ms, page.end_ms) for page in found)


@given(intervals, chosen, sizes)
def test_pages_are_few(interval: Interval, some: set[int], size: int) -> None:
    """A gap costs no more pages than its length asks for."""
    gaps = windows(some, interval)
    fewest = sum(-(-interval.slots(gap.start_ms, gap.end_ms) // size) for gap in gaps)
    assert fewest == len(list(pages(gaps, interval, size)))


@given(intervals, st.integers(0, 40), sizes, sizes)
def test_overlap_fits_the_page(interval: Interval, first: int, length: int, more: int) -> None:
    """The overlap is up to 3 klines before the page, only as far as one request has room."""
    page = Window(interval.step(T, first), interval.step(T, first + length))
    asked = overlapped(page, interval, length + more - 1)
    assert (interval.step(T, first - min(3, more - 1)), page.end_ms) == (asked.start_ms, asked.end_ms)


def test_spot_pages_cost_two() -> None:
    """A page of spot has at most 1,000 klines and weighs 2, however short it is; a minute has 6,000."""
    spot = MARKETS["spot"]
    assert (1000, 6000, "spot") == (spot.page_slots(MINUTE), spot.weight_per_minute, spot.pool)
    assert {2} == {spot.weight(limit) for limit in (1, 99, 100, 500, 1000)}


@pytest.mark.parametrize(
    ("behind", "budget", "shares"),
    [(1, 500, [501]), (3, 10, [4, 4, 4]), (4, 2, [1, 1, 2, 2]), (0, 500, [])],
)
def test_older_pages_are_shared_out(behind: int, budget: int, shares: list[int]) -> None:
    """Every symbol has its newest page, those that are behind share the run's older ones; where these are too few,
    the furthest behind have one each."""
    late = [want([*range(n + 1), 40], last=39) for n in range(behind)]
    current = want([40], last=39)
    share_out([current, *late], MINUTE, 1000, budget)
    assert 1 == current.most_pages
    assert shares == [w.most_pages for w in late]


@given(chosen, st.sets(st.integers(0, 40)))
def test_left_is_what_no_answer_covered(some: set[int], answered: set[int]) -> None:
    """Asking again asks for the rest only."""
    made = want(some)
    made.answered = windows(answered)
    assert sorted(some - answered) == numbers(made.left)


@pytest.mark.parametrize(
    ("gaps", "stored", "last", "refused", "tail"),
    [
        ([5, 6, 7], [], 4, [], [5, 6, 7]),
        ([5, 6, 7], [5], 4, [], [6, 7]),
        ([5, 6, 7], [6], 4, [], [7]),
        ([5, 6, 7], [5, 6, 7], 4, [], []),
        ([5, 6, 7], [5, 6], 4, [7], []),
        ([5, 6, 7], [5], 4, [None], [6, 7]),
        ([5, 6, 7], [5], 4, [9], [6, 7]),  # a refused row from beyond says nothing
        ([1, 2, 6, 7], [1, 2], 5, [], [6, 7]),  # an older hole is not what is late
        ([1, 2], [], 5, [], []),
        ([5, 6], [], None, [], [5, 6]),
    ],
)
def test_the_tail_is_what_is_late(
    gaps: list[int], stored: list[int], last: int | None, refused: Sequence[int | None], tail: list[int]
) -> None:
    """Late are the answered slots at the end, after every kline that is stored, answered or refused."""
    made = want(gaps, stored, last)
    made.rejects = Rejects([reject(number) for number in refused])
    made.answered = made.gaps
    late = made.tail(MINUTE)
    assert tail == numbers([late] if late else [])


@given(chosen, st.data(), st.booleans())
def test_wanted_is_stored_found_late_or_left(some: set[int], data: st.DataObject, is_trading: bool) -> None:
    """Every wanted slot is in exactly one place: stored, in the ledger with one reason, late, or left for the next
    run; the ledger's are refused, before the listing, or holes before something newer.
    """
    subset = st.sets(st.sampled_from(sorted(some)))
    asked, refused = data.draw(st.sets(st.integers(0, 42))), data.draw(subset)
    answered = asked & some
    rows = data.draw(subset) & answered
    last = data.draw(st.none() | st.integers(-1, 41).filter(lambda n: n not in some))
    made = want(some, rows, last)
    made.answered, made.rejects = windows(asked), Rejects([*map(reject, sorted(refused & answered)), reject(None)])
    stored = slots((r.open_time for r in made.rows), MINUTE)
    found = reasons(made, stored, MINUTE, is_trading=is_trading)
    by_slot = [(n, reason) for gap, reason in found for n in numbers([gap])]
    empty = answered - rows
    newest = max([*rows, -99 if last is None else last])
    holes = {n for n in empty - refused if n < newest or not is_trading}
    assert sorted([(n, REJECTED) for n in empty & refused] + [(n, UNRESOLVED) for n in holes]) == sorted(by_slot)


@pytest.mark.parametrize(("answered", "stored"), [([8, 9], [8, 9]), ([5, 6, 7, 8, 9], [8, 9]), ([8, 9], [])])
def test_before_its_first_kline_a_symbol_is_not_listed(answered: list[int], stored: list[int]) -> None:
    """All that is wanted before the listing is settled at once, asked for or not, and is nothing else."""
    made = want(range(10), stored)
    made.answered, made.listed_ms = windows(answered), MINUTE.step(T, 8)
    found = reasons(made, windows(stored), MINUTE)
    assert [(Window(T, MINUTE.step(T, 8)), NOT_LISTED)] == found


def test_an_off_grid_row_fills_its_slot() -> None:
    """A kline of February 2018 that opens at 14.789 s leaves no hole where its slot begins."""
    made = want([0, 1, 2], [2])
    made.rows += [row(n)._replace(open_time=MINUTE.step(T, n) + 14_789) for n in (0, 1)]
    made.answered = made.gaps
    assert [] == reasons(made, slots((r.open_time for r in made.rows), MINUTE), MINUTE)


@pytest.mark.parametrize("symbols", [251, 600])
def test_what_is_due_has_its_turn(symbols: int) -> None:
    """With a new kline of every symbol in every run, a run still works off some of what the ledger has due."""
    wants = [want([*range(10), 40], last=39) for _ in range(symbols)]
    share_out(wants, MINUTE, 1000, 500)
    asked = [page for w in wants for page in islice(pages(w.gaps, MINUTE, 1000), w.most_pages)]
    assert any(page.start_ms == T for page in asked)
    assert symbols == sum(page.start_ms == MINUTE.step(T, 40) for page in asked)


def test_what_was_not_asked_is_not_late() -> None:
    """Late is what the exchange answered without; a symbol that the budget left out is neither late nor stale."""
    assert want([5, 6, 7], last=4).tail(MINUTE) is None


def test_a_slot_is_found_once() -> None:
    """A refused row from before the first good kline has one reason, rejected."""
    made = want(range(5), [3, 4])
    made.answered, made.listed_ms, made.rejects = made.gaps, MINUTE.step(T, 3), Rejects([reject(1)])
    found = reasons(made, windows([3, 4]), MINUTE)
    assert [0, 1, 2] == sorted(n for gap, _ in found for n in numbers([gap]))
