"""What people see: the stack's UI in a real browser, from the first scheduled run on.

Screenshots are kept in `screenshots/`; look at them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import chromium
from tests.chromium import SCREENSHOTS
from tests.stacks import Running, ask

pytestmark = chromium.needed


class Browser:
    """A page for one stack's UI, in a colour scheme and a size: another page would read all of its code again."""

    def __init__(self, page: Any, environment: dict[str, str]) -> None:
        self.environment = environment
        self._page = page
        self._address = f"http://127.0.0.1:{environment['PREFECT_SERVER_API_PORT']}"
        page.add_init_script(chromium.STILL)

    def open(self, path: str, wanted: str, name: str, scheme: str = "light", width: int = 1280) -> Any:
        """The page, at `path`, once it shows `wanted`; a screenshot of it is kept."""
        page = self._page
        page.set_viewport_size({"width": width, "height": 1400})
        page.add_init_script(f"localStorage.setItem('color-scheme', JSON.stringify('{scheme}'))")  # the last one counts
        page.goto(self._address + path)
        page.get_by_text(wanted).first.wait_for()
        page.wait_for_timeout(500)
        page.screenshot(path=SCREENSHOTS / f"{name}.png")
        return page

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """The server's answer, as the UI asks."""
        return ask(self.environment, "POST", path, body or {})

    def artifact(self, key: str) -> str:
        """The path of the newest artifact under a key."""
        return next(
            f"/artifacts/artifact/{artifact['latest_id']}"
            for artifact in self.ask("/artifacts/latest/filter")
            if artifact["key"] == key
        )


@pytest.fixture(scope="module")
def degraded(running: Running) -> Running:
    """A stack in whose last run, up to now, a symbol has failed."""
    exchange = running.exchange
    exchange.fault("AVAXUSDT", "status", status=500)
    exchange.set_clock(offset_ms=exchange.clock_offset_ms + 60_000)
    running.run(lambda line: "1 failed: AVAXUSDT" in line)
    return running


@pytest.fixture(scope="module")
def browser(program: Any, degraded: Running) -> Iterator[Browser]:
    """A browser for the UI of that stack."""
    with chromium.window_of(program) as window:
        yield Browser(window.pages[0], degraded.environment)


def test_freshness(browser: Browser) -> None:
    """The artifact `freshness` names the symbol that is behind, since when and why, and shows a picture, also on a
    narrow and dark page. It is looked at first: a minute after the run it says what is so by this machine's clock."""
    page = browser.open(browser.artifact("freshness"), "9 of 10", "freshness", "dark", 700)
    shown = page.inner_text("body")
    assert re.search("spot 1m: 9 of 10 symbols are fresh; 1 (late|stale): AVAXUSDT", shown)
    assert "HTTP 500" in shown
    assert "seconds from the close of these to the commit" in shown
    assert all(page.evaluate("[...document.querySelectorAll('img')].map(it => it.naturalWidth > 0)"))


def test_runs_and_their_states(browser: Browser) -> None:
    """The page of runs names each by market, interval and minute, with its state."""
    page = browser.open("/runs", "spot 1m", "runs")
    shown = page.inner_text("body")
    assert "collect" in shown
    assert "Completed" in shown
    assert "Degraded" in shown


def test_a_run_tells_what_happened(browser: Browser, pictures: Path) -> None:
    """A run's page shows a task run for each symbol and a log of one line of facts, without a traceback for a failure
    that we expect. Its upper part, the timeline, is a picture of README."""
    degraded = {"flow_runs": {"state": {"name": {"any_": ["Degraded"]}}}}
    [run] = browser.ask("/flow_runs/filter", {"limit": 1, "sort": "START_TIME_DESC", **degraded})
    page = browser.open(f"/runs/flow-run/{run['id']}", "Finished in state", "run")
    page.screenshot(path=pictures / "run.png", clip={"x": 256, "y": 0, "width": 1024, "height": 504})
    shown = page.inner_text("body")
    assert "1 failed: AVAXUSDT (HTTP 500" in shown
    assert "Traceback" not in shown
    logged = [log["message"] for log in browser.ask("/logs/filter", {"logs": {"flow_run_id": {"any_": [run["id"]]}}})]
    assert 1 == sum("klines of 10 symbols" in message for message in logged)
    assert not any("Traceback" in message for message in logged)


def test_deployments(browser: Browser) -> None:
    """Every deployment of prefect.yaml is there; those of futures, of publish and of export are off."""
    page = browser.open("/deployments", "every-minute", "deployments")
    shown = page.inner_text("body")
    assert {"every-minute", "ad-hoc", "coinm", "daily"} <= set(shown.split())  # the first of them: a page has ten
    schedules = {
        deployment["name"]: [s["active"] for s in deployment["schedules"]]
        for deployment in browser.ask("/deployments/filter")
    }
    assert {"every-minute", "ad-hoc", "daily", "weekly", "hourly", "usdm", "coinm", "freqtrade"} <= schedules.keys()
    assert [True] == schedules["every-minute"]
    assert [[False]] * 4 + [[]] == [schedules[name] for name in ("usdm", "coinm", "hourly", "freqtrade", "ad-hoc")]


def test_the_form_of_a_backfill(browser: Browser) -> None:
    """The form has descriptions, defaults and choices, and refuses what is missing by name; what it lets through is in
    tests/flows/test_backfill.py. Asterisks survive that the descriptions are shown as Markdown."""
    found = {deployment["name"]: deployment["id"] for deployment in browser.ask("/deployments/filter")}
    page = browser.open(f"/deployments/deployment/{found['ad-hoc']}/run", "Symbols to load", "backfill-form")
    shown = page.inner_text("body")
    assert "auto takes whole days from the archive" in shown
    assert "or patterns: *USDT takes all that trade, !USDC* takes some away." in " ".join(shown.split())
    page.get_by_role("button", name="Submit").click()
    page.get_by_text("'start' is a required property").wait_for()
    page.screenshot(path=SCREENSHOTS / "backfill-form-refused.png")


def test_coverage(browser: Browser) -> None:
    """The artifact `coverage` has a picture of thirty days for each of ten symbols, and the counts. A day's lookback is
    of two days; of one only in the first ten minutes of a day, of which nothing is counted yet."""
    page = browser.open(browser.artifact("coverage"), "complete in the last 30 days", "coverage")
    pictures = page.evaluate("[...document.querySelectorAll('td img')].map(it => [it.naturalWidth, it.alt])")
    [made] = re.findall(r"As of \S+ (\d\d:\d\d):", page.inner_text("body"))
    complete = 1 if made < "00:10" else 2
    assert [[240, f"{complete} complete, {30 - complete} nothing"]] * 10 == pictures
    assert "10 of 10 series are complete in the last 30 days" in page.inner_text("body")
