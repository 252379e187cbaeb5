"""The page of `make explore`, in a real browser and by its questions alone; screenshots are kept in `screenshots/`."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import duckdb
import pytest

import klines
from klines.explorer.pictures import MOST, step_of
from klines.interval import DAY, HOUR, INTERVALS
from klines.settings import TEN_SYMBOLS
from klines.storage.database import opened
from klines.storage.snapshot import NAME
from klines.tables.incidents import Incident, write_incidents
from klines.window import Window
from tests import CHECKOUT, chromium
from tests.chromium import SCREENSHOTS
from tests.drive import WANT_STORED, audit_once, backfill_once, collect_once
from tests.exchange import StandIn

pytestmark = pytest.mark.slow

SYMBOLS = ["BTCUSDT", "ETHUSDT", "SOLUSDT"]
PARTS = ["freshness", "coverage", "klines"]
SECTIONS = [*PARTS, "ledger", "lately"]
HOSTILE = "<IMG SRC=X ONERROR=ALERT(1)>"


class Explorer:
    """The page of a database, served by a process of its own."""

    def __init__(self, process: subprocess.Popen[Any], address: str) -> None:
        self.process = process
        self.address = address
        self.trouble: list[str] = []
        self.last_words = ""

    def ask(self, part: str, **parameters: str) -> Any:
        """The server's answer, as the page asks."""
        try:
            with urlopen(f"{self.address}/api/{part}?{urlencode(parameters)}", timeout=60) as answer:
                return json.load(answer)
        except HTTPError as error:
            with error:
                return json.load(error)

    def states(self, count: int) -> list[Any]:
        """The next so many states that the server tells a page."""
        with urlopen(f"{self.address}/api/state", timeout=60) as stream:
            told = (line for line in stream if line.startswith(b"data: "))
            return [json.loads(line.removeprefix(b"data: ")) for _, line in zip(range(count), told, strict=False)]

    def open(self, window: Any, choice: dict[str, str] | None = None, scheme: str = "light", width: int = 1280) -> Any:
        """The page once every part of it has its answer; what goes wrong in it is noted in `trouble`."""
        page = window.new_page()
        page.set_viewport_size({"width": width, "height": 1000})
        page.emulate_media(color_scheme=scheme)
        page.on("pageerror", lambda error: self.trouble.append(str(error)))
        page.on("console", lambda message: self.trouble.extend([message.text] * (message.type == "error")))
        page.on("request", lambda request: self._note(request.url))
        page.goto(f"{self.address}/#{urlencode(choice or {})}")
        settle(page)
        page.wait_for_timeout(300)
        return page

    def _note(self, url: str) -> None:
        if not url.startswith((self.address, "data:")):
            self.trouble.append(f"asked {url}")


def settle(page: Any) -> None:
    """Wait until every part of the page has its answer; not by a script, which the page's policy forbids."""
    for part in SECTIONS:
        page.locator(f"#{part}[aria-busy=false]").wait_for()


@contextmanager
def exploring(database: Path) -> Iterator[Explorer]:
    """What `make explore` starts, in another time zone; ended by Ctrl-C."""
    command = [sys.executable, "-m", "klines.explorer", "--port", "0", "--no-browser"]
    environment = os.environ | {"KLINES_DATABASE": str(database), "TZ": "Asia/Tokyo"}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, cwd=CHECKOUT, env=environment, **pipes) as process:
        assert process.stdout is not None
        explorer = Explorer(process, process.stdout.readline().split()[-1])
        try:
            yield explorer
        finally:
            process.send_signal(signal.SIGINT)
            explorer.last_words = process.stdout.read()


@pytest.fixture(scope="module")
def hole_ms() -> int:
    """When the hour begins in which the exchange was out; two hours later ETHUSDT lacks one, and nobody says why."""
    return time.time_ns() // 1_000_000 // HOUR * HOUR - 6 * HOUR


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory, hole_ms: int) -> Path:
    """Twelve hours of three symbols, collected and audited."""
    path = tmp_path_factory.mktemp("explorer") / "klines.duckdb"
    with StandIn(any_symbol=True) as exchange:
        exchange.hole(hole_ms, hole_ms + HOUR)
        collect_once(exchange, path, SYMBOLS, lookback=timedelta(hours=12))
        audit_once(exchange, path)
    with opened(path, time.monotonic() + 5) as connection:
        times = [datetime.fromtimestamp((hole_ms + hours * HOUR) / 1000, UTC).replace(tzinfo=None) for hours in (2, 3)]
        connection.execute("DELETE FROM klines WHERE symbol = 'ETHUSDT' AND open_time >= ? AND open_time < ?", times)
    return path


@pytest.fixture(scope="module")
def explorer(database: Path) -> Iterator[Explorer]:
    """The page of `database`."""
    with exploring(database) as explorer:
        yield explorer


@pytest.fixture(scope="module")
def window() -> Iterator[Any]:
    """A window of Chromium."""
    with chromium.launched() as program, chromium.window_of(program) as window:
        yield window


@pytest.fixture
def browser(window: Any) -> Iterator[Any]:
    """It, without a page."""
    with chromium.visited(window):
        yield window


def choice(symbol: str, start_ms: int, end_ms: int) -> dict[str, str]:
    """A symbol's minutes of a time, as they are asked for."""
    start, end = (datetime.fromtimestamp(ms / 1000, UTC).isoformat()[:16] for ms in (start_ms, end_ms))
    return {"market": "spot", "kind": "klines", "interval": "1m", "symbol": symbol, "start": start, "end": end}


@chromium.needed
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_the_page(explorer: Explorer, browser: Any, scheme: str, width: int) -> None:
    """It shows all parts in both schemes, is never wider than the window, and loads nothing from elsewhere; it says as
    of when it is, what the ledger has, and that no Prefect server tells of runs."""
    page = explorer.open(browser, scheme=scheme, width=width)
    page.screenshot(path=SCREENSHOTS / f"explorer-{scheme}-{width}.png", full_page=True)
    assert "of 3 symbols are fresh" in page.inner_text("#freshness .said")
    assert "3 symbols up to" in page.inner_text("#coverage .said")
    assert "180 explained, 60 unexplained" in page.inner_text("#coverage .said")
    assert "BTCUSDT: " in page.inner_text("#klines .said")
    assert re.search(r": as of 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC, \d+ s ago", page.inner_text(".asof"))
    assert "3 rows, klines by reason: exchange_outage 180" == page.inner_text("#ledger .said")
    assert "no incidents; runs are not shown, as no Prefect server answers" in page.inner_text("#lately .said")
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    assert [] == explorer.trouble


@chromium.needed
def test_the_picture_of_the_readme(
    browser: Any, tmp_path: Path, pictures: Path, request: pytest.FixtureRequest
) -> None:
    """Two weeks of ten symbols, of which one was listed late and one lacks a day, around three hours without the
    exchange: the picture has all that its legend names, and says why at the pointer."""
    if not request.config.getoption("--pictures"):
        pytest.skip("makes the picture only with --pictures: the stand-in takes ten seconds for its klines")
    path, today_ms = tmp_path / "klines.duckdb", time.time_ns() // 1_000_000 // DAY * DAY
    out = Window(today_ms - 2 * DAY - 12 * HOUR, today_ms - 2 * DAY - 9 * HOUR)
    start, lost, found = (datetime.fromtimestamp(today_ms / 1000 - day * 86_400, UTC) for day in (14, 6, 5))
    with StandIn(TEN_SYMBOLS) as exchange:
        exchange.hole(out.start_ms, out.end_ms)
        exchange.list("AVAXUSDT", since_ms=today_ms - 9 * DAY + 7 * HOUR)
        backfill_once(exchange, path, TEN_SYMBOLS, f"{start:%Y-%m-%d}", f"{datetime.now(UTC):%Y-%m-%dT%H:%M}")
        audit_once(exchange, path)
    with opened(path, time.monotonic() + 5) as connection:
        times = [day.replace(tzinfo=None) for day in (lost, found)]
        connection.execute("DELETE FROM klines WHERE symbol = 'SOLUSDT' AND open_time >= ? AND open_time < ?", times)
    with exploring(path) as explorer:
        page = explorer.open(browser, choice("BTCUSDT", out.start_ms - 12 * HOUR, out.end_ms + 24 * HOUR), width=1100)
        page.set_viewport_size({"width": 1100, "height": 1400})
        top, bottom = page.locator("#coverage").bounding_box(), page.locator("#klines .picture").bounding_box()
        page.mouse.move(bottom["x"] + (bottom["width"] - 80) * 13.5 / 39, bottom["y"] + 60)
        page.locator("#klines .readout", has_text="exchange_outage").wait_for()
        height = bottom["y"] + bottom["height"] - top["y"]
        page.screenshot(path=pictures / "explorer.png", clip={**top, "x": 0, "width": 1100, "height": height})
        phone = explorer.open(browser, choice("BTCUSDT", out.start_ms - 12 * HOUR, out.end_ms + 24 * HOUR), "dark", 400)
        phone.set_viewport_size({"width": 400, "height": 2400})
        first, last = (phone.locator(part).bounding_box() for part in ("#freshness", "#klines"))
        height = last["y"] + last["height"] - first["y"]
        phone.screenshot(path=pictures / "explorer-phone.png", clip={**first, "x": 0, "width": 400, "height": height})
        assert re.search(r"10 symbols .* explained, 1,440 unexplained", page.inner_text("#coverage .said"))
        assert [] == explorer.trouble


@chromium.needed
@pytest.mark.parametrize(
    ("symbol", "hours", "why"), [("BTCUSDT", 0, "60 exchange_outage"), ("ETHUSDT", 2, "in no row of the ledger")]
)
def test_a_gap_says_why(explorer: Explorer, browser: Any, hole_ms: int, symbol: str, hours: int, why: str) -> None:
    """Where klines lack, it is said how many, and the ledger's reason, or that there is none."""
    start_ms = hole_ms + hours * HOUR
    page = explorer.open(browser, choice(symbol, start_ms - HOUR // 2, start_ms + 3 * HOUR // 2))
    picture = page.locator("#klines .picture")
    picture.scroll_into_view_if_needed()
    box = picture.bounding_box()
    page.mouse.move(box["x"] + (box["width"] - 80) / 2, box["y"] + 120)
    page.screenshot(path=SCREENSHOTS / f"explorer-gap-{symbol}.png")
    assert "0 of 1 stored" in page.inner_text("#klines .readout")
    assert why.removeprefix("60 ") in page.inner_text("#klines .readout")
    page.locator("#klines summary").click()
    assert f"symbol = '{symbol}'" in page.inner_text("#klines pre")
    assert [] == explorer.trouble


@chromium.needed
def test_a_day_of_the_map_leads_to_its_klines(explorer: Explorer, browser: Any) -> None:
    """The symbol that lacks most is at the top; a click shows its day, and the address says so. A range is dragged over
    in the chart, and Back leads back."""
    page = explorer.open(browser)
    box = page.locator("#coverage canvas").bounding_box()
    page.mouse.move(box["x"] + box["width"] - 20, box["y"] + 30)
    assert "ETHUSDT · " in page.inner_text("#coverage .readout")
    assert "stored" in page.inner_text("#coverage .readout")
    page.mouse.click(box["x"] + box["width"] - 20, box["y"] + 30)
    settle(page)
    assert "ETHUSDT" == page.input_value("#symbol")
    assert "symbol=ETHUSDT" in page.url
    page.locator("#klines .picture").scroll_into_view_if_needed()
    box, day = page.locator("#klines .picture").bounding_box(), page.url
    page.mouse.move(box["x"] + box["width"] / 3, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 120, steps=3)
    page.mouse.up()
    settle(page)
    assert day.split("start=")[0] == page.url.split("start=")[0]
    assert day != page.url
    page.go_back()
    assert day == page.url


@chromium.needed
def test_the_keyboard_leads_everywhere(explorer: Explorer, browser: Any) -> None:
    """Arrows move over squares, days and steps, which are told; Enter shows what was chosen. What is typed chooses a
    symbol, or that none has this name, and then no other's klines are shown. A filter changes the totals. Every control
    has a name, and each square one that tells its state."""
    page = explorer.open(browser)
    page.focus("#freshness .picture button")
    page.keyboard.press("End")
    last = page.evaluate("document.activeElement.ariaLabel")
    assert last == page.inner_text("#freshness .readout")
    assert last.split(" · ")[0] in SYMBOLS
    page.focus("#coverage canvas")
    page.keyboard.press("ArrowDown")
    told = page.inner_text("#coverage .readout")
    page.keyboard.press("Enter")
    settle(page)
    assert told.split(" · ")[0] == page.input_value("#symbol")
    page.focus("#klines .picture")
    page.keyboard.press("End")
    assert " UTC · open " in page.inner_text("#klines .readout")
    page.fill("#symbol", "solu")
    page.keyboard.press("Enter")
    settle(page)
    assert "SOLUSDT" == page.input_value("#symbol")
    page.fill("#symbol", "NOPEUSDT")
    page.keyboard.press("Enter")
    page.get_by_text("there is no NOPEUSDT in the file").wait_for()
    assert not page.is_visible("#klines .picture")
    page.fill("#filter", "sol")
    page.get_by_text("1 of 3 symbols up to").wait_for()
    assert 0 == page.locator("button:not([aria-label]):empty, input:not([aria-label]):not(label input)").count()


@chromium.needed
def test_a_page_tells_of_its_state_and_its_end(browser: Any, database: Path) -> None:
    """What is stored while a page is open is shown once its button is pressed; the colours are chosen by another and
    remembered; when the server ends, the page says so at once."""
    with exploring(database) as explorer:
        page = explorer.open(browser)
        page.click(".scheme")
        assert "light" == page.evaluate("localStorage.getItem('klines-scheme')")
        was = page.inner_text(".asof")
        page.click(".renew")
        page.wait_for_function("was => document.querySelector('.asof').textContent.slice(0, -10) > was", arg=was[:-10])
        explorer.process.send_signal(signal.SIGINT)
        page.get_by_text("The explorer has ended").wait_for()
        page.screenshot(path=SCREENSHOTS / "explorer-ended.png")


@chromium.needed
def test_three_years_of_600_symbols(browser: Any, tmp_path: Path) -> None:
    """The map has a cell for each of 657,000 days; what a database holds is text, never markup."""
    path = tmp_path / "klines.duckdb"
    with opened(path, time.monotonic() + 5) as connection:
        connection.execute(
            """INSERT INTO klines
               SELECT 'spot', if(n = 0, $1, 'S' || lpad(n::VARCHAR, 4, '0')), '1d', day, 2, 3, 1, 2, 9,
                      day + INTERVAL 1 DAY - INTERVAL 1 MILLISECOND, 18, 5, 4, 8, 'monthly', day, 'klines'
               FROM range(600) symbols(n), range(today() - INTERVAL 1095 DAY, today(), INTERVAL 1 DAY) days(day)
               WHERE n > 0 OR day < today() - INTERVAL 9 DAY""",
            [HOSTILE],
        )
        connection.execute(WANT_STORED)
    with exploring(path) as explorer:
        page = explorer.open(browser)
        page.click("#coverage button[value='1095']")
        settle(page)
        assert "600 symbols" in page.inner_text("#coverage .said")
        assert "0 explained, 9 unexplained" in page.inner_text("#coverage .said")
        box = page.locator("#coverage canvas").bounding_box()
        page.mouse.move(box["x"] + box["width"] - 3, box["y"] + 20)
        page.locator("#coverage .readout", has_text=HOSTILE).wait_for()
        page.screenshot(path=SCREENSHOTS / "explorer-600.png", full_page=True)  # which may take the pointer away
        page.fill("#filter", "s01")
        page.get_by_text("100 of 600 symbols").wait_for()
        page.screenshot(path=SCREENSHOTS / "explorer-filter.png", full_page=True)
        page.fill("#symbol", HOSTILE)
        page.keyboard.press("Tab")
        settle(page)
        assert HOSTILE in page.inner_text("#klines .said")
        assert [] == explorer.trouble


def test_the_pictures_agree_with_the_functions(explorer: Explorer, database: Path, hole_ms: int) -> None:
    """What is drawn adds up to what `klines.read` and `klines.coverage` give for the same time."""
    asked = choice("ETHUSDT", hole_ms - 2 * HOUR, hole_ms + 4 * HOUR)
    times = asked["start"], asked["end"]
    drawn = explorer.ask("klines", **asked)
    read = klines.read("ETHUSDT", *times, database=database)
    assert read.height == sum(drawn["stored"])
    assert read["volume"].sum() == pytest.approx(sum(filter(None, drawn["volume"])))
    counted = klines.coverage("ETHUSDT", *times, database=database)
    sums = [counted[name].sum() for name in ("expected", "stored", "explained")]
    assert sums == [sum(drawn[name]) for name in ("expected", "stored", "explained")] == [360, 240, 60]
    everybody = klines.coverage(None, asked["start"][:10], asked["end"], database=database)
    mapped = explorer.ask("coverage", **asked)["sums"]
    assert {name: everybody[name].sum() for name in mapped} == mapped


@pytest.mark.parametrize("part", PARTS)
def test_the_sql_that_is_shown_runs_by_itself(explorer: Explorer, database: Path, hole_ms: int, part: str) -> None:
    """Pasted into any DuckDB client, the SQL behind a picture gives what the picture shows."""
    answer = explorer.ask(part, **choice("ETHUSDT", hole_ms - 2 * HOUR, hole_ms + 4 * HOUR))
    with duckdb.connect(str(database), read_only=True) as connection:
        found = connection.sql(answer["sql"]).pl()
    if part == "klines":
        assert found.to_dict(as_series=False) == {name: answer[name] for name in found.columns}
    else:
        assert set(SYMBOLS) == set(found["symbol"]) == set(answer.get("symbols") or answer["symbol"])


def test_a_name_is_a_name(tmp_path: Path) -> None:
    """Whatever a symbol is called, also like a parameter of the statement or like SQL: its klines are shown, and the
    SQL beside them gives the same."""
    path = tmp_path / "klines.duckdb"
    names = ["$symbol", "$NAME", "A'B", "--X", "'; DROP TABLE klines; --", "$$", HOSTILE]
    with opened(path, time.monotonic() + 5) as connection:
        for name in names:
            connection.execute(
                """INSERT INTO klines
                   SELECT 'spot', $1, '1m', m, 2, 3, 1, 2, 9, m, 18, 5, 4, 8, 'rest', m, 'klines'
                   FROM range(today() - INTERVAL 2 HOUR, today() - INTERVAL 1 HOUR, INTERVAL 1 MINUTE) minutes(m)""",
                [name],
            )
        connection.execute(WANT_STORED)
    asked = {"market": "spot", "kind": "klines", "interval": "1m", "start": "2020-01-01", "end": "2100-01-01"}
    with exploring(path) as explorer:
        assert sorted(names) == explorer.ask("coverage", **asked)["symbol"] == sorted(names)
        for name in names:
            drawn = explorer.ask("klines", symbol=name, **asked)
            assert 60 == sum(drawn["stored"])
            with duckdb.connect(str(path), read_only=True) as connection:
                assert 60 == sum(connection.sql(drawn["sql"]).pl()["stored"])


def test_whoever_writes_is_kept_out_by_nobody(explorer: Explorer, database: Path, hole_ms: int) -> None:
    """A page that is open holds no lock; while another process writes, the map and klines answer from the snapshot, and
    freshness as soon as the file is free."""
    asked = choice("ETHUSDT", hole_ms - HOUR, hole_ms + HOUR)
    explorer.ask("coverage", **asked)
    with ThreadPoolExecutor() as threads:
        with opened(database, time.monotonic() + 5):
            waiting = threads.submit(explorer.ask, "freshness", **asked)
            assert 60 == sum(explorer.ask("klines", **asked)["stored"])
            assert 3 == len(explorer.ask("coverage", **asked)["symbol"])
            assert not waiting.done()
        assert set(SYMBOLS) == set(waiting.result()["symbols"])


def test_a_state_says_what_it_lacks(database: Path, tmp_path: Path) -> None:
    """A page is told as of when its pictures are, that more is stored by now, and of a new state once it is taken, in
    which that is."""
    asked, path = {"market": "spot", "interval": "1m", "symbol": "ETHUSDT"}, Path(shutil.copy(database, tmp_path))
    with exploring(path) as explorer:
        stored = sum(explorer.ask("klines", **asked)["stored"])
        with opened(path, time.monotonic() + 5) as connection:
            connection.execute("DELETE FROM klines WHERE open_time = (SELECT min(open_time) FROM klines)")
        [before] = explorer.states(1)
        assert (True, False, "") == (before["lacks"], before["is_taking"], before["failed"])
        assert stored == sum(explorer.ask("klines", **asked)["stored"])
        urlopen(Request(f"{explorer.address}/api/renew", b"", method="POST"), timeout=60).close()
        while (after := explorer.states(1)[0])["is_taking"]:
            pass
        assert (True, False) == (after["taken_ms"] > before["taken_ms"], after["lacks"])
        assert stored - 1 == sum(explorer.ask("klines", **asked)["stored"])


def test_an_old_state_is_replaced_while_somebody_looks(database: Path, tmp_path: Path) -> None:
    """A snapshot of half an hour ago is shown at once; as it lacks what was stored since, a new one is taken."""
    path = Path(shutil.copy(database, tmp_path))
    old = datetime.now(UTC) - timedelta(minutes=30)
    folder = tmp_path / "klines.duckdb.snapshots"
    folder.mkdir()
    shutil.copy(database, folder / f"{old:{NAME}}.duckdb")
    with exploring(path) as explorer:
        first = explorer.ask("series")["taken_ms"]
        assert first == int(old.timestamp() * 1000)
        told = (state for _ in range(100) for state in explorer.states(2))
        assert first < next(state["taken_ms"] for state in told if state["taken_ms"] != first)


def test_the_ledger_and_incidents_are_listed(database: Path, tmp_path: Path) -> None:
    """Rows of the ledger by part of a name, reason and range, with the sums of all; incidents; runs, where a Prefect
    server answers."""
    path = Path(shutil.copy(database, tmp_path))
    with opened(path, time.monotonic() + 5) as connection:
        write_incidents(connection, [Incident("spot", "Degraded", ["1m"], ["ETHUSDT"], 1_767_000_000_000, "1 failed")])
    asked = {"market": "spot", "interval": "1m"}
    with exploring(path) as explorer:
        every = explorer.ask("ledger", **asked)
        assert (SYMBOLS, [60] * 3) == (sorted(every["symbol"]), every["klines"])
        assert [{"reason": "exchange_outage", "rows": 3, "klines": 180}] == every["sums"]
        some = explorer.ask("ledger", **asked, symbol="eth", start=f"{datetime.now(UTC) - timedelta(days=1):%Y-%m-%d}")
        assert ["ETHUSDT"] == some["symbol"]
        assert [] == explorer.ask("ledger", **asked, reason="due")["symbol"]
        found = explorer.ask("lately")
        assert [("Degraded", None)] == [(one["kind"], one["ended_ms"]) for one in found["incidents"]]
        assert found["runs"] is None


def test_what_is_not_there_is_said(explorer: Explorer, tmp_path: Path, hole_ms: int) -> None:
    """No database (with its absolute path), an empty one, an unknown symbol, a range in which nothing should be."""
    absent, empty = tmp_path / "absent.duckdb", tmp_path / "empty.duckdb"
    with exploring(absent) as nothing:
        said = nothing.ask("series")["error"]
    assert str(absent) in said
    assert "klines run" in said
    with opened(empty, time.monotonic() + 5):
        pass
    with exploring(empty) as nothing:
        assert [] == nothing.ask("series")["series"]
        assert "nothing of spot 1m" in nothing.ask("freshness", market="spot", interval="1m")["error"]
    asked = choice("ETHUSDT", hole_ms, hole_ms + HOUR)
    assert "there is no XUSDT" in explorer.ask("klines", **asked | {"symbol": "XUSDT"})["error"]
    assert "yet to come" in explorer.ask("klines", **choice("ETHUSDT", hole_ms + DAY, hole_ms + 2 * DAY))["error"]
    assert "start: 'x'" in explorer.ask("klines", **asked | {"start": "x"})["error"]


@chromium.needed
def test_a_page_without_a_database_says_so(browser: Any, tmp_path: Path) -> None:
    """The page shows the reason instead of empty pictures."""
    with exploring(tmp_path / "absent.duckdb") as explorer:
        page = browser.new_page()
        page.goto(explorer.address)
        page.get_by_text("there is no database at").wait_for()
        page.screenshot(path=SCREENSHOTS / "explorer-nothing.png")
        assert not page.is_visible("main")


def test_only_this_machine_may_ask(explorer: Explorer) -> None:
    """It listens on loopback, and refuses who comes by another name, as a page elsewhere would after DNS rebinding, and
    the questions of a page that is not its own. By a port that is forwarded, and in a link, it is shown."""
    assert explorer.address.startswith("http://127.0.0.1:")
    port = explorer.address.rpartition(":")[2]
    for status, path, headers in [
        (400, "/api/series", {"Host": "elsewhere.example"}),
        (400, "/", {"Host": f"elsewhere.example:{port}"}),
        (403, "/api/series", {"Sec-Fetch-Site": "cross-site"}),
        (403, "/api/series", {"Sec-Fetch-Site": "same-site"}),
        (403, "/api/series", {"Origin": "http://127.0.0.1:1"}),
        (
            403,
            "/api/series",
            {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
        ),
        (200, "/", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}),
        (200, "/api/series", {"Sec-Fetch-Site": "same-origin", "Origin": explorer.address}),
        (200, "/api/series", {"Sec-Fetch-Site": "none", "Host": "localhost:9"}),
        (200, "/api/series", {"Host": f"[::1]:{port}"}),
    ]:
        assert status == status_of(Request(explorer.address + path, headers=headers)), (path, headers)
    assert 405 == status_of(Request(f"{explorer.address}/api/series", b"", method="POST"))


def status_of(request: Request) -> int:
    """The status of the answer."""
    try:
        with urlopen(request, timeout=60) as answer:
            return int(answer.status)
    except HTTPError as error:
        with error:
            return error.code


def test_ctrl_c_ends_it_and_a_taken_port_is_named(database: Path) -> None:
    """Ctrl-C is the normal end: status 0 and no further word; a port that is taken is named, status 1."""
    with exploring(database) as explorer:
        port = explorer.address.rpartition(":")[2]
        command = [sys.executable, "-m", "klines.explorer", "--no-browser", "--port", port]
        refused = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True)
        assert 1 == refused.returncode
        assert f"klines: port {port} is taken: see http://127.0.0.1:{port}; --port 0" in refused.stderr
        assert 1 == refused.stderr.count("\n")
        explorer.ask("series")
    assert (0, f"database       {database}\n") == (explorer.process.returncode, explorer.last_words)


def test_ctrl_c_waits_for_no_answer(database: Path) -> None:
    """Neither for a file that somebody holds: what is asked then is cut off, and is no error."""
    with exploring(database) as explorer, ThreadPoolExecutor() as pool:
        explorer.ask("series")
        with opened(database, time.monotonic() + 5):
            asked = pool.submit(explorer.ask, "freshness", market="spot", interval="1m")
            time.sleep(0.5)
            explorer.process.send_signal(signal.SIGINT)
            assert 0 == explorer.process.wait()
            with pytest.raises((OSError, ValueError)):
                asked.result()
    assert f"database       {database}\n" == explorer.last_words


@pytest.mark.parametrize(
    ("stored", "days", "step"),
    [("1m", 1, "1m"), ("1m", 30, "30m"), ("1m", 1095, "1d"), ("1h", 7, "1h"), ("1s", 1, "1m"), ("1w", 3650, "1w"),
     ("1M", 3650, "1M"), ("3d", 3650, "3d")],
)  # fmt: skip
def test_steps(stored: str, days: int, step: str) -> None:
    """The step is the finest interval that the stored one fits into, and of which there are not too many."""
    found = step_of(INTERVALS[stored], Window(0, days * DAY))
    assert step == found.name
    assert found.index(days * DAY) - found.index(0) <= MOST
