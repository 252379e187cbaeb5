"""The house, read from the sources: who imports whom, what a name means, and what is pure."""

from __future__ import annotations

import ast
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
KLINES, TASKS, FLOWS, STACK = (
    sorted((ROOT / folder).rglob("*.py")) for folder in ("klines", "tasks", "flows", "stack")
)
LAYERS = (
    "the modules beside __init__.py",
    *("binance", "tables", "storage", "reading", "exports", "session", "collect", "backfill", "audit"),
    *("rates", "maintain", "move"),
    *("explorer", "doctor", "cli"),
)
"""The rooms of klines/, each importing only those before it; session is a module."""
MOST_MODULES = 16
IO = {"aiohttp", "anyio", "asyncio", "binance", "duckdb", "os", "prefect", "random", "requests", "socket", "time"}
CLOCKS = {"now", "utcnow", "today"}
ABOVE = {"prefect", "tasks", "flows", "tests", "stack", "benchmarks"}


def name_of(path: Path) -> str:
    """`klines.binance.files`, for tests' names."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


@cache
def tree_of(path: Path) -> ast.Module:
    """The source, parsed."""
    return ast.parse(path.read_text(encoding="utf-8"))


def modules(path: Path) -> set[str]:
    """The modules that a source imports, wherever in it; of `from a import b` both a and a.b."""
    found: set[str] = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def packages(path: Path) -> set[str]:
    """The top-level packages that a source imports."""
    return {name.split(".")[0] for name in modules(path)}


def files_of(names: set[str]) -> set[Path]:
    """The sources of our modules among these names."""
    paths = (ROOT / Path(*name.split(".")) for name in names if name.startswith("klines."))
    return {path.with_suffix(".py") for path in paths if path.with_suffix(".py").exists()}


@cache
def reached(path: Path) -> frozenset[Path]:
    """The sources that are imported through this one, itself included."""
    found, new = {path}, {path}
    while new:
        new = {module for source in new for module in files_of(modules(source))} - found
        found |= new
    return frozenset(found)


def room(path: Path) -> str:
    """The folder of klines/ in which a source is; that of a module beside `__init__.py` is its name, where LAYERS names
    it."""
    parts = path.relative_to(ROOT / "klines").with_suffix("").parts
    return parts[0] if len(parts) > 1 or parts[0] in LAYERS else LAYERS[0]


def public(body: list[ast.stmt]) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    """Public functions and classes, and the classes' public methods."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name[0] != "_":
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public(node.body)


def test_there_are_layers() -> None:
    """The checks below look at something: every room of LAYERS that exists, and all four top-level packages."""
    assert all([KLINES, TASKS, FLOWS, STACK])
    assert {room(path) for path in KLINES} <= set(LAYERS)


@pytest.mark.parametrize("path", [path for path in KLINES if path != ROOT / "klines" / "__init__.py"], ids=name_of)
def test_rooms_import_in_one_direction(path: Path) -> None:
    """A module imports only from rooms before its own."""
    here = LAYERS.index(room(path))
    assert [] == sorted(
        name_of(other) for other in files_of(modules(path)) if LAYERS.index(room(other)) > here and other != path
    )


def test_a_room_has_few_modules() -> None:
    """At most about a dozen modules a folder, so that a look takes it in; but tables/ has one for each table."""
    sizes = Counter(path.parent for path in KLINES if path.stem != "__init__" and path.parent.name != "tables")
    assert {} == {str(folder): size for folder, size in sizes.items() if size > MOST_MODULES}


@pytest.mark.parametrize("path", KLINES, ids=name_of)
def test_the_domain_knows_no_layer_above(path: Path) -> None:
    """`klines/` imports neither Prefect nor tasks, flows and tests; python-binance lives in one module."""
    assert set() == packages(path) & ABOVE
    assert name_of(path) == "klines.binance.client" or "binance" not in packages(path)


@pytest.mark.parametrize("path", [path for path in KLINES if room(path) == "explorer"], ids=name_of)
def test_the_explorer_only_reads(path: Path) -> None:
    """The explorer opens the database as users do: through `klines.connect`."""
    assert "duckdb.connect" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", KLINES, ids=name_of)
def test_answers_are_fetched_whole(path: Path) -> None:
    """On DuckDB 2 a connection that has rows left to fetch refuses the next statement."""
    assert not any(f".{name}(" in path.read_text(encoding="utf-8") for name in ("fetchone", "fetchmany"))


@pytest.mark.parametrize("path", TASKS, ids=name_of)
def test_tasks_know_no_flows(path: Path) -> None:
    """`tasks/` is below `flows/`, and asks the exchange and the database only through `klines/`."""
    assert set() == packages(path) & {"flows", "tests", "stack", "benchmarks", "duckdb", "binance", "aiohttp"}


@pytest.mark.parametrize("path", FLOWS, ids=name_of)
def test_flows_leave_the_work_to_the_layers_below(path: Path) -> None:
    """A flow speaks with neither the exchange nor the database itself."""
    assert set() == packages(path) & {"tests", "duckdb", "binance", "aiohttp", "polars"}


def test_no_flow_hides_a_package() -> None:
    """Prefect puts `flows/` first on sys.path: a file there named as a package would be imported in its place."""
    known = {*packages_distributions(), *sys.stdlib_module_names}
    ours = {path.stem for path in ROOT.glob("*.py")} | {path.name for path in ROOT.iterdir() if path.is_dir()}
    assert set() == {path.stem for path in FLOWS if path.stem != "__init__"} & (known | ours)


def says_pure(path: Path) -> bool:
    """Whether a module's docstring says that it is pure."""
    return "Pure" in (ast.get_docstring(tree_of(path)) or "")


@pytest.mark.parametrize("path", [path for path in KLINES if says_pure(path)], ids=name_of)
def test_what_calls_itself_pure_is(path: Path) -> None:
    """Whatever is imported through a module that says Pure does no I/O and reads no clock."""
    for source in reached(path):
        asked = {node.attr for node in ast.walk(tree_of(source)) if isinstance(node, ast.Attribute)} & CLOCKS
        assert (name_of(source), set()) == (name_of(source), (packages(source) & IO) | asked)


def test_the_arithmetic_is_pure() -> None:
    """Windows, wants, ledger and outcome say that they are pure, so that the test above holds them to it."""
    assert {"ledger", "outcome", "want", "window"} <= {path.stem for path in KLINES if says_pure(path)}


SEVERAL = {
    "main": "what a module does when it is run",
}
"""Names that more than one module may have, each with its meaning."""


def test_a_name_means_one_thing() -> None:
    """No two modules define a public class, function or constant of one name, but for those of SEVERAL."""
    homes: dict[str, list[str]] = defaultdict(list)
    for path in KLINES:
        for node in tree_of(path).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name[0] != "_":
                homes[node.name].append(name_of(path))
    assert {} == {name: places for name, places in homes.items() if len(places) > 1 and name not in SEVERAL}


@pytest.mark.parametrize("path", KLINES, ids=name_of)
def test_a_series_is_named_in_one_way(path: Path) -> None:
    """Whoever asks the database of a series takes (connection, market: Market, interval: Interval)."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            types = {arg.arg: ast.unparse(arg.annotation) for arg in node.args.args if arg.annotation}
            named = {name: types[name] for name in ("market", "interval") if name in types and "connection" in types}
            assert (node.name, named) == (node.name, {name: name.capitalize() for name in named})


ONCE = {
    "taker_buy_quote_volume": {"columns.py", "rows.py", "0001.sql", "0012.sql"},
    "string_split": {"views.sql"},
    "NOT IN ('due'": {"views.sql"},
    "connection.begin()": {"transaction.py"},
    ".rollback()": {"transaction.py"},
}
"""What is written once, and where: the columns of a kline (beside them the class of Binance's rows, and the frozen
steps that made and changed the table), the filter of symbols, what counts as explained, a transaction."""


@pytest.mark.parametrize("text", ONCE)
def test_sql_is_written_once(text: str) -> None:
    """Lists and conditions that everybody needs stand in one place."""
    sources = [*KLINES, *(ROOT / "klines").rglob("*.sql")]
    assert ONCE[text] == {path.name for path in sources if text in path.read_text(encoding="utf-8")}


@pytest.mark.parametrize("path", KLINES, ids=name_of)
def test_everything_public_is_explained(path: Path) -> None:
    """Every module, public class, function and method of `klines/` has a docstring."""
    assert [] == [node.name for node in public(tree_of(path).body) if not ast.get_docstring(node)]
    assert ast.get_docstring(tree_of(path))
