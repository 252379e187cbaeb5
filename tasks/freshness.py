"""The artifact `freshness`: what is behind right now, and why."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

from prefect.artifacts import create_markdown_artifact

from klines.clock import clock
from klines.collect.freshness import FRESH, LATE, SILENT, STALE, UNKNOWN, Freshness, Standing
from klines.collect.run import Collect
from klines.collect.timeliness import Timeliness
from klines.market import series_name
from klines.shard import Shard
from tasks.artifacts import AMBER, GREEN, GREY, RED, bar, last, table

EVERY = timedelta(minutes=10)
"""While it says nothing new, it is written again after so long."""
SHOWN = 50
"""Symbols that are not fresh are listed up to so many."""
_BLOCKS = 40
_COLOURS = {STALE: RED, LATE: AMBER, UNKNOWN: GREY, SILENT: GREY, FRESH: GREEN}


def key(freshness: Freshness) -> str:
    """`freshness` for 1m of spot, `freshness-usdm-1h` for others, `freshness-spot-1m-3-of-10` for a shard: each has a
    history of its own."""
    series = series_name(freshness.market, freshness.kind, freshness.interval.replace("1M", "1mo")).replace(" ", "-")
    if freshness.shard:
        return f"freshness-{series}-{Shard.parse(freshness.shard).slug}"
    return "freshness" if series == "spot-1m" else f"freshness-{series}"


def write_freshness(freshness: Freshness, run: Collect) -> bool:
    """Write the artifact if it says something new, or the last one is ten minutes old; whether it did."""
    said, age = last(key(freshness))
    exchange = run.exchange
    is_new = said != freshness.said or age > EVERY
    if is_new:
        create_markdown_artifact(
            text(freshness, run.timeliness(), exchange.now_ms(), exchange.budget.used, exchange.budget.per_minute),
            key=key(freshness),
            description=freshness.said,
        )
    return is_new


def text(freshness: Freshness, hour: Timeliness, now_ms: int, used: int, per_minute: int) -> str:
    """The artifact's Markdown."""
    counts = Counter(standing.state for standing in freshness.standings)
    behind = freshness.of(STALE, LATE, UNKNOWN, SILENT)
    parts = [
        f"As of {clock(now_ms)} UTC.",
        bar(_blocks(counts), freshness.said),
        table(["state", "#symbols"], [[name, f"{counts[name]:,}"] for name in _COLOURS if counts[name]]),
    ]
    if behind:
        parts.append(table(["symbol", "state", "lacks klines from (UTC)", "why"], map(_row, behind[:SHOWN])))
    if len(behind) > SHOWN:
        parts.append(f"and {len(behind) - SHOWN:,} more")
    return "\n\n".join([*parts, table(["the last hour", "#"], _hour(hour, used, per_minute))])


def _hour(hour: Timeliness, used: int, per_minute: int) -> list[list[str]]:
    seconds = " / ".join(
        "–" if latency is None else f"{latency:.1f}" for latency in (hour.p50_s, hour.p95_s, hour.max_s)
    )
    return [
        ["klines collected", f"{hour.klines:,}"],
        ["seconds from a kline's close to its commit, p50 / p95 / max", seconds],
        ["klines caught up, over 10 minutes after their close", f"{hour.caught_up:,}"],
        ["restated", f"{hour.restated:,}"],
        ["rejected", f"{hour.rejected:,}"],
        ["request weight used in this minute, of all on this address", f"{used:,} of {per_minute:,}"],
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
