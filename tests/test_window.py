"""Windows, against the naive model of them: the set of the integers they hold."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klines.window import Window, intersect, merge, missing, subtract, window

SPAN = 40
windows = st.lists(
    st.tuples(st.integers(-5, SPAN), st.integers(1, 12)).map(lambda w: Window(w[0], w[0] + w[1])), max_size=8
)


def times(of: Iterable[Window]) -> set[int]:
    """The times that `of` holds."""
    return {time for w in of for time in range(w.start_ms, w.end_ms)}


def is_tidy(of: list[Window]) -> bool:
    """Whether they are ordered and neither overlap nor touch."""
    return all(one.end_ms < other.start_ms for one, other in pairwise(of))


@pytest.mark.parametrize(("start_ms", "end_ms"), [(0, 0), (1, 0), (-1, -1), (2**63, 0)])
def test_no_window_is_empty(start_ms: int, end_ms: int) -> None:
    """A window that holds no time can't be made; as a list it is the empty one."""
    with pytest.raises(ValueError, match="an empty window"):
        Window(start_ms, end_ms)
    assert [] == window(start_ms, end_ms)


def test_a_window_is_a_value() -> None:
    """Equal ends make equal windows; they order by start and can't be changed."""
    assert {Window(1, 3)} == {Window(1, 3), *window(1, 3)}
    assert [Window(0, 9), Window(1, 2), Window(1, 3)] == sorted([Window(1, 3), Window(0, 9), Window(1, 2)])
    with pytest.raises(AttributeError):
        Window(1, 3).end_ms = 4  # type: ignore[misc]


@given(windows)
def test_merge_keeps_the_times(some: list[Window]) -> None:
    """Merging changes no time, and leaves windows that neither overlap nor touch."""
    assert times(some) == times(merge(some))
    assert is_tidy(merge(some))


@given(windows, windows)
def test_subtract_is_set_difference(some: list[Window], others: list[Window]) -> None:
    """What is subtracted is gone, the rest is there; ordered and disjoint."""
    assert times(some) - times(others) == times(subtract(some, others))
    assert is_tidy(subtract(some, others))


@given(windows, windows)
def test_intersect_is_set_intersection(some: list[Window], others: list[Window]) -> None:
    """What is in both stays, in either order; ordered and disjoint."""
    assert times(some) & times(others) == times(intersect(some, others))
    assert intersect(others, some) == intersect(some, others)
    assert is_tidy(intersect(some, others))


@given(windows, windows, st.integers(0, SPAN), st.integers(1, SPAN))
def test_stored_settled_and_missing_tile_what_is_wanted(
    stored: list[Window], settled: list[Window], start: int, length: int
) -> None:
    """Every wanted slot is stored, settled or missing, and missing excludes both others."""
    wanted = Window(start, start + length)
    found = times(missing(stored, wanted, settled))
    known = times(stored) | times(settled)
    assert times([wanted]) == found | (times([wanted]) & known)
    assert set() == found & known


def test_half_open_neighbours_touch() -> None:
    """An end is not held: [0, 5) and [5, 9) share nothing and merge into one."""
    assert [] == intersect([Window(0, 5)], [Window(5, 9)])
    assert [Window(0, 9)] == merge([Window(5, 9), Window(0, 5)])
    assert [Window(0, 4), Window(5, 9)] == subtract([Window(0, 9)], [Window(4, 5)])
