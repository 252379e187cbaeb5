"""The types of the flows' parameters: what the form, the API and the shell accept."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from klines.clock import utc
from klines.shard import SHARD_PATTERN, check_shard
from klines.symbol import ENTRY_PATTERN, SYMBOL_PATTERN, check_entries, check_entry, check_symbol, check_symbols

Symbol = Annotated[str, Field(pattern=SYMBOL_PATTERN), BeforeValidator(check_symbol)]
Symbols = Annotated[list[Symbol], AfterValidator(check_symbols)]
Entry = Annotated[str, Field(pattern=ENTRY_PATTERN), BeforeValidator(check_entry)]
Entries = Annotated[list[Entry], AfterValidator(check_entries)]
ShardName = Annotated[str, Field(pattern=SHARD_PATTERN), BeforeValidator(check_shard)]
Time = Annotated[datetime, AfterValidator(utc)]
