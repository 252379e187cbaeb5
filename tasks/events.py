"""What others can react to: new data, and trouble that begins and ends, as Prefect's events."""

from __future__ import annotations

from prefect.events import emit_event

from klines.freshness import STALE
from klines.incidents import Followed, Incident
from klines.run import Run

NAMES = {STALE: ("klines.stale", "klines.fresh")}
"""The events of the beginning and the end of an incident that have names of their own."""
OTHERS = ("klines.trouble", "klines.recovered")


def collected(run: Run) -> None:
    """Emit `klines.collected`: what one run stored; its label `klines.new` is `yes` when there are new klines."""
    market, interval = run.job.market.name, run.interval.name
    symbols = run.collected()
    emit_event(
        "klines.collected",
        resource={
            "prefect.resource.id": f"klines.{market}.{interval}",
            "prefect.resource.name": f"{market} {interval}",
            "klines.market": market,
            "klines.interval": interval,
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
    """Emit an event for each incident that began, and for each that ended."""
    for it in followed.began:
        _emit(it, NAMES.get(it.kind, OTHERS)[0])
    for it in followed.ended:
        _emit(it, NAMES.get(it.kind, OTHERS)[1])


def _emit(it: Incident, name: str) -> None:
    """The label `klines.kind` is ExchangeDown, Blocked, Degraded or stale; `klines.loud` is `yes` for an alarm."""
    emit_event(
        name,
        resource={
            "prefect.resource.id": f"klines.{it.market}",
            "prefect.resource.name": it.market,
            "klines.market": it.market,
            "klines.kind": it.kind,
            "klines.loud": "yes" if it.loud else "no",
        },
        payload={"message": it.said, "symbols": list(it.symbols), "intervals": list(it.intervals), "runs": it.runs},
    )
