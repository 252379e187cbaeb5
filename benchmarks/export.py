"""Exports, and what the real programs say of them: freqtrade, nautilus_trader, jesse and vectorbt load and trade them.

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
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import distributions
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
OF_FUTURES = ("mark", "index", "premium")
"""Kinds of which freqtrade has files beside those of trades, and funding rates."""
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
            print(f"{SAID[to](bench)}\n", flush=True)


def fill(exchange: StandIn, bench: Bench) -> None:
    """The days up to END, and what exchangeInfo says of the symbols."""
    exchange.freeze(int(END.timestamp() * 1000) + 5_000)
    start = END - timedelta(minutes=bench.minutes)
    for symbol in SYMBOLS:
        exchange.list(symbol, since_ms=ms(f"{start:%Y-%m-%d}"))
    range_ = f"{start:%Y-%m-%d}", f"{END:%Y-%m-%d}"
    for market in MARKETS:
        fill_kind(exchange, bench, range_, market=market)
        collect_once(exchange, bench.database, ["BTCUSD*", "ETHUSD*"], market=market)
    for kind in OF_FUTURES:
        fill_kind(exchange, bench, range_, market="usdm", kind=kind, interval="1h")
    funding_once(exchange, bench.database, SYMBOLS, since=range_[0])


def fill_kind(exchange: StandIn, bench: Bench, range_: tuple[str, str], **which: Any) -> None:
    """A backfill, without which this ends."""
    outcome = backfill_once(exchange, bench.database, SYMBOLS, *range_, **which)
    if not outcome.is_completed:
        raise SystemExit(outcome.message)


def export(bench: Bench, to: str) -> None:
    """All series but for a day, then with it, and again; show what that took."""
    if to == "freqtrade":
        for kind in (*OF_FUTURES, "funding"):
            klines.export(to, bench.exported(to), market="usdm", kind=kind, interval="1h", database=bench.database)
    day, series = 1440, len(SYMBOLS) * len(MARKETS)
    for what, end, minutes in (
        ("", END - timedelta(days=1), bench.minutes - day),
        (", again, with a day more", None, bench.minutes),
        (", again, with nothing new", None, bench.minutes),
    ):
        began_s, count = time.perf_counter(), 0
        for market in MARKETS:
            made = klines.export(to, bench.exported(to), end=end, market=market, database=bench.database)
            count += int(made["klines"].sum())
        if count != minutes * series:
            raise SystemExit(f"{to}: {count:,} klines were exported")
        line(f"{count:,} klines for {to}{what}", time.perf_counter() - began_s)


def version(python: Path, package: str) -> str:
    """The package of an environment, with its version: `freqtrade 2026.9`."""
    path = [str(found) for found in python.parent.parent.glob("lib/python*/site-packages")]
    return f"{package} {next(iter(distributions(name=package, path=path))).version}"


def spoken(bench: Bench, *command: str | Path) -> tuple[str, float]:
    """What a program prints, and its seconds; ends this one where it fails."""
    began_s = time.perf_counter()
    done = subprocess.run([*map(str, command)], cwd=bench.folder, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stdout[-2000:]}{done.stderr[-3000:]}")
    return done.stdout, time.perf_counter() - began_s


def check(who: str, counts: list[int], expected: int) -> None:
    """Ends this where a program found another number of klines in a series."""
    if not counts or set(counts) != {expected}:
        raise SystemExit(f"{who} found {counts} klines, not {expected:,} of each")


def freqtrade(bench: Bench) -> str:
    """The data that it lists, and a backtest, of spot and of futures."""
    python = installed(bench.cache / "freqtrade", "freqtrade")
    who, program, said = version(python, "freqtrade"), python.with_name("freqtrade"), []
    user = bench.folder / "user"
    user.mkdir(exist_ok=True)
    for mode, settle in (("spot", ""), ("futures", ":USDT")):
        config = bench.folder / f"{mode}.json"
        config.write_text(json.dumps(freqtrade_config(bench.url, mode, settle)))
        where: list[str | Path] = ["--config", config, "--userdir", user, "--datadir", bench.exported("freqtrade")]
        listed, _ = spoken(bench, program, "list-data", "--show-timerange", *where)
        check_listed(bench, who, mode, listed)
        how: list[str | Path] = [
            "--strategy",
            "Crossing",
            "--strategy-path",
            PEERS / "strategies",
            "--timeframe",
            "1m",
            "--fee",
            "0.001",
        ]
        _, seconds = spoken(bench, program, "backtesting", *how, *where)
        trades = freqtrades_trades(user)
        funded = sum(trade["funding_fees"] != 0 for trade in trades)
        if bool(funded) != (mode == "futures"):
            raise SystemExit(f"{who} counted funding in {funded} trades of {mode}")
        also = f", {funded:,} of them with funding" if funded else ""
        klines_read = len(SYMBOLS) * bench.minutes
        line(f"{who}, a backtest of {mode}: {klines_read:,} klines, {len(trades):,} trades{also}", seconds)
        said.append(listed.rstrip())
    return "\n".join(said)


def check_listed(bench: Bench, who: str, mode: str, listed: str) -> None:
    """Ends this where freqtrade lacks klines of a candle type."""
    types = {mode: bench.minutes}
    if mode == "futures":
        types |= dict.fromkeys(("mark", "index", "premiumIndex"), bench.minutes // 60)
    for type_, expected in types.items():
        counts = re.findall(rf"│ +{type_} │.*│ +(\d+) │$", listed, re.MULTILINE)
        check(f"{who} ({type_})", [int(count) for count in counts], expected)
    if mode == "futures" and "funding_rate" not in listed:
        raise SystemExit(f"{who} found no funding rates")


def freqtrades_trades(user: Path) -> list[dict[str, Any]]:
    """Those of its last backtest."""
    newest = max((user / "backtest_results").glob("*.zip"), key=lambda path: path.stat().st_mtime_ns)
    with zipfile.ZipFile(newest) as kept:
        found: list[dict[str, Any]] = json.loads(kept.read(f"{newest.stem}.json"))["strategy"]["Crossing"]["trades"]
    return found


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
    who, texts = version(python, "nautilus_trader"), []
    for name in ("BTCUSDT.BINANCE", "BTCUSDT-PERP.BINANCE"):
        text, seconds = spoken(bench, python, PEERS / "nautilus_here.py", bench.exported("nautilus"), name)
        told = json.loads(text)
        check(who, [told["bars"]], bench.minutes)
        line(f"{who}, a backtest of {name}: {told['bars']:,} bars, {told['orders']:,} orders", seconds)
        texts.append(text)
    return "".join(texts).rstrip()


def jesse(bench: Bench) -> str:
    """The trades of a backtest."""
    python = installed(bench.cache / "jesse", "jesse")
    who, texts = version(python, "jesse"), []
    for name in ("Binance Spot", "Binance Perpetual Futures"):
        text, seconds = spoken(bench, python, PEERS / "jesse_here.py", bench.exported("jesse"), name, "BTC-USDT")
        told = json.loads(text.splitlines()[-1])
        check(who, [told["candles"]], bench.minutes)
        line(f"{who}, a backtest of {name}: {told['candles']:,} candles, {told['trades']:,} trades", seconds)
        texts.append(text.splitlines()[-1])
    return "\n".join(texts)


def pandas(bench: Bench) -> str:
    """The trades of a backtest by vectorbt, of a frame that pandas reads."""
    python = installed(bench.cache / "vectorbt", "vectorbt", "pyarrow")
    who = f"{version(python, 'vectorbt')} with {version(python, 'pandas')}"
    file = bench.exported("pandas") / "spot-1m" / "BTCUSDT.parquet"
    text, seconds = spoken(bench, python, PEERS / "vectorbt_here.py", file)
    told = json.loads(text.splitlines()[-1])
    check(who, [told["rows"]], bench.minutes)
    line(f"{who}, a backtest of BTCUSDT: {told['rows']:,} rows, {told['trades']:,} trades", seconds)
    return text.rstrip()


def parquet(bench: Bench) -> str:
    """DuckDB's answer, of all files as one table."""
    files = f"'{bench.exported('parquet')}/**/*.parquet'"
    sql = f"SELECT market, symbol, count(*) AS klines, avg(volume)::DOUBLE AS volume FROM {files} GROUP BY ALL"
    return by_duckdb(bench, f"{sql} ORDER BY ALL")


def csv(bench: Bench) -> str:
    """DuckDB's answer, of the files of each market; those of futures have a header, as in the archive."""
    months = bench.exported("csv") / "data"
    parts = [
        f"SELECT '{folder}' AS market, split_part(filename, '/', -3) AS symbol, {volume} AS volume "
        f"FROM read_csv('{months / folder}/monthly/klines/*/1m/*.csv', filename = true)"
        for folder, volume in (("spot", "column05"), ("futures/um", "volume"))
    ]
    sql = f"SELECT market, symbol, count(*) AS klines, avg(volume) AS volume FROM ({' UNION ALL '.join(parts)})"
    return by_duckdb(bench, f"{sql} GROUP BY ALL ORDER BY ALL")


def by_duckdb(bench: Bench, sql: str) -> str:
    """What it answers, where each series has all of its klines."""
    began_s = time.perf_counter()
    answer = duckdb.sql(sql)
    counts = [row[2] for row in answer.fetchall()]
    seconds, who = time.perf_counter() - began_s, f"duckdb {duckdb.__version__}"
    check(who, counts, bench.minutes)
    line(f"{who}, a mean of each series: {sum(counts):,} rows", seconds)
    return str(answer).rstrip()


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
