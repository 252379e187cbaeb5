"""The doctor's questions to Binance: all is ok while its rules hold, and a rule that is broken is named, alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from klines.binance import silence
from klines.doctor.diagnosis import Clockwork, Diagnosis
from klines.doctor.run import ALL_S, MOST_WEIGHT, Examination
from klines.doctor.visit import OF_ARCHIVE, OF_FILES, OF_MARKET, ONLY_OF
from klines.errors import RateLimited
from klines.interval import DAY, HOUR, MINUTE
from klines.market import MARKETS
from tests.drive import NOON, collect_once, query
from tests.exchange import StandIn
from tests.exchange.broken import RULES

TODAY = NOON // DAY * DAY
DAILY, MONTHLY = "BTCUSDT-1m-2025-12-30", "BTCUSDT-1h-2025-11"
DEAD = "http://127.0.0.1:1"


@pytest.fixture
def exchange() -> Iterator[StandIn]:
    """The stand-in with the symbols that the doctor asks for, its clock frozen 25 s after NOON."""
    with StandIn(["BTCUSDT", "BTCUSD_PERP"]) as exchange:
        exchange.freeze(NOON + 25_000)
        yield exchange


def examined(exchange: StandIn, *, ahead_ms: int = 0, time: Clockwork | None = None) -> Examination:
    """An examination by a machine whose clock is ahead of the exchange's; it has the time of a slow machine."""
    examination = Examination(
        clock=lambda: exchange.now_ms() + ahead_ms,
        open_pause_s=0.01,
        time=time or Clockwork(10 * ALL_S, patience=10),
    )
    examination.run()
    return examination


def asked_of_binance(findings: Sequence[Diagnosis]) -> list[Diagnosis]:
    """Those that do not depend on the machine on which the tests run."""
    return [finding for finding in findings if finding.check.split()[0] not in ("machine", "database")]


def named(examination: Examination) -> set[str]:
    """The checks that found what differs."""
    return {one.check for one in asked_of_binance(examination.findings) if one.state == "differs"}


def of(check: str, *markets: str) -> set[str]:
    """A check's names in markets, or in all."""
    return {f"{market} {check}" for market in markets or MARKETS}


@pytest.mark.usefixtures("in_settings")
def test_all_is_ok_while_the_rules_hold(exchange: StandIn, database: Path) -> None:
    """Every check is made once and is ok, for at most 120 weight as the exchange counts it, and no database is made."""
    examination = examined(exchange)
    found = asked_of_binance(examination.findings)
    assert [] == [finding for finding in found if finding.state != "ok"]
    expected = {name for check in OF_MARKET for name in of(check, *ONLY_OF.get(check, ()))}
    expected |= {f"archive {market} {check}" for market in MARKETS for check in OF_FILES}
    expected |= {f"archive {check}" for check in ("reach", *OF_ARCHIVE)}
    assert expected == {finding.check for finding in found}
    assert len(expected) == len(found)
    assert exchange.used_weight("spot") + exchange.used_weight("futures") == examination.weight <= MOST_WEIGHT
    assert not database.exists()


KINDS = of("kinds", "usdm", "coinm")
BROKEN = {
    "pages are as long as asked": of("page"),
    "pages end at a thousand": {"spot longest page"},
    "pages ascend": of("order"),
    "pages have their side": of("side"),
    "endTime is included": of("ends"),
    "the open kline is last": of("newest"),
    "0 is before the first kline": of("first", "spot", "usdm"),
    "onboardDate is when it began": {"coinm first"},
    "weeks begin on Mondays": of("grids"),
    "strangers are refused": of("unknown"),
    "strangers are -1121": of("unknown"),
    "windows are 200 days wide": {"coinm widest"},
    "a klines request of spot costs 2": {"spot weights"},
    "weight is stated": of("weights"),
    "futures are one pool": {"coinm pool"},
    "listings go on after a marker": {"archive listing"},
    "listings have max-keys": {"archive listing"},
    "listings ascend": {"archive listing"},
    "futures' files have headers": {f"archive {market} columns" for market in MARKETS},
    "spot's files are in microseconds": {f"archive {market} unit" for market in MARKETS},
    "files that are not there are 404": {"archive absent"},
    "months are 1mo": {"archive 1mo"},
    "files have twelve columns": {f"archive {market} columns" for market in MARKETS},
    "a rate at startTime is included": {"usdm funding"},
    "days of kinds are their minutes'": KINDS,
    "startTime is included": of("ends") | of("side", "spot", "usdm") | of("day") | KINDS,
}
"""The checks that name a rule which is broken. Without the first kline of what is asked nothing adds up any more."""


BROKEN_TOGETHER = (
    (
        *("pages are as long as asked", "the open kline is last", "weeks begin on Mondays", "strangers are refused"),
        *("a klines request of spot costs 2", "listings go on after a marker", "futures' files have headers"),
        "months are 1mo",
    ),
    (
        *("pages end at a thousand", "pages ascend", "endTime is included", "0 is before the first kline"),
        *("strangers are -1121", "weight is stated", "listings have max-keys", "files have twelve columns"),
        "a rate at startTime is included",
    ),
    (
        *("pages have their side", "onboardDate is when it began", "windows are 200 days wide"),
        *("futures are one pool", "listings ascend", "spot's files are in microseconds"),
        *("files that are not there are 404", "days of kinds are their minutes'"),
    ),
    ("startTime is included",),
)
"""Rules of which no check is another's, so that one visit tells them all; with --full each has a visit of its own."""


@pytest.mark.usefixtures("in_settings")
@pytest.mark.parametrize(
    "rules", [*BROKEN_TOGETHER, *(pytest.param((rule,), marks=pytest.mark.full) for rule in RULES)]
)
def test_a_broken_rule_is_named(exchange: StandIn, rules: Sequence[str]) -> None:
    """Whatever rule Binance breaks: the checks of that rule differ, say what it means, and no others do."""
    for rule in rules:
        exchange.break_rule(rule)
    examination = examined(exchange)
    assert {check for rule in rules for check in BROKEN[rule]} == named(examination)
    assert all(finding.advice for finding in examination.findings if finding.state == "differs")
    assert not examination.is_well
    assert exchange.used_weight("spot") + exchange.used_weight("futures") <= MOST_WEIGHT + 30  # what doubles its price


ODD = ["null", "[]", '{"symbols": 1, "rateLimits": [[]]}']
"""JSON that is no answer to any question; what is no JSON is told so before anybody looks at what was asked."""
FILES = {"archive spot daily", "archive usdm daily"}
FAULTS: dict[str, tuple[Callable[[StandIn], object], set[str]]] = {
    "451": (lambda of_it: of_it.fault(None, "status", status=451, path="ping"), of("region")),
    "403": (lambda of_it: of_it.fault(None, "status", status=403, path="ping"), of("region")),
    "429": (lambda of_it: of_it.fault(None, "status", status=429, path="time"), of("clocks", "spot", "usdm")),
    "maintenance": (lambda of_it: setattr(of_it, "maintenance", True), {"spot status"}),
    "a Date of its own": (lambda of_it: setattr(of_it, "date_offset_ms", 10 * MINUTE), of("clocks")),
    "no time": (lambda of_it: setattr(of_it, "server_time", "0"), of("clocks")),
    "not trading": (
        lambda of_it: of_it.list("BTCUSDT", status="BREAK"),
        of("symbol", "spot", "usdm"),
    ),
    "another limit": (lambda of_it: of_it.weight_limit.update(spot=5000), {"spot limit"}),
    "eleven fields": (lambda of_it: of_it.fault(None, "short_row"), of("rows")),
    "microseconds": (lambda of_it: of_it.fault(None, "microseconds"), of("rows")),
    "numbers as text": (lambda of_it: of_it.fault(None, "string_trades"), of("rows")),
    "a page of the web": (lambda of_it: of_it.fault(None, "html"), of("rows") | of("unknown")),
    "the open kline hidden": (lambda of_it: of_it.late(70_000), of("newest")),
    "endTime alone gives nothing": (lambda of_it: setattr(of_it, "silent_ends", True), of("end alone")),
    "a day of its own": (
        lambda of_it: of_it.restate("BTCUSDT", TODAY - DAY, interval="1d", trades=1),
        of("day", "spot", "usdm") | {"usdm kinds"},
    ),
    "no checksum": (lambda of_it: of_it.spoil(DAILY, "no_checksum"), FILES),
    "a wrong checksum": (lambda of_it: of_it.spoil(DAILY, "wrong_checksum"), FILES),
    "a corrupt zip": (lambda of_it: of_it.spoil(DAILY, "corrupt_zip"), FILES),
    "a file that is late": (lambda of_it: of_it.place(DAILY, None), FILES),
    "days that are late": (
        lambda of_it: of_it.published_after_ms.update(daily=5 * DAY),
        {f"archive {market} daily" for market in MARKETS},
    ),
    "a month's wrong checksum": (
        lambda of_it: of_it.spoil(MONTHLY, "wrong_checksum"),
        {"archive spot monthly", "archive usdm monthly"},
    ),
    "a file that differs from REST": (
        lambda of_it: of_it.misprint(DAILY, lambda rows: rows[10:]),
        {"archive spot totals", "archive usdm totals"},
    ),
    "no listing": (lambda of_it: of_it.fault(None, "status", path="bucket", status=404), {"archive listing"}),
}


FAULTS_TOGETHER = (
    ("451", "no checksum"),
    ("403", "a wrong checksum"),
    ("429", "a corrupt zip", "a month's wrong checksum"),
    ("maintenance", "a Date of its own", "endTime alone gives nothing", "a file that is late"),
    ("no time", "not trading", "another limit", "the open kline hidden", "days that are late"),
    ("eleven fields", "no listing"),
    ("microseconds",),
    ("numbers as text",),
    ("a page of the web",),
    ("a day of its own", "a file that differs from REST"),
)
"""As BROKEN_TOGETHER."""


@pytest.mark.usefixtures("in_settings")
@pytest.mark.parametrize(
    "kinds", [*FAULTS_TOGETHER, *(pytest.param((kind,), marks=pytest.mark.full) for kind in FAULTS)]
)
def test_a_fault_is_named(exchange: StandIn, kinds: Sequence[str]) -> None:
    """What the exchange or its archive says wrongly is named by the check that it belongs to, and by no other."""
    checks: set[str] = set()
    for kind in kinds:
        break_it, its = FAULTS[kind]
        break_it(exchange)
        checks |= its
    assert checks == named(examined(exchange))


@pytest.mark.usefixtures("in_settings")
def test_a_clock_of_this_machine_is_named(exchange: StandIn) -> None:
    """A machine's clock that is wrong does no harm, as Binance's agree with one another, and is named all the same."""
    examination = examined(exchange, ahead_ms=3 * HOUR)
    assert of("clocks") == named(examination)
    said = [finding.said for finding in examination.findings if finding.check == "spot clocks"]
    assert ["this machine's clock is 3 h 0 min ahead of Binance's"] == said


@pytest.mark.usefixtures("in_settings")
@pytest.mark.parametrize("name", ["SPOT", "USDM", "COINM", "ARCHIVE"])
def test_a_host_that_does_not_answer(exchange: StandIn, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """It is named once; what else would be asked there is not, and the others are."""
    monkeypatch.setenv(f"KLINES_{name}_URL", DEAD)
    examination = examined(exchange)
    assert {f"{name.lower()} reach"} == named(examination)
    others = [one for one in asked_of_binance(examination.findings) if one.state == "not asked"]
    assert others
    lacking = {"coinm pool"} | {f"archive {name.lower()} totals"}
    assert all(one.check.startswith(f"{name.lower()} ") or one.check in lacking for one in others)


@pytest.mark.usefixtures("in_settings")
@pytest.mark.parametrize("path", ["ping", "klines", "archive", "bucket"])
def test_what_hangs(exchange: StandIn, path: str) -> None:
    """What takes longer than all checks together may is named or was not asked: none waits for it."""
    exchange.fault(None, "hang", path=path)
    examination = examined(exchange, time=Clockwork(5))
    assert named(examination)
    assert not examination.is_well


@pytest.mark.usefixtures("in_settings")
@pytest.mark.parametrize(
    ("paths", "answer"),
    [
        *((paths, answer) for paths in (("ping",), ("time", "status"), ("exchangeInfo", "klines")) for answer in ODD),
        *((("klines",), answer) for answer in ("[" * 9000, "1e400", '"\\ud800"')),
    ],
)
def test_whatever_is_answered_is_a_finding(exchange: StandIn, paths: Sequence[str], answer: str) -> None:
    """No answer, however odd, raises anything, or is called a bug of ours."""
    for path in paths:
        exchange.fault(None, "body", path=path, body=answer)
    examination = examined(exchange)
    assert [] == [one for one in examination.findings if one.said.startswith("unexpected")]
    assert json.dumps([one.said for one in examination.findings])


@pytest.mark.usefixtures("in_settings")
def test_a_ban_is_heeded(exchange: StandIn, database: Path) -> None:
    """While a ban is remembered, in the database or beside it, its pool is asked nothing, and the check names it."""
    collect_once(exchange, database, ["BTCUSDT"])
    until_ms = exchange.now_ms() + 2 * HOUR
    ours, others = (
        f"('spot', epoch_ms({until_ms}), 'HTTP 418', 'RateLimited', '2026-01-02', '{at}')" for at in ("", "::2")
    )
    query(database, f"INSERT INTO bans VALUES {ours}, {others}")
    ban = RateLimited("HTTP 418", until_ms, banned=True)
    silence.keep(database, "futures", "", ban, exchange.now_ms(), exchange.now_ms())
    exchange.forget()
    examination = examined(exchange)
    [said] = [one.said for one in examination.findings if one.check == "database bans"]
    assert ("spot: HTTP 418" in said, "futures: HTTP 418" in said) == (True, True)
    assert {"/data", "/"} == {request.path[:5] for request in exchange.requests}


@pytest.mark.usefixtures("in_settings")
def test_the_database_is_not_written(exchange: StandIn, database: Path) -> None:
    """Not a byte of it changes, and nothing is left beside it."""
    collect_once(exchange, database, ["BTCUSDT"])
    before = {path.name: path.read_bytes() for path in database.parent.iterdir()}
    examined(exchange)
    assert before == {path.name: path.read_bytes() for path in database.parent.iterdir()}


def test_every_rule_has_its_check() -> None:
    """The tests above know every rule that the stand-in can break, and every check is named by one of them."""
    assert {*RULES} == {*BROKEN}
    names = {name for checks in [*BROKEN.values(), *(checks for _, checks in FAULTS.values())] for name in checks}
    checks = {name.removeprefix("archive ").split(" ", 1)[-1] for name in names}
    assert {*OF_MARKET, *OF_FILES, *OF_ARCHIVE} - {"reach"} == checks
