"""Checks of this machine: the place of the database, its locks, its disk, memory, and the versions in use.

Nothing is written but a file beside the database that is gone at once. A check says what is so, or raises Differs with
what that means and what to do.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import metadata
from importlib.resources import files
from pathlib import Path

from klines.binance import silence
from klines.checkout import CHECKOUT
from klines.doctor.diagnosis import Differs, NotAsked
from klines.errors import KlinesError, RateLimited, Stop
from klines.interval import MINUTE
from klines.market import MARKETS
from klines.outcome import next_step
from klines.storage.database import opened_to_read
from klines.storage.duckdb_errors import has_locks
from klines.storage.file import LocalFile
from klines.storage.journal import journal_of
from klines.storage.place import Place
from klines.storage.places import check_place
from klines.tables.bans import active_ban, whose

PYTHONS = ((3, 11), (3, 15))
"""From the first on, and before the last; as requires-python in pyproject.toml has it."""
BUSY_S = 5.0
"""How long another process may keep the database before that is said."""
DISK = 2 * 10**9
"""Bytes that should be free besides the size of the database, which maintain and snapshots need once more."""
MEMORY = 2 * 10**9
"""Bytes of memory that klines needs at most: a run up to 1.5 GB, Prefect's server the rest."""
SHOWN = ("duckdb", "prefect", "python-binance", "polars")


def database_opens(database: Path) -> str:
    """The database can be where KLINES_DATABASE says; if it is there, it opens."""
    check_place(database)
    if not database.exists():
        return f"{database} does not exist yet; the first run makes it"
    if journal_of(database).exists():
        return f"{database} is there; the next run puts back what a checkpoint that was killed had overwritten"
    with contextlib.closing(opened_to_read(database, time.monotonic() + BUSY_S)):
        return f"{database} opens, {database.stat().st_size / 1e6:,.1f} MB"


def lake_opens(lake: Place) -> str:
    """The lake's catalog answers, its data can be where KLINES_DATA_PATH says, and it opens, if it is there."""
    lake.check()
    if not lake.exists():
        return f"{lake} does not exist yet; the first run makes it"
    with lake.reading(time.monotonic() + BUSY_S):
        return f"{lake} opens, {lake.size() / 1e6:,.1f} MB"


def _check_usable(place: Place) -> None:
    """Raises NotAsked where no database can be, which the check of its place says."""
    try:
        place.check()
    except KlinesError:
        raise NotAsked("no database can be used there") from None


def no_ban_holds(place: Place, bans: dict[str, Stop], now_ms: int, egress: str) -> str:
    """No ban of the address `egress` is remembered, in the database or beside it; those that hold are noted in `bans`,
    by pool."""
    _check_usable(place)
    for ban in silence.kept(place.beside):
        until_ms = ban.error.until_ms if isinstance(ban.error, RateLimited) else ban.met_ms + 5 * MINUTE
        bans |= {ban.pool: ban.error} if now_ms < until_ms and ban.egress == egress else {}
    if place.exists() and not journal_of(place.beside).exists():
        with place.reading(time.monotonic() + BUSY_S) as connection:
            for pool in {market.pool for market in MARKETS.values()}:
                if error := active_ban(connection, pool, egress, now_ms):
                    bans[pool] = error
    if bans:
        told = "; ".join(f"{whose(pool, egress)}: {ban}" for pool, ban in sorted(bans.items()))
        raise Differs(told, " ".join(sorted({next_step(ban) for ban in bans.values()})))
    return "none is remembered"


def place_has_locks(database: Path) -> str:
    """The file system of the database has locks, by which two programs keep out of each other's way."""
    if not os.path.isdir(database.parent):  # pathlib's raises for a name that is too long
        raise NotAsked("there is no such folder")
    try:
        tempfile.TemporaryFile(dir=database.parent).close()
    except OSError as error:
        advice = "runs can't store anything: name another place by KLINES_DATABASE"
        raise Differs(f"no file can be made in {database.parent}: {error.strerror}", advice) from None
    if not has_locks(database):
        raise Differs(
            f"the file system of {database.parent} has no locks",
            "two programs would spoil the database; put it on a local disk",
        )
    return f"the file system of {database.parent} has locks"


def disk_has_room(database: Path) -> str:
    """There is room for the database once more, and some."""
    _check_usable(LocalFile(database))
    return judge_disk(shutil.disk_usage(database.parent).free, database.stat().st_size if database.exists() else 0)


def judge_disk(free: int, size: int) -> str:
    """Whether so many free bytes are enough beside a database of that size."""
    need = size + DISK
    said = f"{free / 1e9:,.1f} GB are free beside a database of {size / 1e9:,.1f} GB"
    if free < need:
        raise Differs(
            said, f"maintain and snapshots need the database's size once more: have {need / 1e9:,.1f} GB free"
        )
    return said


def memory_is_enough() -> str:
    """There is memory for a run and for Prefect's server."""
    return judge_memory(min(_sizes()))


def judge_memory(size: int) -> str:
    """Whether so many bytes of memory are enough."""
    said = f"{size / 1e9:,.1f} GB of memory"
    if size < MEMORY:
        raise Differs(said, f"a run may need 1.5 GB, Prefect's server the rest: let it have {MEMORY / 1e9:g} GB")
    return said


def _sizes() -> Iterator[int]:
    """Bytes of this machine's memory, and those that a container may use."""
    yield os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):
            yield int(Path(name).read_text(encoding="ascii"))


def python_is_supported() -> str:
    """Python is one that klines supports."""
    said = f"Python {platform.python_version()} on {platform.system()}"
    if not PYTHONS[0] <= sys.version_info[:2] < PYTHONS[1]:
        raise Differs(said, "klines needs Python 3.11 to 3.14; install one, and klines with it")
    return said


def packages_are_tested() -> str:
    """The packages are those of the set that was tested."""
    tested = versions_tested()
    return judge_packages(tested, {name: found for name in tested if (found := _installed(name))}, _needed())


def judge_packages(tested: Mapping[str, str], installed: Mapping[str, str], needed: Sequence[str]) -> str:
    """What differs between these versions; `needed` are names of packages that must be there."""
    missing = sorted(name for name in needed if name not in installed)
    if missing:
        raise Differs(
            f"not installed: {', '.join(missing)}", "the exchange can't be asked: install the extra `collect`"
        )
    others = [f"{name} {found}, not {tested[name]}" for name, found in installed.items() if found != tested[name]]
    if others:
        more = f" and {len(others) - 5} more" if len(others) > 5 else ""
        raise Differs(
            f"other versions than were tested: {'; '.join(others[:5])}{more}",
            "it may well work; where something is odd, install klines with -c constraints.txt",
        )
    return f"the tested set: {', '.join(f'{name} {installed[name]}' for name in SHOWN if name in installed)}"


def versions_tested() -> dict[str, str]:
    """The versions of constraints.txt, which is in the package where there is no checkout."""
    place = CHECKOUT / "constraints.txt" if CHECKOUT else files("klines.doctor").joinpath("constraints.txt")
    lines = place.read_text(encoding="utf-8").splitlines()
    pins = (line.split("==", 1) for line in lines if "==" in line and not line.startswith("#"))
    return {name.lower().replace("_", "-"): version for name, version in pins}


def _needed() -> Sequence[str]:
    return ("aiohttp", "python-binance", "isal", "anyio", "duckdb", "polars")


@cache
def _installed(name: str) -> str | None:
    """The version that is installed, as it was when first asked for: to find each costs a millisecond."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
