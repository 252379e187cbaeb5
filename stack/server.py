"""What `klines run` asks of the Prefect server besides what every worker does: the work pool, and the deployments.

Import it only when `PREFECT_HOME` and `PREFECT_API_URL` are set: Prefect reads its settings while it is imported.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from prefect import __version__ as prefect_version
from prefect.client.schemas.actions import DeploymentUpdate, WorkPoolCreate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.settings import PREFECT_API_URL
from prefect.workers.process import ProcessWorker

from stack import CHECKOUT
from stack.engine import job_variables
from stack.prefect_file import deployments_of
from stack.runs import Runs

MADE_HERE = re.compile("[0-9a-f]{8}-[0-9a-f]{8}")
"""What `version` returns."""


class Server(Runs):
    """The Prefect server, about the deployments of one prefect.yaml and the `worker` (its name) that runs them."""

    def __init__(self, prefect_file: Path, worker: str) -> None:
        self._sections = deployments_of(prefect_file)
        super().__init__(str(self._sections[0]["work_pool"]["name"]), worker)
        self._ids: list[UUID] = []

    @property
    def ui(self) -> str:
        """The address for a browser."""
        return str(PREFECT_API_URL.value()).removesuffix("/api")

    def deploy(self, command: Callable[[Callable[[], None]], None]) -> None:
        """Create the work pool; if a deployment is missing or changed, deploy by `command`, which calls meanwhile what
        it is given. A run is asked for of each that collects and is new, so that nobody waits for its first minute.

        What was edited in the UI stays. A deployment's version tells whether it changed: see `version`.
        """
        self._create_pool()
        before = [self._deployment(section) for section in self._sections]
        versions = [version(section) for section in self._sections]
        new = [section for section, was in zip(self._sections, before, strict=True) if not was and collects(section)]

        def begin(some: int = 1) -> None:
            """Ask for runs of the first of the new ones that are left, where they are there by now."""
            with self._when_it_answers():
                new[:some] = [section for section in new[:some] if not self._ask_for_run(section)]

        if [found and found.version for found in before] != versions:
            command(begin)
            for section, was, now in zip(self._sections, before, versions, strict=True):
                self._restore(section, was, now)
        self._ids = [found.id for section in self._sections if (found := self._deployment(section))]
        self._forget()
        begin(len(new))

    def _forget(self) -> None:
        """Delete the deployments that were made from here and that prefect.yaml names no more."""
        for found in self._client.read_deployments():
            is_of_here = MADE_HERE.fullmatch(found.version or "") and str(CHECKOUT) in json.dumps(found.pull_steps)
            if is_of_here and found.id not in self._ids:
                self._client.delete_deployment(found.id)

    def _create_pool(self) -> None:
        template = ProcessWorker.get_default_base_job_template()
        pool = WorkPoolCreate(name=self.pool, type="process", base_job_template=template)
        with contextlib.suppress(ObjectAlreadyExists):
            self._client.create_work_pool(pool)

    def _restore(self, section: dict[str, Any], was: DeploymentResponse | None, now: str) -> None:
        """Note the version just deployed, and what its runs are started by; put back what the UI had: parameters, and a
        pause.

        Parameters that prefect.yaml names win over the UI's only when the deployment's section was changed. Parameters
        that the flow does not have are refused by the API from then on: such a run would crash.
        """
        found = cast(DeploymentResponse, self._deployment(section))
        schema = (found.parameter_openapi_schema or {}) | {"additionalProperties": False}
        kept: dict[str, Any] = {"parameters": found.parameters, "parameter_openapi_schema": schema}
        kept["job_variables"] = job_variables(found.job_variables)
        if was:
            known = (found.parameter_openapi_schema or {}).get("properties", {})
            edited = {name: value for name, value in was.parameters.items() if name in known}
            is_same_section = (was.version or "").partition("-")[0] == now.partition("-")[0]
            kept["parameters"] = found.parameters | edited if is_same_section else edited | found.parameters
            kept["paused"] = was.paused
        self._client.update_deployment(found.id, DeploymentUpdate(version=now, **kept))

    def _deployment(self, section: dict[str, Any]) -> DeploymentResponse | None:
        try:
            return self._client.read_deployment_by_name(full_name(section))
        except ObjectNotFound:
            return None

    def collect_now(self) -> None:
        """Ask for a run of each deployment of collect that has a schedule which is on."""
        with self._when_it_answers():
            for section in filter(collects, self._sections):
                self._ask_for_run(section)

    def _ask_for_run(self, section: dict[str, Any]) -> bool:
        """Ask for one, if its schedule is on; False where the deployment is not there, or has no schedule."""
        found = self._deployment(section)
        if found is None or not found.schedules:
            return False
        if not found.paused and any(schedule.active for schedule in found.schedules):
            self._client.create_flow_run_from_deployment(found.id, job_variables=job_variables(found.job_variables))
            self.asked = datetime.now(UTC)
            self._ids = list(dict.fromkeys([*self._ids, found.id]))
        return True

    def _about(self) -> dict[str, Any]:
        return {"deployment_filter": DeploymentFilter(id=DeploymentFilterId(any_=self._ids))}


def full_name(section: dict[str, Any]) -> str:
    """`collect/every-minute`: a flow bears its function's name."""
    return f"{section['entrypoint'].rpartition(':')[2]}/{section['name']}"


def collects(section: dict[str, Any]) -> bool:
    """Whether it is a deployment of collect."""
    return full_name(section).startswith("collect/")


def version(section: dict[str, Any]) -> str:
    """Two hashes: of the deployment's section in prefect.yaml; of where the code is, and of what it says."""
    code = [path.read_bytes() for folder in ("flows", "klines") for path in sorted((CHECKOUT / folder).rglob("*.py"))]
    place = f"{CHECKOUT} {prefect_version} {job_variables({})}".encode()
    return f"{_hash(json.dumps(section, default=str).encode())}-{_hash(place, *code)}"


def _hash(*parts: bytes) -> str:
    return hashlib.sha256(b"\n".join(parts)).hexdigest()[:8]
