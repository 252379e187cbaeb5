"""The SQL behind the pictures: what runs, and the same as text that runs by itself in any DuckDB client."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb
import polars as pl

from klines.storage.access import frame_of, written_out

_ABOUT_PARAMETERS = re.compile(r"^-- \$.*\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Query:
    """A file's statement, `$name` for each parameter; times are epoch ms."""

    file: Path
    parameters: Mapping[str, str | int]

    @property
    def sql(self) -> str:
        """The statement as it runs."""
        return self.file.read_text(encoding="utf-8")

    @property
    def shown(self) -> str:
        """The statement with its parameters written out."""
        sql = _ABOUT_PARAMETERS.sub("", self.sql)
        return written_out(sql, self.parameters)

    def rows(self, connection: duckdb.DuckDBPyConnection) -> pl.DataFrame:
        """The answer."""
        return frame_of(connection, self.shown)
