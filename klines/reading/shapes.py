"""What is read as other libraries' tables: pyarrow's, which shares the numbers, and pandas', which copies them once."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, Literal

import polars as pl

from klines.errors import BadParameter

Shape = Literal["polars", "arrow", "pandas"]
_SHAPES = ("polars", "arrow", "pandas")


def check_library(name: str) -> None:
    """Raises BadParameter for what is no shape, and where pandas is asked for and not installed."""
    if name not in _SHAPES:
        raise BadParameter(f"as_: {name!r} is none of {', '.join(_SHAPES)}")
    if name == "pandas" and not find_spec("pandas"):
        raise BadParameter("as_: pandas is not installed: pip install pandas")


def shaped(klines: pl.DataFrame, shape: Shape) -> Any:
    """The frame, or a pyarrow.Table, or a pandas.DataFrame, of the same columns; times are naive UTC in all of them."""
    if shape == "polars":
        return klines
    table = klines.to_arrow()
    return table if shape == "arrow" else table.to_pandas()
