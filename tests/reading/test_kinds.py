"""Reading of kinds: each is listed, read and derived for itself."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import polars as pl

import klines
from tests.drive import collect_once
from tests.exchange import StandIn


def test_kinds_of_a_symbol_are_apart(exchange: StandIn, database: Path, tmp_path: Path) -> None:
    """Klines, mark and premium of one symbol are three series. Of a kind without volumes there are none, whether its
    klines are stored, derived or filled in; a premium can be negative."""
    for kind in ("klines", "mark", "premium"):
        hours = timedelta(hours=2)
        done = collect_once(exchange, database, ["BTCUSDT"], market="usdm", kind=kind, lookback=hours)
        assert "Completed" == done.state
    found = klines.symbols(database=database).select("kind", "klines")
    assert [("klines", 120), ("mark", 120), ("premium", 120)] == found.rows()

    minutes, trades, hourly = (
        klines.read("BTCUSDT", market="usdm", kind=kind, interval=interval, database=database)
        for kind, interval in (("mark", "1m"), ("klines", "1h"), ("mark", "1h"))
    )
    assert trades["open"].to_list() != hourly["open"].to_list() == minutes["open"].to_list()[::60]
    assert [("mark", None, None)] * 2 == hourly.select("kind", "volume", "trades").rows()
    end = "2026-01-02T12:10"
    filled = klines.read("BTCUSDT", None, end, market="usdm", kind="mark", fill="previous", database=database)
    assert (0, 0) == (filled["trades"].count(), filled["close"].null_count())
    premium = klines.read("BTCUSDT", market="usdm", kind="premium", database=database)
    assert premium["low"].min() < 0  # type: ignore[operator]

    [file] = klines.export("parquet", tmp_path, market="usdm", kind="mark", database=database)["file"]
    assert "market=usdm/kind=mark/interval=1m/symbol=BTCUSDT" in file
    assert pl.read_parquet(file)["open"].cast(pl.Float64).to_list() == minutes["open"].to_list()
