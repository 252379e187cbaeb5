"""The backfill beside a bare limit and beside its peers, all in one run, on loopback.

    python -m benchmarks.backfill [--parts 1 2 3 4] [--symbols 12] [--months 12] [--rounds 3] [--large]

1. The archive into DuckDB, beside the same files unzipped, parsed and inserted with nothing else.
2. The archive beside `freqtrade download-data`, which is installed into an environment of its own.
3. REST with 100 ms a request, beside python-binance's get_historical_klines.
4. Memory, and, with --large, what a million rows cost while 1, 10 and 100 million are stored (11 GB of disk).

Parts 1 and 2 are measured again with 100 ms added to every answer. The archive's files are made first, for some
minutes, and kept in --cache. The exchange stand-in and Prefect's server run beside, on the same cores.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import polars as pl

from benchmarks import measure
from benchmarks.measure import Server, Taken
from benchmarks.table import Line, machine, number
from klines.interval import MINUTE
from klines.storage.database import opened
from tests.exchange.__main__ import symbols as named

END = datetime(2025, 1, 1, tzinfo=UTC)
"""The end of all ranges; before it spot's files have times in ms, as the bare limit reads them."""
LATENCY_S = 0.1
REST_DAYS, PEER_DAYS, REST_SYMBOLS = 30, 10, 10
PEER_MONTHS = 3
STORED = (1_000_000, 10_000_000, 100_000_000)
LONGER_MONTHS = 36


class Bench(NamedTuple):
    """What all parts need; `url` is the stand-in that has the archive's files."""

    options: argparse.Namespace
    folder: Path
    server: Server
    symbols: list[str]
    url: str

    @property
    def archives(self) -> Path:
        """Where the archive's files are."""
        return Path(self.options.cache) / "archives"


def main() -> None:
    """Run it and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", type=int, nargs="+", default=[1, 2, 3, 4])
    parser.add_argument("--symbols", type=int, default=12)
    parser.add_argument("--months", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--longer", type=int, default=LONGER_MONTHS, help="months of part 4's longer range; 0: none")
    parser.add_argument("--large", action="store_true", help="part 4 with up to 100 million rows stored")
    parser.add_argument("--cache", default=Path(tempfile.gettempdir()) / "klines-benchmarks", type=Path)
    options = parser.parse_args()
    print(machine())
    with bench(options) as ready:
        for part in sorted(set(options.parts)):
            for line in PARTS[part](ready):
                line.show()


@contextmanager
def bench(options: argparse.Namespace) -> Iterator[Bench]:
    """The archive's files made, the stand-in and Prefect's server up and warm."""
    symbols = named([str(options.symbols)])
    archives = options.cache / "archives"
    months = max(options.months, PEER_MONTHS, options.longer if 4 in options.parts else 0)
    paths = [path for symbol in symbols for path in monthly(symbol, months)]
    if 2 in options.parts:
        paths += [path for symbol in symbols for path in daily(symbol)]
    measure.make_archives(archives, paths)
    with (
        tempfile.TemporaryDirectory() as folder,
        measure.exchange(symbols, "--archives", str(archives)) as url,
        measure.prefect_server(Path(folder)) as server,
    ):
        measure.warm(url, symbols, ms(back(months)), ms(END))
        yield Bench(options, Path(folder), server, symbols, url)


def back(months: int) -> datetime:
    """So many months before the end."""
    year, month = divmod(END.year * 12 + END.month - 1 - months, 12)
    return datetime(year, month + 1, 1, tzinfo=UTC)


def ms(time: datetime) -> int:
    """Epoch ms."""
    return int(time.timestamp() * 1000)


def monthly(symbol: str, months: int) -> list[str]:
    """The paths of the last files of a symbol."""
    dates = [f"{back(n):%Y-%m}" for n in range(months, 0, -1)]
    return [f"/data/spot/monthly/klines/{symbol}/1m/{symbol}-1m-{date}.zip" for date in dates]


def daily(symbol: str) -> list[str]:
    """The paths that freqtrade asks for: its end is included."""
    days = (END - back(PEER_MONTHS)).days
    dates = [f"{END - timedelta(days=n):%Y-%m-%d}" for n in range(days, -1, -1)]
    return [f"/data/spot/daily/klines/{symbol}/1m/{symbol}-1m-{date}.zip" for date in dates]


def ours(bench: Bench, symbols: Sequence[str], start: datetime, *more: str, url: str = "", database: str = "") -> Taken:
    """A backfill into a new database, or into one of that name in the bench's folder."""
    place = bench.folder / (database or "new.duckdb")
    try:
        taken = measure.backfill(
            bench.server,
            url or bench.url,
            place,
            symbols,
            "--start",
            f"{start:%Y-%m-%d}",
            "--end",
            f"{END:%Y-%m-%d}",
            *more,
        )
    finally:
        if not database:
            place.unlink(missing_ok=True)
    wanted = len(symbols) * wanted_minutes(start)
    if taken.rows != wanted:
        raise SystemExit(f"{taken.rows:,} of {wanted:,} klines were stored:\n{taken.printed[-2000:]}")
    return taken


def archive(bench: Bench) -> Iterator[Line]:
    """Part 1, without and with latency."""
    rows = len(bench.symbols) * wanted_minutes(back(bench.options.months))
    for latency_s, slow in LATENCIES:
        said = f"archive, {len(bench.symbols)} symbols × {bench.options.months} months{slow}"
        measure.slow_down(bench.url, latency_s)
        pairs = [
            (bare(bench), ours(bench, bench.symbols, back(bench.options.months))) for _ in range(bench.options.rounds)
        ]
        limits, runs = [limit for limit, _ in pairs], [run for _, run in pairs]
        bares = [rows / limit.inner_s for limit in limits]
        ours_s = [rows / run.inner_s for run in runs]
        yield compared(f"{said}: the flow run", "rows/s", ours_s, BARE, bares, "ratio ≥ 0.7")
        yield compared(f"{said}: the whole process", "rows/s", [rows / run.wall_s for run in runs], BARE, bares)
        yield compared(f"{said}: its CPU", "s", [run.cpu_s for run in runs], BARE, [run.cpu_s for run in limits])
        yield Line(f"{said}: CPU of Prefect's server", statistics.median(run.server_cpu_s for run in runs))
        yield Line(f"{said}: peak memory", max(run.rss_mb for run in runs), "MB", limit="≤ 600")
    measure.slow_down(bench.url, 0)


def bare(bench: Bench) -> Taken:
    """The limit: the same files into the same columns."""
    database = bench.folder / "bare.duckdb"
    files = [
        str(bench.archives / path[1:]) for symbol in bench.symbols for path in monthly(symbol, bench.options.months)
    ]
    try:
        return measure.peer([sys.executable, "-m", "benchmarks.peers.bare", str(database), *files], bench.folder)
    finally:
        database.unlink()


def freqtrade(bench: Bench) -> Iterator[Line]:
    """Part 2, without and with latency."""
    rows = len(bench.symbols) * wanted_minutes(back(PEER_MONTHS))
    python = measure.installed(bench.options.cache / "freqtrade", "freqtrade")
    for latency_s, slow in LATENCIES:
        said = f"archive, {len(bench.symbols)} symbols × {PEER_MONTHS} months{slow}"
        measure.slow_down(bench.url, latency_s)
        pairs = [
            (downloaded(bench, python, rows), ours(bench, bench.symbols, back(PEER_MONTHS)))
            for _ in range(bench.options.rounds)
        ]
        peers, runs = [peer for peer, _ in pairs], [run for _, run in pairs]
        walls_s = [run.wall_s for run in runs]
        yield compared(
            f"{said}: whole processes", "s", walls_s, FREQTRADE, [peer.wall_s for peer in peers], "ratio < 1"
        )
        costs = [(run.cpu_s + run.server_cpu_s) / rows * 1e6 for run in runs]
        peer_costs = [peer.cpu_s / rows * 1e6 for peer in peers]
        yield compared(f"{said}: CPU a row, with Prefect's server", "µs", costs, FREQTRADE, peer_costs, "ratio < 1")
        costs = [run.cpu_s / rows * 1e6 for run in runs]
        yield compared(f"{said}: CPU a row, without it", "µs", costs, FREQTRADE, peer_costs)
    measure.slow_down(bench.url, 0)


def downloaded(bench: Bench, python: Path, rows: int) -> Taken:
    """freqtrade download-data of the same range, from the same stand-in."""
    with tempfile.TemporaryDirectory(dir=bench.folder) as name:
        folder = Path(name)
        urls = {
            "public": f"{bench.url}/api/v3",
            "fapiPublic": f"{bench.url}/fapi/v1",
            "dapiPublic": f"{bench.url}/dapi/v1",
        }
        pairs = [f"{symbol.removesuffix('USDT')}/USDT" for symbol in bench.symbols]
        binance = {"name": "binance", "pair_whitelist": pairs, "ccxt_config": {"urls": {"api": urls}}}
        config = folder / "config.json"
        config.write_text(json.dumps({"exchange": binance, "stake_currency": "USDT", "dry_run": True}))
        (folder / "user").mkdir()
        range_ = f"{back(PEER_MONTHS):%Y%m%d}-{END:%Y%m%d}"
        script = [
            str(python),
            "benchmarks/peers/freqtrade_here.py",
            bench.url,
            "download-data",
            "--config",
            str(config),
        ]
        taken = measure.process(
            [*script, "--userdir", str(folder / "user"), "--timerange", range_, "--timeframes", "1m"], folder
        )
        stored = sum(pl.read_ipc(file).height for file in folder.rglob("*-1m.feather"))
    if stored != rows:
        raise SystemExit(f"freqtrade stored {stored:,} of {rows:,} klines:\n{taken.printed[-2000:]}")
    return taken


def rest(bench: Bench) -> Iterator[Line]:
    """Part 3: every run with a stand-in of its own, whose minute of weight is fresh."""
    symbols = bench.symbols[:REST_SYMBOLS]
    rows = len(symbols) * REST_DAYS * 1440
    said = f"REST, {len(symbols)} symbols × {REST_DAYS} days{LATENCIES[1][1]}"
    peers, runs, records = [], [], []
    for _ in range(bench.options.rounds):
        with measure.exchange(symbols, latency_s=LATENCY_S) as url:
            command = [sys.executable, "-m", "benchmarks.peers.historical", url, symbols[0]]
            peers.append(
                measure.peer([*command, *map(str, (ms(END - timedelta(days=PEER_DAYS)), ms(END)))], bench.folder)
            )
        with measure.exchange(symbols, latency_s=LATENCY_S) as url:
            runs.append(ours(bench, symbols, END - timedelta(days=REST_DAYS), "--source", "rest", url=url))
            records.append(measure.got(f"{url}/record"))
    theirs = [PEER_DAYS * 1440 / peer.inner_s for peer in peers]
    ours_s = [rows / run.inner_s for run in runs]
    yield compared(f"{said}: the flow run", "rows/s", ours_s, HISTORICAL, theirs, "ratio ≥ 10")
    yield compared(f"{said}: the whole process", "rows/s", [rows / run.wall_s for run in runs], HISTORICAL, theirs)
    lost = [max(rows - run.rows for run in runs), max(PEER_DAYS * 1440 - peer.rows for peer in peers)]
    yield Line(f"{said}: rows lost", lost[0], "", HISTORICAL, lost[1], "0")
    others = sum(record[status] for record in records for status in record if status != "200")
    yield Line(f"{said}: answers other than 200", others, "", limit="0")


def memory(bench: Bench) -> Iterator[Line]:
    """Part 4."""
    if bench.options.longer:
        run = ours(bench, bench.symbols, back(bench.options.longer))
        said = f"archive, {len(bench.symbols)} symbols × {bench.options.longer} months"
        yield Line(f"{said}: peak memory", run.rss_mb, "MB", limit="≤ 600")
        yield Line(f"{said}: the flow run", run.rows / run.inner_s, "rows/s")
    for rows in STORED if bench.options.large else ():
        database = f"{rows}.duckdb"
        measure.apart(fill, bench.folder / database, rows, back(bench.options.months))
        runs = [
            ours(bench, bench.symbols[n : n + 2], back(bench.options.months), database=database)
            for n in range(0, min(bench.options.rounds * 2, len(bench.symbols)), 2)
        ]
        (bench.folder / database).unlink()
        costs = [run.inner_s / run.rows * 1e6 for run in runs]
        said = f"archive, {runs[0].rows:,} rows into {rows:,}"
        yield Line(f"{said}: a million rows, {spread(costs)}", statistics.median(costs), limit="flat")
        yield Line(f"{said}: peak memory", max(run.rss_mb for run in runs), "MB", limit="≤ 600")


def fill(database: Path, rows: int, start: datetime) -> None:
    """So many klines of other symbols from `start` on, a symbol after the other as a backfill leaves them."""
    minutes = wanted_minutes(start)
    with opened(database, 0) as connection:
        for n in range(-(-rows // minutes)):
            here = min(minutes, rows - n * minutes)
            connection.execute(
                f"""
                INSERT INTO klines
                SELECT 'spot', 'S{n:04}USDT', '1m', epoch_ms(t), 1 + random(), 3, 0.5, 1 + random(), random() * 100,
                       epoch_ms(t + {MINUTE - 1}), random() * 1000, 5, random(), random(), 'monthly', epoch_ms(t),
                       'klines'
                FROM range({ms(start)}::BIGINT, {ms(start) + here * MINUTE}::BIGINT, {MINUTE}) times(t)
                """
            )


def wanted_minutes(start: datetime) -> int:
    """Minutes from `start` to the end."""
    return (ms(END) - ms(start)) // MINUTE


def compared(what: str, unit: str, runs: Sequence[float], peer: str, others: Sequence[float], limit: str = "") -> Line:
    """Medians side by side, and the median of the ratios of each round, with the smallest and the largest."""
    ratios = [run / other for run, other in zip(runs, others, strict=True)]
    said = f"{number(statistics.median(ratios))} ({spread(ratios)})"
    return Line(what, statistics.median(runs), unit, peer, statistics.median(others), limit, said)


def spread(values: Sequence[float]) -> str:
    """`0.71 … 0.83`."""
    return f"{number(min(values))} … {number(max(values))}"


BARE, FREQTRADE, HISTORICAL = "bare unzip, polars, insert", "freqtrade download-data", "get_historical_klines"
LATENCIES = ((0.0, ""), (LATENCY_S, ", 100 ms a request"))
PARTS: dict[int, Callable[[Bench], Iterator[Line]]] = {1: archive, 2: freqtrade, 3: rest, 4: memory}

if __name__ == "__main__":
    main()
