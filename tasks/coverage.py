"""The artifact `coverage`: the last 30 days of every series."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from prefect.artifacts import create_markdown_artifact

from klines.reading.coverage import COMPLETE, EXPLAINED, MISSING, NOTHING, Coverage, said
from tasks.artifacts import AMBER, GREEN, PALE, RED, bar, now_said, table

EVERY = timedelta(hours=1)
"""While it says nothing new, collecting writes it again after so long."""
SHOWN = 1000
"""Rows at most: those that lack most."""
_COLOURS = {COMPLETE: GREEN, EXPLAINED: AMBER, MISSING: RED, NOTHING: PALE}


def write_coverage(series: Sequence[Coverage]) -> None:
    """Write the artifact."""
    head = ["series", "symbol", "last 30 days (UTC)", "#% complete"]
    head += ["#unexplained", "#explained", "#stored", "next check (UTC)"]
    parts = [
        f"As of {now_said()}; collecting writes it anew every hour.",
        "A block is a day: green, every kline is stored; amber, what lacks is explained in `gaps`; red, some is "
        "neither; pale, before the beginning, or not trading. Complete is what is stored or explained.",
        table(head, map(_row, series[:SHOWN])),
    ]
    parts += [f"and {len(series) - SHOWN:,} more" if len(series) > SHOWN else ""]
    create_markdown_artifact("\n\n".join(parts), key="coverage", description=said(series))


def _row(series_coverage: Coverage) -> list[str]:
    return [
        series_coverage.name,
        series_coverage.symbol,
        bar([_COLOURS[day] for day in series_coverage.days], _in_words(series_coverage.days)),
        f"{series_coverage.percent_complete:.2f}",
        *(f"{number:,}" for number in (series_coverage.unexplained, series_coverage.explained, series_coverage.stored)),
        f"{series_coverage.next_check:%Y-%m-%d %H:%M}" if series_coverage.next_check else "–",
    ]


def _in_words(days: Sequence[str]) -> str:
    """`28 complete, 2 missing`."""
    return ", ".join(f"{days.count(kind)} {kind}" for kind in _COLOURS if kind in days)
