"""What a path, a disk, a file system and damage can do to a database: each is named at once, with a next step."""

from __future__ import annotations

import os
import random
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import klines
from klines.errors import BadDatabase, BadParameter, KlinesError, NotStored
from klines.storage.database import opened
from klines.storage.places import note_of
from tests import CHECKOUT
from tests.drive import collect_once
from tests.exchange import StandIn

WITHOUT_LOCKS = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#define BODY(name) \
int name(int fd, int command, ...) { \
  va_list rest; va_start(rest, command); void *what = va_arg(rest, void *); va_end(rest); \
  if (command == F_SETLK || command == F_SETLKW) { errno = atoi(getenv("LOCK_ERROR")); return -1; } \
  return ((int (*)(int, int, ...))dlsym(RTLD_NEXT, #name))(fd, command, what); }
BODY(fcntl)
BODY(fcntl64)
"""
"""A library that makes every file system one without locks, as a network share can be."""


def soon(seconds: float = 20.0) -> float:
    """A deadline that nothing here comes near."""
    return time.monotonic() + seconds


def write(database: Path) -> None:
    """Open the database for writing, and close it."""
    with opened(database, soon()):
        pass


def a_loop(path: Path) -> None:
    """A link to itself."""
    path.symlink_to(path)


def a_socket(path: Path) -> None:
    """A socket."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))


@pytest.mark.parametrize("make", [a_loop, a_socket, os.mkfifo, Path.mkdir], ids=lambda make: make.__name__)
def test_what_is_no_file_is_refused_at_once(database: Path, make: Callable[[Path], None]) -> None:
    """A loop of links, a socket, a pipe and a folder in the place of the database are named; nobody waits."""
    make(database)
    with pytest.raises(BadParameter, match=r"KLINES_DATABASE: .*(can't be a file|no regular file|is a folder)"):
        write(database)
    with pytest.raises(KlinesError):
        klines.symbols(database=database)


@pytest.mark.parametrize("beside", ["klines.duckdb.journal", "klines.duckdb.wal"])
def test_a_pipe_beside_the_database_is_refused(database: Path, beside: str) -> None:
    """DuckDB's log and our journal are files; a pipe of that name would be waited for."""
    write(database)
    os.mkfifo(database.with_name(beside))
    with pytest.raises(BadParameter, match=f"{beside} is no regular file; move it away"):
        write(database)


@pytest.mark.parametrize("name", ["x" * 300, "a\0b.duckdb", "x/" * 3000], ids=["long", "NUL", "deep"])
def test_a_path_that_can_not_be_is_one_sentence(database: Path, name: str) -> None:
    """What the system says of a path is said as BadParameter, by who writes and by who reads."""
    with pytest.raises(BadParameter, match="KLINES_DATABASE"):
        write(database.parent / name)
    with pytest.raises(KlinesError):
        klines.symbols(database=database.parent / name)


@pytest.mark.parametrize("size", [0, 1, 4096, 12_288, 0.5], ids=str)
def test_a_database_that_was_cut_is_damaged(database: Path, size: float) -> None:
    """Cut to any size it is named as none, or damaged, with what to do; and is not written over."""
    write(database)
    whole = database.stat().st_size
    os.truncate(database, int(whole * size) if size == 0.5 else int(size))
    cut = database.read_bytes()

    with pytest.raises(BadDatabase, match=r"KLINES_DATABASE: .*(restore a backup|name one)"):
        write(database)
    assert cut == database.read_bytes()


def test_flipped_bits_have_our_names(exchange: StandIn, tmp_path: Path) -> None:
    """Wherever bits of a database are flipped, what reads and writes it raises errors of ours alone, or nothing."""
    database = tmp_path / "whole.duckdb"
    collect_once(exchange, database, ["BTCUSDT", "ETHUSDT"])
    flips = random.Random(20)
    named = 0
    for number in range(40):
        damaged = tmp_path / f"{number}.duckdb"
        shutil.copy(database, damaged)
        flip(damaged, flips, 8, first=0)
        for use in (
            lambda path: klines.read("BTCUSDT", database=path),
            lambda path: klines.coverage(database=path),
            write,
        ):
            try:
                use(damaged)
            except KlinesError as error:
                named += isinstance(error, BadDatabase)
    assert named > 0


def flip(path: Path, flips: random.Random, bits: int, *, first: int) -> None:
    """Change some bits of a file from the byte `first` on, in its place, as a bad disk does, whoever has it open."""
    with path.open("r+b") as file:
        for _ in range(bits):
            file.seek(at := flips.randrange(first, path.stat().st_size))
            byte = file.read(1)[0] ^ 1 << flips.randrange(8)
            file.seek(at)
            file.write(bytes([byte]))


HEADERS = 3 * 4096
"""Of a DuckDB file; the rest is blocks."""


def test_bits_that_are_flipped_while_a_database_is_open(exchange: StandIn, tmp_path: Path) -> None:
    """Damage that comes while a connection is open has our names, too."""
    whole = tmp_path / "whole.duckdb"
    collect_once(exchange, whole, ["BTCUSDT", "ETHUSDT"])
    flips = random.Random(7)
    named = 0
    for number in range(20):
        damaged = tmp_path / f"{number}.duckdb"
        shutil.copy(whole, damaged)
        try:
            with opened(damaged, soon()) as connection:
                flip(damaged, flips, 2000, first=HEADERS)
                connection.execute("FROM klines").fetchall()
                connection.execute("UPDATE klines SET close = close + 1")
            collect_once(exchange, damaged, ["BTCUSDT"])
        except KlinesError as error:
            named += isinstance(error, BadDatabase) and "\n" not in str(error)
    assert named > 0


def test_the_newest_snapshot_is_a_way_out(exchange: StandIn, database: Path) -> None:
    """Of a damaged database the message names the newest snapshot as a backup, which is one; of a damaged snapshot it
    says to delete that, and then there is a new one."""
    collect_once(exchange, database, ["BTCUSDT"])
    klines.connect(database=database, max_age="PT0S").close()
    [snapshot] = snapshots = sorted(database.with_name(f"{database.name}.snapshots").glob("*.duckdb"))
    os.truncate(database, 20_000)
    with pytest.raises(BadDatabase, match=re.escape(f"restore a backup, such as {snapshot}, or move")):
        write(database)
    shutil.copy(snapshot, database)
    assert 30 == len(klines.read("BTCUSDT", database=database))

    os.truncate(snapshot, 20_000)
    with pytest.raises(BadDatabase, match=r"is damaged: .*delete this snapshot: whoever reads next makes a new one"):
        klines.connect(database=database)
    snapshot.unlink()
    klines.connect(database=database).close()
    assert snapshots != sorted(snapshot.parent.glob("*.duckdb"))


def test_a_database_that_is_gone_is_told_once(exchange: StandIn, database: Path) -> None:
    """A database that was made and is gone fails one run, which says so; the next makes a new one. Deleted with
    the note beside it, it is made anew."""
    assert "Completed" == collect_once(exchange, database, ["BTCUSDT"]).state
    database.unlink()
    told = collect_once(exchange, database, ["BTCUSDT"])
    assert ("Failed", True) == (told.state, "is gone, and nothing was stored" in told.message)
    assert "Completed" == collect_once(exchange, database, ["BTCUSDT"]).state

    database.unlink()
    note_of(database).unlink()
    assert "Completed" == collect_once(exchange, database, ["BTCUSDT"]).state


def test_a_reader_makes_nothing(database: Path) -> None:
    """A reader of a database that is not there leaves neither it nor a note."""
    with pytest.raises(NotStored):
        klines.symbols(database=database)
    assert [] == list(database.parent.iterdir())


@pytest.mark.skipif(shutil.which("cc") is None or sys.platform != "linux", reason="there is no C compiler")
@pytest.mark.parametrize("error", [95, 37, 38], ids=["EOPNOTSUPP", "ENOLCK", "ENOSYS"])
def test_a_file_system_without_locks_is_named_at_once(tmp_path: Path, error: int) -> None:
    """That files can't be locked is no other program that has the file: it is said at once, and what to do, and the
    doctor says it, too."""
    library, source = tmp_path / "without.so", tmp_path / "without.c"
    source.write_text(WITHOUT_LOCKS)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    code = (
        "import sys, time; from pathlib import Path; from klines.errors import BadParameter\n"
        "from klines.storage.database import opened\n"
        "try:\n"
        "    with opened(Path(sys.argv[1]), time.monotonic() + 300): pass\n"
        "except BadParameter as error: print(error)\n"
        "from klines.doctor.diagnosis import examine_here\n"
        "from klines.doctor.machine import place_has_locks\n"
        "print(examine_here('locks', lambda: place_has_locks(Path(sys.argv[1]))).state)"
    )
    environment = os.environ | {"LD_PRELOAD": str(library), "LOCK_ERROR": str(error)}
    command = [sys.executable, "-c", code, str(tmp_path / "klines.duckdb")]
    done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True)
    assert "can't be locked: its file system" in done.stdout
    assert "put the file on a local disk" in done.stdout
    assert "differs" == done.stdout.splitlines()[-1]
