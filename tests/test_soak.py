"""The soak is not blind: each way in which a stored kline can be wrong is seen and named, and which clocks are."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from benchmarks.soak.exchange import Series, Soaked
from benchmarks.soak.faults import Faults
from benchmarks.soak.figures import Part, kept
from benchmarks.soak.truth import compare, values
from tests.drive import MINUTE, NOON, collect_once

BTC = Series("spot", "BTCUSDT", "1m")
START, END = NOON - 30 * MINUTE, NOON - 10 * MINUTE
AT = f"epoch_ms({START + 5 * MINUTE})"


@pytest.fixture
def soaked() -> Iterator[Soaked]:
    """The soak's exchange, its clock frozen 5 s after NOON."""
    with Soaked(["BTCUSDT"]) as exchange:
        exchange.freeze(NOON + 5_000)
        yield exchange


def found(soaked: Soaked, database: Path, *statements: str) -> dict[str, int]:
    """What is wrong with collected klines after these statements: faces that are not 0."""
    collect_once(soaked, database, ["BTCUSDT"])
    with duckdb.connect(str(database)) as connection:
        for statement in statements:
            connection.execute(statement)
    faces = compare(soaked, database, [BTC], START, END, {}).faces
    return {face: count for face, count in faces.items() if count and face != "compared"}


def gap(reason: str) -> str:
    """A row of the ledger for the minute at AT."""
    minute = f"{AT}, {AT} + INTERVAL 1 MINUTE"
    return f"INSERT INTO gaps VALUES ('spot', 'BTCUSDT', '1m', {minute}, '{reason}', {AT}, NULL, 0, NULL, 'klines')"


@pytest.mark.parametrize(
    ("statement", "face"),
    [
        (f"DELETE FROM klines WHERE open_time = {AT}", "missing"),
        (f"INSERT INTO klines FROM klines WHERE open_time = {AT}", "doubled"),
        (f"UPDATE klines SET close = close * 1.0000001 WHERE open_time = {AT}", "different"),
        (f"UPDATE klines SET open_time = {AT} + INTERVAL 1 SECOND WHERE open_time = {AT}", "invented"),
        (f"UPDATE klines SET fetched_at = close_time WHERE open_time = {AT}", "while open"),
        (gap("exchange_hole"), "stored and a gap"),
    ],
)
def test_what_is_wrong_is_seen(soaked: Soaked, database: Path, statement: str, face: str) -> None:
    """A kline that lacks, is there twice, differs in the eighth digit, was never published, or was stored before it
    closed, and a gap where a kline is: each is one slot of that name."""
    assert 1 == found(soaked, database, statement).get(face)


def test_what_is_right_is_not_wrong(soaked: Soaked, database: Path) -> None:
    """What was collected is compared, all of it, and nothing is wrong with it."""
    assert {} == found(soaked, database)
    assert 30 == compare(soaked, database, [BTC], START, END, {}).faces["compared"]


def test_a_hole_of_the_exchange_needs_one_reason(soaked: Soaked, database: Path) -> None:
    """A minute that the exchange never had is right with one row of the ledger, and wrong with none, two, or `due`."""
    soaked.hole(START + 5 * MINUTE, START + 6 * MINUTE)
    clean = "DELETE FROM gaps"
    assert {} == found(soaked, database, clean, gap("unresolved"))
    for statements in ([clean], [clean, gap("due")], [clean, gap("unresolved"), gap("exchange_hole")]):
        assert {"unexplained": 1} == found(soaked, database, *statements)


def test_what_was_true_before_a_correction_may_pass(soaked: Soaked, database: Path) -> None:
    """A stored value that the exchange has corrected since differs, unless earlier values are to pass for right."""
    collect_once(soaked, database, ["BTCUSDT"])
    [before] = soaked.correct(BTC, START + 5 * MINUTE)
    earlier = {(BTC, before[0]): [values(before)]}
    assert 1 == compare(soaked, database, [BTC], START, END, {}).faces["different"]
    assert 0 == compare(soaked, database, [BTC], START, END, earlier).faces["different"]


@pytest.mark.parametrize(
    ("clock", "felt"),
    [
        (("all", -300, 100), False),
        (("no date", 70, 100), False),
        (("date", 4, 100), False),
        (("date", -7, 100), True),
        (("odd time", 1, 100), True),
        (("other time", 40, 100), False),
        (("other time", 300, 100), True),
        (("other time", -7, 100), True),
        (("stands still", 1, 100), True),
    ],
)
def test_clocks_that_every_run_has_to_doubt(clock: tuple[str, int, float], felt: bool) -> None:
    """Those that differ all the time by more than a request takes, and those of an exchange that stands still."""
    assert felt == (Faults._felt_s(*clock) is not None)


def test_figures_of_before_are_still_read(tmp_path: Path) -> None:
    """The parts of a soak that knew fewer figures add up with those of today."""
    file = tmp_path / "part.json"
    Part(1, doubtful=Counter(Degraded=2)).keep(file)
    old = json.loads(file.read_text())
    assert Counter(Degraded=2) == kept(file).doubtful
    del old["doubtful"]
    file.write_text(json.dumps(old))
    assert Counter() == kept(file).doubtful
