"""The documentation's commands work word by word, after `make demo` as its last lines say, and in a checkout."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import duckdb
import pytest

from stack.temporary import free_port
from tests import AS_USERS, CHECKOUT, stacks
from tests.docs.pages import README, blocks, commands
from tests.stacks import LINE, read_until
from tests.typed import Ended, typed

COMMANDS = commands()
CONSTRAINTS = (CHECKOUT / "constraints.txt").read_text()
TYPED = [line for line in COMMANDS if line.split()[0] in ("klines", "python")]
IN_A_ROW = [line for line in TYPED if line.startswith("klines ") and line != "klines status"]
"""Those that have one interpreter; the others are programs of a shell."""
ELSEWHERE = ("git clone ", "pip install ", ". .venv/bin/activate")
"""Beginnings of lines that are not typed here: they need the network. tests/test_distribution.py installs."""
NOT_COPIED = shutil.ignore_patterns(".*", "__pycache__", "screenshots", "*.duckdb*")


class Checkout(NamedTuple):
    """A copy of the checkout, and the environment of a user's shell there, with `klines` and `python` on its path."""

    folder: Path
    environment: dict[str, str]

    def type(self, line: str, folder: Path | None = None) -> str:
        """What a line prints; it must end with status 0."""
        done = subprocess.run(
            ["sh", "-c", line], cwd=folder or self.folder, env=self.environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        return done.stdout


def checkout(folder: Path, **settings: str) -> Checkout:
    """A copy of this checkout in a folder, and a shell with no settings but these."""
    shutil.copytree(CHECKOUT, folder / "klines", ignore=NOT_COPIED)
    (folder / "bin").mkdir()
    for name, program in (("klines", "-m klines.cli"), ("python", "")):
        script = folder / "bin" / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" {program} "$@"\n')
        script.chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("KLINES_", "PREFECT_"))}
    path = {"PATH": f"{folder / 'bin'}:{kept['PATH']}", "PYTHONPATH": f"{AS_USERS}:{folder / 'klines'}"}
    return Checkout(folder / "klines", kept | path | settings)


class Demo(NamedTuple):
    """A demo that runs: its checkout, and what it printed up to its first run."""

    checkout: Checkout
    said: list[str]

    @property
    def point(self) -> str:
        """What points a shell at the demo, as it says, but with our `klines` on the path."""
        [point] = [said.removeprefix("in a shell     ") for said in self.said if said.startswith("in a shell ")]
        return f'PATH_BEFORE=$PATH; {point}; PATH="$PATH_BEFORE"'

    def type(self, line: str) -> str:
        """What a line prints in a shell that was pointed at the demo."""
        return self.checkout.type(f"{self.point}; {line}")


@pytest.fixture(scope="module")
def demo(prefect_db: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """`klines demo` in a copy of the checkout, which has run once; audits begin a day ago, so that they are short."""
    folder, port = tmp_path_factory.mktemp("demo"), free_port()
    since = f"{datetime.now(UTC) - timedelta(days=1):%Y-%m-%d}"
    copy = checkout(folder, KLINES_SINCE=since, PREFECT_SERVER_API_PORT=str(port))
    stacks.copy_home(prefect_db, copy.folder / ".demo" / "prefect")
    command: list[str | Path] = [
        folder / "bin" / "klines",
        "demo",
        "--prefect-file",
        stacks.prefect_file(folder, "every-minute"),
    ]
    with subprocess.Popen(command, cwd=copy.folder, env=copy.environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            said = read_until(process, LINE.fullmatch)
            [deployment] = stacks.ask(copy.environment, "POST", "/deployments/filter", {})
            stacks.pause(copy.environment, deployment["id"])
            yield Demo(copy, said)
        finally:
            process.send_signal(signal.SIGINT)


@pytest.fixture(scope="module")
def in_a_row(demo: Demo) -> dict[str, Ended]:
    """How each line of IN_A_ROW ended, typed one after the other."""
    commands: list[tuple[str, dict[str, str]]] = [(line.removeprefix("klines "), {}) for line in IN_A_ROW]
    copy = demo.checkout
    found = typed(commands, within=demo.point, folder=copy.folder, environment=copy.environment)
    return dict(zip(IN_A_ROW, found, strict=True))


def masked(text: str) -> set[str]:
    """The clauses of a message, with # for each number and path."""
    return set(re.sub(r"(/\S+|\d[\d,.]*\b)", "#", " ".join(text.split())).split("; "))


def placeless(line: str) -> str:
    """A line with # for each number, path, address and name of a system."""
    return re.sub(r"(/\S+|api\.binance\.com|127\.0\.0\.1:\d+|\d[\d,.:-]*|Linux|Darwin)", "#", " ".join(line.split()))


@pytest.mark.parametrize("line", TYPED)
def test_every_command_works_in_the_demo(demo: Demo, line: str, request: pytest.FixtureRequest) -> None:
    """Each `klines` and `python` line of the sh blocks ends with status 0 in a shell that was pointed at the demo, and
    prints what the page says, but for numbers, and for the places and addresses of the page's machine. Most of them
    have one interpreter, which is no shell: there is nothing in them for it to expand."""
    if "notebook" in line and not (importlib.util.find_spec("marimo") and importlib.util.find_spec("altair")):
        pytest.skip("marimo or altair is not installed, which the notebook needs")
    if line.startswith("klines doctor") and f"duckdb=={duckdb.__version__}\n" not in CONSTRAINTS:
        pytest.skip("another DuckDB than the tested one is installed, which the doctor finds")
    if line in IN_A_ROW:
        assert not set("$`~|&;<>#") & set(line)
        ended = request.getfixturevalue("in_a_row")[line]
        assert ended.status == 0, f"{line}\n{ended.out}\n{ended.error}"
        printed = ended.out.splitlines()
    else:
        printed = demo.type(line).splitlines()
    *said, last = COMMANDS[line].strip().splitlines() or [""]
    assert not last or masked(last) <= masked(printed[-1])
    assert {placeless(one) for one in said} <= {placeless(one) for one in printed}


def test_what_the_start_prints(demo: Demo) -> None:
    """README shows the lines of the start: where UI, database and logs are, what is next, and a line per run."""
    [shown] = [block.printed for block in blocks("sh") if "make run" in block.code and block.page == "README.md"]
    first, *named = [line for line in shown.splitlines() if not LINE.fullmatch(line)]
    assert first == demo.said[0]
    assert {line[:15] for line in named} < {line[:15] for line in demo.said[1:]}
    assert ". .demo/env" in README


def test_a_checkout_has_its_own_settings(demo: Demo, tmp_path: Path) -> None:
    """Without a setting in the shell, commands and `import klines` of any folder take those of the checkout's `.env`,
    such as the exchange that is asked, and the checkout's database, as after `make run`."""
    values = dict(line.removeprefix("export ").split("=", 1) for line in demo.type("cat .demo/env").splitlines())
    (tmp_path / "elsewhere").mkdir()
    copy = checkout(tmp_path)
    kept = [f"{name}={value}" for name, value in values.items() if name.endswith("_URL")]
    (copy.folder / ".env").write_text("\n".join(kept))
    shutil.copy(values["KLINES_DATABASE"], copy.folder / "klines.duckdb")
    elsewhere = tmp_path / "elsewhere"
    lines = ("listing --all", "status", "read BTCUSDT --interval 1h --csv BTCUSDT-1h.csv")
    found = typed([(line, {}) for line in lines], folder=elsewhere, environment=copy.environment)
    assert [0] * len(lines) == [ended.status for ended in found], found
    assert "BTCUSDT" in found[0].out
    assert (elsewhere / "BTCUSDT-1h.csv").exists()
    printed = copy.type("python -c 'import klines; print(*klines.symbols()[\"symbol\"])'", elsewhere)
    assert "BTCUSDT" in printed.split()


@pytest.mark.parametrize("line", [line for line in COMMANDS if line not in TYPED])
def test_every_other_command_is_one(line: str) -> None:
    """A line that is not typed here is a target of the Makefile, or begins as one that other tests look after."""
    if line.startswith("make "):
        subprocess.run(["make", "--dry-run", *line.split()[1:]], cwd=CHECKOUT, capture_output=True, check=True)
    else:
        assert line.startswith(ELSEWHERE)
