"""Who chooses the symbols of a collect: its deployment, whatever its shards."""

from __future__ import annotations

from prefect import runtime

from klines.shard import Shard
from klines.tables.promise import SHELL


def chooser(shard: str | None) -> str:
    """The name of the run's deployment, without that of its shard; `shell` where it has none."""
    name = str(runtime.deployment.name or SHELL)
    return name.removesuffix(f"-{Shard.parse(shard).slug}") if shard else name
