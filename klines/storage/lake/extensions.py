"""DuckDB's extensions for a lake, from the wheels of `pip install '.[lake]'`, or as DuckDB installs them itself."""

from __future__ import annotations

import contextlib
from importlib.util import find_spec
from pathlib import Path

import duckdb

from klines.checkout import how_to_install
from klines.errors import BadParameter
from klines.storage.literal import literal

WHEELS = {"ducklake": "ducklake", "postgres": "postgres_scanner", "httpfs": "httpfs"}
"""What DuckDB calls an extension, and how its wheel's package ends."""


def connect_with(*names: str) -> duckdb.DuckDBPyConnection:
    """A DuckDB of its own with those of the extensions loaded that a wheel brought.

    They are trusted as DuckDB itself is, which pip installed beside them: to prove who signed them it would hash all of
    their hundred megabytes, 0.15 s for each, whenever a lake is opened. Nothing else is loaded without that proof.
    """
    connection = duckdb.connect(config={"allow_unsigned_extensions": "true"})
    with contextlib.suppress(duckdb.Error):  # whoever needs it says so
        for file in filter(None, map(_file_of, names)):
            connection.execute(f"LOAD {literal(file)}")
    connection.execute("SET allow_unsigned_extensions = false")
    return connection


def load_extensions(connection: duckdb.DuckDBPyConnection, *names: str) -> None:
    """Load the extensions; raises BadParameter, in one line, where one can't be had."""
    for name in names:
        try:
            file = _file_of(name)
            connection.execute(f"LOAD {literal(file) if file else name}")
        except duckdb.Error as error:
            _install(connection, name, error)


def _file_of(name: str) -> Path | None:
    """The extension's file, where a wheel for this DuckDB brought one."""
    found = find_spec(f"duckdb_extension_{WHEELS[name]}")
    for folder in (found.submodule_search_locations or ()) if found else ():
        for file in Path(folder).glob(f"extensions/v{duckdb.__version__}/*.duckdb_extension"):
            return file
    return None


def _install(connection: duckdb.DuckDBPyConnection, name: str, why: duckdb.Error) -> None:
    with contextlib.suppress(duckdb.Error):
        connection.execute(f"INSTALL {name}")
        connection.execute(f"LOAD {name}")
        return
    raise BadParameter(
        f"a lake needs DuckDB's extension {name}, which can't be loaded ({_first_line(why)}) nor installed from the "
        f"network: {how_to_install('[lake]')} brings it for DuckDB 1.5.5, and this is {duckdb.__version__}"
    ) from None


def _first_line(error: duckdb.Error) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:160]
