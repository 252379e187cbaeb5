"""Which symbols are collected is written down: those that are left out are wanted no more, at once."""

from __future__ import annotations

import time
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from klines.errors import UnknownSymbol
from klines.interval import INTERVALS
from klines.market import MARKETS
from klines.storage.database import in_memory, opened
from klines.storage.store import store
from klines.tables.promise import SHELL
from klines.tables.transaction import checked
from klines.tables.wanted import let_go_all, note_range
from klines.want import Want
from klines.window import Window
from tests.drive import MINUTE, NOON, audit_once, backfill_once, collect_once, held_of, query
from tests.exchange import StandIn
from tests.exchange.market import HOUR_MS

SPOT, MINUTES = MARKETS["spot"], INTERVALS["1m"]


def wanted(database: Path) -> list[tuple[Any, ...]]:
    """Each range: symbol, from and until which minute, NULL where it goes on."""
    return query(
        database,
        f"""SELECT symbol, (epoch_ms(since) - {NOON}) // {MINUTE}, (epoch_ms(until) - {NOON}) // {MINUTE} FROM wanted
            ORDER BY ALL""",
    )


def test_a_symbol_that_is_left_out(exchange: StandIn, database: Path) -> None:
    """It is wanted until then, its klines stay, it is not stale, and the run says so once; chosen again it is wanted
    from where it began, and the time between is collected. It was stale for ever."""
    said = []
    for minute, symbols in enumerate((["BTCUSDT", "ETHUSDT"], ["BTCUSDT"], ["BTCUSDT"])):
        exchange.freeze(NOON + 40 * minute * MINUTE + 5_000)
        said.append(collect_once(exchange, database, symbols).message)
    assert [False, True, False] == ["1 no longer collected, whose klines stay: ETHUSDT" in text for text in said]
    assert [("BTCUSDT", -30, None), ("ETHUSDT", -30, 40)] == wanted(database)
    assert [("BTCUSDT",)] == query(database, "SELECT symbol FROM freshness")
    assert [30] == [len(held.rows) for held in held_of(database, "ETHUSDT")]
    collect_once(exchange, database, ["BTCUSDT", "ETHUSDT"])
    assert [("BTCUSDT", -30, None), ("ETHUSDT", -30, None)] == wanted(database)
    assert [110] == [len(held.rows) for held in held_of(database, "ETHUSDT")]


def test_where_a_symbol_begins(exchange: StandIn, database: Path) -> None:
    """A symbol of which an old range was backfilled is collected from the lookback on, not from there; with
    KLINES_SINCE from that. What is covered is what is wanted."""
    backfill_once(exchange, database, ["BTCUSDT"], "2026-01-01T00:00", "2026-01-01T01:00")
    collect_once(exchange, database, ["BTCUSDT"])
    assert [("BTCUSDT", -2160, -2100), ("BTCUSDT", -30, None)] == wanted(database)
    collect_once(exchange, database, ["BTCUSDT"], since=date(2026, 1, 2))
    assert [("BTCUSDT", -2160, -2100), ("BTCUSDT", -720, None)] == wanted(database)
    days = "daily_coverage('spot', 'klines', '1m', NULL, TIMESTAMP '2025-12-31', TIMESTAMP '2026-01-02 11:20')"
    found = query(database, f"SELECT expected, stored, unexplained FROM {days} ORDER BY day")
    assert [(60, 60, 0), (680, 0, 680)] == found


def test_a_misspelt_symbol_is_wanted_by_nobody(exchange: StandIn, database: Path) -> None:
    """Neither by the run that met it first, nor while it is in quarantine; and it owes nothing."""
    exchange.fault("NOPE", "code", code=-1121)
    for _ in range(2):
        collect_once(exchange, database, ["BTCUSDT", "NOPE"], lookback=timedelta(days=1))
        assert (["BTCUSDT"], []) == ([row[0] for row in wanted(database)], held_of(database, "NOPE")[0].gaps)


def test_a_misspelt_symbol_is_forgotten_with_the_klines_of_the_others() -> None:
    """In one transaction, so that no kill between two leaves a symbol that is wanted and owed for ever. It was two."""
    nope = Want("NOPE", [Window(NOON - HOUR_MS, NOON)])
    nope.error = UnknownSymbol("HTTP 400, code -1121")
    left = []
    with in_memory() as connection:
        note_range(connection, SPOT, MINUTES, ["NOPE"], nope.gaps[0], SHELL, NOON)
        count = "SELECT count(*) FROM wanted"
        with checked(connection, lambda: left.append(connection.execute(count).fetchall())):
            store(connection, SPOT, MINUTES, [nope], now_ms=NOON, by=SHELL)
    assert [[(0,)]] == left


def test_a_deployment_that_is_no_more(exchange: StandIn, database: Path) -> None:
    """What it wanted on and on is let go by its name: wanted until then, and what others want stays as it is."""
    collect_once(exchange, database, ["BTCUSDT", "ETHUSDT"])
    query(database, "UPDATE wanted SET wanted_by = 'every-hour' WHERE symbol = 'ETHUSDT'")
    with opened(database, time.monotonic() + 5) as connection:
        assert (1, 0) == tuple(let_go_all(connection, SPOT, MINUTES, by, NOON) for by in ("every-hour", "nobody"))
    assert [("BTCUSDT", -30, None), ("ETHUSDT", -30, 0)] == wanted(database)


def test_a_backfill_wants_its_range(exchange: StandIn, database: Path) -> None:
    """Ranges that touch are one, and a dry run wants nothing; nothing of it goes on, so that nothing becomes stale, and
    the audit is about that alone."""
    for start, end, dry_run in (("01:00", "02:00", False), ("02:00", "03:00", False), ("05:00", "06:00", True)):
        times = (f"2026-01-01T{start}", f"2026-01-01T{end}")
        backfill_once(exchange, database, ["BTCUSDT"], *times, source="rest", dry_run=dry_run)
    assert [("BTCUSDT", -2100, -1980)] == wanted(database)
    assert [] == query(database, "FROM freshness")
    assert "of 120 klines 120 are stored" in audit_once(exchange, database).message
