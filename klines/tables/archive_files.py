"""The table `archive_files`: which files of the archive were loaded, and which of them 1d klines confirm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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


def note_files(connection: duckdb.DuckDBPyConnection, files: Sequence[Loaded], now_ms: int) -> None:
    """Which files were loaded, and which of them the exchange's 1d klines confirm."""
    noted = pl.DataFrame(
        [
            (loaded.file.path, loaded.sha256, loaded.in_file, now_ms, now_ms if loaded.is_verified else None)
            for loaded in files
        ],
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
