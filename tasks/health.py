"""The health check, first of every run."""

from __future__ import annotations

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from klines.session import Session
from tasks.names import named
from tasks.retry import may_pass

WORST_SKEW_MS = 1000


@task(
    name="health",
    task_run_name=named(lambda given: f"health of {given['run'].market.name}"),
    retries=2,
    retry_delay_seconds=[1, 2],
    retry_jitter_factor=0.5,
    retry_condition_fn=may_pass,
    timeout_seconds=30,
    cache_policy=NO_CACHE,
)
def health(run: Session) -> None:
    """Ask whether the exchange serves, and for the clock that decides which klines are closed."""
    skew_ms = run.health()
    if run.exchange.doubt:
        get_run_logger().warning("%s", run.exchange.doubt)
    elif abs(skew_ms) > WORST_SKEW_MS:
        get_run_logger().warning(
            "this machine's clock is %.1f s %s the exchange's, which alone decides what is closed; set the clock",
            abs(skew_ms) / 1000,
            "behind" if skew_ms > 0 else "ahead of",
        )
