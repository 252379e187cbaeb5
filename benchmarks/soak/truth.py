"""Every kline that is stored, beside the exchange's."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

from benchmarks.soak.exchange import Series
from klines.errors import DatabaseBusy
from klines.storage.access import connect
from tests.exchange.market import Rows

Values = tuple[Any, ...]
"""A kline's open time (ms) and its numbers, as they are stored."""
Earlier = Mapping[tuple[Series, int], Sequence[Values]]
"""What the exchange said of a slot before it corrected itself."""

STORED = """SELECT epoch_ms(open_time), open, high, low, close, volume, epoch_ms(close_time), quote_volume, trades,
                   taker_buy_volume, taker_buy_quote_volume, epoch_ms(fetched_at)
            FROM klines WHERE (market, symbol, interval) = (?, ?, ?) ORDER BY ALL"""
LEDGER = """SELECT epoch_ms(start_time), epoch_ms(end_time), reason
            FROM gaps WHERE (market, symbol, interval) = (?, ?, ?)"""
FACES = ("compared", "missing", "unexplained", "doubled", "different", "invented", "while open", "stored and a gap")
"""What a slot can turn out to be; `unexplained`: the exchange has nothing, and the ledger not exactly one reason."""
TOLD, BUSY_S = 20, 300


class Truth(Protocol):
    """Whoever knows it: the exchange, or the other end of its pipe."""

    def truth(self, series: Series, start_ms: int, end_ms: int, /) -> Rows:
        """Every kline that opens in [start, end), as it is when it has closed."""


class Compared:
    """How many slots were found to be what; and the first of those that are wrong, in words."""

    def __init__(self) -> None:
        self.faces: Counter[str] = Counter(dict.fromkeys(FACES, 0))
        self.told: list[str] = []

    def note(self, face: str, series: Series, at_ms: int, words: str = "") -> None:
        """One more."""
        self.faces[face] += 1
        if len(self.told) < TOLD:
            self.told.append(f"{face}: {' '.join(series)} {at_ms} {words}".rstrip())

    @property
    def wrong(self) -> int:
        """How many are not as they should be."""
        return sum(count for face, count in self.faces.items() if face != "compared")


def values(row: Sequence[Any]) -> Values:
    """The exchange's row as it is to be stored."""
    kinds = dict.fromkeys((0, 6, 8), int) | dict.fromkeys((1, 2, 3, 4), float)
    return tuple(kinds.get(at, Decimal)(value) for at, value in enumerate(row[:11]))


def compare(
    exchange: Truth,
    database: Path,
    series: Sequence[Series],
    start_ms: int,
    end_ms: int,
    earlier: Earlier,
) -> Compared:
    """All that is stored, and all that should be in [start, end); `earlier` values pass for right."""
    compared = Compared()
    for one in series:
        rows, gaps = held(database, one)
        first_ms, last_ms = (rows[0][0], rows[-1][0]) if rows else (start_ms, start_ms)
        until_ms = max(end_ms, last_ms + one.length_ms)
        truth = {row[0]: values(row) for row in exchange.truth(one, min(start_ms, first_ms), until_ms)}
        _stored(compared, one, rows, truth, earlier)
        _lacking(compared, one, {row[0] for row in rows}, truth.keys(), gaps, range(start_ms, end_ms, one.length_ms))
    return compared


def held(database: Path, series: Series) -> tuple[list[Values], list[Any]]:
    """Its klines and its gaps at one moment; patient, as the last runs may go on."""
    until_s = time.monotonic() + BUSY_S
    while True:
        try:
            with connect(live=True, database=database) as connection:
                rows, gaps = (connection.execute(sql, list(series)).fetchall() for sql in (STORED, LEDGER))
            return rows, gaps
        except DatabaseBusy:
            if time.monotonic() > until_s:
                raise


def _stored(
    compared: Compared, series: Series, rows: Sequence[Values], truth: Mapping[int, Values], earlier: Earlier
) -> None:
    """What is stored, and should not be, or not so."""
    before_ms = None
    for row in rows:
        at_ms, fetched_ms = row[0], row[11]
        compared.faces["compared"] += 1
        right = truth.get(at_ms)
        if at_ms == before_ms:
            compared.note("doubled", series, at_ms)
        elif right is None:
            compared.note("invented", series, at_ms, f"{row}")
        elif row[:11] != right and row[:11] not in earlier.get((series, at_ms), ()):
            compared.note("different", series, at_ms, f"{row[:11]} for {right}")
        elif fetched_ms <= row[6]:
            compared.note("while open", series, at_ms, f"fetched at {fetched_ms}")
        before_ms = at_ms


def _lacking(
    compared: Compared,
    series: Series,
    stored: set[int],
    truth: Any,
    gaps: Sequence[tuple[int, int, str]],
    slots: range,
) -> None:
    """What is not stored, and whether the ledger says why."""
    named: dict[int, list[str]] = {}
    for start_ms, end_ms, reason in gaps:
        for at_ms in range(max(start_ms, slots.start), min(end_ms, slots.stop), series.length_ms):
            named.setdefault(at_ms, []).append(reason)
    for at_ms in slots:
        reasons = named.get(at_ms, [])
        if at_ms in stored and reasons:
            compared.note("stored and a gap", series, at_ms, ", ".join(reasons))
        if at_ms not in stored and at_ms in truth:
            compared.note("missing", series, at_ms, f"the ledger says {', '.join(reasons) or 'nothing'}")
        if at_ms not in stored and at_ms not in truth and (len(reasons) != 1 or reasons == ["due"]):
            compared.note("unexplained", series, at_ms, f"the ledger says {', '.join(reasons) or 'nothing'}")
