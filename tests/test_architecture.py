"""The layers, read from the sources."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
KLINES, TASKS, FLOWS, EXPLORER = (
    sorted((ROOT / folder).rglob("*.py")) for folder in ("klines", "tasks", "flows", "explorer")
)
IO = {"aiohttp", "anyio", "asyncio", "binance", "duckdb", "os", "prefect", "random", "requests", "socket", "time"}


def imported(path: Path) -> set[str]:
    """The top-level packages that a source imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0] if not node.level else path.parent.name)
    return found


def public(body: list[ast.stmt]) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    """Public functions and classes, and the classes' public methods."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name[0] != "_":
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public(node.body)


def test_there_are_layers() -> None:
    """The checks below look at something."""
    assert all([KLINES, TASKS, FLOWS, EXPLORER])


@pytest.mark.parametrize("path", KLINES, ids=lambda path: path.stem)
def test_the_domain_knows_no_layer_above(path: Path) -> None:
    """`klines/` imports neither Prefect nor tasks, flows and tests; python-binance lives in one module."""
    assert set() == imported(path) & {"prefect", "tasks", "flows", "explorer", "tests", "stack", "benchmarks"}
    assert path.stem == "exchange" or "binance" not in imported(path)


@pytest.mark.parametrize("path", EXPLORER, ids=lambda path: path.stem)
def test_the_explorer_only_reads(path: Path) -> None:
    """`explorer/` stands on `klines/` alone, and opens the database as users do: through `klines.connect`."""
    assert set() == imported(path) & {"prefect", "tasks", "flows", "tests", "stack", "benchmarks", "binance"}
    assert "duckdb.connect" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", [*KLINES, *EXPLORER], ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_answers_are_fetched_whole(path: Path) -> None:
    """On DuckDB 2 a connection that has rows left to fetch refuses the next statement."""
    assert not any(f".{name}(" in path.read_text(encoding="utf-8") for name in ("fetchone", "fetchmany"))


@pytest.mark.parametrize("path", TASKS, ids=lambda path: path.stem)
def test_tasks_know_no_flows(path: Path) -> None:
    """`tasks/` is below `flows/`, and asks the exchange and the database only through `klines/`."""
    assert set() == imported(path) & {"flows", "tests", "stack", "benchmarks", "duckdb", "binance", "aiohttp"}


@pytest.mark.parametrize("path", FLOWS, ids=lambda path: path.stem)
def test_flows_leave_the_work_to_the_layers_below(path: Path) -> None:
    """A flow speaks with neither the exchange nor the database itself."""
    assert set() == imported(path) & {"tests", "duckdb", "binance", "aiohttp", "polars"}


def test_no_flow_hides_a_package() -> None:
    """Prefect puts `flows/` first on sys.path: a file there named as a package would be imported in its place."""
    packages = {*packages_distributions(), *sys.stdlib_module_names}
    ours = {path.stem for path in ROOT.glob("*.py")} | {path.name for path in ROOT.iterdir() if path.is_dir()}
    assert set() == {path.stem for path in FLOWS if path.stem != "__init__"} & (packages | ours)


@pytest.mark.parametrize("path", KLINES, ids=lambda path: path.stem)
def test_what_calls_itself_pure_is(path: Path) -> None:
    """A module whose docstring says Pure imports nothing that does I/O and reads no clock."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    clocks = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)} & {"now", "utcnow", "today"}
    is_pure = "Pure" in (ast.get_docstring(tree) or "")
    assert set() == ((imported(path) & IO) | clocks if is_pure else set())


def test_the_arithmetic_is_pure() -> None:
    """Windows, pages, ledger and outcome say that they are pure, so that the test above holds them to it."""
    pure = {path.stem for path in KLINES if "Pure" in (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "")}
    assert {"ledger", "outcome", "plan", "window"} <= pure


@pytest.mark.parametrize("path", [*KLINES, *EXPLORER], ids=lambda path: path.stem)
def test_everything_public_is_explained(path: Path) -> None:
    """Every module, public class, function and method of `klines/` and `explorer/` has a docstring."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert [] == [node.name for node in public(tree.body) if not ast.get_docstring(node)]
    assert ast.get_docstring(tree)
