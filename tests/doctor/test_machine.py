"""The doctor's checks of this machine: what is enough, and what is said where it is not."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest

from klines.doctor import machine
from klines.doctor.diagnosis import Differs, examine_here
from klines.doctor.machine import DISK, MEMORY, judge_disk, judge_memory, judge_packages, versions_tested
from tests.drive import collect_once
from tests.exchange import StandIn
from tests.storage.test_database import held

GB = 10**9


def test_room_for_the_database_once_more() -> None:
    """Maintain and snapshots need the size of the database once more; less differs, and says how much to have."""
    assert "3.0 GB are free beside a database of 1.0 GB" == judge_disk(DISK + GB, GB)
    with pytest.raises(Differs, match=r"3\.0 GB are free beside a database of 1\.0 GB") as found:
        judge_disk(DISK + GB - 1, GB)
    assert "have 3.0 GB free" in found.value.advice


def test_memory_for_a_run_and_a_server() -> None:
    """Less than the two need differs; a container's limit counts where it is lower than the machine's memory."""
    assert "2.0 GB of memory" == judge_memory(MEMORY)
    with pytest.raises(Differs, match=r"2\.0 GB of memory"):
        judge_memory(MEMORY - 1)


def test_the_tested_set() -> None:
    """Versions are compared with constraints.txt; what is missing is said before what differs."""
    tested = {"duckdb": "1.5.5", "prefect": "3.9.1"}
    assert "the tested set: duckdb 1.5.5, prefect 3.9.1" == judge_packages(tested, tested, ["duckdb"])
    assert "the tested set: duckdb 1.5.5" == judge_packages(tested, {"duckdb": "1.5.5"}, ["duckdb"])
    with pytest.raises(Differs, match=r"duckdb 1\.6\.0, not 1\.5\.5") as found:
        judge_packages(tested, {"duckdb": "1.6.0"}, ["duckdb"])
    assert "-c constraints.txt" in found.value.advice
    with pytest.raises(Differs, match="not installed: aiohttp"):
        judge_packages(tested, {"duckdb": "1.6.0"}, ["duckdb", "aiohttp"])
    assert {"duckdb", "prefect", "python-binance", "aiohttp"} <= versions_tested().keys()


def test_a_place_that_can_not_be(tmp_path: Path) -> None:
    """What the storage says of a place is what the doctor says."""
    found = examine_here("database place", lambda: machine.database_opens(tmp_path / "none" / "klines.duckdb"))
    assert ("differs", True) == (found.state, "does not exist; create it, or name another file" in found.said)
    found = examine_here("database disk", lambda: machine.disk_has_room(tmp_path / "none" / "klines.duckdb"))
    assert "not asked" == found.state


def test_a_database_that_is_busy(exchange: StandIn, database: Path) -> None:
    """Who holds it is named, within the check's time."""
    collect_once(exchange, database, ["BTCUSDT"])
    assert "ok" == examine_here("database place", lambda: machine.database_opens(database)).state
    with held(database, "write"):
        found = examine_here("database place", lambda: machine.database_opens(database))
    assert ("differs", True) == (found.state, "pid" in found.said)


@pytest.mark.skipif(os.geteuid() == 0, reason="this user may write everything")
def test_a_folder_that_is_not_writable(tmp_path: Path) -> None:
    """Whether it has locks is not asked there."""
    tmp_path.chmod(0o500)
    assert "not asked" == examine_here("locks", lambda: machine.place_has_locks(tmp_path / "klines.duckdb")).state


def test_a_check_that_blocks() -> None:
    """A file system that does not answer keeps nobody: the check is left behind in its thread."""
    never = threading.Event()
    found = examine_here("database place", lambda: str(never.wait()), within_s=0.1)
    assert ("differs", "no answer within 1 s") == (found.state, found.said)
    never.set()


def test_a_bug_is_a_finding() -> None:
    """What nobody thought of is named, with where to report it."""
    found = examine_here("machine python", lambda: str(1 // 0))
    assert ("differs", "unexpected ZeroDivisionError: integer division or modulo by zero") == (found.state, found.said)
    assert "please report it" in found.advice


def test_this_python_is_supported() -> None:
    """The tests run on one that is."""
    assert f"Python {sys.version.split()[0]}" in machine.python_is_supported()
