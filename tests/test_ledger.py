"""The ledger, against the naive model of it: one entry a slot. A slot here is one millisecond long, times are small."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby, pairwise
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klines.interval import DAY, HOUR, MINUTE
from klines.ledger import BACK_OFF_MS, DUE, NOT_LISTED, REJECTED, UNRESOLVED, Gap, due, lease, owe, release, revise
from klines.window import Window

SLOTS, NOW = 24, 10**9
reasons = st.sampled_from([DUE, UNRESOLVED, REJECTED, NOT_LISTED])


class Entry(NamedTuple):
    """What the ledger says of one slot."""

    reason: str
    first_seen_ms: int
    last_checked_ms: int | None = None
    attempts: int = 0
    next_check_ms: int | None = None


def entries(ledger: Iterable[Gap]) -> dict[int, Entry]:
    """The ledger slot by slot; fails where two gaps hold the same slot."""
    found: dict[int, Entry] = {}
    for gap in ledger:
        slots = range(gap.window.start_ms, gap.window.end_ms)
        assert not found.keys() & slots
        entry = Entry(gap.reason, gap.first_seen_ms, gap.last_checked_ms, gap.attempts, gap.next_check_ms)
        found |= dict.fromkeys(slots, entry)
    return found


def gaps(of: Sequence[Entry | None]) -> list[Gap]:
    """The ledger in which slot i has entry `of[i]`."""
    runs, start = [], 0
    for entry, run in groupby(of):
        end = start + len(list(run))
        runs += [Gap(Window(start, end), *entry)] if entry else []
        start = end
    return runs


def found_windows(labels: Sequence[str | None]) -> list[tuple[Window, str]]:
    """Runs of one label as windows with that reason; "stored" and None are none."""
    return [(gap.window, gap.reason) for gap in gaps([Entry(label, 0) if label else None for label in labels])]


def checked(entry: Entry) -> Entry:
    """The entry after one more answered check."""
    waits = BACK_OFF_MS.get(entry.reason)
    next_check_ms = NOW + waits[min(entry.attempts, len(waits) - 1)] if waits else None
    return entry._replace(last_checked_ms=NOW, attempts=entry.attempts + 1, next_check_ms=next_check_ms)


waiting = st.builds(
    Entry, reasons, st.integers(0, 3), st.integers(4, 5), st.integers(1, 4), st.none() | st.integers(NOW + 1, NOW + 3)
)
ledgers = st.lists(st.none() | waiting, max_size=SLOTS).map(gaps)
answers = st.lists(st.none() | st.just("stored") | reasons, max_size=SLOTS)


@given(ledgers, answers)
def test_revise_keeps_its_law(ledger: list[Gap], answer: list[str | None]) -> None:
    """Stored slots leave the ledger, found ones are in it, the rest is unchanged, and no slot is in it twice.

    A found slot that was in a gap of its reason is that gap's, checked once more; a new one beside such a gap
    joins it.
    """
    stored = [window for window, label in found_windows(answer) if label == "stored"]
    found = [(window, label) for window, label in found_windows(answer) if label != "stored"]
    before, after = entries(ledger), entries(revise(ledger, stored, found, NOW))
    expected = {slot: entry for slot, entry in before.items() if slot >= len(answer) or answer[slot] is None}
    for window, reason in found:
        beside: Entry | None = None
        for slot in range(window.start_ms, window.end_ms):
            if slot in before and before[slot].reason == reason:
                expected[slot] = checked(before[slot])
                beside = expected[slot]
                continue
            if slot == window.start_ms and slot - 1 in before and before[slot - 1].reason == reason:
                beside = before[slot - 1]
            expected[slot] = beside or checked(Entry(reason, NOW))
    assert expected == after


@given(ledgers, answers)
def test_the_ledger_is_ordered_and_joined(ledger: list[Gap], answer: list[str | None]) -> None:
    """Gaps come in order, and neighbours that differ in nothing are one."""
    found = [(window, label) for window, label in found_windows(answer) if label != "stored"]
    revised = revise(ledger, [], found, NOW)
    assert sorted(revised, key=lambda gap: gap.window) == revised
    assert not [
        gap
        for last, gap in pairwise(revised)
        if last.window.end_ms == gap.window.start_ms and replace(last, window=gap.window) == gap
    ]


@given(ledgers)
def test_no_answer_changes_nothing(ledger: list[Gap]) -> None:
    """Running again with nothing to tell leaves the ledger as it is."""
    assert ledger == revise(ledger, [], [], NOW)


@pytest.mark.parametrize(
    ("reason", "waits"), [(UNRESOLVED, [HOUR, DAY, 7 * DAY, 7 * DAY]), (REJECTED, [10 * MINUTE, HOUR, DAY, DAY])]
)
def test_checks_back_off(reason: str, waits: list[int]) -> None:
    """Each answered check is counted, and the next one is later, up to a longest wait."""
    ledger, told = list[Gap](), []
    for attempt in range(len(waits)):
        ledger = revise(ledger, [], [(Window(5, 7), reason)], NOW + attempt)
        told += [(gap.attempts, gap.first_seen_ms, gap.next_check_ms) for gap in ledger]
    assert [(n + 1, NOW, NOW + n + wait) for n, wait in enumerate(waits)] == told


def test_not_listed_is_settled() -> None:
    """What can't change has no next check and is never asked for again."""
    [gap] = revise([], [], [(Window(0, 9), NOT_LISTED)], NOW)
    assert Gap(Window(0, 9), NOT_LISTED, NOW, NOW, 1, None) == gap
    assert not gap.is_open(2**60)


def test_due_is_open_at_once() -> None:
    """A gap of ours was never checked, and is asked for from its first moment on, by a slower clock, too."""
    gap = due(Window(0, 9), NOW)
    assert Gap(Window(0, 9), DUE, NOW, None, 0, NOW) == gap
    assert (True, True, True) == tuple(gap.is_open(now) for now in (NOW - 1, NOW, NOW + 1))


def test_what_a_backfill_works_on_is_its_own() -> None:
    """A leased gap is not open for others before its time, takes nobody into its lease, and is anybody's when released
    or when the time has come."""
    ledger = owe(lease([], [Window(0, 9)], NOW + HOUR, NOW), [Window(9, 10)], NOW)
    assert [(Window(0, 9), False), (Window(9, 10), True)] == [(gap.window, gap.is_open(NOW)) for gap in ledger]
    assert all(gap.is_open(NOW + HOUR) for gap in ledger)
    assert [due(Window(0, 10), NOW)] == release(ledger, [Window(0, 99)], NOW)
    assert [(Window(0, 4), False), (Window(4, 10), True)] == [
        (gap.window, gap.is_open(NOW)) for gap in release(ledger, [Window(4, 9)], NOW)
    ]


def test_a_lease_leaves_other_reasons_alone() -> None:
    """Only what is due or new is leased; what has another reason keeps it, with its next check."""
    settled = Gap(Window(3, 5), NOT_LISTED, 1, 2, 1, None)
    ledger = lease([settled, due(Window(5, 6), 7)], [Window(0, 9)], NOW + HOUR, NOW)
    expected = [
        (Window(0, 3), NOW + HOUR),
        (Window(3, 5), None),
        (Window(5, 6), NOW + HOUR),
        (Window(6, 9), NOW + HOUR),
    ]
    assert expected == [(gap.window, gap.next_check_ms) for gap in ledger]


def test_an_outage_that_grows_stays_one_gap() -> None:
    """A slot a minute, found beside the last one: one row in the ledger, first seen at its beginning."""
    ledger = list[Gap]()
    for slot in range(30):
        ledger = revise(ledger, [], [(Window(slot, slot + 1), UNRESOLVED)], NOW + slot * MINUTE)
    assert [Gap(Window(0, 30), UNRESOLVED, NOW, NOW, 1, NOW + HOUR)] == ledger


def test_a_gap_half_filled_keeps_its_rest() -> None:
    """A stored slot in the middle of a due gap leaves both sides due, with their history."""
    rests = revise([due(Window(0, 10), 5)], [Window(4, 6)], [], NOW)
    assert [due(Window(0, 4), 5), due(Window(6, 10), 5)] == rests


def test_a_reason_that_changes_begins_anew() -> None:
    """A refused row turned hole (or the reverse) has a new reason, and with it a new count."""
    [gap] = revise([Gap(Window(0, 1), REJECTED, 1, 2, 9, 3)], [], [(Window(0, 1), UNRESOLVED)], NOW)
    assert Gap(Window(0, 1), UNRESOLVED, NOW, NOW, 1, NOW + HOUR) == gap


def test_what_was_just_answered_is_not_open() -> None:
    """An open gap, asked again together with a slot beside it, stays one gap, and no minute asks again at once."""
    ledger = [Gap(Window(0, 5), UNRESOLVED, 1, 2, 1, NOW)]
    revised = revise(ledger, [], [(Window(0, 6), UNRESOLVED)], NOW)
    assert [Gap(Window(0, 6), UNRESOLVED, 1, NOW, 2, NOW + DAY)] == revised
