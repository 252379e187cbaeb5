"""What is wanted: by whom, from when, until when; and what of it is promised."""

from __future__ import annotations

import pytest

from klines.ledger import FOREVER_MS
from klines.tables.promise import (
    BACKFILL,
    PERSON,
    SHELL,
    UPGRADE,
    Promise,
    add_range,
    choose_on,
    let_go,
    lying_between,
    promised,
    remove_range,
)
from klines.window import Window

ON = FOREVER_MS


def wanted(start_ms: int, end_ms: int, by: str = "minute", noted_ms: int = 1) -> Promise:
    """A range, noted at 1 ms."""
    return Promise(Window(start_ms, end_ms), by, noted_ms)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([], [wanted(50, ON, noted_ms=9)]),
        ([wanted(10, ON)], [wanted(10, ON)]),
        ([wanted(10, 20)], [wanted(10, ON, noted_ms=9)]),
        ([wanted(10, ON, SHELL)], [wanted(10, ON, noted_ms=9)]),
        ([wanted(10, ON, UPGRADE)], [wanted(10, ON, noted_ms=9)]),
        ([wanted(10, 20, UPGRADE)], [wanted(10, 20, UPGRADE), wanted(50, ON, noted_ms=9)]),
        ([wanted(10, 20, BACKFILL)], [wanted(10, 20, BACKFILL), wanted(50, ON, noted_ms=9)]),
        ([wanted(10, ON, "other")], [wanted(10, ON, "other"), wanted(50, ON, noted_ms=9)]),
    ],
)
def test_what_is_chosen_goes_on(before: list[Promise], after: list[Promise]) -> None:
    """A symbol that is new is wanted from now on, one that was chosen before from where it began, the time between
    included; what a shell or an upgrade collected is taken over, and ranges of others stay what they are."""
    assert after == choose_on(before, "minute", 50, None, 9)


@pytest.mark.parametrize("start_ms", [10, 30, 40])
def test_where_history_begins_is_a_setting(start_ms: int) -> None:
    """With KLINES_SINCE a symbol is wanted from there on, wherever it began before."""
    assert [wanted(30, ON, noted_ms=1 if start_ms == 30 else 9)] == choose_on(
        [wanted(start_ms, ON)], "minute", 50, 30, 9
    )


def test_what_is_deselected_ends() -> None:
    """What went on ends, what ended or is another's stays; a series that has not begun yet is wanted no more."""
    others = [wanted(10, ON, "other"), wanted(10, 20, BACKFILL)]
    assert [*others, wanted(10, 50)] == let_go([*others, wanted(10, ON)], "minute", 50)
    assert [] == let_go([wanted(60, ON)], "minute", 50)


def test_ranges_join_and_go() -> None:
    """Ranges that touch are one; what is removed is wanted by nobody; between two ranges lies what nobody wants."""
    ranges = add_range([wanted(10, 20, PERSON), wanted(10, ON)], Window(20, 30), PERSON, 9)
    assert [wanted(10, 30, PERSON, 9), wanted(10, ON)] == ranges
    assert [Window(10, ON)] == promised(ranges)
    left = remove_range(ranges, Window(15, 25))
    assert ([Window(10, 15), Window(25, ON)], [Window(15, 25)]) == (promised(left), lying_between(left, 90))
    assert ([], []) == (promised([]), lying_between([], 90))
