"""What a backfill will do: its chunks, and what each symbol costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from klines.backfill.chunks import NOTHING, Chunk, Work
from klines.window import Window


@dataclass(frozen=True, slots=True)
class Plan:
    """What a backfill will do: its chunks, and what each symbol costs."""

    chunks: Sequence[Chunk] = ()
    symbols: Mapping[str, Work] = field(default_factory=dict)
    total: Work = NOTHING
    seconds: float = 0.0


class Missing(NamedTuple):
    """Of one symbol: what is neither stored nor in the ledger for another reason than due; what to work off; what is
    stored; and what REST has answered to be empty."""

    owed: list[Window]
    gaps: list[Window]
    there: list[Window]
    empty: list[Window]
