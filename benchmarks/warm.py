"""One warm process that runs `collect`, as its deployment's runs, minute after minute of the stand-in's clock.

As in a scheduled minute each run is Scheduled, Pending, which takes the deployment's slot, Running and Completed, and
what it records names flow, deployment, work pool and work queue. Left out is the rest of what a minute has: the
worker with its queries, events and lines of log, a new process, and its heartbeat.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from benchmarks import CHECKOUT
from benchmarks.measure import Server, client
from klines.interval import MINUTE
from tests.exchange import StandIn

START_MS = 1_767_355_200_000
"""2026-01-02 12:00 UTC: the minute before the first run."""
SECOND_MS = 5_000
"""Runs are due at this second of their minute, as prefect.yaml has it."""


class Minutes:
    """The minutes that have gone by in a DuckDB file of `folder`, whichever server they were run on."""

    def __init__(self, folder: Path, exchange: StandIn, symbols: list[str], pause_s: float) -> None:
        self.folder = folder
        self.exchange = exchange
        self.symbols = symbols
        self.pause_s = pause_s
        self.count = 0

    @property
    def database(self) -> Path:
        """The DuckDB file."""
        return self.folder / "klines.duckdb"

    def next(self) -> None:
        """Let a minute pass for the stand-in."""
        self.count += 1
        self.exchange.forget()
        self.exchange.freeze(START_MS + self.count * MINUTE + SECOND_MS)


class Ran(NamedTuple):
    """The seconds that a run took, the CPU seconds of its process, and its state and message if it is not Completed."""

    wall_s: float
    cpu_s: float
    complaint: str


class Driver(NamedTuple):
    """The warm process; `tasks` is how many task runs a run has."""

    minutes: Minutes
    pipe: Connection
    tasks: int

    def run(self) -> Ran:
        """One run, a minute after the last."""
        self.minutes.next()
        began_s = time.monotonic()
        self.pipe.send(None)
        state, message, cpu_s = self.pipe.recv()
        wall_s = time.monotonic() - began_s
        time.sleep(self.minutes.pause_s)
        return Ran(wall_s, cpu_s, "" if state == "Completed" else f"run {self.minutes.count}: {state}: {message}")


@contextmanager
def driving(minutes: Minutes, server: Server) -> Iterator[Driver]:
    """The warm process, its deployment made; it ends with all that it has to tell the server told."""
    os.environ.update(
        client(server, minutes.folder / "driver"),
        KLINES_SPOT_URL=minutes.exchange.url,
        KLINES_DATABASE=str(minutes.database),
        KLINES_SYMBOLS=" ".join(minutes.symbols),
    )
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    child = spawn.Process(target=drive, args=(theirs, len(minutes.symbols), minutes.folder))
    child.start()
    theirs.close()
    try:
        yield Driver(minutes, ours, ours.recv())
        ours.close()
        child.join()
    finally:
        child.terminate()


def drive(pipe: Connection, symbols: int, folder: Path) -> None:
    """Run `collect` whenever it is asked for, until the pipe ends; state, message and CPU seconds go back."""
    from prefect.client.orchestration import get_client
    from prefect.flow_engine import run_flow
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
    from prefect.states import Pending

    from flows.collect import collect
    from tasks.fetch import SINGLE, batches_of

    with (folder / "driver.log").open("ab") as log:
        os.dup2(log.fileno(), sys.stdout.fileno())
        os.dup2(log.fileno(), sys.stderr.fileno())
    # that the stand-in's clock is another is no news: it would be a line of log in each run
    logging.getLogger("prefect.task_runs").addFilter(lambda record: "this machine's clock" not in str(record.msg))
    prefect = get_client(sync_client=True)
    deployment = prefect.read_deployment_by_name(deploy(folder))
    pipe.send(2 + (symbols if symbols <= SINGLE else batches_of(symbols)))
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        while is_asked(pipe):
            before_s = time.process_time()
            run = prefect.create_flow_run_from_deployment(deployment.id)
            prefect.set_flow_run_state(run.id, Pending())
            state: Any = run_flow(collect, flow_run=prefect.read_flow_run(run.id), return_type="state")
            pipe.send((state.name, state.message, time.process_time() - before_s))


def is_asked(pipe: Connection) -> bool:
    """Wait for the next run to be asked for; False: there is none."""
    try:
        pipe.recv()
    except EOFError:
        return False
    return True


def deploy(folder: Path) -> str:
    """Deploy the first section of prefect.yaml without its schedule, unless it is deployed; its full name."""
    from stack.server import Server as Deployer
    from stack.server import full_name

    described = yaml.safe_load((CHECKOUT / "prefect.yaml").read_text())
    section = {name: value for name, value in described["deployments"][0].items() if name != "schedules"}
    file = folder / "prefect.yaml"
    file.write_text(yaml.safe_dump(described | {"deployments": [section]}))
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(file)]

    def run(_: object) -> None:
        subprocess.run(command, cwd=CHECKOUT, check=True)

    Deployer(file, worker="").deploy(run)
    return full_name(section)
