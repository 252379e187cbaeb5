"""The archive's CSV as rows: the same values and the same rules as REST's, by columns.

A whole file is checked at once; one that is not clean throughout is read again row by row, by the rules of `rows`,
which then say what is wrong with which row. What is read by columns is so plain that the rules of `rows` read the same.
"""

from __future__ import annotations

import polars as pl
import pyarrow as pa

from klines.columns import DECIMALS, HELD_BY_DOUBLES, PRICES, SUMS
from klines.errors import BadArchive
from klines.interval import Interval
from klines.market import KLINES, Kind
from klines.rows import AMOUNT, SCHEMA, Rejects, frame, sift
from klines.window import Window

_COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {**SCHEMA, "ignore": pl.String}
_TIMES = ("open_time", "close_time")
_HEADER = b"open_time,"
_LINE_END, _COMMA, _POINT, _MINUS = b"\n,.-"
_ZERO, _NINE = b"09"
_IN_MICROSECONDS = 10**14
"""No time in ms is as large before the year 5138; spot's archive has microseconds from 2025-01-01 on."""


def read_csv(csv: bytes, interval: Interval, asked: Window, kind: Kind = KLINES) -> tuple[pl.DataFrame, Rejects]:
    """The good rows in the shape of `rows.frame`, ascending and at most one a slot, and the rejects.

    Futures' files have a header from about 2022 on, spot's have none. Raises BadArchive for what is no CSV of text, or
    has more lines than klines fit into it.
    """
    lines = csv.partition(b"\n")[2] if csv.startswith(_HEADER) else csv
    _check_size(lines, interval, asked)
    rows = _by_columns(lines, kind)
    if rows is not None and _is_clean(rows, interval, asked, kind):
        nothing = () if kind.has_volumes else SUMS
        return rows.with_columns(pl.lit(None, SCHEMA[name]).alias(name) for name in nothing), Rejects()
    good, rejects = sift(raw_rows(lines), interval, asked, kind)
    return frame(good), rejects


def _check_size(lines: bytes, interval: Interval, asked: Window) -> None:
    """Raises BadArchive for twice as many lines as klines fit into the file."""
    most = 2 * (interval.index(asked.end_ms - 1) - interval.index(asked.start_ms) + 1)
    count = _count(_bytes(lines) == _LINE_END)
    if count > most:
        raise BadArchive(f"it has {count:,} lines where {most // 2:,} klines fit")


def _by_columns(lines: bytes, kind: Kind) -> pl.DataFrame | None:
    """The rows where every line is twelve fields of digits, with at most a point between, and a sign where values can
    be negative; None where any is not."""
    if not _is_plain(lines, signs=kind.can_be_negative):
        return None
    try:
        rows = pl.read_csv(lines, has_header=False, schema=_COLUMNS)
        is_exact = _are_held(rows, lines)
    except pl.exceptions.PolarsError:
        return None
    if sum(rows.null_count().row(0)) or not is_exact:
        return None
    return rows.drop("ignore").with_columns(_milliseconds(name) for name in _TIMES)


def _is_plain(lines: bytes, *, signs: bool) -> bool:
    """Whether they are digits, commas, ends of lines and points, with `signs` minus signs besides; and each point has a
    digit before it, and after it one at least and DECIMALS at most: polars would round more.

    polars compares a month's bytes in a third of the time of Python's searches, and leaves other threads the lock.
    """
    letters = _bytes(lines)
    is_digit, is_point = letters.is_between(_ZERO, _NINE), letters == _POINT
    others = [letters == letter for letter in (_LINE_END, _COMMA, *([_MINUS] if signs else []))]
    if sum(map(_count, (is_digit, is_point, *others))) < len(lines):
        return False
    is_between = is_digit.shift(1, fill_value=False) & is_digit.shift(-1, fill_value=False)
    is_too_fine = _begins(is_digit, DECIMALS + 1).shift(-1, fill_value=False)
    return not (is_point & (~is_between | is_too_fine)).any()


def _bytes(text: bytes) -> pl.Series:
    """Each byte a number, in the same memory."""
    return pl.Series(pa.Array.from_buffers(pa.uint8(), len(text), [None, pa.py_buffer(text)]))


def _begins(is_digit: pl.Series, length: int) -> pl.Series:
    """Where so many digits begin."""
    if length == 1:
        return is_digit
    half = (length + 1) // 2
    begins = _begins(is_digit, half)
    return begins & begins.shift(half - length, fill_value=False)


def _count(are: pl.Series) -> int:
    return int(are.sum())


def _are_held(rows: pl.DataFrame, lines: bytes) -> bool:
    """Whether the shortest decimal of each price's double is what the file has."""
    largest = rows.select(pl.max_horizontal(pl.col(PRICES).abs().max())).item()
    if largest is None or largest < HELD_BY_DOUBLES:
        return True
    sent = pl.read_csv(lines, has_header=False, schema={**_COLUMNS, **dict.fromkeys(PRICES, AMOUNT)})
    shortest = rows.select(pl.col(PRICES).cast(pl.String).cast(AMOUNT, strict=False))
    return sent.select(PRICES).equals(shortest)


def _milliseconds(name: str) -> pl.Expr:
    time = pl.col(name)
    return pl.when(time >= _IN_MICROSECONDS).then(time // 1000).otherwise(time).alias(name)


def _is_clean(rows: pl.DataFrame, interval: Interval, asked: Window, kind: Kind) -> bool:
    """Whether every row keeps every rule of `rows`, on the grid, ascending."""
    if not interval.length_ms or not rows.height:
        return not rows.height
    time, close_time = pl.col("open_time"), pl.col("close_time")
    never_negative = (*([] if kind.can_be_negative else ["low"]), *(SUMS if kind.has_volumes else ()))
    checks = [
        (time.diff().fill_null(1) > 0).all(),
        time.first() >= asked.start_ms,
        time.last() < asked.end_ms,
        ((time - interval.phase_ms) % interval.length_ms == 0).all(),
        (close_time >= time).all(),
        (close_time < time + interval.length_ms).all(),
        *(pl.col(name).min() >= 0 for name in never_negative),
        *((pl.col("high") >= pl.col(name)).all() for name in ("open", "close")),
        *((pl.col("low") <= pl.col(name)).all() for name in ("open", "close")),
    ]
    return bool(rows.select(pl.all_horizontal(checks)).item())


def raw_rows(csv: bytes) -> list[list[object]]:
    """The lines as REST would have sent them: times in ms and trades as integers, all else as text; blank ones left
    out."""
    try:
        lines = csv.decode().split("\n")
    except UnicodeDecodeError as error:
        raise BadArchive(f"its CSV is no text: {error}") from None
    return [_fields(line.removesuffix("\r").split(",")) for line in lines if line.strip("\r")]


def _fields(texts: list[str]) -> list[object]:
    fields: list[object] = list(texts)
    for i in (0, 6, 8):
        if i < len(texts) and texts[i].isascii() and texts[i].isdigit() and len(texts[i]) < 20:
            number = int(texts[i])
            fields[i] = number // 1000 if i != 8 and number >= _IN_MICROSECONDS else number
    return fields
