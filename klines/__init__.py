"""Binance klines, complete: every kline is stored as Binance published it, or named in a ledger that says why not.

For who uses the data: `read`, `symbols`, `coverage`, `gaps`, `connect`; see klines/reading.py and klines/snapshot.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from klines.reading import coverage, gaps, read, symbols
    from klines.snapshot import connect

__all__ = ["connect", "coverage", "gaps", "read", "symbols"]


def __getattr__(name: str) -> object:
    """The functions for users, imported when first asked for: the rest of the package needs none of them."""
    if name not in __all__:
        raise AttributeError(f"module 'klines' has no attribute {name!r}")
    from klines import reading, snapshot

    return getattr(snapshot if name == "connect" else reading, name)
