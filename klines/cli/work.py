"""The commands that collect: they need the checkout, where Prefect, flows and deployments are."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from klines.binance.proxies import check_proxies
from klines.checkout import CHECKOUT
from klines.cli.environment import complete
from klines.errors import BadParameter
from klines.interval import IntervalName
from klines.market import FuturesName, KindName, MarketName, SourceName

Several = Annotated[list[str], Parameter(consume_multiple=True, negative="")]
Queues = Annotated[list[str], Parameter(negative="")]
All = Annotated[bool, Parameter(name="--all", negative="")]
Json = Annotated[bool, Parameter(name="--json", negative="")]


def run_command(*, prefect_file: Path | None = None, queue: Queues | None = None) -> int:
    """Collect every minute, until Ctrl-C: a Prefect server with its UI, the deployments, a worker.

    What it missed while it did not run is fetched at the next start. A line is printed for each run that ends.

    Args:
        prefect_file: The deployments, another file than `prefect.yaml` of the checkout.
        queue: A work queue of a shard whose runs this machine has, besides all that is not of shards; may be repeated.
    """
    return _stack("run", prefect_file, queue or [])


def demo_command(*, prefect_file: Path | None = None) -> int:
    """The same against a stand-in of the exchange, into `.demo/`: no internet, made-up prices.

    Args:
        prefect_file: The deployments, another file than `prefect.yaml` of the checkout.
    """
    return _stack("demo", prefect_file)


def worker_command(*, queue: Queues) -> int:
    """Take part on another machine: the runs of some work queues of the server that `klines run` has started.

    It needs the settings of the first machine, and its server's address as PREFECT_API_URL. A line is printed for each
    run of these queues that ends, until Ctrl-C. Two workers may have the same queue: each takes runs, and where one is
    gone the other has them all.

    Args:
        queue: A work queue, as in shard-3; may be repeated.
    """
    return int(_module("worker", "stack.worker").main(queue))


def alarms_command(url: str = "", /) -> int:
    """Alarms that call a webhook when a trouble begins and when it is over, on the server that runs here.

    Args:
        url: The address of the webhook: of Slack, Mattermost, Teams, Discord, or your own, which is posted JSON.
    """
    return int(_module("alarms", "stack.alarms").main(url))


def collect_command(
    symbols: Several | None = None,
    *,
    market: MarketName = "spot",
    kind: KindName = "klines",
    interval: IntervalName = "1m",
    lookback: str = "P1D",
    shard: str | None = None,
    json: Json = False,
) -> int:
    """Store every kline that closed and is not stored yet: the last minute's, and whatever was missed before.

    Args:
        symbols: Symbols to collect, as in BTCUSDT, or patterns: `*USDT` takes all that trade, `!USDC*` takes
            some away; none: those of the setting KLINES_SYMBOLS.
        market: spot, usdm (USDS-M futures) or coinm (COIN-M futures).
        kind: klines are those of trades; of futures also mark (price), index (price, of a pair), premium (index) and
            continuous (of a pair and a type of contract, as in BTCUSDT_PERPETUAL).
        interval: The klines' interval, in Binance's names; 1M is a calendar month.
        lookback: How far back holes are looked for, as an ISO 8601 duration (P1D, PT3H); a longer
            time without a run is caught up whatever this is.
        shard: Only a part of these symbols, as in 3/10 for the third of ten, the first being 1/10; each symbol is in
            the same one on every machine; none: all of them.
        json: Print the result as JSON.
    """
    given = {"symbols": symbols, "market": market, "kind": kind, "interval": interval}
    return _flow("collect", json, **given, lookback=lookback, shard=shard)


def backfill_command(
    symbols: Several,
    *,
    start: str,
    end: str,
    market: MarketName = "spot",
    kind: KindName = "klines",
    interval: IntervalName = "1m",
    source: SourceName = "auto",
    refresh: bool = False,
    dry_run: bool = False,
    all_symbols: All = False,
    json: Json = False,
) -> int:
    """Store the klines of a date range that are missing: from Binance's archive, checked, and from REST what it lacks.

    What is stored is not fetched again, so a run that was stopped goes on when it is run again.

    Args:
        symbols: Symbols to load, as in BTCUSDT, also delisted ones; or patterns: `*USDT` takes all that trade,
            `!USDC*` takes some away.
        start: The first open time, as in 2024-01-01 or 2024-01-01T12:00; UTC where no zone is given.
        end: The open time before which it ends; in the future: now. The same forms as of start.
        market: spot, usdm (USDS-M futures) or coinm (COIN-M futures).
        kind: klines are those of trades; of futures also mark (price), index (price, of a pair), premium (index) and
            continuous (of a pair and a type of contract, as in BTCUSDT_PERPETUAL).
        interval: The klines' interval, in Binance's names; 1M is a calendar month.
        source: auto takes whole days from the archive (data.binance.vision) and the rest by REST;
            archive or rest takes all from one of them.
        refresh: Fetch what is stored, too, and correct what Binance gives differently now.
        dry_run: Only say what would be done, and what it would cost.
        all_symbols: Patterns take every symbol that the archive ever had, also what is delisted, not only what trades.
        json: Print the result as JSON.
    """
    given = {"symbols": symbols, "start": start, "end": end, "market": market, "kind": kind}
    how = {"refresh": refresh, "dry_run": dry_run, "all_symbols": all_symbols}
    return _flow("backfill", json, **given, interval=interval, source=source, **how)


def audit_command(
    symbols: Several | None = None,
    *,
    start: str | None = None,
    end: str | None = None,
    market: MarketName | None = None,
    kind: KindName | None = None,
    interval: IntervalName | None = None,
    repair: bool = True,
    force: bool = False,
    dry_run: bool = False,
    json: Json = False,
) -> int:
    """Find every kline that is missing, fetch what can be had, and say of the rest truthfully why it is not there.

    Args:
        symbols: Symbols to audit, as in BTCUSDT; none: all of which anything is wanted.
        start: From this open time on; none: all that is wanted.
        end: Up to this open time, which is not included; none: now.
        market: spot, usdm or coinm; none: all.
        kind: klines, mark, index, premium or continuous; none: all that are wanted.
        interval: Binance's name of an interval; none: all that are wanted.
        repair: Fetch what is missing, and correct what two of three sources give differently.
        force: Ask again for what is settled, too.
        dry_run: Only say what would be fetched, and what it would cost; the holes that are left are not looked into.
        json: Print the result as JSON, with the certificate of every series.
    """
    given = {"symbols": symbols, "start": start, "end": end, "market": market, "kind": kind, "interval": interval}
    return _flow("audit", json, **given, repair=repair, force=force, dry_run=dry_run)


def funding_command(
    symbols: Several | None = None,
    *,
    market: FuturesName = "usdm",
    since: str | None = None,
    all_symbols: All = False,
    json: Json = False,
) -> int:
    """Store every funding rate that is published and not stored yet, and name those that lack, with the reason.

    Whole months come from the archive, checked, the rest by REST. What is stored is not fetched again, so a run that
    was stopped goes on when it is run again.

    Args:
        symbols: Perpetual contracts, as in BTCUSDT, or patterns: `*USDT` takes all that trade, `!USDC*` takes some
            away; none: those of the setting KLINES_SYMBOLS.
        market: usdm (USDS-M futures) or coinm (COIN-M futures).
        since: From this day on, as in 2024-01-01, UTC where no zone is given; none: from KLINES_SINCE on, or else from
            the first rate.
        all_symbols: Patterns take every symbol that the archive ever had rates of, also what is delisted, not only
            what trades.
        json: Print the result as JSON.
    """
    return _flow("funding", json, symbols=symbols, market=market, since=since, all_symbols=all_symbols)


def maintain_command(*, dry_run: bool = False, json: Json = False) -> int:
    """Put closed months in order by symbol, compact the file, prove that no slot has two klines, forget old rejects.

    A month that has closed since the last time is put in order within the file, which is held for about a second again
    and again. The first time, or where much of the file is free, a new file is built beside the one in use, which stays
    free for others but for turns of about a third of a second, and takes its place at the end.

    Args:
        dry_run: Only say what would be done, how long it takes at least, and how much free disk it needs.
        json: Print the result as JSON.
    """
    return _flow("maintain", json, dry_run=dry_run)


def publish_command(*, dry_run: bool = False, json: Json = False) -> int:
    """Make a snapshot of the database, which klines.connect() opens instead of making one itself.

    Who writes the file meanwhile is kept out for moments only. The snapshots before are deleted; who has one open keeps
    it.

    Args:
        dry_run: Only say what would be copied, how long it takes at least, and how much free disk it needs.
        json: Print the result as JSON.
    """
    return _flow("publish", json, dry_run=dry_run)


Commands = dict[str, tuple[Callable[..., int | None], str]]
"""Commands by name, each with an example."""
STACK: Commands = {
    "run": (run_command, "klines run"),
    "demo": (demo_command, "klines demo"),
    "worker": (worker_command, "klines worker --queue shard-3"),
    "alarms": (alarms_command, "klines alarms https://hooks.example.com/services/1"),
}
FLOWS: Commands = {
    "collect": (collect_command, "klines collect BTCUSDT ETHUSDT --lookback PT3H"),
    "backfill": (backfill_command, "klines backfill BTCUSDT ETHUSDT --start 2024-01-01 --end 2024-03-01"),
    "audit": (audit_command, "klines audit --market spot --no-repair --json"),
    "funding": (funding_command, "klines funding BTCUSDT ETHUSDT --since 2024-01-01"),
    "maintain": (maintain_command, "klines maintain"),
    "publish": (publish_command, "klines publish"),
}


def _stack(command: str, prefect_file: Path | None, queues: Sequence[str] = ()) -> int:
    deployments = prefect_file.resolve() if prefect_file else None
    main = _module(command, "stack.__main__").main
    return int(main(is_demo=command == "demo", deployments=deployments, queues=queues))


def _flow(flow: str, as_json: bool, **parameters: object) -> int:
    return int(_module(flow, "flows.shell").run(flow, parameters, as_json=as_json))


def _module(command: str, name: str) -> Any:
    """A module of the checkout, imported there with the environment that its processes have; raises BadParameter."""
    if CHECKOUT is None:
        raise BadParameter(f"`klines {command}` needs the checkout: git clone the repository and run it there")
    complete()
    check_proxies()
    os.chdir(CHECKOUT)
    if str(CHECKOUT) not in sys.path:
        sys.path.insert(0, str(CHECKOUT))
    import_module("klines.settings").check_names()
    return import_module(name)
