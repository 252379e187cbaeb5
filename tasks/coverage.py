"""The artifact `coverage`: the last 30 days of every series."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from prefect.artifacts import create_markdown_artifact

from klines.last_days import COMPLETE, EXPLAINED, MISSING, NOTHING, Coverage, said
from tasks.artifacts import AMBER, GREEN, PALE, RED, bar, table

EVERY = timedelta(hours=1)
"""While it says nothing new, collecting writes it again after so long."""
SHOWN = 1000
"""Rows at most: those that lack most."""
_COLOURS = {COMPLETE: GREEN, EXPLAINED: AMBER, MISSING: RED, NOTHING: PALE}


def publish(series: Sequence[Coverage]) -> None:
    """Write the artifact."""
    head = ["series", "symbol", "last 30 days (UTC)", "#% complete"]
    head += ["#unexplained", "#explained", "#stored", "next check (UTC)"]
    parts = [
        "A block is a day: green, every kline is stored; amber, what lacks is explained in `gaps`; red, some is "
        "neither; pale, before the beginning, or not trading. Complete is what is stored or explained.",
        table(head, map(_row, series[:SHOWN])),
    ]
    parts += [f"and {len(series) - SHOWN:,} more" if len(series) > SHOWN else ""]
    create_markdown_artifact("\n\n".join(parts), key="coverage", description=said(series))


def _row(it: Coverage) -> list[str]:
    return [
        f"{it.market} {it.interval}",
        it.symbol,
        bar([_COLOURS[day] for day in it.days], _in_words(it.days)),
        f"{it.percent_complete:.2f}",
        *(f"{number:,}" for number in (it.unexplained, it.explained, it.stored)),
        f"{it.next_check:%Y-%m-%d %H:%M}" if it.next_check else "–",
    ]


def _in_words(days: Sequence[str]) -> str:
    """`28 complete, 2 missing`."""
    return ", ".join(f"{days.count(kind)} {kind}" for kind in _COLOURS if kind in days)
