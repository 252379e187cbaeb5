"""The steps of an audit that a backfill does not have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from klines.audit.run import Audit
from tasks.artifacts import now_said, table
from tasks.names import named
from tasks.retry import may_pass

SHOWN = 100
"""Rows of the certificate's table at most: those that lack most."""
_COLUMNS = (
    *("market", "kind", "symbol", "interval", "since", "expected", "stored", "exchange_outage", "exchange_hole"),
    *("not_listed", "delisted", "rejected", "unexplained", "percent_complete"),
)


def write_certificate(rows: Sequence[Mapping[str, Any]]) -> None:
    """The certificate as the artifact `certificate`."""
    worst = sorted(rows, key=_completeness)[:SHOWN]
    text = table(
        [name.replace("_", " ") for name in _COLUMNS], ([_cell(row[name]) for name in _COLUMNS] for row in worst)
    )
    complete = sum(row["unexplained"] == 0 for row in rows)
    said = f"{complete} of {len(rows)} series are complete: every kline, or funding rate, is stored, or explained"
    create_markdown_artifact(f"As of {now_said()}.\n\n{text}", key="certificate", description=said)


def _completeness(row: Mapping[str, Any]) -> tuple[float, str]:
    return row["percent_complete"], row["symbol"]


def _cell(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


@task(name="explain", task_run_name=named(lambda given: f"explain {given['run'].series.name}"), cache_policy=NO_CACHE)
def explain(run: Audit) -> int:
    """Look into the holes between their neighbours, and beside other symbols; how many are none any more."""
    return run.explain()


@task(
    name="reconcile",
    task_run_name=named(lambda given: f"reconcile {given['run'].series.name}"),
    retries=2,
    retry_delay_seconds=[5, 30],
    retry_condition_fn=may_pass,
    cache_policy=NO_CACHE,
)
def reconcile(run: Audit) -> None:
    """Compare what was collected live with the archive's daily files."""
    run.reconcile()
