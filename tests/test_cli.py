"""The command `klines`: its help, what it prints and writes, and how it ends when something is wrong."""

from __future__ import annotations

import inspect
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from datetime import datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import docstring_parser
import polars as pl
import pytest

import klines
from klines.cli import exit_status
from klines.cli.app import app
from klines.cli.look import LOOK, SHORT, SHOWN
from klines.cli.work import FLOWS, STACK
from klines.storage.turn import minute_at_work
from tests import CHECKOUT
from tests.drive import collect_once, ms
from tests.exchange import StandIn
from tests.typed import typed

COMMANDS = {**STACK, **FLOWS, **LOOK}
HEAVY = ["duckdb", "polars", "prefect", "pyarrow", "pydantic"]


def run(*arguments: str, cwd: Path = CHECKOUT, **variables: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    command = [sys.executable, "-m", "klines.cli", *arguments]
    return subprocess.run(command, cwd=cwd, env=os.environ | variables, capture_output=True, text=True)


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """What is wrong, as the command says it: in one line, and nothing else."""
    assert "" == done.stdout
    assert done.stderr.startswith("klines: ")
    assert 1 == done.stderr.count("\n"), done.stderr
    return done.stderr


def described(text: str | None) -> dict[str, str]:
    """The parameters that a docstring explains."""
    parsed = docstring_parser.parse(text or "")
    return {parameter.arg_name: " ".join((parameter.description or "").split()) for parameter in parsed.params}


@pytest.fixture
def stored(exchange: StandIn, database: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three hours of two symbols, in the database that KLINES_DATABASE names."""
    exchange.freeze(ms("2026-11-24T12:00:05"))
    collect_once(exchange, database, ["BTCUSDT", "ETHUSDT"], lookback=timedelta(hours=3))
    monkeypatch.setenv("KLINES_DATABASE", str(database))
    return database


def test_help_comes_at_once() -> None:
    """No help imports what is slow to import: Prefect, pydantic, or what reads and writes data."""
    code = f"""import sys
from klines.cli import exit_status
for command in {[[], *[[name] for name in COMMANDS]]}:
    assert exit_status([*command, "--help"]) == 0
print(sorted(set({HEAVY}) & set(sys.modules)))"""
    done = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert "[]" == done.stdout.splitlines()[-1]


def test_a_command_does_without_what_is_not_needed(stored: Path) -> None:
    """DuckDB would import pandas for a statement with a parameter, and pyarrow.dataset for a frame: together they took
    half a second of each command and each flow run."""
    code = """if True:
        import contextlib, sys
        from klines.cli import main
        with contextlib.suppress(SystemExit):
            main(["unban"])
        import duckdb, polars
        frame = polars.DataFrame({"a": [1]}).to_arrow()
        assert [(1, 2)] == duckdb.connect().execute("SELECT a, ? FROM frame", [2]).fetchall()
        print(*{"duckdb", "pandas.core.api", "pyarrow.compute"} & {*sys.modules})"""
    variables = {"KLINES_DATABASE": str(stored), "PYTHONPATH": str(CHECKOUT)}  # no path without pandas, as tests have
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=CHECKOUT, env=os.environ | variables, capture_output=True, text=True)
    assert (0, "duckdb") == (done.returncode, done.stdout.splitlines()[-1]), done.stderr


def test_a_command_does_not_look_for_garbage_at_its_end() -> None:
    """What it holds is free a moment later anyhow; once Prefect was imported, to look through it took half a second."""
    code = """if True:
        import gc
        from klines.cli import main
        class Garbage:
            def __init__(self):
                self.itself = self
            def __del__(self):
                print("found")
        gc.disable()
        Garbage()
        main(["unban", "--help"])"""
    done = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True)
    assert (0, True, False) == (done.returncode, "Usage" in done.stdout, "found" in done.stdout), done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_help_explains(name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The help of each command has an example, and explains every parameter."""
    monkeypatch.setenv("COLUMNS", "300")
    assert 0 == exit_status([name, "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    function, example = COMMANDS[name]
    assert example.startswith(f"klines {name}")
    assert f"Example: {example}" in shown
    explained = described(function.__doc__)
    assert set(inspect.signature(function).parameters) == set(explained)
    assert all(text.replace("`", "") in shown for text in explained.values())


def test_examples_are_right() -> None:
    """Each example is a command line that is accepted."""
    for function, example in COMMANDS.values():
        command, bound, _ = app.parse_args(example.split()[1:], exit_on_error=False, print_error=False)
        assert command == function
        bound.apply_defaults()


@pytest.mark.parametrize("name", FLOWS)
def test_a_flow_is_explained_once(name: str) -> None:
    """Command and form say the same: the flow's first sentences, its parameters, their texts, defaults and choices."""
    function, _ = FLOWS[name]
    flow: Any = getattr(import_module(f"flows.{name}"), name)
    first, _, _ = inspect.getdoc(flow.fn).partition("\n\nArgs:")  # type: ignore[union-attr]
    said, _, _ = inspect.getdoc(function).partition("\n\nArgs:")  # type: ignore[union-attr]
    assert first == said
    properties: dict[str, Any] = flow.parameters.properties
    explained = described(function.__doc__)
    assert "" != explained.pop("json")
    assert {key: " ".join(about["description"].split()) for key, about in properties.items()} == explained
    parameters = inspect.signature(function).parameters
    for key, about in properties.items():
        is_required = key in (flow.parameters.required or ())
        assert is_required == (parameters[key].default is inspect.Parameter.empty)
        if not is_required:
            assert about.get("default") == parameters[key].default
    assert not any("*" in re.sub("`[^`]*`", "", text) for text in explained.values())  # which the form would take away
    choices = {key: about["enum"] for key, about in properties.items() if "enum" in about}
    hints = inspect.get_annotations(function, eval_str=True)
    assert choices == {key: list(hints[key].__args__) for key in choices}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["colect"], 'Unknown command "colect". Did you mean "collect"'),
        (["collect", "--symbol", "BTCUSDT"], "--symbol. Did you mean --symbols?; see klines collect --help"),
        (["collect", "--market", "forex"], '"forex" for --market. Choose from: "spot", "usdm", "coinm"'),
        (["backfill", "--start", "2024-01-01", "--end", "2024-02-01"], "--symbols"),
        (["read"], "--symbols"),
        (["read", "BTCUSDT", "--csv", "a", "--json"], "--csv, --json"),
        (["explore", "--port", "many"], "--port"),
    ],
)
def test_what_is_no_command_line(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A mistake on the command line is one line that names it and what is allowed, and status 2."""
    assert 2 == exit_status(arguments)
    said = capsys.readouterr().err
    assert told in said
    assert 1 == said.count("\n")


@pytest.mark.slow
def test_outside_a_checkout(tmp_path: Path) -> None:
    """Where only the package is, what collects says in one line that it needs the checkout; what reads asks for an
    absolute path of the database, and has it then."""
    shutil.copytree(CHECKOUT / "klines", tmp_path / "site" / "klines", ignore=shutil.ignore_patterns("__pycache__"))
    outside = {"PYTHONPATH": str(tmp_path / "site"), "PYTHONSAFEPATH": "1"}
    needed = {
        "backfill": "BTCUSDT --start 2024-01-01 --end 2024-01-02",
        "worker": "--queue shard-1",
    }
    read, absent = "read BTCUSDT", str(tmp_path / "klines.duckdb")
    not_set = "KLINES_DATABASE: not set, and this klines is not in a checkout; set it to the path of a DuckDB file"
    relative = "KLINES_DATABASE: klines.duckdb is relative, and this klines is not in"
    asked: list[tuple[str, dict[str, str], int, str]] = [
        *(
            (f"{name} {needed.get(name, '')}", {}, 2, f"`klines {name}` needs the checkout: ")
            for name in (*STACK, *FLOWS)
        ),
        (read, {}, 2, not_set),
        (read, {"KLINES_DATABASE": "klines.duckdb"}, 2, relative),
        (read, {"KLINES_DATABASE": absent}, 1, "there is no database at"),
    ]
    found = typed([(line, given) for line, given, *_ in asked], folder=tmp_path, environment=os.environ | outside)
    for (line, _, status, told), ended in zip(asked, found, strict=True):
        assert (status, "", 1) == (ended.status, ended.out, ended.error.count("\n")), line
        assert ended.error.startswith("klines: ")
        assert told in ended.error


def test_a_snapshot_outside_a_checkout(stored: Path, tmp_path: Path) -> None:
    """Where only the package is, connect() makes its snapshot, and imports nothing from the caller's folder for it."""
    shutil.copytree(CHECKOUT / "klines", tmp_path / "site" / "klines", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "random.py").write_text("raise SystemExit('somebody else')\n")
    code = "import klines; print(klines.connect().execute('SELECT count(*) FROM klines').fetchall())"
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site"), "KLINES_DATABASE": str(stored)}
    command = [sys.executable, "-P", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert ("[(360,)]\n", "") == (done.stdout, done.stderr)


@pytest.mark.usefixtures("stored")
def test_read_shows_the_last_rows(capsys: pytest.CaptureFixture[str]) -> None:
    """On the terminal there are the prices of the last rows, in full, and how many there are in all."""
    assert 0 == exit_status(["read", "BTCUSDT"])
    head, *table = capsys.readouterr().out.splitlines()
    assert f"180 klines of 1 symbol, spot 1m; the last {SHOWN}:" == head
    assert SHORT == tuple(table[1].replace("│", "").replace("┆", "").split())
    rows = table[3:-1]
    assert SHOWN == len(rows)
    last = klines.read("BTCUSDT").row(-1, named=True)
    assert str(last["open_time"]) in rows[-1]
    assert str(last["close"]) in rows[-1]
    assert 0 == exit_status(["read", "ETHUSDT", "BTCUSDT", "--interval", "1h", "--columns", "symbol", "close"])
    head, *table = capsys.readouterr().out.splitlines()
    assert "6 klines of 2 symbols, spot 1h:" == head
    assert ["symbol", "close"] == table[1].replace("│", "").replace("┆", "").split()


@pytest.mark.usefixtures("stored")
def test_read_writes_files_whole(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Files have all columns and rows; one that was there is replaced, and nothing half done is left."""
    wanted = klines.read(["BTCUSDT", "ETHUSDT"], "2026-11-24T10:00", "2026-11-24T11:00")
    asked = ["read", "BTCUSDT", "ETHUSDT", "--start", "2026-11-24T10:00", "--end", "2026-11-24T11:00"]
    (tmp_path / "of.csv").write_text("what was there before")
    assert 0 == exit_status([*asked, "--csv", str(tmp_path / "of.csv")])
    assert wanted.equals(pl.read_csv(tmp_path / "of.csv", try_parse_dates=True))
    assert 0 == exit_status([*asked, "--parquet", str(tmp_path / "of.parquet")])
    assert wanted.equals(pl.read_parquet(tmp_path / "of.parquet"))
    assert [
        f"120 klines in {tmp_path / name}" for name in ("of.csv", "of.parquet")
    ] == capfd.readouterr().out.splitlines()
    assert 0 == exit_status([*asked, "--json"])
    rows = json.loads(capfd.readouterr().out)
    assert wanted["close"].to_list() == [row["close"] for row in rows]
    assert wanted["open_time"].to_list() == [datetime.fromisoformat(row["open_time"]) for row in rows]
    assert {"of.csv", "of.parquet"} == {path.name for path in tmp_path.iterdir() if path.name.startswith("of.")}


@pytest.mark.usefixtures("stored")
def test_read_exactly(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """With --exact CSV has plain decimals, JSON has them as texts: nothing on the way makes a double of them."""
    asked = ["read", "BTCUSDT", "--start", "2026-11-24T10:00", "--end", "2026-11-24T10:05", "--exact"]
    wanted = klines.read("BTCUSDT", "2026-11-24T10:00", "2026-11-24T10:05", exact=True)
    texts = [[f"{value:f}" for value in row] for row in wanted.select("close", "quote_volume").iter_rows()]
    assert 0 == exit_status([*asked, "--json"])
    rows = json.loads(capfd.readouterr().out)
    assert texts == [[row["close"], row["quote_volume"]] for row in rows]
    assert 0 == exit_status([*asked, "--csv", str(tmp_path / "of.csv")])
    sent = pl.read_csv(tmp_path / "of.csv", infer_schema=False).select("close", "quote_volume")
    assert texts == [list(row) for row in sent.iter_rows()]


@pytest.mark.usefixtures("stored")
def test_read_into_a_pipe() -> None:
    """The file - is the standard output; a reader that goes away is no error that anybody sees."""
    done = run("read", "BTCUSDT", "--csv", "-")
    assert 181 == len(done.stdout.splitlines())
    piped = f"{sys.executable} -m klines.cli read BTCUSDT ETHUSDT --csv - | head -n 1"
    done = subprocess.run(piped, shell=True, cwd=CHECKOUT, capture_output=True, text=True)
    assert ("market,symbol,interval", "") == (done.stdout[:22], done.stderr)


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["BTCUSDTT"], 1, "BTCUSDTT is not stored (spot); did you mean BTCUSDT"),
        (["BTCUSDT", "--start", "2020-01-01", "--end", "2020-01-02"], 1, "nothing is stored of BTCUSDT 1m"),
        (["btcusdt"], 2, "symbols: "),
        (["BTCUSDT", "--start", "soon"], 2, "start: "),
        (["BTCUSDT", "--interval", "1x"], 2, "interval: "),
        (["BTCUSDT", "--columns", "price"], 2, "columns: "),
        (["BTCUSDT", "--csv", "/nowhere/of.csv"], 2, "/nowhere/of.csv can't be written: No such file or directory"),
        (["BTCUSDT", "--parquet", "/dev/full"], 2, "/dev/full can't be written: No space left on device"),
    ],
)
def test_read_says_what_is_wrong(
    arguments: list[str], status: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is not stored is one line and status 1; what can't be asked for, or written, one line and status 2."""
    assert status == exit_status(["read", *arguments])
    said = capsys.readouterr().err
    assert told in said
    assert 1 == said.count("\n")


@pytest.mark.usefixtures("stored")
def test_export(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command says before what it will write, with MB and free disk, and then what there is now, also as JSON; what
    can't be exported is one line and status 2."""
    asked = ["export", "freqtrade", str(tmp_path), "--symbols", "*USDT", "--interval", "5m"]
    for arguments, written in ((asked, 2), ([*asked, "--json"], 0)):
        assert 0 == exit_status(arguments)
        said = f"exported 2 symbols for freqtrade to {tmp_path}: 72 klines in 2 files, {written} of them written"
        printed, told = capsys.readouterr()
        assert said in printed
        assert f"planned to write {written} of 2 files of 2 symbols for freqtrade, with " in told
        assert ("; writes about 0.0 MB; needs up to 0.0 MB free in " in told) == (written > 0)
    assert {"state": "Completed", "klines": 72, "files": 2, "written": 0} == {
        name: value for name, value in json.loads(printed).items() if name != "message"
    }
    assert 2 == exit_status(["export", "jesse", str(tmp_path), "--interval", "1h"])
    assert "klines: interval: jesse takes 1m, and makes 1h of it itself\n" == capsys.readouterr().err


TYPED = """if True:
    import signal, sys
    signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever is started in the background ignores it
    from klines.cli import main
    main(sys.argv[1:])"""


def test_ctrl_c_says_what_is_kept(stored: Path, tmp_path: Path) -> None:
    """An export that is stopped, as here while it makes way for a minute, ends with status 130 and says what is kept;
    nothing was said, as what reads the command line had taken it."""
    command = [sys.executable, "-c", TYPED, "export", "freqtrade", str(tmp_path / "folder")]
    with (
        minute_at_work(stored),
        subprocess.Popen(command, cwd=CHECKOUT, stderr=subprocess.PIPE, text=True) as process,
    ):
        assert process.stderr
        assert process.stderr.readline().startswith("planned to write 2 of 2 files ")
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
    assert 130 == process.returncode
    assert "klines: stopped; what is written stays, and another export writes the rest" == said.splitlines()[-1]
    assert "Traceback" not in said


def test_a_package_that_is_not_installed_is_named(tmp_path: Path) -> None:
    """Where only what reading needs is installed, the explorer says in one line what to install."""
    for name in ("starlette", "uvicorn"):
        (tmp_path / f"{name}.py").write_text(f"raise ModuleNotFoundError('No module', name='{name}')\n")
    done = run("explore", PYTHONPATH=str(tmp_path))
    assert 1 == done.returncode
    assert f"needs the package uvicorn: pip install -e '.[explore]' in {CHECKOUT}" in one_line(done)
    shutil.copytree(CHECKOUT / "klines", tmp_path / "klines", ignore=shutil.ignore_patterns("__pycache__"))
    name = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"]
    done = run("explore", cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert f"needs the package uvicorn: pip install '{name}[explore]'" in one_line(done)
