"""The types of the flows' parameters: what the form, the API and the shell accept."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from klines.clock import utc
from klines.symbol import ENTRY_PATTERN, SYMBOL_PATTERN, check_entries, check_entry, check_symbol, check_symbols

Symbol = Annotated[str, Field(pattern=SYMBOL_PATTERN), BeforeValidator(check_symbol)]
Symbols = Annotated[list[Symbol], AfterValidator(check_symbols)]
Entry = Annotated[str, Field(pattern=ENTRY_PATTERN), BeforeValidator(check_entry)]
Entries = Annotated[list[Entry], AfterValidator(check_entries)]
Market = Literal["spot", "usdm", "coinm"]
IntervalName = Literal[
    "1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w", "1M"
]  # fmt: skip
Source = Literal["auto", "archive", "rest"]


Time = Annotated[datetime, AfterValidator(utc)]
