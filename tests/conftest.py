"""Fixtures: an exchange with a frozen clock, and a database file of the test's own."""

from __future__ import annotations

import contextlib
import fcntl
import gc
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import duckdb
import hypothesis
import pytest

from klines.settings import LakeAddress
from klines.storage.access import forget_lakes
from klines.storage.database import opened
from stack import template
from stack.temporary import free_port, temporary_server
from tests import AS_USERS, stacks
from tests.drive import NOON
from tests.exchange import StandIn
from tests.lakes import Lakes, Postgres, skip_unless_there
from tests.places import places_of

TESTS = Path(__file__).parent
STACKS = ("stack/test_many_workers.py", "stack/", "docs/test_commands.py")
"""Tests that start whole stacks; those of each share one, and so a process."""

FIRST = (*STACKS, "prefect", "storage/test_lake")
"""Groups that wait more than they work, and so go on beside the others from the beginning."""

STACK_S = 900
"""How long one may take: most of it is waiting for runs, each of which takes a slow machine half a minute."""

OUTSIDE = {"exchange", "exchange_with_history", "standin", "collected", "soaked", "lakes"}
"""Fixtures of tests that ask a server: the stand-in of the exchange, or a lake."""

KEPT_OPEN = (
    *("audit/", "backfill/", "collect/", "rates/"),
    *("flows/test_backfill.py", "flows/test_collect.py", "test_exactness.py"),
)
"""Where the subject is seldom the file: to make or open one costs more than most of what a run does with it."""

MADE = (
    *("reading/", "storage/test_altered.py", "storage/test_snapshot.py", "storage/test_store.py"),
    *("storage/test_views.py", "test_cli.py", "test_soak.py", "test_wanted_command.py"),
)
"""Where a database is there, though not open: to make one costs four times what it costs to open it."""

MANY_ROWS = ("storage/test_ends.py", "storage/test_exact.py")
"""Where DuckDB has as many threads as a user's, as everywhere with --full. Elsewhere it has one: with few rows, a
second one costs a quarter of what a run takes, and four processes of tests share the cores."""

# how long an example takes is a matter of the machine, and of what else it does
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")

_prefect = contextlib.ExitStack()
"""What runs while tests need the Prefect server."""

if find_spec("pandas") is None:
    sys.modules["pandas"] = None  # type: ignore[assignment] # DuckDB would look for it at every value of every query


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--pictures`: the tests of what people see write the pictures of docs/ anew."""
    parser.addoption("--pictures", action="store_true", help="write docs/pictures, from the tests of what people see")
    parser.addoption(
        "--full", action="store_true", help="faults in full counts and in every market, and DuckDB with all its threads"
    )
    parser.addoption("--lake", action="store_true", help="on a lake, too: every test of a run, not some of each kind")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The parameter of `database`: some tests of runs, or with --lake all that make sense, are on a lake, too."""
    if "database" in metafunc.fixturenames and not metafunc.definition.get_closest_marker("file"):
        where = places_of(str(metafunc.definition.path.relative_to(TESTS)), metafunc.function.__name__)
        if where.is_both or (where.is_either and metafunc.config.getoption("--lake")):
            metafunc.parametrize("database", ["file", "lake"], indirect=True)


@pytest.hookimpl(tryfirst=True)  # xdist's own looks for the groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A file's tests run in one process, where they share its fixtures; so do all that need the Prefect server, and
    those of the stack. `make test-fast` leaves out what is marked: `stack`; `prefect`, whatever uses the fixture
    prefect_server; `exchange`, whatever uses one of OUTSIDE; and `slow`. What is marked `full` waits for --full."""
    if not config.getoption("--full"):
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("full")])
        items[:] = [item for item in items if not item.get_closest_marker("full")]
    turns = {item: _turn(_mark(item), item) for item in items}
    items.sort(key=turns.__getitem__)


def _mark(item: pytest.Item) -> str:
    """Give a test its marks; the group that it is in."""
    group = str(item.path.relative_to(TESTS))
    fixtures = _fixtures(item)
    if group.startswith(STACKS):
        item.add_marker(pytest.mark.stack)
        item.add_marker(pytest.mark.timeout(STACK_S))
        group = next(stacks for stacks in STACKS if group.startswith(stacks))
    if fixtures & OUTSIDE:
        item.add_marker(pytest.mark.exchange)
    if "prefect_server" in fixtures:
        item.add_marker(pytest.mark.prefect)
        group = "prefect"
    item.add_marker(pytest.mark.xdist_group(group))
    return group


def _fixtures(item: pytest.Item) -> set[str]:
    """The names of its fixtures; a lake is often one only by a parameter."""
    parameters = getattr(getattr(item, "callspec", None), "params", {}).values()
    is_lake = any(isinstance(value, str) and value == "lake" for value in parameters)
    return {*getattr(item, "fixturenames", ()), *(["lakes"] if is_lake else [])}


def _turn(group: str, item: pytest.Item) -> tuple[int, bool]:
    """When a test begins: its group in the order of FIRST; those that share a stack, one after the other, at its end,
    as a stack that nobody asks anything costs a twentieth of a core."""
    turn = next((number for number, first in enumerate(FIRST) if group.startswith(first)), len(FIRST))
    return turn, "shared" in _fixtures(item)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> None:
    """The Prefect server ends with the last test that needs it: it, too, costs something when nobody asks it."""
    if nextitem is not None and "prefect_server" not in _fixtures(nextitem):
        _prefect.close()


gc.set_threshold(50_000)
"""Garbage is looked for so seldom as in processes of ours, see `be_lean`: it cost a thirtieth of all."""


def pytest_collection_finish() -> None:
    """What was imported and collected stays, and is not looked through for garbage again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def exchange() -> Iterator[StandIn]:
    """The stand-in, its clock frozen 5 s after NOON."""
    with StandIn(any_symbol=True) as exchange:
        exchange.freeze(NOON + 5_000)
        yield exchange


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL for all lakes of this process's tests."""
    skip_unless_there()
    with Postgres() as postgres:
        yield postgres


@pytest.fixture(scope="session")
def lakes(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lakes]:
    """Lakes with their data in a folder."""
    yield Lakes(postgres, str(tmp_path_factory.mktemp("lakes")))
    forget_lakes()


@pytest.fixture
def lake(lakes: Lakes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LakeAddress]:
    """A lake without a row."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    address = lakes.make()
    yield address
    forget_lakes()
    lakes.drop(address)


@pytest.fixture
def full(request: pytest.FixtureRequest) -> bool:
    """Whether the full counts are asked for."""
    return bool(request.config.getoption("--full"))


@pytest.fixture
def database(tmp_path: Path, request: pytest.FixtureRequest) -> Path | LakeAddress:
    """Where a database file may be made; or a lake, see BOTH."""
    if getattr(request, "param", "file") == "lake":
        found: LakeAddress = request.getfixturevalue("lake")
        return found
    return tmp_path / "klines.duckdb"


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database as a first run makes it."""
    path = tmp_path_factory.mktemp("empty") / "klines.duckdb"
    with opened(path, time.monotonic() + 60):
        return path


@pytest.fixture(autouse=True, scope="session")
def as_users() -> Iterator[None]:
    """The processes that tests start lack what only tests need; those of pytest, which have begun, do not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(AS_USERS), prepend=os.pathsep)
        yield


@pytest.fixture
def ready(empty: Path, tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Makes databases by their names, each open in this process until the test ends: to make and to open one costs
    more than most of what a run does with it."""
    with contextlib.ExitStack() as stack:

        def made(name: str) -> Path:
            database = Path(shutil.copy(empty, tmp_path / name))
            stack.enter_context(duckdb.connect(str(database)))
            return database

        yield made


@pytest.fixture(autouse=True, scope="module")
def threads(request: pytest.FixtureRequest) -> Iterator[None]:
    """One thread for DuckDB, in this process and those that it starts, but in the tests of MANY_ROWS; it takes a Slurm
    node's number of cores for its own."""
    is_as_users = str(request.path.relative_to(TESTS)).startswith(MANY_ROWS) or request.config.getoption("--full")
    with pytest.MonkeyPatch.context() as patch:
        if not is_as_users:
            patch.setenv("SLURM_CPUS_ON_NODE", "1")
        yield


@pytest.fixture(autouse=True)
def kept_open(request: pytest.FixtureRequest) -> Iterator[None]:
    """Where KEPT_OPEN says so the database is there, and open in this process, unless a test is marked `file`; where
    MADE says so it is there."""
    file = str(request.path.relative_to(TESTS))
    is_open = file.startswith(KEPT_OPEN) and not request.node.get_closest_marker("file")
    with contextlib.ExitStack() as stack:
        if "database" in request.fixturenames and (is_open or file.startswith(MADE)):
            database = request.getfixturevalue("database")
            if not isinstance(database, LakeAddress):  # which has its tables
                shutil.copy(request.getfixturevalue("empty"), database)
                if is_open:
                    stack.enter_context(duckdb.connect(str(database)))
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
def prefect_server(prefect_db: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A Prefect server for all tests that use one, as a run from the shell has; without heartbeats, whose thread costs
    a second a run. Prefect's own fixture imports the server here, too, and makes its database anew: eight seconds."""
    from prefect.settings import PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    home = tmp_path_factory.mktemp("prefect") / "home"
    stacks.copy_home(prefect_db, home)
    with _prefect:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PREFECT_HOME", str(home))
            api = _prefect.enter_context(temporary_server(free_port()))
        _prefect.enter_context(temporary_settings({PREFECT_API_URL: api, PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}))
        _prefect.callback(_say_all_to_prefect)
        yield


def _say_all_to_prefect() -> None:
    """What threads have still to tell the server, before it ends."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    for worker in (APILogWorker, EventsWorker):
        worker.drain_all(at_exit=False)


@pytest.fixture(scope="session")
def prefect_db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of a Prefect server at its first start: that which was kept when klines was installed, or one that
    is made once for all processes of this run of tests."""
    if template.place().exists():
        return template.place()
    folder = tmp_path_factory.getbasetemp()
    home = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "prefect-home"
    home.mkdir(mode=0o700, exist_ok=True)
    with open(home / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = home / "prefect.db"
        template.make(made)
    return made


@pytest.fixture
def in_settings(exchange: StandIn, database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exchange and the database as the settings that a user has."""
    for name in ("SPOT", "USDM", "COINM", "ARCHIVE"):
        monkeypatch.setenv(f"KLINES_{name}_URL", exchange.url)
    monkeypatch.setenv("KLINES_DATABASE", str(database))
