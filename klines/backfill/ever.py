"""Which symbols there ever were: those that the archive has files of, whatever became of them."""

from __future__ import annotations

import asyncio

from klines.binance.archive import Archive
from klines.errors import Retry, Unreachable
from klines.market import Market
from klines.settings import Settings


def ever_listed(settings: Settings, market: Market) -> list[str]:
    """Every symbol of a market that the archive has a folder of, sorted; raises Unreachable."""
    try:
        return asyncio.run(_listed(settings, market))
    except Retry as error:
        raise Unreachable(f"the archive's listing can't be had: {error}") from None


async def _listed(settings: Settings, market: Market) -> list[str]:
    async with Archive(settings.archive_url, egress=settings.egress) as archive:
        return await archive.symbols(market)
