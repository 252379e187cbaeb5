"""A part of a market's symbols, so that several workers share it: `3/10` is the third of ten, counted from one. Pure.

A shard has whole lanes, and a lane is what writers of a lake lock: two shards never wait for each other. Whose a lane
is, is found by rendezvous hashing: each shard draws a number for it, and the highest has it. So a shard that is added
takes lanes from all others alike, and none moves between those that were there before.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from dataclasses import dataclass
from functools import cache
from typing import Any, Self

LANES = 256
"""A symbol is in one of so many parts, on every machine and for ever."""
SHARD_PATTERN = r"^[1-9][0-9]{0,2}/[1-9][0-9]{0,2}$"
"""Of a shard, in the form and the API."""
_SALT = 1934
"""Of two thousand that were tried, the one with which lanes are dealt out most evenly to 2 up to 32 shards."""


def lane(symbol: str) -> int:
    """Which of the LANES a symbol is in."""
    return zlib.crc32(symbol.encode()) % LANES


@dataclass(frozen=True, slots=True)
class Shard:
    """The `number`th of `of` shards; as text `3/10`."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: Any) -> Self:
        """Of `3/10`; raises ValueError for what is none."""
        if not (isinstance(text, str) and re.fullmatch(SHARD_PATTERN, text)):
            raise ValueError(f"{text!r:.40} is no shard: write 3/10 for the third of ten, the first is 1/10")
        number, of = map(int, text.split("/"))
        if of > LANES:
            raise ValueError(f"{text}: there are at most {LANES} shards")
        if number > of:
            raise ValueError(f"{text}: of {of} shards the last is {of}/{of}")
        return cls(number, of)

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    @property
    def slug(self) -> str:
        """`3-of-10`, where a slash may not stand."""
        return f"{self.number}-of-{self.of}"

    def takes(self, symbol: str) -> bool:
        """Whether the symbol is in this shard."""
        return owners(self.of)[lane(symbol)] == self.number


def check_shard(text: Any) -> str:
    """The shard as text; raises ValueError for what is none."""
    return str(Shard.parse(text))


@cache
def owners(of: int) -> list[int]:
    """The number of the shard that each lane is in."""
    return [max(range(1, of + 1), key=lambda number: _draw(number, lane_)) for lane_ in range(LANES)]


def _draw(number: int, lane_: int) -> bytes:
    return hashlib.blake2b(f"{_SALT} {number} {lane_}".encode(), digest_size=8).digest()
