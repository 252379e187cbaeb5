"""The programs that there are exports for, by the names that users call them. Pure."""

from __future__ import annotations

from typing import Literal

ProgramName = Literal["freqtrade", "nautilus", "jesse", "pandas", "parquet", "csv"]
