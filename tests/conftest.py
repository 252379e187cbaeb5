"""Fixtures: an exchange with a frozen clock, and a database file of the test's own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import duckdb
import pytest

from klines.storage.database import opened
from tests.drive import NOON
from tests.exchange import StandIn

TESTS = Path(__file__).parent
STACKS = ("stack/", "docs/test_commands.py")
"""Tests that start whole stacks."""

KEPT_OPEN = ("audit", "backfill", "collect")
"""Rooms whose subject is seldom the file: to make or open one costs more than most of what a run does with it."""

if find_spec("pandas") is None:
    sys.modules["pandas"] = None  # type: ignore[assignment] # DuckDB would look for it at every value of every query


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--pictures`: the tests of what people see write the pictures of docs/ anew."""
    parser.addoption("--pictures", action="store_true", help="write docs/pictures, from the tests of what people see")


@pytest.hookimpl(tryfirst=True)  # xdist's own looks for the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A file's tests run in one process, where they share its fixtures; so do all that need the Prefect server. And
    `make test-fast` leaves out what is marked: `stack`, and `prefect` whatever uses the fixture prefect_server."""
    for item in items:
        group = str(item.path.relative_to(TESTS))
        if group.startswith(STACKS):
            item.add_marker(pytest.mark.stack)
        if "prefect_server" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.prefect)
            group = "prefect"
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture
def exchange() -> Iterator[StandIn]:
    """The stand-in, its clock frozen 5 s after NOON."""
    with StandIn(any_symbol=True) as exchange:
        exchange.freeze(NOON + 5_000)
        yield exchange


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Where a database file may be made."""
    return tmp_path / "klines.duckdb"


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database as a first run makes it."""
    path = tmp_path_factory.mktemp("empty") / "klines.duckdb"
    with opened(path, time.monotonic() + 60):
        return path


@pytest.fixture(autouse=True)
def kept_open(request: pytest.FixtureRequest) -> Iterator[None]:
    """In the rooms of KEPT_OPEN the database is there, and open in this process, unless a test is marked `file`."""
    room = str(request.path.relative_to(TESTS)).partition("/")[0]
    if room in KEPT_OPEN and "database" in request.fixturenames and not request.node.get_closest_marker("file"):
        database = request.getfixturevalue("database")
        shutil.copy(request.getfixturevalue("empty"), database)
        with duckdb.connect(str(database)):
            yield
    else:
        yield


@pytest.fixture
def pictures(request: pytest.FixtureRequest) -> Path:
    """Where a test leaves a picture of docs: in docs/pictures when `--pictures` asks, else beside the others."""
    return TESTS.parent / ("docs/pictures" if request.config.getoption("--pictures") else "screenshots")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 6 MB; skipped where this user can't mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this user can't mount a small file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    """A Prefect server for all tests that use one; without heartbeats, whose thread costs a second a run."""
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
    from prefect.testing.utilities import prefect_test_harness

    with (
        prefect_test_harness(server_startup_timeout=180),
        temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}),
    ):
        yield


@pytest.fixture
def in_settings(exchange: StandIn, database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exchange and the database as the settings that a user has."""
    for name in ("SPOT", "USDM", "COINM", "ARCHIVE"):
        monkeypatch.setenv(f"KLINES_{name}_URL", exchange.url)
    monkeypatch.setenv("KLINES_DATABASE", str(database))
