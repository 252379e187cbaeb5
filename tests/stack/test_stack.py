"""What `make run` starts, for real: scheduled, stored, stopped, nothing left; started again, it goes on."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
import yaml

from stack.children import AGAIN_S, command
from stack.logs import LOG_BYTES
from tests import CHECKOUT, stacks
from tests.drive import query
from tests.stack.conftest import EDITED, EGRESS, GONE, SYMBOLS, FirstLife
from tests.stacks import LINE, Running, ask
from tests.typed import Ended, Refused, typed

NOBODY = "http://127.0.0.1:9/api"
OPEN = {"PREFECT_SERVER_API_HOST": "0.0.0.0"}
WEAK = dict.fromkeys(("PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_AUTH_STRING"), "klines:password")
STARTS = [
    Refused("run", {"PREFECT_SERVER_API_PORT": "{port}"}, 1, r"port \d+ is taken.*PREFECT_SERVER_API_PORT"),
    Refused("run", {"PREFECT_HOME": "{folder}/none/prefect.yaml/home"}, 1, ".*can't be written"),
    Refused("run", {"KLINES_SPOT_URL": "api.binance.com"}, 2, "KLINES_SPOT_URL: "),
    Refused("run", {"KLINES_SYMBOLS": "btc"}, 2, "KLINES_SYMBOLS: "),
    Refused("run", {"KLINES_DATABASE": "/nowhere/klines.duckdb"}, 2, "KLINES_DATABASE: "),
    Refused("run", OPEN, 2, "PREFECT_SERVER_API_HOST: .*PREFECT_SERVER_API_AUTH_STRING"),
    Refused("run", OPEN | WEAK, 2, "PREFECT_SERVER_API_HOST: .*PREFECT_SERVER_API_AUTH_STRING"),
    Refused(
        "run --prefect-file {folder}/three/prefect.yaml --queue shard-4",
        {},
        2,
        r"--queue shard-4: prefect\.yaml has the queues default, ",
    ),
    Refused("run --prefect-file {folder}/none/prefect.yaml --queue shard-1", {}, 2, r"prefect\.yaml, every-minute: "),
    Refused("worker --queue shard-1", {"PREFECT_API_URL": ""}, 2, "PREFECT_API_URL: name the server of `klines run`"),
    Refused("worker --queue shard-1", {"PREFECT_API_URL": NOBODY}, 1, "no Prefect server answers"),
]
"""Only the last of them imports Prefect, which reads its settings once."""


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Ended, Path]]:
    """How each of STARTS ended, and its PREFECT_HOME, by commands of one interpreter."""
    folder = tmp_path_factory.mktemp("refused")
    for name, shards in (("three", 3), ("none", 0)):
        (folder / name).mkdir()
        file = stacks.prefect_file(folder / name, "every-minute", "usdm")
        content = yaml.safe_load(file.read_text())
        content["deployments"][0]["shards"] = shards
        file.write_text(yaml.safe_dump(content))
    homes = [{"PREFECT_HOME": str(folder / str(number))} for number in range(len(STARTS))]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        places = {"folder": folder, "port": taken.getsockname()[1]}
        wanted = [home | start.settings for home, start in zip(homes, STARTS, strict=True)]
        commands = [
            (start.line.format(**places), {name: value.format(**places) for name, value in settings.items()})
            for start, settings in zip(STARTS, wanted, strict=True)
        ]
        done = typed(commands, environment=stacks.environment(folder, "http://127.0.0.1:9", ["BTCUSDT"]))
    return [(ended, Path(settings["PREFECT_HOME"])) for ended, (_, settings) in zip(done, commands, strict=True)]


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are looked up in /proc")
def test_scheduled_stored_stopped_and_started_again(first_life: FirstLife, shared: Running) -> None:
    """Runs get scheduled and really run, each prints a line by UTC; of a new deployment nobody waits for the first
    minute on schedule, as a run is asked for. A deployment can have an address of its own: all requests of its runs
    leave by that. Ctrl-C leaves nothing running. The database's mode is as the umask says.
    Started again: one schedule, the same history, what the UI edited holds and runs take it, what prefect.yaml names no
    more is gone, no zombie, and the next run completes."""
    environment, lines = shared.environment, first_life.lines
    database = Path(environment["KLINES_DATABASE"])
    assert {EGRESS} == first_life.addresses
    assert 1 == [run["auto_scheduled"] for run in first_life.runs].count(False)
    assert f"Prefect's UI   http://127.0.0.1:{environment['PREFECT_SERVER_API_PORT']}" in lines
    assert f"database       {database}" in lines
    minutes = (first_life.at - datetime.strptime(lines[-1][:5], "%H:%M").replace(tzinfo=UTC)).seconds // 60
    assert minutes % 1440 < 30  # the nearest zone is half an hour away
    assert (0, []) == (first_life.status, first_life.left)
    assert new_file_mode(database.parent) == database.stat().st_mode
    [(symbols, klines, distinct)] = query(
        database, "SELECT count(DISTINCT symbol), count(*), count(DISTINCT (symbol, open_time)) FROM klines"
    )
    assert (len(SYMBOLS), klines) == (symbols, distinct)
    assert klines >= len(SYMBOLS) * 1440

    before, after = first_life.deployment, shared.deployment()
    there = {found["name"]: found for found in ask(environment, "POST", "/deployments/filter", {})}
    assert (True, False) == ("every-minute" in there, GONE in there)
    assert before["id"] == after["id"]
    assert 1 == len(after["schedules"])
    assert EDITED == after["parameters"]
    runs = ask(environment, "POST", "/flow_runs/filter", {"sort": "EXPECTED_START_TIME_ASC", "limit": 200})
    ours = [run for run in runs if run["deployment_id"] == after["id"]]
    of_before = {run["id"] for run in first_life.runs}
    assert of_before & {run["id"] for run in ours}
    given = [run["parameters"].get("lookback") for run in ours if run["id"] not in of_before]
    assert EDITED["lookback"] in given
    states = [run["state_type"] for run in ours]
    assert 2 <= states.count("COMPLETED")
    assert "RUNNING" not in states


def new_file_mode(folder: Path) -> int:
    """The mode of a file that is made here."""
    (folder / "new").touch()
    return (folder / "new").stat().st_mode


def shell(environment: dict[str, str], *arguments: str) -> Any:
    """What `klines … --json` prints in a shell with these settings."""
    command = [sys.executable, "-m", "klines.cli", *arguments, "--json"]
    done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True)
    assert 0 == done.returncode, done.stderr
    return json.loads(done.stdout)


def test_a_shell_uses_what_runs_and_a_killed_worker_is_started_again(running: Running) -> None:
    """A flow from the shell runs on the server of the stack that runs here, and status shows it; the API refuses a
    parameter that the flow does not have. A worker, or a server, that lived for long and is killed is started again,
    which is a line, and runs go on, which need both. A log that has become too long meanwhile was put aside."""
    log = Path(running.environment["PREFECT_HOME"]) / "logs" / "server.log"
    os.truncate(log, LOG_BYTES + 1)
    assert any(line.startswith("next           ") for line in running.said)
    collected = shell(running.environment, "collect", "BTCUSDT", "--lookback", "PT3H")
    assert ("Completed", 1) == (collected["state"], collected["symbols"])
    names = [run["message"] for run in shell(running.environment, "status")["runs"]]
    assert collected["message"] in names
    path = f"/deployments/{running.deployment()['id']}/create_flow_run"
    with pytest.raises(HTTPError) as refused:
        ask(running.environment, "POST", path, {"parameters": {"symbol": "BTCUSDT"}})
    with refused.value as answer:
        assert 409 == answer.code
        assert "'symbol' was unexpected" in answer.read().decode()
    time.sleep(max(0, running.ran_s + AGAIN_S - time.monotonic()))
    pids = [int(pid) for pid in (Path(running.environment["PREFECT_HOME"]) / "stack.pids").read_text().split()]
    [worker] = [pid for pid in pids if "worker" in command(pid)]
    os.kill(worker, signal.SIGKILL)
    running.hear(lambda line: line.startswith("the worker ended (-9) and is started again"))
    [server] = [pid for pid in pids if "stack.serve" in command(pid)]
    os.kill(server, signal.SIGKILL)
    running.hear(lambda line: line.startswith("the server ended (-9) and is started again"))
    running.hear(lambda line: line == "the Prefect server answers again")
    running.run(LINE.fullmatch)
    os.truncate(log, LOG_BYTES + 1)
    while log.stat().st_size > LOG_BYTES:
        time.sleep(0.2)
    assert log.with_suffix(".old.log").stat().st_size >= LOG_BYTES


@pytest.mark.parametrize("number", range(len(STARTS)))
def test_what_can_not_start_is_one_line(refused: list[tuple[Ended, Path]], number: int) -> None:
    """A start of stack or worker that can't be ends with one line that says why, and what to set: with status 2 before
    anything is started or made where a setting or option is none, such as a door that is open to others without a
    password, and else with status 1."""
    start, (ended, home) = STARTS[number], refused[number]
    assert (start.status, "") == (ended.status, ended.out)
    assert re.fullmatch(f"klines: {start.said}.*\n", ended.error), ended.error
    assert start.status == 1 or not home.exists()


def test_services_are_valid(tmp_path: Path) -> None:
    """systemd finds nothing wrong with the units, and would with a broken one; skipped where there is no systemd."""
    if not shutil.which("systemd-analyze") or not (CHECKOUT / ".venv" / "bin" / "prefect").exists():
        pytest.skip("no systemd-analyze here, or not run by make")
    for unit in (CHECKOUT / "stack" / "systemd").iterdir():
        (tmp_path / unit.name).write_text(unit.read_text().replace("%h/klines", str(CHECKOUT)))
    (tmp_path / "broken.service").write_text("[Service]\nExecStart=/nowhere\n")

    def verify(*names: str) -> int:
        command = ["systemd-analyze", "verify", *(str(tmp_path / name) for name in names)]
        return subprocess.run(command, capture_output=True).returncode

    assert 0 == verify("klines-server.service", "klines-worker.service", "klines-worker@shard-3.service")
    assert 0 != verify("broken.service")
