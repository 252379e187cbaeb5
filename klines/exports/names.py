"""The programs that there are exports for, and what of, by the names that users call them. Pure."""

from __future__ import annotations

from typing import Literal

ProgramName = Literal["freqtrade", "nautilus", "jesse", "pandas", "parquet", "csv"]
ExportedKind = Literal["klines", "mark", "index", "premium", "continuous", "funding"]
"""The kinds of klines, and funding rates."""
