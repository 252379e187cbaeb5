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
from collections.abc import Iterator
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
from tests.exchange import StandIn
from tests.stacks import LINE, Running, ask, read_until, stack

EGRESS = "127.0.0.2"


@pytest.fixture
def any_exchange() -> Iterator[StandIn]:
    """An exchange by the real clock that has every symbol."""
    with StandIn(any_symbol=True) as exchange:
        yield exchange


@pytest.fixture
def environment(any_exchange: StandIn, tmp_path: Path) -> dict[str, str]:
    """The settings of a stack of the test's own."""
    return stacks.environment(tmp_path, any_exchange.url, ["BTCUSDT", "ETHUSDT", "SOLUSDT"])


@pytest.fixture
def prefect_file(tmp_path: Path) -> Path:
    """The minute, every fifteen seconds, and an example that is off."""
    return stacks.prefect_file(tmp_path, "every-minute", "usdm")


def leaving_by(address: str, prefect_file: Path) -> Path:
    """The same, where runs of the minute make their requests from that address."""
    content = yaml.safe_load(prefect_file.read_text())
    content["deployments"][0]["work_pool"]["job_variables"] = {"env": {"KLINES_EGRESS": address}}
    prefect_file.write_text(yaml.safe_dump(content))
    return prefect_file


def deployment(environment: dict[str, str]) -> dict[str, Any]:
    """The deployment as the server has it."""
    found: dict[str, Any] = ask(environment, "GET", "/deployments/name/collect/every-minute")
    return found


def left_running(environment: dict[str, str]) -> list[str]:
    """The command lines of processes that were started with the stack's PREFECT_HOME."""
    mark = f"PREFECT_HOME={environment['PREFECT_HOME']}".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (entry / "environ").read_bytes().split(b"\0") and (entry / "cmdline").read_bytes():
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are looked up in /proc")
def test_scheduled_stored_stopped_and_started_again(
    any_exchange: StandIn, environment: dict[str, str], prefect_file: Path, tmp_path: Path
) -> None:
    """Runs get scheduled and really run, each prints a line by UTC; of a new deployment nobody waits for the first
    minute on schedule, as a run is asked for. A deployment can have an address of its own: all requests of its runs
    leave by that. Ctrl-C leaves nothing running within 15 seconds.
    What Prefect wrote is its owner's alone, the database as the umask says.
    Started again: one schedule, the same history, what the UI edited holds, no zombie, and the next run completes."""
    with stack(environment, leaving_by(EGRESS, prefect_file)) as process:
        lines = read_until(process, LINE.fullmatch)
        assert {EGRESS} == {request.address for request in any_exchange.requests}
        assert 1 == [run["auto_scheduled"] for run in ask(environment, "POST", "/flow_runs/filter", {})].count(False)
        assert f"Prefect's UI   http://127.0.0.1:{environment['PREFECT_SERVER_API_PORT']}" in lines
        assert f"database       {tmp_path / 'klines.duckdb'}" in lines
        minutes = (datetime.now(UTC) - datetime.strptime(lines[-1][:5], "%H:%M").replace(tzinfo=UTC)).seconds // 60
        assert minutes % 1440 <= 2
        before = deployment(environment)
        ask(environment, "PATCH", f"/deployments/{before['id']}", {"parameters": {"symbols": ["BTCUSDT"]}})
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert 0 == process.wait(15)
        assert 15 > time.monotonic() - began
    assert [] == left_running(environment)
    assert 0 == sum(path.stat().st_mode & 0o077 for path in Path(environment["PREFECT_HOME"]).rglob("*"))
    assert new_file_mode(tmp_path) == (tmp_path / "klines.duckdb").stat().st_mode
    [(symbols, klines, distinct)] = query(
        tmp_path / "klines.duckdb",
        "SELECT count(DISTINCT symbol), count(*), count(DISTINCT (symbol, open_time)) FROM klines",
    )
    assert (3, klines) == (symbols, distinct)
    assert klines >= 3 * 1440

    with stack(environment, leaving_by(EGRESS, stacks.prefect_file(tmp_path, "every-minute"))) as process:
        lines = read_until(process, LINE.fullmatch)
        assert "of 1 symbol in" in lines[-1]
        after = deployment(environment)
        assert ["every-minute"] == [found["name"] for found in ask(environment, "POST", "/deployments/filter", {})]
        states = [run["state_type"] for run in ask(environment, "POST", "/flow_runs/filter", {"limit": 200})]
    assert before["id"] == after["id"]
    assert 1 == len(after["schedules"])
    assert {"symbols": ["BTCUSDT"]} == after["parameters"]
    assert 2 <= states.count("COMPLETED")
    assert "RUNNING" not in states
    assert [] == left_running(environment)


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
    which is a line, and runs go on. A log that has become too long meanwhile was put aside."""
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
    running.run(LINE.fullmatch)
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
