"""What a backfill enters into the ledger: what it plans, what it knows by files, and what it leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import duckdb

from klines.backfill.chunks import Piece
from klines.backfill.enquiry import Enquiry
from klines.backfill.plan import Missing
from klines.interval import Interval
from klines.ledger import (
    DELISTED,
    FOREVER_MS,
    NOT_LISTED,
    UNRESOLVED,
    lease,
    owe,
    release,
    revise,
    settle_bounded,
    weekly,
)
from klines.market import Market
from klines.tables.gaps import read_gaps, write_gaps
from klines.tables.klines import FIRST_MS, stored_windows
from klines.tables.symbols import note_lives, note_symbol
from klines.tables.transaction import transaction
from klines.window import Window, intersect, subtract, window


def note_missing(
    connection: duckdb.DuckDBPyConnection,
    heard: Enquiry,
    found: Mapping[str, Missing],
    pieces: Sequence[Piece],
    now_ms: int,
    until_ms: int,
) -> None:
    """Enter what is missing: due, and this run's until `until_ms`; or before the first kline, or after the last."""
    market, interval = heard.market, heard.interval
    whole = {piece.symbol: piece for piece in pieces}
    before = read_gaps(connection, market, interval, list(found))
    changed = {}
    with transaction(connection):
        for symbol, (owed, *_) in found.items():
            piece, gaps = whole.get(symbol), before[symbol]
            if piece and piece.begin.first_ms is not None:
                if piece.begin.is_settled:
                    note_symbol(connection, market, symbol, piece.begin.first_ms)
                unlisted = intersect(owed, window(0, piece.life.start_ms))
                why = NOT_LISTED if piece.begin.is_settled else UNRESOLVED
                gaps = revise(gaps, [], [(part, why) for part in unlisted], now_ms)
                owed = subtract(owed, unlisted)
            if piece and piece.between:
                over = subtract([piece.between], found[symbol].there)
                gaps = settle_bounded(revise(gaps, [], [(part, DELISTED) for part in over], now_ms))
                owed = subtract(owed, over)
                if piece.begin.is_settled:
                    note_lives(connection, market, symbol, piece.between)
            if piece and symbol in heard.ended:
                over = subtract(window(piece.life.end_ms, FOREVER_MS), found[symbol].there)
                gaps = revise(gaps, [], [(part, DELISTED) for part in over], now_ms)
                if not heard.ended[symbol]:  # exchangeInfo lists it no more
                    gaps = [weekly(gap, now_ms) if gap.reason == DELISTED else gap for gap in gaps]
                owed = subtract(owed, over)
            elif piece and symbol in heard.not_trading:
                over = intersect(owed, window(piece.life.end_ms, FOREVER_MS))
                gaps = revise(gaps, [], [(part, UNRESOLVED) for part in over], now_ms)
                owed = subtract(owed, over)
            if symbol not in heard.unknown:
                leased = intersect(owed, piece.gaps if piece else [])
                gaps = owe(lease(gaps, leased, until_ms, now_ms), owed, now_ms)
            if gaps != before[symbol]:
                changed[symbol] = gaps
        write_gaps(connection, market, interval, changed)


def note_known(
    connection: duckdb.DuckDBPyConnection,
    market: Market,
    interval: Interval,
    known: Mapping[str, Sequence[tuple[Window, str]]],
    now_ms: int,
) -> None:
    """Enter why there are no klines, of symbols of which the archive's files alone say it, where none is stored."""
    before = read_gaps(connection, market, interval, list(known))
    stored = stored_windows(connection, market, interval, list(known), FIRST_MS)
    after = {}
    for symbol, found in known.items():
        there = stored.get(symbol, [])
        free = [(part, why) for lacking, why in found for part in subtract([lacking], there)]
        gaps = revise(before[symbol], [], free, now_ms)
        after[symbol] = [weekly(gap, now_ms) if gap.reason == DELISTED else gap for gap in gaps]
    with transaction(connection):
        write_gaps(connection, market, interval, after)


def note_left(
    connection: duckdb.DuckDBPyConnection,
    market: Market,
    interval: Interval,
    left: Mapping[str, Sequence[Window]],
    now_ms: int,
) -> None:
    """What is due of these windows is anybody's again."""
    before = read_gaps(connection, market, interval, list(left))
    after = {symbol: release(before[symbol], windows, now_ms) for symbol, windows in left.items()}
    with transaction(connection):
        write_gaps(connection, market, interval, after)
