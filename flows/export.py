"""Exports on a schedule: what is stored → what of it is new or was corrected → the files of another program."""

from __future__ import annotations

from typing import Any

from prefect import flow, runtime
from prefect.client.schemas.objects import State

from flows.parameters import Entries, Time
from klines.errors import KlinesError
from klines.exports.job import ExportJob
from klines.exports.names import ExportedKind, ProgramName
from klines.exports.run import Export
from klines.interval import IntervalName
from klines.market import MarketName, series_name
from klines.outcome import fail
from klines.storage.access import settings_to_write
from tasks.alive import alive
from tasks.export import plan, write_all
from tasks.progress import Telling


def _name() -> str:
    """`freqtrade spot 1m`, `parquet usdm mark 1m`."""
    parameters = runtime.flow_run.parameters
    return f"{parameters['to']} {series_name(parameters['market'], parameters['kind'], parameters['interval'])}"


@alive
@flow(name="export", flow_run_name=_name, validate_parameters=True)
def export(
    to: ProgramName,
    folder: str,
    symbols: Entries | None = None,
    market: MarketName = "spot",
    kind: ExportedKind = "klines",
    interval: IntervalName = "1m",
    start: Time | None = None,
    end: Time | None = None,
) -> State[Any]:
    """Write what is stored into the files of another program; again, only what is new or was corrected since.

    What is not stored, and why, is in gaps/ below the folder.

    Args:
        to: freqtrade, nautilus (nautilus_trader), jesse, pandas, parquet (by month, in Hive folders) or csv (Binance's
            own archive).
        folder: Where to, on the machine of the worker; it is made if need be. A relative one is in the checkout.
        symbols: Symbols, as in BTCUSDT, or patterns: `*USDT` takes all that are stored, `!USDC*` takes some away; none:
            all.
        market: spot, usdm (USDS-M futures) or coinm (COIN-M futures).
        kind: klines are those of trades; of futures also mark (price), index (price, of a pair), premium (index),
            continuous, and funding (rates, of 1h) for freqtrade.
        interval: Binance's name of an interval, which is derived where it is not stored.
        start: The first open time, as in 2024-01-01 or 2024-01-01T12:00, UTC where no zone is given; none: the first.
        end: The open time before which it ends, in the same forms; none: now.
    """
    telling = Telling()
    try:
        job = ExportJob.of(settings_to_write().database, to, folder, symbols, start, end, market, interval, kind)
        with Export(job) as run:
            planned = plan(run)
            telling.plan(run.told(planned))
            with telling.watch(run, "symbols"):
                write_all(planned, run)
            outcome = run.outcome()
    except KlinesError as error:
        outcome = fail(error)
    return telling.end(outcome)
