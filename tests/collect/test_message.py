"""The final state of a run, in the contract's order of precedence, and the message that goes with it."""

from __future__ import annotations

import random

import pytest

from klines.collect.message import CollectFacts, collect_outcome
from klines.errors import (
    BadAnswer,
    BadDatabase,
    BadParameter,
    Blocked,
    DatabaseBusy,
    ExchangeDown,
    KlinesError,
    Overloaded,
    RateLimited,
    RequestRefused,
    ServerFault,
    Stop,
    UnknownSymbol,
    Unreachable,
)
from klines.outcome import NAMED, NEXT_RUN, RUN_AGAIN, Outcome, Stored, fail

GEO = Blocked("HTTP 451: restricted location", remember=False)
WAF = Blocked("HTTP 403: Forbidden", remember=True)
BAN = RateLimited("HTTP 418, code -1003: banned", 1_763_881_920_000, banned=True)
DOWN = ExchangeDown("Binance's system status says maintenance")
NO_ANSWER, FAULT, UNKNOWN = Unreachable("refused"), ServerFault("HTTP 500: …"), UnknownSymbol("HTTP 400, code -1121: …")


def facts(
    errors: dict[str, KlinesError] | None = None,
    stale: tuple[str, ...] = (),
    late: tuple[str, ...] = (),
    quarantined: tuple[str, ...] = (),
    stopped: Stop | None = None,
    *,
    is_silent: bool = False,
) -> CollectFacts:
    """A run over A, B and C that stored 2 klines."""
    return CollectFacts(3, 1.44, Stored(2), errors or {}, late, stale, (), quarantined, 0, stopped, is_silent)


@pytest.mark.parametrize(
    ("happened", "state"),
    [
        (facts(), "Completed"),
        (facts(late=("A", "B")), "Completed"),
        (facts(quarantined=("A",)), "Completed"),
        (facts({"A": UNKNOWN}, quarantined=("B",)), "Completed"),
        *((facts({"A": error}), "Degraded") for error in (NO_ANSWER, FAULT, BadAnswer("{}"), Overloaded("-1008"))),
        (facts({"A": RequestRefused("HTTP 400, code -1100: …")}), "Degraded"),
        (facts(stale=("A",)), "Degraded"),
        (facts({"A": UNKNOWN}, quarantined=("B", "C")), "Degraded"),
        (facts(dict.fromkeys("ABC", FAULT)), "Degraded"),
        (facts({"A": FAULT, "B": NO_ANSWER, "C": NO_ANSWER}), "Degraded"),
        (facts(dict.fromkeys("ABC", NO_ANSWER)), "ExchangeDown"),
        (facts(dict.fromkeys("AB", NO_ANSWER), quarantined=("C",)), "ExchangeDown"),
        (facts(is_silent=True, stale=tuple("ABC")), "ExchangeDown"),
        (facts(dict.fromkeys("ABC", BAN), stopped=BAN), "RateLimited"),
        (facts(dict.fromkeys("ABC", NO_ANSWER), stopped=BAN, is_silent=True), "RateLimited"),
        (facts({"A": FAULT}, stale=("B",), stopped=WAF), "Blocked"),
        (facts(dict.fromkeys("ABC", NO_ANSWER), stopped=GEO, is_silent=True), "Blocked"),
    ],
)
def test_precedence(happened: CollectFacts, state: str) -> None:
    """Blocked or RateLimited, then ExchangeDown, then Degraded, else Completed; each with the counts of what it did."""
    outcome = collect_outcome(happened)
    assert (state, state == "Completed") == (outcome.state, outcome.is_completed)
    assert "stored 2 klines of 3 symbols in 1.4 s" in outcome.message


@pytest.mark.parametrize(
    ("happened", "parts"),
    [
        (facts(late=("A", "B")), ["2 published late: A, B"]),
        (facts(quarantined=("C",)), ["1 unknown to Binance, asked again in an hour: C"]),
        (facts({"B": FAULT}), ["1 failed: B (HTTP 500: …)", "The rest is stored; the next run asks for these again."]),
        (
            facts(dict.fromkeys("ABC", FAULT)),
            ["3 failed: A, B, C", "…). The next run asks for these again."],
        ),
        (facts(stale=("A",)), ["1 trading without a kline for 5 minutes: A", "the next run asks for these again"]),
        (facts(dict.fromkeys("ABC", UNKNOWN)), ["Check the spelling: Binance knows none of A, B, C."]),
        (facts(dict.fromkeys("ABC", NO_ANSWER)), ["Binance can't be reached: refused.", NEXT_RUN]),
        (facts(is_silent=True), ["no symbol has a new kline for 5 minutes", NEXT_RUN]),
        (facts(stopped=BAN), ["banned", "No request is made before 2025-11-23 07:12:00 UTC", NEXT_RUN]),
        (facts(stopped=WAF), ["HTTP 403", "for 5 minutes, doubling up to 6 hours, no run asks"]),
        (facts(stopped=GEO), ["HTTP 451", "set KLINES_SPOT_URL=https://data-api.binance.vision"]),
        (CollectFacts(3, 2.0, Stored(1234567)), ["stored 1,234,567 klines of 3 symbols in 2.0 s"]),
        (CollectFacts(3, 1.0, Stored(1, 2, 3)), ["2 restated", "3 rejected"]),
        (CollectFacts(3, 1.0, klines_left=1_000_000), ["1,000,000 older ones still due"]),
        (CollectFacts(3, 1.0, not_trading=["B"]), ["1 not trading: B"]),
    ],
)
def test_the_message_tells_counts_and_the_next_step(happened: CollectFacts, parts: list[str]) -> None:
    """What happened, how often and to whom, and what heals by itself or is the reader's to do."""
    message = collect_outcome(happened).message
    assert [] == [part for part in parts if part not in message]


def test_a_good_run_says_only_what_happened() -> None:
    """Nothing of what did not happen is mentioned."""
    assert "stored 2 klines of 3 symbols in 1.4 s" == collect_outcome(facts()).message


@pytest.mark.parametrize("field", ["late", "stale", "not_trading", "quarantined", "errors"])
def test_at_most_twenty_are_named(field: str) -> None:
    """A message names 20 symbols and counts the others."""
    names = [f"S{n:03}X" for n in range(600)]
    value = dict.fromkeys(names, FAULT) if field == "errors" else names
    message = collect_outcome(CollectFacts(700, 1.0, **{field: value})).message  # type: ignore[arg-type]
    assert NAMED == 20 == sum(name in message for name in names)
    assert "600 " in message
    assert "and 580 more" in message


def test_twenty_are_all_named() -> None:
    """Up to 20, nothing is left out."""
    message = collect_outcome(CollectFacts(700, 1.0, late=[f"S{n}" for n in range(20)])).message
    assert ("S19", False) == (message.rsplit(", ")[-1], "more" in message)


def test_the_unknown_are_named_in_order_once() -> None:
    """A symbol unknown since before and again now is one; the names are sorted."""
    names = random.Random(1).sample([f"S{n:02}" for n in range(15)], 15)
    message = collect_outcome(
        CollectFacts(99, 1.0, errors=dict.fromkeys(names[:9], UNKNOWN), quarantined=names[6:])
    ).message
    assert f"15 unknown to Binance, asked again in an hour: {', '.join(sorted(names))}" in message


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (BAN, "RateLimited"),
        (WAF, "Blocked"),
        (GEO, "Blocked"),
        (DOWN, "ExchangeDown"),
        (NO_ANSWER, "ExchangeDown"),
        (DatabaseBusy("duckdb, pid 7, has x open"), "DatabaseBusy"),
        (BadDatabase("x is no DuckDB database"), "Failed"),
        (BadParameter("KLINES_DATABASE: x is a folder"), "Failed"),
    ],
)
def test_an_error_that_ends_a_run_names_its_state(error: KlinesError, state: str) -> None:
    """The contract's name of the state, and the error's own words first."""
    outcome = fail(error)
    assert (state, False) == (outcome.state, outcome.is_completed)
    assert outcome.message.startswith(str(error))


@pytest.mark.parametrize("error", [FAULT, BadAnswer("the answer is no JSON"), Overloaded("HTTP 503, code -1008: …")])
def test_an_exchange_that_does_not_serve_is_down(error: KlinesError) -> None:
    """When the health check fails on the exchange's side, the state says so, and what comes next: another run, or, of
    one that was asked for, that somebody runs it again."""
    assert Outcome("ExchangeDown", f"{str(error).rstrip('.')}. {NEXT_RUN}") == fail(error, NEXT_RUN)
    assert Outcome("ExchangeDown", f"{str(error).rstrip('.')}. {RUN_AGAIN}") == fail(error)


def test_a_403_is_no_451() -> None:
    """A firewall's page has a request id, which may hold any digits."""
    error = Blocked("HTTP 403: <html> Request ID: Zx451kQ </html>", remember=True)
    assert "KLINES_SPOT_URL" not in fail(error).message


def test_a_sentence_ends_once() -> None:
    """Binance's words and our next step are two sentences."""
    assert ".." not in fail(RateLimited("Please use WebSocket Streams for live updates to avoid bans.", 0)).message


def test_no_symbols_is_no_misspelling() -> None:
    """Where nothing was asked for, nothing is unknown."""
    assert "spelling" not in collect_outcome(CollectFacts(0, 0.1)).message


def test_a_bug_is_named_as_one() -> None:
    """An error that is none of ours fails its symbol, and the message says its type, as it is no fault of Binance."""
    outcome = collect_outcome(CollectFacts(2, 0.1, errors={"AUSDT": KeyError("open")}))
    assert "Degraded" == outcome.state
    assert "1 failed: AUSDT (unexpected KeyError: 'open')" in outcome.message
