"""The deployment that a run is of."""

from __future__ import annotations

from prefect.client.orchestration import get_client
from prefect.client.schemas.responses import DeploymentResponse
from prefect.context import FlowRunContext


def deployment() -> DeploymentResponse | None:
    """The deployment as it is now, None for a run from the shell.

    It is asked for over the connection that the run has. `prefect.runtime.deployment` opens one for each question, also
    where there is no deployment, which takes 40 ms of CPU.
    """
    context = FlowRunContext.get()
    its_id = context.flow_run.deployment_id if context and context.flow_run else None
    if its_id is None:
        return None
    with get_client(sync_client=True) as client:
        return client.read_deployment(its_id)
