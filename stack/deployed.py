"""Which deployments of collect the Prefect server has."""

from __future__ import annotations

from typing import NamedTuple

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowFilter, FlowFilterName
from prefect.client.schemas.responses import DeploymentResponse

from klines.shard import Shard

_PAGE = 200


class Deployed(NamedTuple):
    """Names, without those of shards: of all, and of those whose runs come by a schedule."""

    all: frozenset[str]
    active: frozenset[str]


def deployed(client: SyncPrefectClient) -> Deployed:
    """As the server has them now; raises as its client."""
    found: list[DeploymentResponse] = []
    of_collect = FlowFilter(name=FlowFilterName(any_=["collect"]))
    while len(found) % _PAGE == 0:
        page = client.read_deployments(flow_filter=of_collect, limit=_PAGE, offset=len(found))
        found += page
        if not page:
            break
    active = [one for one in found if not one.paused and any(schedule.active for schedule in one.schedules)]
    return Deployed(frozenset(map(_name, found)), frozenset(map(_name, active)))


def _name(deployment: DeploymentResponse) -> str:
    """As the table `wanted` has it."""
    shard = str((deployment.parameters or {}).get("shard") or "")
    return deployment.name.removesuffix(f"-{Shard.parse(shard).slug}") if shard else deployment.name
