"""A ban beside the database: what was left there is read, and whatever else is there is none."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from klines.binance import silence
from klines.errors import Blocked, ExchangeDown, RateLimited
from klines.interval import DAY, MINUTE
from tests.drive import NOON


def test_a_ban_is_found_again(database: Path) -> None:
    """A ban with its end, by this machine's clock, and a block without one; other errors leave nothing."""
    silence.keep(database, "spot", "", RateLimited("HTTP 418", NOON + MINUTE, banned=True), NOON + DAY, NOON)
    silence.keep(database, "futures", "::1", Blocked("HTTP 403 \ud800", remember=True), NOON, NOON)
    silence.keep(database, "spot", "", Blocked("HTTP 451", remember=False), NOON, NOON)
    silence.keep(database, "spot", "", ExchangeDown("maintenance"), NOON, NOON)
    [(*spot, limited, met_ms), (*futures, blocked, _)] = silence.kept(database)
    assert (["spot", ""], ["futures", "::1"], NOON + DAY) == (spot, futures, met_ms)
    assert isinstance(limited, RateLimited)
    assert (NOON + DAY + MINUTE, True) == (limited.until_ms, limited.banned)
    assert isinstance(blocked, Blocked)
    silence.forget(database)
    assert [] == silence.kept(database)
    silence.forget(database)


LINES = [
    *("", "{}", "null", "[1]", "[" * 9999, "\0\xff", '["spot", 1, 1, 2]', '["spot", "x", "a", "b"]'),
    *('["spot", "x", 1e400, 1]', json.dumps(["spot", "x", NOON, NOON + MINUTE, 1]), '["spot", "x", 1, 2, "", 3]'),
    *(json.dumps(["spot", "x", NOON, NOON + 4 * DAY]), '["spot", "x", 1e30, 1.1e30]'),
]


@pytest.mark.parametrize("line", LINES)
def test_what_is_no_ban(database: Path, line: str) -> None:
    """Whatever was written there: it silences nobody, and hides no ban, be that of a version that knew no address."""
    ban = json.dumps(["spot", "HTTP 418", NOON, NOON + MINUTE])
    database.with_name(f"{database.name}.bans").write_text(f"{line}\n{ban}\n", encoding="latin-1")
    assert 1 == len(silence.kept(database))


def test_a_pipe_keeps_nobody_waiting(database: Path) -> None:
    """A FIFO in that place is neither read nor written."""
    os.mkfifo(database.with_name(f"{database.name}.bans"))
    silence.keep(database, "spot", "", RateLimited("HTTP 418", NOON + MINUTE), NOON, NOON)
    assert [] == silence.kept(database)
