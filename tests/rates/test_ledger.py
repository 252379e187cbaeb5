"""The ledger of funding rates: what should have a rate, what is asked for, and what an answer says."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from klines.binance.funding.grid import FundedHour, holes_after, holes_between, may_have_come, spacings
from klines.interval import FRESH_MS, HOUR
from klines.ledger import DELISTED, DUE, FOREVER_MS, HOLE, NOT_LISTED, REJECTED, UNRESOLVED, Gap
from klines.rates.ledger import Funded, Heard, revised, summed
from klines.window import Window, intersect, merge, subtract

DAY_H = 24
NOON_H = 490_932  # 2026-01-02 12:00 UTC, in hours


def hours(*numbers: int, every: int | None = None) -> list[FundedHour]:
    """Slots that have a rate, in hours from noon on."""
    return [FundedHour((NOON_H + number) * HOUR, every) for number in numbers]


def at(number: float) -> int:
    """Epoch ms of an hour counted from noon."""
    return int((NOON_H + number) * HOUR)


def lacking(slots: list[FundedHour], until: int, today: int | None = None) -> list[int]:
    """The hours, from noon on, that have no rate."""
    found = holes_between(slots) + holes_after(slots, at(until), today)
    every = [range(hole.window.start_ms, hole.window.end_ms, hole.every_ms) for hole in found]
    return [time_ms // HOUR - NOON_H for times in every for time_ms in times]


def test_a_symbol_has_a_rate_every_interval() -> None:
    """What lacks between two rates of one interval, and after the last, is each of its hours."""
    assert [] == lacking(hours(-12, -4, 4), until=11)
    assert [-4] == lacking(hours(-20, -12, 4, 12), until=12)
    assert [12, 20] == lacking(hours(-12, -4, 4), until=20)
    assert [0, 4] == lacking(hours(-8, -4, 8, 12), until=12)
    assert [1, 2] == lacking(hours(-1, 0, 3, 4), until=4)


def test_an_interval_that_changes_is_no_hole() -> None:
    """From 8 to 4 hours, to 1, and back: nothing lacks, whether intervals were published or are seen from distances."""
    changing = [-20, -12, -4, 0, 4, 5, 6, 7, 8, 12, 20]
    assert [] == lacking(hours(*changing), until=20)
    assert [8, 8, 4, 4, 1, 1, 1, 1, 1, 4, 8] == [every // HOUR for every in spacings(hours(*changing))]


def test_where_it_changed_only_hours_of_both_are_expected() -> None:
    """Between a rate every 8 hours and one every 4 nobody knows when it changed: 20:00 may have none, 04:00 has one."""
    slots = [*hours(-12, -4, every=8), *hours(12, 16, every=4)]
    assert [4] == lacking(slots, until=16)


def test_what_is_published_beats_what_distances_say() -> None:
    """The archive says the interval of each rate: 16 hours between two of 8 lack one, of 16 none."""
    assert [-4] == lacking([*hours(-12, 4, every=8)], until=4)
    assert [] == lacking([*hours(-12, 4, every=16)], until=4)


def test_after_the_last_rate_the_interval_of_today_counts_too() -> None:
    """Of a symbol that had 8 hours and has 4 today only the hours of both are expected, but any may have come."""
    slots = hours(-12, -4)
    assert [4] == lacking(slots, until=8, today=4)
    assert may_have_come(slots, at(0), at(0), today_hours=4)
    assert not may_have_come(slots, at(0), at(0), today_hours=8)
    assert may_have_come(slots, at(0), at(4), today_hours=8)


NOW = at(12) + 2 * FRESH_MS
BOTH = frozenset({at(-4), at(12)})


def told(funded: Funded, heard: Heard) -> list[tuple[int, str]]:
    """The ledger after an answer: the hour from which each gap is, and its reason."""
    return [(gap.window.start_ms // HOUR - NOON_H, gap.reason) for gap in revised(funded, heard, NOW)]


def test_a_hole_is_the_exchanges_only_beside_its_neighbours() -> None:
    """Empty between two rates of the same answer: the exchange has none. Without them: unresolved; not asked: due."""
    funded = Funded(hours(-20, -12, -4, 12), [], since_ms=at(-20))
    whole = [Window(at(-4), at(13))]
    assert [(4, HOLE)] == told(funded, Heard(whole, BOTH))
    assert [(4, UNRESOLVED)] == told(funded, Heard(whole))
    assert [(4, DUE)] == told(funded, Heard())
    asunder = Heard([Window(at(-4), at(8)), Window(at(12), at(13))], BOTH)
    assert [(4, UNRESOLVED), (8, DUE)] == told(funded, asunder)
    assert [(4, REJECTED), (5, HOLE)] == told(funded, Heard(whole, BOTH, refused=[at(4)]))


def test_three_answers_settle_a_hole() -> None:
    """It is asked for again after an hour and a day, and then no more."""
    heard = Heard([Window(at(-4), at(13))], BOTH)
    gaps: list[Gap] = []
    waits = []
    now_ms = NOW
    for _ in range(3):
        funded = Funded(hours(-12, -4, 12), gaps, since_ms=at(-12))
        assert [Window(at(4), at(12))] == intersect(funded.to_ask(now_ms), [Window(at(4), at(12))])
        gaps = revised(funded, heard, now_ms)
        waits.append(None if gaps[0].next_check_ms is None else (gaps[0].next_check_ms - now_ms) // HOUR)
        now_ms = gaps[0].next_check_ms or now_ms
    assert [1, 24, None] == waits
    assert [] == intersect(Funded(hours(-12, -4, 12), gaps, at(-12)).to_ask(now_ms), [Window(at(4), at(12))])


def test_before_the_first_rate_two_sources_must_agree() -> None:
    """REST and the archive say that there is none: not listed, settled. REST alone: unresolved, asked for again."""
    funded = Funded(hours(4, 12), [], since_ms=at(-20))
    answered = [Window(at(-20), at(13))]
    assert [(-20, NOT_LISTED)] == told(funded, Heard(answered, frozenset({at(4)}), archive_agrees=True))
    assert [(-20, UNRESOLVED)] == told(funded, Heard(answered, frozenset({at(4)})))
    assert [(-20, UNRESOLVED)] == told(funded, Heard(answered, frozenset(), archive_agrees=True))
    assert [(-20, DUE)] == told(funded, Heard())


def test_a_symbol_that_does_not_trade_has_an_end_until_it_trades_again() -> None:
    """After its last rate it is delisted, without an end, looked at daily; when rates come again, the time between is
    unresolved, and when it trades again without any, that is no explanation any more."""
    funded = Funded(hours(-20, -12), [], since_ms=at(-20))
    silent = [Window(at(-12), at(13))]
    gaps = revised(funded, Heard(silent, frozenset({at(-12)}), is_trading=False), NOW)
    assert [(Window(at(-4), FOREVER_MS), DELISTED, NOW + DAY_H * HOUR)] == [
        (gap.window, gap.reason, gap.next_check_ms) for gap in gaps
    ]
    ended = Funded(hours(-20, -12), gaps, at(-20))
    assert [] == ended.to_ask(NOW)
    later = NOW + DAY_H * HOUR
    assert [Window(at(-11), later + 1)] == ended.to_ask(later)
    back = Funded(hours(-20, -12, 12), gaps, at(-20))
    assert [(-4, UNRESOLVED)] == told(back, Heard())
    assert [(-4, UNRESOLVED)] == told(ended, Heard(silent, is_trading=True))


def test_what_is_not_published_yet_is_not_missing() -> None:
    """For five minutes after its hour a rate is late; asked for it is at once."""
    funded = Funded(hours(-12, -4), [], since_ms=at(-12))
    assert [] == funded.lacking(at(4) + FRESH_MS - 1)
    assert [Window(at(-3), at(4) + 2)] == funded.to_ask(at(4) + 1)
    assert [] == funded.to_ask(at(4) - 1)
    assert [Window(at(4), at(5))] == funded.lacking(at(4) + FRESH_MS)


def test_a_lower_beginning_is_asked_for() -> None:
    """What is before the ledger's beginning is to be asked for; what is settled is not."""
    gaps = [Gap(Window(at(-20), at(-4)), NOT_LISTED, NOW)]
    assert [] == Funded(hours(-4, 4, 12), gaps, at(-20)).to_ask(NOW)
    earlier = Funded(hours(-4, 4, 12), gaps, at(-40))
    assert [Window(at(-40), at(-20))] == earlier.to_ask(NOW)
    assert [Window(at(-40), at(-3))] == earlier.with_neighbours([Window(at(-40), at(-4))], NOW)


def test_the_sum_is_of_slots() -> None:
    """Expected is what is stored and what lacks; explained is what the exchange does not have, or sent wrongly."""
    slots = hours(-20, -12, 12)
    gaps = [Gap(Window(at(-4), at(4)), HOLE, NOW), Gap(Window(at(4), at(12)), DUE, NOW)]
    found = summed(Funded(slots, gaps, at(-20)), NOW)
    assert (5, 3, 1, 1) == (found.expected, found.stored, found.explained, found.unexplained)
    assert (at(4), False) == (found.first_unexplained_ms, found.is_stale)
    assert summed(Funded(slots, [], at(-20)), NOW + 8 * HOUR).unexplained == 0


@st.composite
def funded_and_heard(draw: st.DrawFn) -> tuple[Funded, Heard]:
    """A symbol whose interval changes, with holes, and any answer."""
    every = draw(st.lists(st.sampled_from([8, 8, 4, 1]), min_size=1, max_size=30))
    times, now = [-96], -96
    for length in every:
        now += length
        times += [now] if draw(st.integers(0, 4)) else []
    is_published = draw(st.booleans())
    slots = hours(*(time for time in times if time <= 12), every=None if is_published else 8)
    windows = st.builds(
        lambda start, length: Window(at(start), at(start + length)), st.integers(-130, 12), st.integers(1, 60)
    )
    answered = merge(draw(st.lists(windows, max_size=3)))
    seen = frozenset(slot.time_ms for slot in slots if intersect([Window(slot.time_ms, slot.time_ms + 1)], answered))
    refused = [at(hour) for hour in draw(st.lists(st.integers(-96, 12), max_size=3))]
    agrees, trading = draw(st.booleans()), draw(st.sampled_from([True, False, None]))
    return Funded(slots, [], at(-120), draw(st.sampled_from([None, 8, 4]))), Heard(
        answered, seen, refused, agrees, trading
    )


@given(funded_and_heard(), funded_and_heard())
def test_the_ledger_is_disjoint_and_covers_what_lacks(
    first: tuple[Funded, Heard], second: tuple[Funded, Heard]
) -> None:
    """Law: after any answers each slot that lacks is in exactly one gap, and no gap has a slot with a rate."""
    funded, heard = first
    for answer in (heard, second[1]):
        gaps = revised(funded, answer, NOW)
        funded = Funded(funded.slots, gaps, funded.since_ms, funded.today_hours)
        covered = [gap.window for gap in gaps]
        assert sum(w.end_ms - w.start_ms for w in covered) == sum(w.end_ms - w.start_ms for w in merge(covered))
        assert [] == subtract(funded.lacking(NOW), covered) == subtract(covered, funded.lacking(NOW))
        assert [] == intersect(covered, [Window(slot.time_ms, slot.time_ms + 1) for slot in funded.slots])
        found = summed(funded, NOW)
        assert found.expected == found.stored + found.explained + found.unexplained
