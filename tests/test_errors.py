"""The tree of errors: its drawing is true, and every leaf has one side."""

from __future__ import annotations

import inspect
import re

import pytest

from klines import errors
from klines.errors import GiveUp, KlinesError, Later, Retry, Stop, Unusable

SIDES = (Retry, Stop, Later, GiveUp, Unusable)
CLASSES = [c for _, c in inspect.getmembers(errors, inspect.isclass) if c.__module__ == errors.__name__]
LEAVES = [c for c in CLASSES if not c.__subclasses__()]


def drawn(text: str) -> dict[str, str]:
    """The tree that `text` draws, as child to parent."""
    parents, path = {}, ["KlinesError"]
    for bars, name in re.findall(r"^([│ ]*)[├└]── (\w+)", text, re.MULTILINE):
        path[len(bars) // 4 + 1 :] = [name]
        parents[name] = path[-2]
    return parents


def test_the_drawing_is_the_tree() -> None:
    """The module's docstring draws exactly the classes that exist, each under its base."""
    tree = {c.__name__: c.__bases__[0].__name__ for c in CLASSES if c is not KlinesError}
    assert tree == drawn(errors.__doc__ or "")


@pytest.mark.parametrize("leaf", LEAVES)
def test_every_leaf_picks_one_side(leaf: type[KlinesError]) -> None:
    """A caller always knows what to do: each leaf is below exactly one side, and each side has one."""
    assert 1 == sum(issubclass(leaf, side) for side in SIDES)
    assert issubclass(leaf, KlinesError)


def test_every_side_is_used() -> None:
    """No side is a leaf, and there is no other side."""
    assert set(SIDES) == set(KlinesError.__subclasses__())
    assert set() == set(SIDES) & set(LEAVES)


def test_stops_say_how_long() -> None:
    """The text is the message alone; what the caller needs stands beside it."""
    limited, blocked = errors.RateLimited("slow down", 5), errors.Blocked("go away", remember=True)
    assert ("slow down", 5, False) == (str(limited), limited.until_ms, limited.banned)
    assert ("go away", True) == (str(blocked), blocked.remember)
