"""What the documentation names is there: files, headings, commands, settings, tables, columns, states, measurements."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from klines import ledger
from klines.cli.app import app
from klines.outcome import STATES
from klines.settings import Settings
from klines.storage.database import in_memory
from tests import CHECKOUT
from tests.docs.pages import OTHERS, PATHS, README, anchors, blocks, code_spans, rows, sections

LINK = re.compile(r"\]\(([^)\s]+)\)")
CLONE = re.compile(r"^git clone (\S+)", re.MULTILINE)


def test_the_readme_is_short() -> None:
    """At most 150 lines; the rest has pages of its own."""
    assert len(README.splitlines()) <= 150


def links() -> Iterator[tuple[Path, str]]:
    """Each page with each of its links to files of this checkout, or to headings."""
    for path in [*PATHS, *OTHERS]:
        for link in LINK.findall(path.read_text()):
            if "://" not in link:
                yield path, link


def test_every_link_leads_somewhere() -> None:
    """A relative link names a file that is there, and a heading that the file has."""
    broken = []
    for page, link in links():
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(f"{page.name}: {link}")
    assert [] == broken


def test_every_page_and_picture_is_reached() -> None:
    """README leads to every file of docs/ but pictures, which pages show; none is over 200 kB."""
    linked = {page: {(page.parent / link).resolve() for of, link in links() if of == page} for page in PATHS}
    pictures = set((CHECKOUT / "docs" / "pictures").iterdir())
    others = {path for path in (CHECKOUT / "docs").iterdir() if path.is_file()}
    assert set() == others - linked[PATHS[0]]
    assert pictures
    assert set() == pictures - set().union(*linked.values())
    assert all(picture.stat().st_size < 200_000 for picture in pictures)


def test_every_command_exists() -> None:
    """Each `klines …`, `make …` and module that the pages name is one."""
    named = {(word, span) for span in code_spans() for word in re.findall(r"\bklines ([a-z]\w*)", span)}
    assert {"run", "demo", "status", "read"} < set(app)
    assert [] == [span for word, span in named if word not in set(app)]
    targets = re.findall(r"^([\w-]+):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE)
    makes = {word for span in code_spans() for word in re.findall(r"\bmake ([a-z-]+)", span)}
    assert "run" in makes <= set(targets)
    modules = {word for span in code_spans() for word in re.findall(r"python -m ((?:flows|benchmarks)\.\w+)", span)}
    assert "benchmarks.minute" in modules
    assert [] == [name for name in modules if find_spec(name) is None]


def test_the_clone_is_of_this_project() -> None:
    """The address that README clones is the Source of pyproject.toml."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    assert [project["urls"]["Source"]] == CLONE.findall(README)


def test_every_deployment_exists() -> None:
    """What is named as flow/deployment is a section of prefect.yaml."""
    content = yaml.safe_load((CHECKOUT / "prefect.yaml").read_text())
    there = {f"{part['entrypoint'].rpartition(':')[2]}/{part['name']}" for part in content["deployments"]}
    named = {
        span
        for span in code_spans()
        if re.fullmatch(r"(collect|backfill|audit|funding|maintain|publish|export)/[\w-]+", span)
    }
    assert "audit/daily" in named <= there


def test_settings() -> None:
    """The table of settings has every setting, with its default where that is an address."""
    said = {name: default for name, default, _ in rows(sections("docs/operating.md", 2)["Settings"])}
    ours = {name: said[name] for name in said if name.startswith("KLINES_")}
    assert {f"KLINES_{name.upper()}" for name in Settings.model_fields} == set(ours)
    addresses = {name: default for name, default in ours.items() if name.endswith("_URL") and default}
    assert {name: Settings.model_fields[name[7:].lower()].default for name in addresses} == addresses


def test_states() -> None:
    """The table of final states has every state that a run of ours can end in."""
    named = [name for name, *_ in rows(sections("docs/operating.md", 2)["Final states"])]
    assert {"Completed", "Degraded", "Failed", "Crashed", "Cancelled", *STATES.values()} <= set(named)


def test_reasons() -> None:
    """The table of reasons has every reason of the ledger, once."""
    named = [name for name, *_ in rows(sections("docs/ledger.md", 2)["Reasons"])]
    there = [ledger.DUE, ledger.UNRESOLVED, ledger.OUTAGE, ledger.HOLE]
    assert [*there, ledger.NOT_LISTED, ledger.DELISTED, ledger.REJECTED] == named


def test_tables_and_columns() -> None:
    """docs/database.md has every table and view, with every column and its type, in their order."""
    with in_memory() as connection:
        columns = connection.execute(
            "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE NOT internal ORDER BY column_index"
        ).fetchall()
    there = {table: [(name, kind) for of, name, kind in columns if of == table] for table, _, _ in columns}
    said = {
        name: [(name, kind) for name, kind, _ in rows(text)] for name, text in sections("docs/database.md", 3).items()
    }
    as_klines = {name for name in said if not said[name]}
    assert {"klines_1h", "klines_1d", "latest"} == as_klines
    assert there == said | dict.fromkeys(as_klines, said["klines"])


@pytest.mark.parametrize("section", sections("docs/speed.md", 2))
def test_measurements(section: str) -> None:
    """Each section of docs/speed.md names the benchmark that makes its figures. They are those of RESULTS.md, where
    that has them."""
    text = sections("docs/speed.md", 2)[section]
    [command] = set(re.findall(r"`(python -m benchmarks\.[^`]+)`", text))
    results = re.split(r"^## ", (CHECKOUT / "benchmarks" / "RESULTS.md").read_text(), flags=re.MULTILINE)
    measured = [part for part in results if f"`{command}`" in part]
    if not measured:
        pytest.skip(f"RESULTS.md does not have {command}")
    figures = {figure for row in rows(text) for cell in row[1:] for figure in re.findall(r"\d[\d,.]*\d|\d", cell)}
    there = set(re.findall(r"\d[\d,.]*\d|\d", measured[0]))
    assert set() == figures - there


def test_no_snippet_names_the_database() -> None:
    """Every snippet takes the database of the settings, so that it works after `make run` and after `make demo`."""
    snippets = [block for language in ("sh", "python", "sql") for block in blocks(language)]
    assert len(snippets) > 20
    assert [] == [block for block in snippets if "klines.duckdb" in block.code]
