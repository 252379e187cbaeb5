"""What the measurements stand on: a PostgreSQL and an S3 store of their own, lakes and files made of the stock."""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import duckdb
import pytest

from benchmarks.lake.stock import MONTH, Part, Stock
from klines.columns import COLUMNS, in_sql
from klines.settings import Address, LakeAddress
from klines.storage.access import forget_lakes, place_of
from klines.storage.database import opened
from klines.storage.lake.lake import Lake
from tests.lakes import Bucket, Postgres

WAIT_S = 60.0
BLOCK_BYTES = 262_144
"""Of a DuckDB file."""
_ADD = """
    CALL ducklake_add_data_files('lake', 'klines', '{path}', hive_partitioning => true, ignore_extra_columns => true)
"""
"""Files that maintenance has merged have a column of DuckLake's own."""


class Ground:
    """Use as `with`: everything ends and goes with it. PostgreSQL writes to disk as one that is in use does."""

    def __init__(self, folder: Path, symbols: int) -> None:
        self.folder = folder
        self.stock = Stock(folder / "stock", symbols)
        self.merged: list[Part] = []
        self._stack = contextlib.ExitStack()
        self._numbers = itertools.count(1)

    def __enter__(self) -> Ground:
        with contextlib.ExitStack() as stack:
            self.postgres = stack.enter_context(Postgres("fsync=on"))
            stack.callback(forget_lakes)
            stack.enter_context(_variable("XDG_STATE_HOME", str(self.folder / "state")))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    @cached_property
    def bucket(self) -> Bucket:
        """The store, whose keys are in the environment from now on."""
        bucket = self._stack.enter_context(Bucket())
        self._stack.enter_context(bucket.keys())
        return bucket

    @cached_property
    def daily(self) -> LakeAddress:
        """A lake with the measured month as daily maintenance leaves it: a file a day, in order of symbols."""
        address = self._address(self.postgres.create())
        lake = Lake(address)
        with lake.opened(time.monotonic() + WAIT_S) as connection:
            for statement in self.stock.days():
                connection.execute(statement)
        lake.close()
        return address

    def lake(self, parts: Sequence[Part], *, beside: LakeAddress | None = None, in_bucket: bool = False) -> LakeAddress:
        """A new lake that has these files, and what is in another one; months of one file are noted to be in order."""
        name = self.postgres.create(beside.name if beside else "template1")
        address = replace(beside, catalog=self.postgres.catalog(name)) if beside else self._address(name, in_bucket)
        with place_of(address).opened(time.monotonic() + WAIT_S) as connection:
            for part in parts:
                path = f"{address.data}/{part.folder}/{part.path.name}"
                self._bring(connection, part.path, path, in_bucket=in_bucket)
                connection.execute(_ADD.format(path=path))
            for month in {part.month for part in parts}:
                rows = [part.rows for part in parts if part.month == month]
                if len(rows) == 1:
                    start = f"epoch_ms({MONTH.start(month)}::BIGINT)"
                    connection.execute(f"INSERT INTO clustered VALUES ({start}, {rows[0]}, {start})")
        return address

    def _address(self, name: str, in_bucket: bool = False) -> LakeAddress:
        data = f"s3://klines/{name}" if in_bucket and self.bucket else str(self.folder / name)
        return LakeAddress(self.postgres.catalog(name), data)

    @staticmethod
    def _bring(connection: duckdb.DuckDBPyConnection, here: Path, there: str, *, in_bucket: bool) -> None:
        if in_bucket:
            connection.execute(
                f"COPY (SELECT {in_sql(COLUMNS)} FROM '{here}') TO '{there}' (FORMAT parquet, COMPRESSION zstd)"
            )
        else:
            Path(there).parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):  # of another lake beside the same one
                os.link(here, there)

    def drop(self, address: LakeAddress) -> None:
        """Away with a lake."""
        forget_lakes()
        self.postgres.drop(address.name)

    def file(self) -> Path:
        """Where a new DuckDB file can be."""
        return self.folder / f"klines{next(self._numbers)}.duckdb"


def settings_of(database: Address) -> dict[str, str]:
    """The variables that name it."""
    if isinstance(database, LakeAddress):
        return {"KLINES_DATABASE": f"ducklake:postgres:{database.catalog}", "KLINES_DATA_PATH": str(database.data)}
    return {"KLINES_DATABASE": str(database)}


def fill(database: Path, parts: Sequence[Part]) -> None:
    """Append the files to a DuckDB file, in their order."""
    with opened(database, time.monotonic() + WAIT_S) as connection:
        connection.execute("SET enable_progress_bar = false")
        for part in parts:
            connection.execute(f"INSERT INTO klines SELECT {in_sql(COLUMNS)} FROM '{part.path}'")


def bytes_of_klines(database: Path) -> int:
    """What the table klines alone takes of a DuckDB file."""
    with duckdb.connect(database, read_only=True) as connection:
        sql = "SELECT count(DISTINCT block_id) FROM pragma_storage_info('klines') WHERE block_id >= 0"
        [(blocks,)] = connection.execute(sql).fetchall()
    return int(blocks) * BLOCK_BYTES


@contextlib.contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(name, value)
        yield
