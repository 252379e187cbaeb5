"""The commands that work wherever klines is installed: they read, or look after what is there."""

from __future__ import annotations

import os
import sys
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

from cyclopts import Group, Parameter, validators

from klines.cli.environment import complete
from klines.cli.work import All, Commands, Json, Several
from klines.errors import BadParameter
from klines.exports.names import ExportedKind, ProgramName
from klines.interval import IntervalName
from klines.market import KindName, MarketName, series_name
from klines.outcome import counted

if TYPE_CHECKING:
    import polars as pl

SHOWN = 20
"""Rows of a table on the terminal."""
SHORT = ("symbol", "open_time", "open", "high", "low", "close", "volume")
"""Its columns, where none are named."""
LISTED = ("symbol", "status", "base", "quote", "contract_type", "tick_size", "step_size", "min_notional", "first_seen")
"""Those of a listing."""
RUNS = 10
_DO = Group("Change", validator=validators.LimitedChoice())
_FORM = Group("Form", validator=validators.LimitedChoice())


def status_command(*, json: Json = False) -> int:
    """What is fresh, what is behind and why, what the ledger explains, troubles that go on, and the last runs.

    Args:
        json: Print all of it as JSON.
    """
    from klines.cli.screen import as_json, draw
    from klines.cli.server import news
    from klines.reading.status import status

    complete()
    found, runs = status(), news(RUNS)
    print(as_json(found, runs)) if json else draw(found, runs)
    return 0


def read_command(
    symbols: Several,
    *,
    start: str | None = None,
    end: str | None = None,
    market: MarketName = "spot",
    kind: KindName = "klines",
    interval: str = "1m",
    columns: Several | None = None,
    fill: Literal["null", "previous"] | None = None,
    exact: bool = False,
    csv: Annotated[Path | None, Parameter(group=_FORM, allow_leading_hyphen=True)] = None,
    parquet: Annotated[Path | None, Parameter(group=_FORM, allow_leading_hyphen=True)] = None,
    json: Annotated[Json, Parameter(group=_FORM)] = False,
) -> int:
    """Klines that are stored, or made of shorter ones that are: a table of the last rows, or all of them into a file.

    Args:
        symbols: Symbols, as in BTCUSDT.
        start: The first open time, as in 2024-01-01 or 2024-01-01T12:00, UTC where no zone is given; none: the first.
        end: The open time before which it ends, in the same forms; none: now.
        market: spot, usdm (USDS-M futures) or coinm (COIN-M futures).
        kind: klines are those of trades; of futures also mark (price), index (price, of a pair), premium (index) and
            continuous (of a pair and a type of contract, as in BTCUSDT_PERPETUAL).
        interval: Binance's name of an interval, or a multiple such as 10m, 36h or 2w.
        columns: Which columns of the table klines; none: all of them, and on the terminal the prices and the volume.
        fill: Slots without a kline as rows, too, flagged by the column `filled`: `null` without values, `previous` with
            the close before.
        exact: Prices and amounts as the decimals that Binance published, with all eight places, not as the nearest
            doubles: plain numbers in CSV, decimals in Parquet, texts in JSON.
        csv: Write all rows into this file as CSV; - is the standard output.
        parquet: Write all rows into this file as Parquet; - is the standard output.
        json: Print all rows as JSON, a list of objects.
    """
    from klines.reading.read import read

    is_table = csv is None and parquet is None and not json
    chosen = columns or (SHORT if is_table else None)
    klines = read(
        symbols, start, end, market=market, kind=kind, interval=interval, fill=fill, columns=chosen, exact=exact
    )
    if is_table:
        _print_table(klines, series_name(market, kind, interval))
    elif json:
        print(_as_json(klines))
    else:
        _write(klines, csv, parquet)
    return 0


def listing_command(
    symbols: Several | None = None,
    *,
    market: MarketName = "spot",
    at: str | None = None,
    all_symbols: All = False,
    json: Json = False,
) -> int:
    """The symbols of a market that trade, or did at a time, and their rules, as exchangeInfo was last seen to say.

    Args:
        symbols: Symbols, as in BTCUSDT, or patterns: `*USDT` takes all that trade, `!USDC*` takes some away; none: all.
        market: spot, usdm (USDS-M futures) or coinm (COIN-M futures).
        at: A time, as in 2026-01-31 or 2026-01-31T12:00, UTC where no zone is given; none: now.
        all_symbols: Every symbol that the archive ever had, also what is delisted; of those that exchangeInfo lists
            their status now.
        json: Print all that is kept of them as JSON, a list of objects.
    """
    from klines.reading.listed import symbols_at, trading
    from klines.reading.parameters import entries_named, market_named

    entries = entries_named(symbols or [])
    if all_symbols:
        if at is not None:
            raise BadParameter("at: with --all it is of now: the archive does not say when it had what")
        return _list_all(entries, market, as_json=json)
    found = trading(symbols_at(at, market=market), entries, market_named(market))
    if json:
        print(_as_json(found))
        return 0
    print(f"{counted(found.height, 'symbol')} of {market}:")
    _print_rows(found.select(name for name in LISTED if found[name].count()))
    return 0


def _list_all(entries: list[str], market: str, *, as_json: bool) -> int:
    """Every symbol that the archive ever had, and its status where exchangeInfo lists it."""
    from klines.backfill.ever import ever_listed
    from klines.reading.listed import with_status
    from klines.reading.parameters import market_named
    from klines.settings import load

    complete()
    found = with_status(ever_listed(load(), market_named(market)), entries, market_named(market))
    if as_json:
        print(_as_json(found))
        return 0
    known = found.filter(status="TRADING").height
    print(f"{counted(found.height, 'symbol')} of {market} that there ever was, {known:,} of them known to trade:")
    _print_rows(found)
    return 0


def explore_command(*, port: int = 4220, browser: bool = True) -> None:
    """A page that shows what is in the database, on this machine alone, until Ctrl-C.

    Args:
        port: Where the page is on 127.0.0.1; 0 takes a free one.
        browser: Open a browser, where there is one.
    """
    from klines.cli.server import news
    from klines.explorer.serve import explore

    complete()
    explore(port, news, opens_browser=browser)
    sys.stdout.flush()
    os._exit(0)  # an orderly end would wait for the threads, and they for DuckDB, or for a file that somebody holds


def doctor_command(*, json: Json = False) -> int:
    """Check, in under a minute, that everything is as klines takes it to be: this machine, the way to Binance, Binance.

    A line for each check: ok, or what differs, with what it means and what to do. It writes nothing, and takes at most
    120 request weight. The exit status is 0 when all is ok.

    Args:
        json: Print all of it as JSON.
    """
    from klines.cli.consultation import consult

    return consult(as_json=json)


def unban_command(pool: Literal["spot", "futures", "funding"] | None = None, /, *, egress: str | None = None) -> int:
    """Forget a ban, so that the next run asks Binance at once, at first with one request, whether it still holds.

    Only where you know that it does not, as this machine has another address: who asks within a ban makes it longer.

    Args:
        pool: spot, or futures, which USDS-M and COIN-M share, or funding, that of the rates of USDS-M; none: all.
        egress: The address that the silenced requests leave by; none: that of KLINES_EGRESS.
    """
    from klines.binance.funding.pool import FUNDING_POOL
    from klines.clock import clock
    from klines.market import MARKETS
    from klines.session import lift_bans
    from klines.settings import load
    from klines.storage.access import stored_at
    from klines.tables.bans import whose

    complete()
    pools = [pool] if pool else sorted({FUNDING_POOL, *(market.pool for market in MARKETS.values())})
    address = load().egress if egress is None else egress
    lifted = lift_bans(stored_at(None), pools, address)
    for name, until_ms in lifted.pools.items():
        until = f"the silence until {clock(until_ms)} UTC is lifted"
        print(f"{whose(name, address)}: {until}; the next run asks whether it still holds")
    if not lifted.pools:
        print(f"no ban holds of {whose(', '.join(pools), address)}")
    for ban in lifted.others:
        way = f"--egress {ban.egress}" if ban.egress else "--egress ''"
        print(f"{whose(ban.pool, ban.egress)} is silent until {clock(ban.until_ms)} UTC; {way} would lift that")
    return 0


def wanted_command(
    symbols: Several | None = None,
    *,
    add: Annotated[bool, Parameter(group=_DO, negative="")] = False,
    remove: Annotated[bool, Parameter(group=_DO, negative="")] = False,
    let_go: Annotated[str | None, Parameter(group=_DO)] = None,
    start: str | None = None,
    end: str | None = None,
    market: MarketName | None = None,
    kind: KindName | None = None,
    interval: IntervalName | None = None,
    dry_run: bool = False,
    json: Json = False,
) -> int:
    """What is to be complete: ranges of series, and who wants them; or a range more, or less, from now on.

    What is collected is wanted on and on, what was backfilled is wanted as a range. What nobody wants is neither due
    nor stale. A change fetches nothing and deletes no kline.

    Args:
        symbols: Symbols, as in BTCUSDT; with --add also patterns; none: all that are wanted, which only shows them.
        add: Want a range of them from now on; what that will cost is said first.
        remove: Want a range of them no more, whoever wanted it.
        let_go: Name of a deployment that is no more: what it collected is wanted until now only.
        start: The first open time, as in 2024-01-01 or 2024-01-01T12:00, UTC where no zone is given.
        end: The open time before which it ends, in the same forms; none: it goes on.
        market: spot, usdm (USDS-M futures) or coinm (COIN-M futures); none: all, and for a change spot.
        kind: klines, mark, index, premium or continuous; none: all, and for a change klines.
        interval: Binance's name of an interval; none: all, and for a change 1m.
        dry_run: Only say what would be done, and what it would cost.
        json: Print it as JSON.
    """
    from klines.cli import wanting

    complete()
    if let_go is not None:
        if symbols or add or remove:
            raise BadParameter("--let-go takes the name of a deployment alone, neither symbols nor --add or --remove")
        return wanting.let_go_of(let_go, is_dry=dry_run, as_json=json)
    if not add and not remove:
        return wanting.show(symbols, market, kind, interval, as_json=json)
    if not symbols or (add and start is None):
        raise BadParameter("--add needs symbols and --start" if add else "--remove needs symbols")
    asked = wanting.RangeAsked.of(market or "spot", kind or "klines", interval or "1m", start, end)
    return wanting.change(symbols, asked, is_more=add, is_dry=dry_run, as_json=json)


def move_command(*, to: str, data: str | None = None, dry_run: bool = False) -> int:
    """Move all that the database holds from a file to a lake, or back, while runs go on writing it.

    Month by month, compared by the certificate's hash of each series. Stop it anywhere: the same command goes on. In
    the last step, of seconds, runs wait; after it they are refused until KLINES_DATABASE names the new place.

    Args:
        to: Where to: ducklake:postgres:… as KLINES_DATABASE has it, or a DuckDB file. Nothing may be there yet.
        data: Of a lake, a folder or s3://bucket/path for its Parquet files, as KLINES_DATA_PATH has it.
        dry_run: Only say what would be done.
    """
    from klines.cli.moving import move_all

    move_all(to, data, is_dry=dry_run)
    return 0


def export_command(
    to: ProgramName,
    folder: Path,
    *,
    symbols: Several | None = None,
    market: MarketName = "spot",
    kind: ExportedKind = "klines",
    interval: str = "1m",
    start: str | None = None,
    end: str | None = None,
    json: Json = False,
) -> int:
    """Write what is stored into the files of another program; again, only what is new or was corrected since.

    What is not stored, and why, is in gaps/ below the folder.

    Args:
        to: freqtrade, nautilus (nautilus_trader), jesse, pandas, parquet (by month, in Hive folders) or csv (Binance's
            own archive).
        folder: Where to; it is made if need be. Of freqtrade its data folder, as in user_data/data/binance.
        symbols: Symbols, as in BTCUSDT, or patterns: `*USDT` takes all that are stored, `!USDC*` takes some away; none:
            all.
        market: spot, usdm (USDS-M futures) or coinm (COIN-M futures).
        kind: klines are those of trades; of futures also mark (price), index (price, of a pair), premium (index),
            continuous, and funding (rates, of 1h) for freqtrade.
        interval: Binance's name of an interval, which is derived where it is not stored.
        start: The first open time, as in 2024-01-01 or 2024-01-01T12:00, UTC where no zone is given; none: the first.
        end: The open time before which it ends, in the same forms; none: now.
        json: Print the result as JSON.
    """
    from klines.cli.exporting import export_all

    complete()
    return export_all(to, folder, symbols, start, end, market, interval, kind, as_json=json)


LOOK: Commands = {
    "status": (status_command, "klines status"),
    "wanted": (wanted_command, "klines wanted BTCUSDT --add --start 2024-01-01 --end 2024-03-01 --dry-run"),
    "doctor": (doctor_command, "klines doctor"),
    "unban": (unban_command, "klines unban spot"),
    "move": (
        move_command,
        "klines move --to ducklake:postgres:dbname=klines --data s3://bucket/klines",
    ),
    "read": (read_command, "klines read BTCUSDT ETHUSDT --start 2024-01-01 --interval 4h --csv klines.csv"),
    "export": (export_command, "klines export freqtrade user_data/data/binance --symbols *USDT --interval 5m"),
    "listing": (listing_command, "klines listing *USDT --market usdm --at 2026-11-01"),
    "explore": (explore_command, "klines explore --port 0 --no-browser"),
}


def _print_table(klines: pl.DataFrame, about: str) -> None:
    shown = klines.tail(SHOWN)
    last = f"; the last {shown.height}:" if shown.height < klines.height else ":"
    print(f"{counted(klines.height, 'kline')} of {counted(klines['symbol'].n_unique(), 'symbol')}, {about}{last}")
    _print_rows(shown)


def _print_rows(shown: pl.DataFrame) -> None:
    import polars as pl

    with pl.Config(
        tbl_rows=-1,
        tbl_cols=-1,
        tbl_width_chars=-1,
        tbl_hide_dataframe_shape=True,
        tbl_hide_column_data_types=True,
        tbl_cell_numeric_alignment="RIGHT",
        fmt_float="full",
    ):
        print(shown)


def _as_json(klines: pl.DataFrame) -> str:
    import polars as pl

    return klines.with_columns(pl.col(pl.Datetime).dt.strftime("%Y-%m-%dT%H:%M:%S%.3f")).write_json()


def _write(klines: pl.DataFrame, csv: Path | None, parquet: Path | None) -> None:
    """All rows, into a file that is there whole or not at all."""
    from polars.exceptions import ComputeError

    write, path = (klines.write_csv, csv) if csv else (klines.write_parquet, cast(Path, parquet))
    if str(path) == "-":
        whole = BytesIO()  # what polars says when a pipe is closed is no BrokenPipeError
        write(whole)
        sys.stdout.buffer.write(whole.getbuffer())
        return
    is_new = path.is_file() or not path.exists()
    target = path.with_name(f"{path.name}.part") if is_new else path
    try:
        with target.open("wb") as file:
            write(file)
        if is_new:
            target.replace(path)
    except (OSError, ComputeError) as error:  # the latter is what polars says of a full disk
        if is_new:
            target.unlink(missing_ok=True)
        why = getattr(error, "strerror", None) or str(error).rpartition(": ")[2]
        raise BadParameter(f"{path} can't be written: {why}") from None
    print(f"{counted(klines.height, 'kline')} in {path}")
