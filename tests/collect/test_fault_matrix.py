"""The exchange's worst day: each fault, in one of the markets or, with --full, in each, with the state, the rows, the
ledger and the requests; and after the fault the next run heals, so that stored + ledger = expected."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pytest

from klines.collect.run import Collect, CollectJob
from klines.errors import KlinesError
from klines.outcome import fail
from klines.settings import Settings
from tests.drive import NOON, PATIENCE_S, at, collect_once, held_of, ledger, published, queries, query, stored
from tests.exchange import StandIn
from tests.turns import in_turn

GOOD = {"spot": "BTCUSDT", "usdm": "BTCUSDT", "coinm": "BTCUSD_PERP"}
BAD = {"spot": "ETHUSDT", "usdm": "ETHUSDT", "coinm": "ETHUSD_PERP"}


class Case(NamedTuple):
    """A fault of one symbol, and what a run that meets it leaves behind."""

    kind: str
    options: dict[str, Any]
    state: str = "Degraded"
    said: str = ""
    rows: int = 0
    gaps: Sequence[tuple[int, int, str]] = ()
    requests: int = 1


SHORT_S = 3
"""How long a request may take that is never answered: long beside those that are, on a busy machine, too."""
TOO_LATE = f"no whole answer within {SHORT_S} s"
REFUSED = [(-10, -9, "rejected")]
AT_TEN = {"open_time_ms": at(-10)}
TOGETHER = {
    "answers that do not come": [Case("hang", {}, said=TOO_LATE), Case("drip", {}, said=TOO_LATE)],
    "answers that are none": [
        *(Case(kind, {}, said="no answer") for kind in ("reset", "truncate", "gzip_garbage")),
        *(Case(kind, {}, said="longer than 2 MiB") for kind in ("huge", "gzip_bomb")),
        Case("html", {}, said="no JSON"),
        Case("object", {}, said="no list of klines"),
        Case("list_error", {}, said="HTTP 400"),
        Case("redirect", {}, said="HTTP 302"),
        Case("too_many", {}, said="not the answer to our request"),
    ],
    "errors": [
        *(Case("status", {"status": status}, said=f"HTTP {status}") for status in (500, 502, 503, 504, 408)),
        *(Case("code", {"status": 400, "code": code}, said=f"code {code}") for code in (-1001, -1008)),
    ],
    "rows that are wrong": [
        *(
            Case(kind, AT_TEN, "Completed", rows=29, gaps=REFUSED)
            for kind in ("short_row", "nan", "negative_volume", "high_below_low", "off_grid", "string_trades")
        ),
        Case("duplicate_unequal", AT_TEN, "Completed", rows=29, gaps=REFUSED),
        Case("duplicate_equal", AT_TEN, "Completed", rows=30),
        Case("descending", {}, "Completed", rows=30),
        Case("cut_close_time", AT_TEN, "Completed", rows=30),
    ],
}
"""Faults that symbols have beside one another, each its own, in one run."""
ALONE = [
    Case("code", {"status": 400, "code": -1003}, "RateLimited", "code -1003"),
    Case("code", {"status": 400, "code": -1121}, "Completed", "unknown to Binance"),
    Case("status", {"status": 429, "retry_after": 1, "times": 1}, "Completed", rows=30, requests=2),
    Case("status", {"status": 429, "retry_after": 600}, "RateLimited", "HTTP 429"),
    Case("status", {"status": 429, "retry_after": None}, "RateLimited", "HTTP 429"),
    Case("status", {"status": 418}, "RateLimited", "HTTP 418"),
    Case("status", {"status": 403}, "Blocked", "HTTP 403"),
    Case("status", {"status": 451}, "Blocked", "HTTP 451"),
]
"""Faults of one symbol that all others can notice."""


def name(of: str | Sequence[Case]) -> str:
    """The name in pytest's output: of a market, or of the first of the cases that a run meets together."""
    return of if isinstance(of, str) else "-".join([of[0].kind, *map(str, of[0].options.values())])


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """For each market a database with half an hour of its good symbol."""
    folder = tmp_path_factory.mktemp("collected")
    with StandIn(any_symbol=True) as exchange:
        exchange.freeze(NOON + 5_000)
        for market, good in GOOD.items():
            collect_once(exchange, folder / market, [good], market=market)
    return {market: folder / market for market in GOOD}


@pytest.fixture
def begun(collected: dict[str, Path], database: Path, market: str) -> Iterator[None]:
    """The database has half an hour of its market's good symbol, and is kept open, as those of other tests are."""
    shutil.copy(collected[market], database)
    with duckdb.connect(str(database)):
        yield


@pytest.mark.file
@pytest.mark.usefixtures("begun")
@pytest.mark.parametrize(
    ("market", "cases"), in_turn([*((cases,) for cases in TOGETHER.values()), *(([case],) for case in ALONE)]), ids=name
)
def test_faults_of_symbols(exchange: StandIn, database: Path, market: str, cases: list[Case]) -> None:
    """One symbol's fault costs at most that symbol's minute: the other is stored unless everybody must stop, a bad one
    is asked no more often than may help, and when it is over nothing is missing that the ledger does not name."""
    good, bads = GOOD[market], {BAD[market].replace("ETH", f"ETH{n}"): case for n, case in enumerate(cases)}
    exchange.freeze(at(0) + 10_000)
    for bad, case in bads.items():
        exchange.fault(bad, case.kind, **case.options)
    patience_s = SHORT_S if cases[0].said == TOO_LATE else PATIENCE_S
    errors: dict[str, Exception] = {}
    options: dict[str, Any] = {"market": market, "errors": errors, "request_timeout_s": patience_s}
    outcome = collect_once(exchange, database, [good, *bads], **options)

    assert cases[0].state == outcome.state, outcome.message
    refused = sum(len(case.gaps) * (2 if case.kind == "duplicate_unequal" else 1) for case in cases)
    assert not refused or f"{refused} rejected" in outcome.message
    others, *theirs = held_of(database, good, *bads)
    for (bad, case), its in zip(bads.items(), theirs, strict=True):
        assert case.said in (str(errors[bad]) if case.state == "Degraded" else outcome.message), bad
        assert case.rows == len(its.rows)
        owed = [] if case.state == "Completed" else [(-30, 0, "due")]
        assert (list(case.gaps) or owed) == its.gaps
        assert case.requests == len(exchange.kline_requests(bad))
    assert 30 == len(others.rows)

    exchange.clear()
    with_bans_over(database)
    exchange.freeze(at(61) + 10_000)
    healed = collect_once(exchange, database, [good, *bads], market=market)
    assert "Completed" == healed.state, healed.message
    cut = [bad for bad, case in bads.items() if case.kind == "cut_close_time"]
    for symbol, (rows, gaps) in zip((good, *bads), held_of(database, good, *bads), strict=True):
        assert [at(minute) for minute in range(61 - len(rows), 61)] == [row[0] for row in rows]
        differing = set(rows) - set(published(exchange.klines(symbol, at(-60), at(61), market=market)))
        assert cut.count(symbol) == len(differing)
        assert [] == gaps


def with_bans_over(database: Path) -> None:
    """The time that the exchange asked for has passed, for a user too who waits an hour."""
    queries(
        database,
        "UPDATE bans SET until = TIMESTAMP '2020-01-01'",
        "UPDATE symbols SET quarantined_until = NULL",
    )


@pytest.mark.parametrize(("market", "kind"), in_turn([("empty",), ("outside",)]))
def test_answers_without_the_wanted_klines(exchange: StandIn, database: Path, market: str, kind: str) -> None:
    """`[]`, and rows of another time, are no klines: nothing is stored or explained away, the symbol is named, and the
    next run has everything."""
    good, bad = GOOD[market], BAD[market]
    for symbol in (good, bad):
        exchange.list(symbol)
    collect_once(exchange, database, [good, bad], market=market)
    exchange.freeze(at(8) + 5_000)
    exchange.fault(bad, kind)
    outcome = collect_once(exchange, database, [good, bad], market=market)
    if kind == "empty":
        assert "Degraded" == outcome.state
        assert f"1 trading without a kline for 5 minutes: {bad}" in outcome.message
        assert [] == ledger(database, bad)
    assert not [row for row in stored(database, bad) if not at(-30) <= row[0] < at(8)]

    exchange.clear()
    exchange.freeze(at(80) + 5_000)
    assert "Completed" == collect_once(exchange, database, [good, bad], market=market).state
    assert published(exchange.klines(bad, at(-30), at(80), market=market)) == stored(database, bad)


@pytest.mark.parametrize(("market", "late_s", "symbols", "state"), in_turn([
    (3, "one", "Completed"), (120, "one", "Completed"), (600, "one", "Degraded"),
    (3, "all", "Completed"), (120, "all", "Completed"), (600, "all", "ExchangeDown"),
]))  # fmt: skip
def test_late_publication(
    exchange: StandIn, database: Path, market: str, late_s: int, symbols: str, state: str
) -> None:
    """Klines published late are no failure up to 5 minutes; later it is the symbol's, or the exchange's if it is all of
    them; and all are stored once they are there."""
    good, bad = GOOD[market], BAD[market]
    for symbol in (good, bad):
        exchange.list(symbol)
    collect_once(exchange, database, [good, bad], market=market)
    exchange.late(late_s * 1000, bad if symbols == "one" else None)
    for minute in range(7, 9):
        exchange.freeze(at(minute) + 1_000)
        outcome = collect_once(exchange, database, [good, bad], market=market)
        assert state == outcome.state, outcome.message
    exchange.late(0, bad if symbols == "one" else None)
    exchange.freeze(at(9) + 5_000)
    assert "Completed" == collect_once(exchange, database, [good, bad], market=market).state
    for symbol in (good, bad):
        assert published(exchange.klines(symbol, at(-30), at(9), market=market)) == stored(database, symbol)
    assert [] == query(database, "FROM gaps")


@pytest.mark.parametrize(("bad", "state"), [(26, "Degraded"), (50, "Degraded")])
def test_many_bad_symbols(exchange: StandIn, database: Path, bad: int, state: str) -> None:
    """More than half of 50, and all: the good ones are stored, the message counts the bad and names 20."""
    symbols = [f"S{n:02}USDT" for n in range(50)]
    for symbol in symbols[:bad]:
        exchange.fault(symbol, "status", status=500)
    outcome = collect_once(exchange, database, symbols)

    assert state == outcome.state
    assert f"{bad} failed: S00USDT" in outcome.message
    assert [(50 - bad,)] == query(database, "SELECT count(DISTINCT symbol) FROM klines")
    exchange.clear()
    assert "Completed" == collect_once(exchange, database, symbols).state
    assert [(50, 1500)] == query(database, "SELECT count(DISTINCT symbol), count(*) FROM klines")


@pytest.mark.parametrize("url", ["http://no-such-host.invalid", "https://127.0.0.1:{port}", "http://127.0.0.1:9"])
def test_no_connection_at_all(exchange: StandIn, database: Path, url: str) -> None:
    """No such host, a server without TLS, a closed port: ExchangeDown in one line."""
    settings = Settings(database=database, spot_url=url.format(port=exchange.url.rpartition(":")[2]))
    job = CollectJob.of(settings, ["BTCUSDT"], "spot", "1m", timedelta(0))
    with pytest.raises(KlinesError) as error, Collect(settings, job, request_timeout_s=SHORT_S) as run:
        run.health()
    outcome = fail(error.value)

    assert "ExchangeDown" == outcome.state
    assert "\n" not in outcome.message
