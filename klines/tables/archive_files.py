"""The table `archive_files`: which files of the archive were loaded, and which of them 1d klines confirm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import duckdb
import polars as pl

from klines.binance.files import File
from klines.rows import Rejects


@dataclass(slots=True)
class Loaded:
    """What was taken of one file of the archive: klines in the shape of `rows.frame`, ascending, and the rejects; the
    rows are given away when a transaction is made ready.

    `in_file` is how many good klines the file has; `is_verified` tells whether every whole day in it agrees with the
    exchange's own 1d kline.
    """

    file: File
    sha256: str
    rows: pl.DataFrame
    rejects: Rejects
    in_file: int
    is_verified: bool

    @property
    def note(self) -> FileNote:
        """Its row of the table."""
        return FileNote(self.file.path, self.sha256, self.in_file, self.is_verified)


class FileNote(NamedTuple):
    """A file that was loaded: its path below the archive's address, how many good rows it has, and whether the
    exchange's 1d klines confirm all of them."""

    path: str
    sha256: str
    rows: int
    is_verified: bool = False


def loaded_below(connection: duckdb.DuckDBPyConnection, prefix: str) -> list[str]:
    """The paths of the files that were loaded, of those that begin so."""
    rows = connection.execute("SELECT path FROM archive_files WHERE starts_with(path, ?)", [prefix]).fetchall()
    return [path for (path,) in rows]


def note_files(connection: duckdb.DuckDBPyConnection, files: Sequence[FileNote], now_ms: int) -> None:
    """Which files were loaded, and which of them the exchange's 1d klines confirm."""
    noted = pl.DataFrame(
        [(file.path, file.sha256, file.rows, now_ms, now_ms if file.is_verified else None) for file in files],
        schema={"path": str, "sha256": str, "rows": int, "loaded_at": int, "verified_at": int},
        orient="row",
    ).unique("path", keep="last")
    connection.register("noted_files", noted)
    connection.execute("DELETE FROM archive_files WHERE path IN (SELECT path FROM noted_files)")
    connection.execute(
        """INSERT INTO archive_files BY NAME
           SELECT * REPLACE (epoch_ms(loaded_at) AS loaded_at, epoch_ms(verified_at) AS verified_at) FROM noted_files"""
    )
    connection.unregister("noted_files")
