"""For any history of outages, holes, downtimes, listings, ends and restatements an audit leaves nothing unexplained,
and every explanation is true."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path

import pytest

from klines.window import Window, intersect, subtract
from tests.drive import MINUTE, NOON, audit_once, backfill_once, published, query, stored, want_on
from tests.exchange import StandIn
from tests.exchange.market import HOUR_MS

pytestmark = pytest.mark.slow

BEGIN = NOON - 60 * HOUR_MS
SYMBOLS = [f"S{n}USDT" for n in range(7)]


def minutes(start: int, length: int) -> Window:
    """A window that starts so many minutes after BEGIN."""
    return Window(BEGIN + start * MINUTE, BEGIN + (start + length) * MINUTE)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.full) for seed in range(1, 5))])
def test_any_history(database: Path, seed: int) -> None:
    """Stored + explained = expected; what is stored is what the exchange has; an outage is one of all, a hole is one of
    this symbol, and what is not listed or delisted is outside of its life."""
    rng = random.Random(seed)
    with StandIn(SYMBOLS) as exchange:
        exchange.freeze(NOON + 5_000)
        starts = rng.sample(range(100, 3400, 60), 9)
        outages = [minutes(start, rng.randint(1, 45)) for start in starts[:4]]
        holes = [(rng.choice(SYMBOLS), minutes(start, rng.randint(1, 45))) for start in starts[4:]]
        for outage in outages:
            exchange.hole(outage.start_ms, outage.end_ms)
        for symbol, hole in holes:
            exchange.hole(hole.start_ms, hole.end_ms, symbol)
        listed, ended = minutes(rng.randint(1, 1500), 1).start_ms, minutes(rng.randint(2000, 3000), 1).start_ms
        exchange.list(SYMBOLS[5], since_ms=listed)
        exchange.list(SYMBOLS[6], until_ms=ended)
        for _ in range(3):  # the times in which we were up
            up = minutes(rng.randint(0, 3000), rng.randint(100, 600))
            start, end = (datetime.fromtimestamp(t / 1000, UTC).isoformat() for t in (up.start_ms, up.end_ms))
            backfill_once(exchange, database, SYMBOLS, start, end, source="rest")
        exchange.restate(SYMBOLS[0], minutes(rng.randint(0, 3000), 1).start_ms, volume="77.00000000")
        backfill_once(exchange, database, SYMBOLS, "2025-12-31T00:00", "2025-12-31T00:10", refresh=True)
        want_on(database)
        audit_once(exchange, database, start_ms=BEGIN)

        unexplained = query(database, "SELECT symbol, unexplained FROM certificate WHERE unexplained <> 0")
        assert [] == unexplained
        for symbol in SYMBOLS:
            begin_ms = query(database, f"SELECT epoch_ms(since) FROM certificate WHERE symbol = '{symbol}'")[0][0]
            have = [row for row in stored(database, symbol) if row[0] >= begin_ms]
            assert published(exchange.klines(symbol, begin_ms, NOON)) == have
            own = [hole for name, hole in holes if name == symbol]
            for start_ms, end_ms, reason in query(
                database, f"SELECT epoch_ms(start_time), epoch_ms(end_time), reason FROM gaps WHERE symbol = '{symbol}'"
            ):
                gap = Window(start_ms, end_ms)
                assert {
                    "exchange_outage": not subtract([gap], outages),
                    "exchange_hole": bool(intersect([gap], own)) and not subtract([gap], [*own, *outages]),
                    "not_listed": symbol == SYMBOLS[5] and not subtract([gap], [*outages, *own, Window(0, listed)]),
                    "delisted": symbol == SYMBOLS[6]
                    and not subtract(intersect([gap], [Window(0, ended)]), [*outages, *own]),
                }[reason], (symbol, gap, reason)
