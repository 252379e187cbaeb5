"""What a polars predicate lets pass, as far as that can be asked of the database: symbols, and a window of open times.

A predicate is taken apart by what polars documents of an expression alone: its operands are put together again, and it
is an `&` or a comparison where that gives the same. Whatever else it says is left to polars, which applies all of it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

import polars as pl

from klines.clock import epoch_ms
from klines.window import Window, window

_TIME = pl.col("open_time")
_AT_LEAST, _AT_MOST = {operator.ge, operator.gt}, {operator.le, operator.lt}
_TURNED = {operator.ge: operator.le, operator.gt: operator.lt, operator.le: operator.ge, operator.lt: operator.gt}
_BOTH = operator.eq
_Comparison = Callable[[Any, Any], Any]


def passing_symbols(predicate: pl.Expr, symbols: Sequence[str]) -> list[str]:
    """Of these symbols those whose klines it may let pass, in their order."""
    named = pl.DataFrame({"symbol": symbols}, schema={"symbol": pl.String})
    for condition in _conditions(predicate):
        if set(condition.meta.root_names()) == {"symbol"}:
            named = named.filter(condition)
    return named["symbol"].to_list()


def passing_window(predicate: pl.Expr, within: Window) -> Window | None:
    """The part of a window outside of which it lets no open time pass; None where that is nothing."""
    start_ms, end_ms = within.start_ms, within.end_ms
    for condition in _conditions(predicate):
        first_ms, last_ms = _ends(condition)
        start_ms = start_ms if first_ms is None else max(start_ms, first_ms)
        end_ms = end_ms if last_ms is None else min(end_ms, last_ms + 1)
    return next(iter(window(start_ms, end_ms)), None)


def _conditions(predicate: pl.Expr) -> Iterator[pl.Expr]:
    """What must be true, each by itself, for a row to pass."""
    match predicate.meta.pop():
        case [one, other] if (one & other).meta.eq(predicate) or (other & one).meta.eq(predicate):
            yield from _conditions(one)
            yield from _conditions(other)
        case _:
            yield predicate


def _ends(condition: pl.Expr) -> tuple[int | None, int | None]:
    """The first and the last ms of an open time that may pass, None where the condition does not say."""
    match condition.meta.pop():
        case [one, other]:
            return next(_compared(condition, one, other), (None, None))
        case [last, first, _] if any(
            _TIME.is_between(first, last, closed).meta.eq(condition) for closed in ("both", "left", "right", "none")
        ):
            return _ms(first), _ms(last)
    return None, None


def _compared(condition: pl.Expr, one: pl.Expr, other: pl.Expr) -> Iterator[tuple[int | None, int | None]]:
    """What a comparison of the open time with a literal says; nothing, if the condition is none."""
    for compare in (*_AT_LEAST, *_AT_MOST, _BOTH):
        for left, right in ((one, other), (other, one)):
            if compare(left, right).meta.eq(condition):
                if left.meta.eq(_TIME):
                    yield _sided(compare, _ms(right))
                elif right.meta.eq(_TIME):
                    yield _sided(_TURNED.get(compare, compare), _ms(left))


def _sided(compare: _Comparison, time_ms: int | None) -> tuple[int | None, int | None]:
    """The ends, of a comparison of the open time, on its left, with a time."""
    return None if compare in _AT_MOST else time_ms, None if compare in _AT_LEAST else time_ms


def _ms(literal: pl.Expr) -> int | None:
    """The ms that holds a time; None where the expression is no time, or one of another zone."""
    value = pl.select(literal).item() if literal.meta.is_literal() else None
    return epoch_ms(value) if isinstance(value, datetime) and value.tzinfo is None else None
