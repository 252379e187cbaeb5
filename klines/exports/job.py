"""What an export is asked to do, checked before anything is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Self

from klines.clock import Time, time_ms
from klines.errors import BadParameter
from klines.exports.stored import LAST_MS
from klines.exports.target import Target
from klines.exports.targets import target_named
from klines.interval import Interval
from klines.market import FUNDING, Market
from klines.reading.parameters import entries_named, interval_named, market_named
from klines.storage.access import Database, stored_at
from klines.tables.funding import of_rates
from klines.tables.klines import FIRST_MS
from klines.window import Window


@dataclass(frozen=True, slots=True)
class ExportJob:
    """What is exported to where; `to` is what the user calls the program. No entries: every symbol that is stored."""

    to: str
    target: Target
    folder: Path
    market: Market
    interval: Interval
    entries: Sequence[str]
    asked: Window
    database: Database

    @classmethod
    def of(
        cls,
        database: Database,
        to: str,
        folder: str | PathLike[str],
        symbols: str | Sequence[str] | None,
        start: Time | None,
        end: Time | None,
        market: str,
        interval: str,
        kind: str,
    ) -> Self:
        """Of a database, None for that of the settings. Raises BadParameter, NotStored; nothing is made yet."""
        target, where, wanted = target_named(to), _market(market, kind), interval_named(interval)
        if kind not in target.kinds:
            raise BadParameter(f"kind: {to} takes {', '.join(target.kinds)}, not {kind}")
        if where.kind == FUNDING and wanted.name != "1h":
            raise BadParameter(f"interval: funding rates have slots of 1h, not of {wanted.name}")
        target.check(where, wanted)
        entries = entries_named([symbols] if isinstance(symbols, str) else symbols or [])
        where.check_entries(entries)
        stored_at(database)
        return cls(to, target, _folder(folder), where, wanted, entries, _asked(start, end), database)


def _market(name: str, kind: str) -> Market:
    """The market, for klines of a kind or for funding rates; raises BadParameter."""
    if kind != FUNDING.name:
        return market_named(name, kind)
    if name not in FUNDING.markets:
        raise BadParameter(f"market: funding rates are of {' and '.join(FUNDING.markets)}, not of {name!r:.100}")
    return of_rates(market_named(name))


def _asked(start: Time | None, end: Time | None) -> Window:
    """[start, end); left out, there is no bound, so that a month that goes on is not another one at every moment."""
    start_ms, end_ms = time_ms("start", start), time_ms("end", end)
    start_ms, end_ms = start_ms or FIRST_MS, LAST_MS if end_ms is None else end_ms
    if start_ms >= end_ms:
        raise BadParameter(f"start: {start} is not before the end, {end}")
    return Window(start_ms, end_ms)


def _folder(folder: str | PathLike[str]) -> Path:
    try:
        path = Path(folder).expanduser().absolute()
        path.resolve()
        str(path).encode()  # frames of polars take text alone
        is_other = path.exists() and not path.is_dir()
    except (TypeError, RuntimeError, OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or error
        raise BadParameter(f"folder: {folder!r:.200} is no path of a folder: {said}") from None
    if is_other:
        raise BadParameter(f"folder: {path} is a file; name a folder, which is made where there is none")
    return path
