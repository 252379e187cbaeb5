"""Shards: every symbol is in one, a shard more moves little, and none is much larger than the others."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klines.shard import LANES, Shard, check_shard, lane, owners

COUNTS = st.integers(1, 40)
QUOTES = ("USDT", "BTC", "USDC", "FDUSD", "ETH", "BNB", "TRY", "EUR")


def names(count: int) -> list[str]:
    """So many symbols as Binance names them: three to five letters, sometimes a multiplier, and a quote asset."""
    chance = random.Random(7)
    found: dict[str, None] = {}
    while len(found) < count:
        base = "".join(chance.choices("ABCDEFGHIKLMNOPRSTUVXYZ", k=chance.randint(3, 5)))
        for quote in chance.sample(QUOTES, k=chance.randint(1, 6)):
            found[f"{chance.choice(['', '', '', '1000'])}{base}{quote}"] = None
    return list(found)[:count]


@given(of=COUNTS, symbol=st.text(st.characters(categories=("Lu", "Nd", "Lo")), min_size=1, max_size=20))
def test_a_symbol_is_in_one_shard(of: int, symbol: str) -> None:
    """Whatever it is called, one shard of all has it; symbols of one lane, whose lock they share, are together."""
    assert [owners(of)[lane(symbol)]] == [number for number in range(1, of + 1) if Shard(number, of).takes(symbol)]


@given(of=COUNTS)
def test_a_shard_more_takes_from_all_and_moves_nothing_else(of: int) -> None:
    """Each lane stays where it was, or goes to the new shard; that has about its share then, and no more moved."""
    moved = [after for before, after in zip(owners(of), owners(of + 1), strict=True) if before != after]
    assert {of + 1} >= set(moved)
    assert len(moved) == owners(of + 1).count(of + 1) <= 1.6 * LANES / (of + 1)


@pytest.mark.parametrize(("of", "most"), [(3, 1.07), (10, 1.39), (20, 1.56)])
def test_how_uneven_shards_are(of: int, most: float) -> None:
    """Of 2,100 symbols the largest shard has so many times its share at most, as docs/many-machines.md says."""
    listed = names(2100)
    counts = [sum(map(Shard(number, of).takes, listed)) for number in range(1, of + 1)]
    assert 2100 == sum(counts)
    assert max(counts) * of / 2100 <= most, counts


@pytest.mark.parametrize("text", ["1/1", "3/10", "256/256"])
def test_a_shard_is_what_it_says(text: str) -> None:
    """As text it is what it was read from."""
    assert text == check_shard(text)


@pytest.mark.parametrize(
    "text",
    ["0/10", "11/10", "3", "3/0", "-1/3", "3/10/2", "1/257", "a/b", "", " 3/10", "3/10\n", "3.0/10", "³/10", 3, None],
)
def test_what_is_no_shard(text: Any) -> None:
    """It is refused, with how one is written."""
    with pytest.raises(ValueError, match=r"is no shard: write 3/10|the last is 10/10|at most 256"):
        check_shard(text)
