"""Who chooses the symbols of a collect: its deployment, whatever its shards."""

from __future__ import annotations

from klines.shard import Shard
from klines.tables.promise import SHELL
from tasks.deployment import deployment


def chooser(shard: str | None) -> str:
    """The name of the run's deployment, without that of its shard; `shell` where it has none."""
    found = deployment()
    name = found.name if found else SHELL
    return name.removesuffix(f"-{Shard.parse(shard).slug}") if shard else name
