"""Whatever comes from outside, every error is one of ours: paths, what lies beside a database, what is in it, settings
and parameters, met by those who read, by runs and by commands. Answers, archives, damage, full disks and missing locks
have tests of their own: tests/binance, tests/storage/test_places.py, tests/collect/test_fault_matrix.py.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pytest

import klines
from klines.cli import exit_status
from klines.clock import time_ms, utc
from klines.doctor.run import Examination
from klines.errors import BadParameter, KlinesError
from klines.settings import load
from tests.drive import backfill_once, collect_once, maintain_once, ms
from tests.exchange import StandIn

BESIDE = (".wal", ".journal", ".bans", ".clocks", ".was-here", ".maintain", ".minute")


@pytest.fixture(scope="module")
def exchange() -> Iterator[StandIn]:
    """The stand-in for all of these, at one moment."""
    with StandIn(any_symbol=True) as exchange:
        exchange.freeze(ms("2026-01-02T12:00:05"))
        yield exchange


@pytest.fixture(scope="module")
def collected(exchange: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with half an hour of a symbol, and what lies beside it."""
    folder = tmp_path_factory.mktemp("collected")
    collect_once(exchange, folder / "klines.duckdb", ["BTCUSDT"])
    return folder


@pytest.fixture
def stored(collected: Path, database: Path) -> Path:
    """A copy of it."""
    shutil.copytree(collected, database.parent, dirs_exist_ok=True)
    return database


USES: dict[str, Callable[[StandIn, Path], Any]] = {
    "read": lambda _, path: klines.read("BTCUSDT", interval="1h", fill="null", database=path),
    "symbols": lambda _, path: klines.symbols(database=path),
    "coverage": lambda _, path: klines.coverage(database=path),
    "gaps": lambda _, path: klines.gaps(database=path),
    "connect": lambda _, path: klines.connect(database=path, max_age="PT0S").close(),
    "collect": lambda exchange, path: collect_once(exchange, path, ["BTCUSDT"], deadline_s=5),
    "backfill": lambda exchange, path: backfill_once(exchange, path, ["BTCUSDT"], "2026-01-02", "2026-01-02T01:00"),
    "maintain": lambda _, path: maintain_once(path),
    "status": lambda *_: exit_status(["status"]),
    "unban": lambda *_: exit_status(["unban"]),
}


FEW = ("read", "connect", "collect", "maintain", "status", "unban")
"""Of USES one for each way to come to a database, whatever is asked of it then."""


def used(exchange: StandIn, path: Path, monkeypatch: pytest.MonkeyPatch, uses: Iterable[str] = tuple(USES)) -> set[str]:
    """Which of the uses this place makes fail, each with an error of ours: another one, or a hang, fails the test."""
    monkeypatch.setenv("KLINES_DATABASE", str(path))
    return {name for name in uses if refusal(partial(USES[name], exchange, path))}


def refusal(use: Callable[[], Any]) -> str:
    """The error of ours by which something ends, in one line; empty where it works."""
    try:
        outcome = use()
    except KlinesError as error:
        said = str(error)
    else:
        is_failed = getattr(outcome, "state", "Completed") != "Completed" or (type(outcome) is int and outcome > 0)
        said = getattr(outcome, "message", "a command's line") if is_failed else ""
    assert len(said.splitlines()) <= 1
    assert "unexpected" not in said
    return said


def a_loop(path: Path) -> Path:
    """A link to itself."""
    path.symlink_to(path)
    return path


PLACES: dict[str, Callable[[Path], Path]] = {
    "a name of 300 characters": lambda folder: folder / f"{'x' * 300}.duckdb",
    "a path of 5,000 characters": lambda folder: folder.joinpath(*["y" * 200] * 25, "k.duckdb"),
    "a name that is no UTF-8": lambda folder: folder / os.fsdecode(b"\xff.duckdb"),
    "a loop": lambda folder: a_loop(folder / "loop"),
    "within a loop": lambda folder: a_loop(folder / "loop") / "k.duckdb",
    "within a file": lambda _: Path(__file__) / "k.duckdb",
    "a folder": lambda folder: folder,
    "/dev/full": lambda _: Path("/dev/full"),
    "/proc": lambda _: Path("/proc/k.duckdb"),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_place_where_no_database_can_be(
    exchange: StandIn, tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everybody says so at once, in one line."""
    assert {*USES} == used(exchange, PLACES[place](tmp_path), monkeypatch)


MADE: dict[str, Callable[[Path], Any]] = {
    "a pipe": os.mkfifo,
    "a folder": Path.mkdir,
    "a loop": a_loop,
    "garbage": lambda path: path.write_bytes(b"\x00\xff garbage" * 100),
}


@pytest.mark.parametrize("kind", MADE)
@pytest.mark.parametrize("end", BESIDE)
def test_what_lies_beside_a_database(
    exchange: StandIn, stored: Path, end: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of ours that is something else: everything works, or says in one line what to do, and nobody waits."""
    beside = Path(f"{stored}{end}")
    beside.unlink(missing_ok=True)
    MADE[kind](beside)
    used(exchange, stored, monkeypatch, FEW)


CHANGES = {
    "no version": "DELETE FROM schema_version",
    "a version to come": "UPDATE schema_version SET version = 999",
    "a version that is text": "ALTER TABLE schema_version ALTER version TYPE VARCHAR; "
    "UPDATE schema_version SET version = 'x'",
    "no ledger": "DROP TABLE gaps CASCADE",
    "no klines": "DROP TABLE klines CASCADE",
    "a column of another name": "ALTER TABLE symbols RENAME COLUMN symbol TO s",
    "a table in a view's place": "DROP VIEW freshness; CREATE TABLE freshness(a INT)",
    "a time without an end": "UPDATE klines SET open_time = 'infinity'",
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_in_a_database(exchange: StandIn, stored: Path, change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that somebody has changed, or that is of another program: whoever can't use it says so."""
    with duckdb.connect(str(stored)) as connection:
        connection.execute(CHANGES[change])
    assert used(exchange, stored, monkeypatch)


ABSURD: dict[str, list[Any]] = {
    "symbols": [
        "",
        "btc",
        "\ud800",
        "A" * 5000,
        "$name",
        "'; DROP TABLE klines",
        "A B",
        "\0",
        5,
        None,
        [[]],
        ["A", None],
        "*",
    ],
    "start": ["9999-12-31T23:59-23:59", "0001-01-01", "x", "", 0, 1.5, True, "\ud800", datetime.max, datetime.min],
    "interval": ["99999999999m", "0m", "-1m", "１m", "1x", "", "1m\0", "\ud800", 5, None, "100000d", []],
    "market": ["forex", "", None, 5, [], "\ud800"],
    "columns": [["price"], ["close", "close"], [], ["*"], [5], "close", ["\ud800"]],
    "fill": ["x", "", 5, True],
    "database": ["", "\0", "\ud800", 5, b"x", [], "~nobody1/x", "." * 5000, "/", "s3://b/k.duckdb", "md:x", "k.csv"],
}


AGES: list[Any] = ["P99999999D", "P1Y", "P-1D", "1e400", "nan", "", timedelta.max, timedelta.min, None, b"x"]


@pytest.mark.parametrize("name", ABSURD)
def test_absurd_parameters(stored: Path, name: str) -> None:
    """Whatever is given to `klines.read` is read, or named as what it is."""
    for value in ABSURD[name]:
        asked: dict[str, Any] = {"symbols": "BTCUSDT", "database": stored} | {name: value}
        refusal(partial(klines.read, **asked))


def test_absurd_ages(stored: Path) -> None:
    """A snapshot of any age is taken, or the age is named."""
    for age in AGES:
        said = refusal(partial(klines.connect, database=stored, max_age=age))
        assert not said or said.startswith("max_age: ")


def test_times_at_the_ends_of_the_calendar() -> None:
    """A time of a year that UTC does not have is an epoch time all the same; what is none is named."""
    late = datetime.max.replace(tzinfo=timezone(timedelta(hours=-23)))
    assert (time_ms("end", late) or 0) > (time_ms("end", datetime.max) or 0)
    assert datetime.max.replace(tzinfo=UTC) == utc(late)
    for value in (0, True, 1.5, b"2024-01-01"):
        with pytest.raises(BadParameter, match="start: "):
            time_ms("start", value)  # type: ignore[arg-type]
    assert time_ms("start", date(2024, 1, 1)) == time_ms("start", "2024-01-01")


SETTINGS = {
    "KLINES_DATABASE": ["", "\udcff", "~nobody/k", "x" * 5000, "\x1b[31m"],
    "KLINES_SYMBOLS": ["[", "[" * 5000, '{"a":1}', "[1]", "[[]]", "\udcff", "*" * 200, "!" * 5],
    "KLINES_SINCE": ["x", "2024-13-01", "1e400", "9" * 5000, "2024-01-01T00:00", "0001-01-01"],
    "KLINES_SPOT_URL": [
        "",
        "http://",
        "http://[::1",
        "ftp://x",
        "http://x:99999",
        "http://\udcff",
        "http://x\r\nHost: y",
    ],
    "KLINES_ARCHIVE_URL": ["nonsense", "https://" + "a" * 300 + ".com", "http://x/?q"],
    "PREFECT_API_URL": ["nonsense", "http://[::1", "http://x:0/api", "\udcff", "http://127.0.0.1:1/api"],
    "PREFECT_SERVER_API_PORT": ["", "x", "-1", "99999", "9" * 5000, "４２"],
    "PREFECT_HOME": ["~nobody/x", "x" * 5000, "/dev/null", "\x1b[31m"],
    "PREFECT_API_AUTH_STRING": ["\udcff", "\n", "x" * 5000],
}


@pytest.mark.parametrize("name", SETTINGS)
def test_absurd_settings(name: str, stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each setting that is none is named by every command that needs it, the doctor too; no other error gets out."""
    monkeypatch.setenv("KLINES_DATABASE", str(stored))
    for number, value in enumerate(SETTINGS[name]):
        monkeypatch.setenv(name, value)
        command = ["status"] if number % 2 else ["read", "BTCUSDT"]
        for use in (load, partial(exit_status, command)):
            assert len(refusal(use).splitlines()) <= 1


@pytest.mark.parametrize("name", [name for name in SETTINGS if name.startswith("PREFECT_")])
def test_the_doctor_looks_at_absurd_settings(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What is said of Prefect is a finding, whatever its settings are; none is called a bug of ours."""
    monkeypatch.setenv("KLINES_DATABASE", str(tmp_path / "none" / "k.duckdb"))
    monkeypatch.setenv("KLINES_SPOT_URL", "no address")  # nothing is asked
    for value in SETTINGS[name]:
        monkeypatch.setenv(name, value)
        assert 1 == exit_status(["doctor"])


def test_the_doctor_at_places_where_no_database_can_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is a finding, and none a bug of ours."""
    for name in ("SPOT", "USDM", "COINM", "ARCHIVE"):
        monkeypatch.setenv(f"KLINES_{name}_URL", "http://127.0.0.1:1")
    for number, make in enumerate(PLACES.values()):
        folder = tmp_path / str(number)
        folder.mkdir()
        monkeypatch.setenv("KLINES_DATABASE", str(make(folder)))
        examination = Examination()
        examination.run()
        states = [one.state for one in examination.findings if one.check in ("database place", "database locks")]
        assert "differs" in states
        assert [] == [one for one in examination.findings if one.said.startswith("unexpected")]
