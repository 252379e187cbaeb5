"""The artifact `freshness`: what was behind at a time, and why."""

from __future__ import annotations

from collections import Counter

from prefect.artifacts import create_markdown_artifact

from klines.clock import clock, clock_s
from klines.collect.freshness import FRESH, LATE, SILENT, STALE, UNKNOWN, Freshness, Standing
from klines.collect.review import Review
from klines.collect.timeliness import Timeliness
from klines.market import series_name
from klines.shard import Shard
from tasks.artifacts import AMBER, GREEN, GREY, RED, bar, table

SHOWN = 50
"""Symbols that are not fresh are listed up to so many."""
_BLOCKS = 40
_COLOURS = {STALE: RED, LATE: AMBER, UNKNOWN: GREY, SILENT: GREY, FRESH: GREEN}


def key(freshness: Freshness) -> str:
    """Under which it is written."""
    return key_of(freshness.market, freshness.kind, freshness.interval, freshness.shard)


def key_of(market: str, kind: str, interval: str, shard: str) -> str:
    """`freshness` for 1m of spot, `freshness-usdm-1h` for others, `freshness-spot-1m-3-of-10` for a shard: each has a
    history of its own."""
    series = series_name(market, kind, interval.replace("1M", "1mo")).replace(" ", "-")
    if shard:
        return f"freshness-{series}-{Shard.parse(shard).slug}"
    return "freshness" if series == "spot-1m" else f"freshness-{series}"


def write_freshness(freshness: Freshness, its: Review) -> None:
    """Write the artifact after a run."""
    budget = its.run.exchange.budget
    weight = f"{budget.used:,} of {budget.per_minute:,}"
    create_markdown_artifact(text(freshness, its.timeliness(), weight), key=key(freshness), description=freshness.told)


def text(freshness: Freshness, hour: Timeliness, weight: str = "") -> str:
    """The artifact's Markdown; `weight` is what of the minute's request weight is used, as a run has seen it."""
    counts = Counter(standing.state for standing in freshness.standings)
    behind = freshness.of(STALE, LATE, UNKNOWN, SILENT)
    parts = [
        f"As of {clock_s(freshness.at_ms)} UTC. Each run that ends writes this anew, and while none does `klines run`: "
        "where it is older than two of the schedule's steps neither runs, and `klines status` says how it is.",
        bar(_blocks(counts), freshness.said),
        table(["state", "#symbols"], [[name, f"{counts[name]:,}"] for name in _COLOURS if counts[name]]),
    ]
    if behind:
        parts.append(table(["symbol", "state", "lacks klines from (UTC)", "why"], map(_row, behind[:SHOWN])))
    if len(behind) > SHOWN:
        parts.append(f"and {len(behind) - SHOWN:,} more")
    return "\n\n".join([*parts, table(["the last hour", "#"], _hour(hour, weight))])


def _hour(hour: Timeliness, weight: str) -> list[list[str]]:
    seconds = " / ".join(
        "–" if latency is None else f"{latency:.1f}" for latency in (hour.p50_s, hour.p95_s, hour.max_s)
    )
    return [
        ["klines that the first run after their close has stored", f"{hour.klines:,}"],
        ["seconds from the close of these to the commit, p50 / p95 / worst", seconds],
        ["klines that a later run has caught up", f"{hour.caught_up:,}"],
        ["restated", f"{hour.restated:,}"],
        ["rejected", f"{hour.rejected:,}"],
        *([["request weight used in this minute, of all on this address", weight]] if weight else []),
    ]


def _row(standing: Standing) -> list[str]:
    return [
        standing.symbol,
        standing.state,
        "–" if standing.lacks_from_ms is None else clock(standing.lacks_from_ms),
        standing.why.replace("|", "/"),
    ]


def _blocks(counts: Counter[str]) -> list[str]:
    """Colours in the states' shares, each at least one block."""
    whole = sum(counts.values())
    bad = {name: max(1, _BLOCKS * counts[name] // whole) for name in _COLOURS if name != FRESH and counts[name]}
    fresh = max(_BLOCKS - sum(bad.values()), 1 if counts[FRESH] else 0)
    return [colour for name, colour in _COLOURS.items() for _ in range(fresh if name == FRESH else bad.get(name, 0))]
