"""What others can react to: new data, and trouble that begins and ends, as Prefect's events."""

from __future__ import annotations

from collections.abc import Sequence

from prefect.events import emit_event

from klines.collect.freshness import STALE
from klines.collect.incidents import Followed
from klines.collect.run import Collect
from klines.market import series_name
from klines.tables.incidents import Incident

NAMES = {STALE: ("klines.stale", "klines.fresh")}
"""The events of the beginning and the end of an incident that have names of their own."""
OTHERS = ("klines.trouble", "klines.recovered")


def collected(run: Collect) -> None:
    """Emit `klines.collected`: what one run stored; its label `klines.new` is `yes` when there are new klines.

    Each shard is a resource of its own, so that it is noticed which of them does not collect.
    """
    market, interval, shard = run.job.market.name, run.interval.name, run.job.shard
    series = series_name(*run.job.market.key, interval).replace(" ", ".")
    symbols = run.collected()
    emit_event(
        "klines.collected",
        resource={
            "prefect.resource.id": f"klines.{series}{f'.{shard.slug}' if shard else ''}",
            "prefect.resource.name": f"{market} {run.job.part}",
            "klines.market": market,
            "klines.interval": interval,
            "klines.shard": str(shard or ""),
            "klines.new": "yes" if run.stored.inserted else "no",
        },
        payload={
            "inserted": run.stored.inserted,
            "restated": run.stored.restated,
            "rejected": run.stored.rejected,
            "symbols": symbols,
        },
    )


def tell(followed: Followed) -> None:
    """Emit an event for each incident that began, that came to more symbols, and that ended."""
    for incident in followed.began:
        _emit(incident, NAMES.get(incident.kind, OTHERS)[0], incident.said, incident.symbols)
    for spread in followed.spread:
        _emit(spread.incident, NAMES[STALE][0], spread.said, spread.symbols)
    for incident in followed.ended:
        _emit(incident, NAMES.get(incident.kind, OTHERS)[1], incident.said, incident.symbols)


def _emit(incident: Incident, name: str, message: str, symbols: Sequence[str]) -> None:
    """The label `klines.kind` is ExchangeDown, Blocked, Degraded or stale; `klines.loud` is `yes` for an alarm."""
    emit_event(
        name,
        resource={
            "prefect.resource.id": f"klines.{incident.market}",
            "prefect.resource.name": incident.market,
            "klines.market": incident.market,
            "klines.kind": incident.kind,
            "klines.loud": "yes" if incident.loud else "no",
        },
        payload={
            "message": message,
            "symbols": list(symbols),
            "intervals": list(incident.intervals),
            "runs": incident.runs,
        },
    )
