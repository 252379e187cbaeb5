"""What exchangeInfo said of symbols is read back as of any time."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import klines
from klines.binance.listing import GONE, symbol_infos
from klines.cli import exit_status
from klines.errors import BadParameter, NotStored
from klines.settings import Address
from tests.collect.test_rules import HOUR, listing, noted, ticks
from tests.drive import at, recorded


def time_of(minute: int) -> datetime:
    """A minute counted from NOON, as the database has it."""
    return datetime.fromtimestamp(at(minute) / 1000, UTC).replace(tzinfo=None)


@pytest.mark.parametrize("where", ["database", "lake"])
def test_symbols_at_a_time(where: str, request: pytest.FixtureRequest) -> None:
    """Each time has what was last said until then, with the answers between which it was said; what was said last was
    said by the market's newest answer, too."""
    database: Address = request.getfixturevalue(where)
    noted(database, 0, listing(AQ=ticks("0.01"), BQ={}))
    noted(database, 60, listing(AQ=ticks("0.01"), BQ={}))
    noted(database, 120, listing(AQ=ticks("0.10"), CQ={}))
    noted(database, 180, listing(AQ=ticks("0.10"), CQ={}))
    seen = ["symbol", "status", "tick_size", "unseen_at", "first_seen", "last_seen"]
    first, second = (klines.symbols_at(time_of(minute), database=database).select(seen).rows() for minute in (119, 500))
    noon, one, two, three = (time_of(hour * HOUR) for hour in range(4))
    assert [("AQ", "TRADING", "0.01", None, noon, one), ("BQ", "TRADING", None, None, noon, one)] == first
    assert [
        ("AQ", "TRADING", "0.10", one, two, three),
        ("BQ", GONE, None, one, two, three),
        ("CQ", "TRADING", None, one, two, three),
    ] == second
    assert second == klines.symbols_at(database=database).select(seen).rows()
    assert 2 == klines.symbols_at(time_of(0), database=database).height


def test_a_time_of_which_nothing_is_known(database: Address) -> None:
    """Before the first answer that was kept, and of a market that was never asked, there is nothing, and it is said
    since when, and what asks; what is no time or market is refused."""
    noted(database, 0, listing(AQ={}))
    with pytest.raises(
        NotStored, match="nothing was kept before 2026-01-02 12:00 UTC of what exchangeInfo says of spot"
    ):
        klines.symbols_at(time_of(-1), database=database)
    with pytest.raises(NotStored, match="nothing was kept of what exchangeInfo says of coinm"):
        klines.symbols_at("2026-01-03", market="coinm", database=database)
    with pytest.raises(BadParameter, match="at: 'soon' is no time"):
        klines.symbols_at("soon", database=database)
    with pytest.raises(BadParameter, match="market: 'forex'"):
        klines.symbols_at(market="forex", database=database)


@pytest.mark.parametrize(
    ("market", "file", "symbol", "said"),
    [
        (
            *("spot", "spot_exchangeInfo_2018-02.json", "ETHBTC"),
            {"tick_size": "0.00000100", "step_size": "0.00100000", "min_quantity": "0.00100000"}
            | {"min_notional": "0.00100000", "contract_type": None, "onboard_at": None, "permissions": None},
        ),
        (
            *("usdm", "usdm_exchangeInfo_2021-07.json", "1INCHUSDT"),
            {"underlying_type": "COIN", "underlying_subtypes": "DEFI,HOT", "margin_asset": "USDT", "pair": "1INCHUSDT"}
            | {"min_notional": "5", "contract_type": "PERPETUAL", "delivery_at": datetime(2100, 12, 25, 8)},
        ),
        (
            *("coinm", "coinm_exchangeInfo_2021-07.json", "BTCUSD_PERP"),
            {"contract_size": "100", "tick_size": "0.1", "step_size": "1", "margin_asset": "BTC", "pair": "BTCUSD"}
            | {"onboard_at": datetime(2020, 8, 10, 7), "underlying_subtypes": "", "min_notional": None},
        ),
    ],
)
def test_what_binance_really_said(database: Address, market: str, file: str, symbol: str, said: dict[str, Any]) -> None:
    """Of recorded answers of all markets every symbol has a row; decimals have all their digits, and trailing zeros."""
    answer = json.loads(recorded("rest", file).read_bytes())
    noted(database, 0, symbol_infos(answer), market)
    found = klines.symbols_at(market=market, database=database)
    assert len(answer["symbols"]) == found.height
    [row] = found.filter(symbol=symbol).rows(named=True)
    assert said == {name: row[name] for name in said}
    sizes = {f.get("tickSize") for one in answer["symbols"] for f in one["filters"]} - {None}
    assert sizes == set(found["tick_size"])


def test_a_listing_on_the_terminal(
    database: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`klines listing` shows what trades, or did at a time, with its rules; patterns choose, and JSON has all of it."""
    monkeypatch.setenv("KLINES_DATABASE", str(database))
    noted(database, 0, listing(AQ=ticks("0.01"), BQ={"status": "BREAK"}, CX={}))
    assert 0 == exit_status(["listing"])
    said = capsys.readouterr().out
    assert said.startswith("2 symbols of spot:")
    assert (True, True, False) == ("AQ" in said, "0.01" in said, "BQ" in said)
    assert 0 == exit_status(["listing", "*Q", "--json", "--at", "2026-01-02T12:00"])
    [row] = json.loads(capsys.readouterr().out)
    assert ("AQ", "0.01", "2026-01-02T12:00:00.000") == (row["symbol"], row["tick_size"], row["first_seen"])
    assert 2 == exit_status(["listing", "X*"])
    assert "X* matches no symbol of spot that trades" in capsys.readouterr().err
    assert 2 == exit_status(["listing", "x"])
    assert 1 == exit_status(["listing", "--at", "2020-01-01"])
