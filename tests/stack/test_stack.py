"""What `make run` starts, for real: scheduled, stored, stopped, nothing left; started again, it goes on."""

from __future__ import annotations

import json
import os
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


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The settings of a stack of the test's own, which does not come so far as to ask an exchange."""
    return stacks.environment(tmp_path, "http://127.0.0.1:9", ["BTCUSDT", "ETHUSDT", "SOLUSDT"])


@pytest.fixture
def prefect_file(tmp_path: Path) -> Path:
    """The minute, every fifteen seconds, and an example that is off."""
    return stacks.prefect_file(tmp_path, "every-minute", "usdm")


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are looked up in /proc")
def test_scheduled_stored_stopped_and_started_again(first_life: FirstLife, shared: Running) -> None:
    """Runs get scheduled and really run, each prints a line by UTC; of a new deployment nobody waits for the first
    minute on schedule, as a run is asked for. A deployment can have an address of its own: all requests of its runs
    leave by that. Ctrl-C leaves nothing running within 15 seconds. The database's mode is as the umask says.
    Started again: one schedule, the same history, what the UI edited holds and runs take it, what prefect.yaml names no
    more is gone, no zombie, and the next run completes."""
    environment, lines = shared.environment, first_life.lines
    database = Path(environment["KLINES_DATABASE"])
    assert {EGRESS} == first_life.addresses
    assert 1 == [run["auto_scheduled"] for run in first_life.runs].count(False)
    assert f"Prefect's UI   http://127.0.0.1:{environment['PREFECT_SERVER_API_PORT']}" in lines
    assert f"database       {database}" in lines
    minutes = (first_life.at - datetime.strptime(lines[-1][:5], "%H:%M").replace(tzinfo=UTC)).seconds // 60
    assert minutes % 1440 <= 2
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
    time.sleep(max(0, running.began_s + AGAIN_S - time.monotonic()))
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


def test_port_that_is_taken_is_one_line(environment: dict[str, str]) -> None:
    """A taken port ends the start with status 1 and one line that says what to do."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = start_and_fail(environment | {"PREFECT_SERVER_API_PORT": port})

    assert 1 == done.returncode
    assert done.stderr.startswith(f"klines: port {port} is taken")
    assert "PREFECT_SERVER_API_PORT" in done.stderr
    assert 1 == done.stderr.count("\n")


@pytest.mark.parametrize(
    ("name", "value"),
    [("KLINES_SPOT_URL", "api.binance.com"), ("KLINES_SYMBOLS", "btc"), ("KLINES_DATABASE", "/nowhere/klines.duckdb")],
)
def test_bad_setting_is_one_line(environment: dict[str, str], name: str, value: str) -> None:
    """A setting that can't be used ends the start with status 2 and one line that names it; nothing was started."""
    done = start_and_fail(environment | {name: value})

    assert 2 == done.returncode
    assert done.stderr.startswith(f"klines: {name}: ")
    assert 1 == done.stderr.count("\n")
    assert not Path(environment["PREFECT_HOME"]).exists()


@pytest.mark.parametrize(
    ("server", "status", "said"),
    [
        ("", 2, "PREFECT_API_URL: name the server of `klines run`"),
        ("http://127.0.0.1:9/api", 1, "no Prefect server answers"),
    ],
)
def test_a_worker_without_a_server_is_one_line(
    environment: dict[str, str], server: str, status: int, said: str
) -> None:
    """`klines worker` says whose queues it can't reach, and leaves nothing running."""
    done = subprocess.run(
        [sys.executable, "-m", "klines.cli", "worker", "--queue", "shard-1"],
        cwd=CHECKOUT, env=environment | {"PREFECT_API_URL": server}, capture_output=True, text=True,
    )  # fmt: skip
    assert (status, 1) == (done.returncode, done.stderr.count("\n"))
    assert done.stderr.startswith(f"klines: {said}")


@pytest.mark.parametrize(
    ("shards", "queue", "said"),
    [
        (3, "shard-4", "--queue shard-4: prefect.yaml has the queues default, "),
        (0, "shard-1", "prefect.yaml, every-minute: "),
    ],
)
def test_shards_and_queues_that_can_not_be(
    environment: dict[str, str], prefect_file: Path, shards: int, queue: str, said: str
) -> None:
    """They end the start with status 2 and one line, before anything is started."""
    content = yaml.safe_load(prefect_file.read_text())
    content["deployments"][0]["shards"] = shards
    prefect_file.write_text(yaml.safe_dump(content))
    done = subprocess.run(
        [sys.executable, "-m", "stack", "--prefect-file", str(prefect_file), "--queue", queue],
        cwd=CHECKOUT, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert (2, 1) == (done.returncode, done.stderr.count("\n"))
    assert done.stderr.startswith(f"klines: {said}")
    assert not Path(environment["PREFECT_HOME"]).exists()


def test_an_open_door_is_refused(environment: dict[str, str]) -> None:
    """A server that others could reach without a password is not started, and one line says what to set."""
    done = start_and_fail(environment | {"PREFECT_SERVER_API_HOST": "0.0.0.0"})

    assert 2 == done.returncode
    assert done.stderr.startswith("klines: PREFECT_SERVER_API_HOST: ")
    assert "PREFECT_SERVER_API_AUTH_STRING" in done.stderr
    assert 1 == done.stderr.count("\n")
    assert "" == done.stdout
    assert not Path(environment["PREFECT_HOME"]).exists()


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


def test_home_that_can_not_be_written_is_one_line(environment: dict[str, str], tmp_path: Path) -> None:
    """Where nothing can be written the start ends with status 1 and one line."""
    (tmp_path / "file").touch()
    done = start_and_fail(environment | {"PREFECT_HOME": str(tmp_path / "file" / "prefect")})

    assert 1 == done.returncode
    assert "can't be written" in done.stderr
    assert 1 == done.stderr.count("\n")


def start_and_fail(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """The stack, which is to end by itself."""
    return subprocess.run(
        [sys.executable, "-m", "stack"], cwd=CHECKOUT, env=environment, capture_output=True, text=True
    )
