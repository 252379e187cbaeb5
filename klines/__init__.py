"""Binance klines, complete: every kline is stored as Binance published it, or named in a ledger that says why not.

For who uses the data: `read`, `scan`, `symbols`, `symbols_at`, `coverage`, `gaps`, `funding`, `connect`, `export`, and
the errors that they raise.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from klines.errors import BadDatabase, BadParameter, DatabaseBusy, KlinesError, NoRoom, NotStored

if TYPE_CHECKING:
    from klines.exports.run import export
    from klines.reading.coverage import coverage
    from klines.reading.funded import funding
    from klines.reading.inventory import gaps, symbols
    from klines.reading.listed import symbols_at
    from klines.reading.read import read
    from klines.reading.scan import scan
    from klines.storage.access import connect

__all__ = [
    "BadDatabase",
    "BadParameter",
    "DatabaseBusy",
    "KlinesError",
    "NoRoom",
    "NotStored",
    "connect",
    "coverage",
    "export",
    "funding",
    "gaps",
    "read",
    "scan",
    "symbols",
    "symbols_at",
]
_PLACES = {
    "connect": "klines.storage.access",
    "coverage": "klines.reading.coverage",
    "export": "klines.exports.run",
    "funding": "klines.reading.funded",
    "gaps": "klines.reading.inventory",
    "read": "klines.reading.read",
    "scan": "klines.reading.scan",
    "symbols": "klines.reading.inventory",
    "symbols_at": "klines.reading.listed",
}


def __getattr__(name: str) -> object:
    """The functions for users, imported when first asked for: the rest of the package needs none of them."""
    if name not in _PLACES:
        raise AttributeError(f"module 'klines' has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    """What completion shows: the functions for users and the errors to catch, and nothing else."""
    return sorted(__all__)
