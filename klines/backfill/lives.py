"""What the archive's files say of the lives of a name: when one ended before the next began, and what they lack."""

from __future__ import annotations

from collections.abc import Sequence

from klines.binance.archive import Archive
from klines.binance.files import File, Life
from klines.binance.line import MINUTES
from klines.interval import DAY, INTERVALS, MINUTE
from klines.ledger import DELISTED, FOREVER_MS, NOT_LISTED, UNRESOLVED
from klines.market import Market
from klines.window import Window, intersect, subtract, window

QUIET_MS = 14 * DAY
"""A symbol that the exchange does not know, and that has had no file for so long, is over: the archive has stood still
for a week."""


async def between_lives(archive: Archive, market: Market, symbol: str, rest_ms: int) -> Window | None:
    """The time between the last kline that the archive alone has and `rest_ms`, the first that REST has; None unless it
    lists no file of at least a whole day between. Raises Retry."""
    earlier = [span for span in await archive.spans(market, symbol) if span.end_ms <= rest_ms]
    if not earlier or INTERVALS["1d"].floor(rest_ms) - earlier[-1].end_ms < DAY:
        return None
    end_ms = earlier[-1].end_ms
    content = await archive.fetch(File(market.name, symbol, "1m", False, end_ms - DAY, market.kind.name), MINUTES)
    if content is not None and not content.rows.is_empty():
        end_ms = int(content.rows["open_time"][-1]) + MINUTE
    return Window(end_ms, rest_ms)


def known_by_files(
    wanted: Sequence[Window], life: Life, spans: Sequence[Window], void: Sequence[Window]
) -> list[tuple[Window, str]]:
    """Why there are no klines of a symbol that the archive alone has: before its first file, and where there are none
    between, of what was `wanted`; after its last one; and within files that are `void` of them. All on the grid.

    What is missing at the beginning of the first file is before the first kline, and so with the last one; of what is
    missing between nobody can say why.
    """
    is_over = life.end_ms < life.now_ms - QUIET_MS
    found = [(part, NOT_LISTED) for part in intersect(wanted, window(0, life.start_ms))]
    found += [(Window(life.end_ms, FOREVER_MS), DELISTED)] if is_over else []
    found += [(part, UNRESOLVED) for part in subtract(intersect(wanted, window(life.start_ms, life.end_ms)), spans)]
    for part in void:
        is_end = is_over and part.end_ms == life.end_ms
        found.append((part, NOT_LISTED if part.start_ms == life.start_ms else DELISTED if is_end else UNRESOLVED))
    return found
