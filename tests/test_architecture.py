"""The house, read from the sources: who imports whom, what a name means, and what is pure."""

from __future__ import annotations

import ast
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
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


def is_signature(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    """Whether it only says which types go together: an @overload, of a function that follows."""
    return any(ast.unparse(decorator) == "overload" for decorator in node.decorator_list)


def public(body: list[ast.stmt]) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    """Public functions and classes, and the classes' public methods."""
    for node in body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or is_signature(node):
            continue
        if node.name[0] != "_":
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public(node.body)


def test_there_are_layers() -> None:
    """The checks below look at something: every room of LAYERS that exists, and all four top-level packages."""
    assert all([KLINES, TASKS, FLOWS, STACK])
    assert {room(path) for path in KLINES} <= set(LAYERS)


def broken(sources: Iterable[Path], wrong: Callable[[Path], object]) -> dict[str, object]:
    """By the names of the sources what is wrong with them, where anything is: a test for each would cost more."""
    return {name_of(source): found for source in sources if (found := wrong(source))}


def test_rooms_import_in_one_direction() -> None:
    """A module imports only from rooms before its own."""

    def later(path: Path) -> list[str]:
        here = LAYERS.index(room(path))
        others = files_of(modules(path)) - {path}
        return sorted(name_of(other) for other in others if LAYERS.index(room(other)) > here)

    assert {} == broken([path for path in KLINES if path != ROOT / "klines" / "__init__.py"], later)


def test_a_room_has_few_modules() -> None:
    """At most about a dozen modules a folder, so that a look takes it in; but tables/ has one for each table."""
    sizes = Counter(path.parent for path in KLINES if path.stem != "__init__" and path.parent.name != "tables")
    assert {} == {str(folder): size for folder, size in sizes.items() if size > MOST_MODULES}


def test_the_domain_knows_no_layer_above() -> None:
    """`klines/` imports neither Prefect nor tasks, flows and tests; python-binance lives in one module."""
    assert {} == broken(KLINES, lambda path: packages(path) & ABOVE)
    assert {"klines.binance.client": {"binance"}} == broken(KLINES, lambda path: packages(path) & {"binance"})


def test_the_explorer_only_reads() -> None:
    """The explorer opens the database as users do: through `klines.connect`."""
    its = [path for path in KLINES if room(path) == "explorer"]
    assert its
    assert {} == broken(its, lambda path: "duckdb.connect" in path.read_text(encoding="utf-8"))


def test_answers_are_fetched_whole() -> None:
    """On DuckDB 2 a connection that has rows left to fetch refuses the next statement."""

    def in_part(path: Path) -> list[str]:
        return [name for name in ("fetchone", "fetchmany") if f".{name}(" in path.read_text(encoding="utf-8")]

    assert {} == broken(KLINES, in_part)


def test_tasks_know_no_flows() -> None:
    """`tasks/` is below `flows/`, and asks the exchange and the database only through `klines/`."""
    others = {"flows", "tests", "stack", "benchmarks", "duckdb", "binance", "aiohttp"}
    assert {} == broken(TASKS, lambda path: packages(path) & others)


def test_flows_leave_the_work_to_the_layers_below() -> None:
    """A flow speaks with neither the exchange nor the database itself."""
    assert {} == broken(FLOWS, lambda path: packages(path) & {"tests", "duckdb", "binance", "aiohttp", "polars"})


def test_no_flow_hides_a_package() -> None:
    """Prefect puts `flows/` first on sys.path: a file there named as a package would be imported in its place."""
    known = {*packages_distributions(), *sys.stdlib_module_names}
    ours = {path.stem for path in ROOT.glob("*.py")} | {path.name for path in ROOT.iterdir() if path.is_dir()}
    assert set() == {path.stem for path in FLOWS if path.stem != "__init__"} & (known | ours)


def says_pure(path: Path) -> bool:
    """Whether a module's docstring says that it is pure. Each process of the tests asks while it collects them, and to
    parse all sources takes a second."""
    return "Pure" in path.read_text(encoding="utf-8") and "Pure" in (ast.get_docstring(tree_of(path)) or "")


def test_what_calls_itself_pure_is() -> None:
    """Whatever is imported through a module that says Pure does no I/O and reads no clock."""

    def impure(source: Path) -> set[str]:
        asked = {node.attr for node in ast.walk(tree_of(source)) if isinstance(node, ast.Attribute)} & CLOCKS
        return (packages(source) & IO) | asked

    assert {} == broken({source for path in KLINES if says_pure(path) for source in reached(path)}, impure)


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
                homes[node.name] += [] if is_signature(node) else [name_of(path)]
    assert {} == {name: places for name, places in homes.items() if len(places) > 1 and name not in SEVERAL}


def test_a_series_is_named_in_one_way() -> None:
    """Whoever asks the database of a series takes (connection, market: Market, interval: Interval)."""

    def otherwise(path: Path) -> dict[str, dict[str, str]]:
        found = {}
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                types = {arg.arg: ast.unparse(arg.annotation) for arg in node.args.args if arg.annotation}
                named = {name: types[name] for name in ("market", "interval") if {name, "connection"} <= set(types)}
                if named != {name: name.capitalize() for name in named}:
                    found[node.name] = named
        return found

    assert {} == broken(KLINES, otherwise)


ONCE = {
    "taker_buy_quote_volume": {"columns.py", "rows.py", "0001.sql", "0020.sql", "0012.sql"},
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


def test_everything_public_is_explained() -> None:
    """Every module, public class, function and method of `klines/` has a docstring."""

    def unexplained(path: Path) -> list[str]:
        tree = tree_of(path)
        without = [node.name for node in public(tree.body) if not ast.get_docstring(node)]
        return without if ast.get_docstring(tree) else ["the module", *without]

    assert {} == broken(KLINES, unexplained)
