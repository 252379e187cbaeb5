"""Exports, and what the real programs say of them: freqtrade, nautilus_trader, jesse and pandas load and trade them.

    python -m benchmarks.export [--days 45] [--programs freqtrade nautilus jesse pandas parquet csv]

Made-up klines of two symbols, spot and USDS-M, are backfilled from the stand-in, which then is the exchange that
freqtrade asks for its markets. Each program is installed into an environment of its own below --cache. What it prints
is printed, and where it can't read the klines, or does not find all of them, this ends with what it said.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

import klines
from benchmarks import CHECKOUT
from benchmarks.measure import installed
from benchmarks.table import line, machine
from klines.exports.targets import TARGETS
from tests.drive import backfill_once, collect_once, funding_once, ms
from tests.exchange import StandIn

END = datetime(2026, 1, 15, tzinfo=UTC)
SYMBOLS = ("BTCUSDT", "ETHUSDT")
MARKETS = ("spot", "usdm")
PEERS = CHECKOUT / "benchmarks" / "peers"


@dataclass(frozen=True, slots=True)
class Bench:
    """Where things are, and how many klines of a minute each series has."""

    folder: Path
    cache: Path
    url: str
    minutes: int

    @property
    def database(self) -> Path:
        """What is exported."""
        return self.folder / "klines.duckdb"

    def exported(self, to: str) -> Path:
        """The folder of a program."""
        return self.folder / to


def main() -> None:
    """Fill, export, and let each program speak."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=45)
    parser.add_argument("--programs", nargs="+", choices=list(TARGETS), default=list(TARGETS))
    parser.add_argument("--cache", default=Path(tempfile.gettempdir()) / "klines-benchmarks", type=Path)
    options = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as name, StandIn(any_symbol=True) as exchange:
        bench = Bench(Path(name), options.cache, exchange.url, options.days * 1440)
        fill(exchange, bench)
        for to in options.programs:
            export(bench, to)
            said = SAID[to](bench)
            print(f"-- {to}:\n{said}\n", flush=True)


def fill(exchange: StandIn, bench: Bench) -> None:
    """The days up to END, and what exchangeInfo says of the symbols."""
    exchange.freeze(int(END.timestamp() * 1000) + 5_000)
    start = END - timedelta(minutes=bench.minutes)
    for symbol in SYMBOLS:
        exchange.list(symbol, since_ms=ms(f"{start:%Y-%m-%d}"))
    for market in MARKETS:
        range_ = f"{start:%Y-%m-%d}", f"{END:%Y-%m-%d}"
        outcome = backfill_once(exchange, bench.database, SYMBOLS, *range_, market=market)
        if not outcome.is_completed:
            raise SystemExit(outcome.message)
        if market == "usdm":
            backfill_once(exchange, bench.database, SYMBOLS, *range_, market=market, kind="mark", interval="1h")
            funding_once(exchange, bench.database, SYMBOLS, since=range_[0])
        collect_once(exchange, bench.database, ["BTCUSD*", "ETHUSD*"], market=market)


def export(bench: Bench, to: str) -> None:
    """All series, and again; show what that took."""
    markets = MARKETS if to != "parquet" else MARKETS[:1]
    for what in ("", ", again, with nothing new"):
        began_s, count = time.perf_counter(), 0
        if to == "freqtrade":
            for kind in ("mark", "funding"):
                folder = bench.exported(to)
                klines.export(to, folder, market="usdm", kind=kind, interval="1h", database=bench.database)
        for market in markets:
            made = klines.export(to, bench.exported(to), market=market, database=bench.database)
            count += int(made["klines"].sum())
        if count != bench.minutes * len(SYMBOLS) * len(markets):
            raise SystemExit(f"{to}: {count:,} klines were exported")
        line(f"{count:,} klines for {to}{what}", time.perf_counter() - began_s)


def spoken(bench: Bench, to: str, *command: str | Path) -> str:
    """What a program prints; ends this one where it fails."""
    done = subprocess.run([*map(str, command)], cwd=bench.folder, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{to}: {' '.join(map(str, command))}\n{done.stdout[-2000:]}{done.stderr[-3000:]}")
    return done.stdout


def check(bench: Bench, to: str, counts: list[int]) -> None:
    """Ends this where a program found another number of klines in a series."""
    if not counts or set(counts) != {bench.minutes}:
        raise SystemExit(f"{to} found {counts} klines, not {bench.minutes:,} of each")


def freqtrade(bench: Bench) -> str:
    """The data that it lists, and a backtest, of spot and of futures."""
    program = installed(bench.cache / "freqtrade", "freqtrade").with_name("freqtrade")
    said = []
    for mode, settle in (("spot", ""), ("futures", ":USDT")):
        config = bench.folder / f"{mode}.json"
        config.write_text(json.dumps(freqtrade_config(bench.url, mode, settle)))
        (bench.folder / "user").mkdir(exist_ok=True)
        where: list[str | Path] = ["--config", config, "--userdir", bench.folder / "user"]
        where += ["--datadir", bench.exported("freqtrade")]
        listed = spoken(bench, "freqtrade", program, "list-data", "--show-timerange", *where)
        check(
            bench, "freqtrade", [int(count) for count in re.findall(rf"│ +{mode} │.*│ +(\d+) │$", listed, re.MULTILINE)]
        )
        strategy = (
            "--strategy",
            "Crossing",
            "--strategy-path",
            PEERS / "strategies",
            "--timeframe",
            "1m",
            "--fee",
            "0.001",
        )
        tested = spoken(bench, "freqtrade", program, "backtesting", *strategy, *where)
        summary = re.findall(r"^.*(?:Backtested|Crossing).*$", tested, re.MULTILINE)
        said += [listed.rstrip(), *summary[-2:]]
    return "\n".join(said)


def freqtrade_config(url: str, mode: str, settle: str) -> Mapping[str, Any]:
    """The least that a backtest asks for, with the stand-in as the exchange."""
    urls = {"public": f"{url}/api/v3", "fapiPublic": f"{url}/fapi/v1", "dapiPublic": f"{url}/dapi/v1"}
    pricing = {"price_side": "same", "use_order_book": True}
    pairs = [f"{symbol.removesuffix('USDT')}/USDT{settle}" for symbol in SYMBOLS]
    return {
        "exchange": {"name": "binance", "pair_whitelist": pairs, "ccxt_config": {"urls": {"api": urls}}},
        "pairlists": [{"method": "StaticPairList"}],
        "trading_mode": mode,
        "margin_mode": "isolated" if settle else "",
        "stake_currency": "USDT",
        "stake_amount": 100,
        "max_open_trades": len(pairs),
        "dry_run": True,
        "dry_run_wallet": 10_000,
        "entry_pricing": pricing,
        "exit_pricing": pricing,
    }


def nautilus(bench: Bench) -> str:
    """What its catalog has, and the orders of a backtest."""
    python = installed(bench.cache / "nautilus_trader", "nautilus_trader")
    said = []
    for name in ("BTCUSDT.BINANCE", "BTCUSDT-PERP.BINANCE"):
        said.append(spoken(bench, "nautilus", python, PEERS / "nautilus_here.py", bench.exported("nautilus"), name))
    check(bench, "nautilus", [json.loads(text)["bars"] for text in said])
    return "".join(said).rstrip()


def jesse(bench: Bench) -> str:
    """The trades of a backtest."""
    python = installed(bench.cache / "jesse", "jesse")
    said = []
    for name in ("Binance Spot", "Binance Perpetual Futures"):
        told = spoken(bench, "jesse", python, PEERS / "jesse_here.py", bench.exported("jesse"), name, "BTC-USDT")
        said.append(told.splitlines()[-1])
    check(bench, "jesse", [json.loads(text)["candles"] for text in said])
    return "\n".join(said)


def pandas(bench: Bench) -> str:
    """Its frame, as it prints it."""
    python = installed(bench.cache / "pandas", "pandas", "pyarrow")
    code = "import pandas, sys; found = pandas.read_parquet(sys.argv[1]); print(found); print(len(found))"
    said = spoken(bench, "pandas", python, "-c", code, bench.exported("pandas") / "spot-1m" / "BTCUSDT.parquet")
    check(bench, "pandas", [int(said.splitlines()[-1])])
    return said.rstrip()


def parquet(bench: Bench) -> str:
    """DuckDB's answer, of all files as one table."""
    sql = (
        f"SELECT market, symbol, month, count(*) AS klines FROM '{bench.exported('parquet')}/**/*.parquet' GROUP BY ALL"
    )
    answer = duckdb.sql(f"{sql} ORDER BY ALL")
    totals: dict[str, int] = {}
    for _, symbol, _, count in answer.fetchall():
        totals[symbol] = totals.get(symbol, 0) + count
    check(bench, "parquet", list(totals.values()))
    return str(answer).rstrip()


def csv(bench: Bench) -> str:
    """The first lines of a file."""
    files = sorted(bench.exported("csv").glob("data/spot/monthly/klines/BTCUSDT/1m/*.csv"))
    check(bench, "csv", [sum(file.read_bytes().count(b"\n") for file in files)])
    return f"{files[0].name}\n{''.join(files[0].read_text().splitlines(keepends=True)[:2])}".rstrip()


SAID: Mapping[str, Callable[[Bench], str]] = {
    "freqtrade": freqtrade,
    "nautilus": nautilus,
    "jesse": jesse,
    "pandas": pandas,
    "parquet": parquet,
    "csv": csv,
}

if __name__ == "__main__":
    main()
