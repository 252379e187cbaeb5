"""What is handed out: a wheel that holds the package klines alone, what it needs, and the Pythons it runs on."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from email import message_from_bytes
from email.message import Message
from importlib.metadata import packages_distributions
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import klines
from klines.doctor.machine import PYTHONS
from tests.drive import collect_once
from tests.exchange import StandIn
from tests.test_architecture import FLOWS, KLINES, ROOT, STACK, TASKS, files_of, packages, reached

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
BASE = [Requirement(line) for line in PROJECT["dependencies"]]
EXTRAS = {name: [Requirement(line) for line in lines] for name, lines in PROJECT["optional-dependencies"].items()}
MINORS = range(3, 30)
"""Minor versions of Python 3 that are looked at, the last of which does not exist yet."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built without a network."""
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("hatchling, which builds the wheel, is not installed")
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that pip would make of the wheel."""
    folder = tmp_path_factory.mktemp("site-packages")
    with ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def metadata(unpacked: Path) -> Message:
    """What the wheel says of itself."""
    [folder] = unpacked.glob("*.dist-info")
    return message_from_bytes((folder / "METADATA").read_bytes())


def names(requirements: Iterable[Requirement]) -> set[str]:
    """The names of distributions."""
    return {str(canonicalize_name(requirement.name)) for requirement in requirements}


def needed(paths: Iterable[Path]) -> set[str]:
    """The distributions whose packages these sources import."""
    distributions = packages_distributions()
    found: set[str] = {
        canonicalize_name(distribution)
        for path in paths
        for package in packages(path) - set(sys.stdlib_module_names)
        for distribution in distributions.get(package, [])
    }
    return found - {PROJECT["name"]}


def supported(specifier: str) -> list[str]:
    """The Pythons that a specifier takes, as in 3.11."""
    return [f"3.{minor}" for minor in MINORS if SpecifierSet(specifier).contains(f"3.{minor}.0")]


def from_elsewhere(unpacked: Path, folder: Path, program: str, **environment: str) -> str:
    """What a program prints that runs in another folder with the unpacked wheel before all other packages."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(unpacked)} | environment,
        capture_output=True,
        text=True,
    )
    assert "" == done.stderr
    return done.stdout


def test_the_package_is_alone(unpacked: Path) -> None:
    """The wheel's top level is klines and its own metadata: flows, tasks, stack and tests are the checkout's."""
    assert {"klines", f"everykline-{PROJECT['version']}.dist-info"} == {path.name for path in unpacked.iterdir()}


@pytest.mark.parametrize("pattern", ["*.py", "*.sql", "explorer/page/**/*.*", "*/LICENSE", "*/ORIGIN", "py.typed"])
def test_nothing_is_left_behind(unpacked: Path, pattern: str) -> None:
    """Every source, SQL file and file of the explorer's page that the checkout has is in the wheel."""
    wanted = {path.relative_to(ROOT) for path in (ROOT / "klines").rglob(pattern) if path.is_file()}
    assert wanted
    assert set() == {path for path in wanted if not (unpacked / path).is_file()}


def test_the_command(unpacked: Path) -> None:
    """Installing makes the command klines, and no other."""
    [entry_points] = unpacked.glob("*.dist-info/entry_points.txt")
    assert "[console_scripts]\nklines = klines.cli:main" == entry_points.read_text(encoding="utf-8").strip()


def test_the_metadata(metadata: Message) -> None:
    """The extras are four, and what one of them needs is no dependency of who only reads a file."""
    assert {"collect", "explore", "lake", "dev"} == set(metadata.get_all("Provides-Extra", []))
    requirements = [Requirement(line) for line in metadata.get_all("Requires-Dist", [])]
    base = [requirement for requirement in requirements if requirement.marker is None]
    assert names(BASE) == names(base)
    assert set() == names(base) & names(requirement for requirement in requirements if requirement.marker)
    assert supported(PROJECT["requires-python"]) == supported(metadata["Requires-Python"])


def test_reading_needs_the_base_alone() -> None:
    """Whatever the functions of `klines` import, through all that they import, are base dependencies; a lake, which is
    imported when one is named, needs those of its extra."""
    public = files_of({module.__module__ for module in (getattr(klines, name) for name in klines.__all__)})
    assert public
    assert set() == needed(source for path in public for source in reached(path)) - names([*BASE, *EXTRAS["lake"]])


def test_what_is_imported_is_declared() -> None:
    """No source relies on what another package happens to bring."""
    declared = names([*BASE, *EXTRAS["collect"], *EXTRAS["explore"], *EXTRAS["lake"]])
    assert set() == needed([*KLINES, *TASKS, *FLOWS, *STACK]) - declared


def test_the_wheel_reads(unpacked: Path, exchange: StandIn, database: Path, tmp_path: Path) -> None:
    """From another folder, with the wheel alone, a database is read; completion shows the API and nothing else."""
    collect_once(exchange, database, ["BTCUSDT"])
    program = """
import klines
print(klines.__file__)
print(*dir(klines))
print(klines.read("BTCUSDT").height > 0, klines.coverage().height > 0, klines.symbols().height)
"""
    place, shown, answers = from_elsewhere(unpacked, tmp_path, program, KLINES_DATABASE=str(database)).splitlines()
    assert str(unpacked / "klines" / "__init__.py") == place
    assert sorted(klines.__all__) == shown.split()
    assert "True True 1" == answers


@pytest.mark.slow
def test_the_wheels_doctor(unpacked: Path, tmp_path: Path) -> None:
    """From another folder, with the wheel alone, the doctor examines, and compares with the set that was tested."""
    assert (ROOT / "constraints.txt").read_bytes() == (unpacked / "klines" / "doctor" / "constraints.txt").read_bytes()
    program = """
import sys
from klines.cli import exit_status
print(exit_status(["doctor", "--json"]))
"""
    with StandIn(["BTCUSDT", "BTCUSD_PERP"]) as exchange:
        addresses = {f"KLINES_{name}_URL": exchange.url for name in ("SPOT", "USDM", "COINM", "ARCHIVE")}
        settings = {"KLINES_DATABASE": str(tmp_path / "none.duckdb"), "PREFECT_HOME": str(tmp_path), **addresses}
        told, _ = from_elsewhere(unpacked, tmp_path, program, **settings).splitlines()
    found = {one["check"]: one["state"] for one in json.loads(told)["findings"]}
    assert {"ok"} == {state for check, state in found.items() if not check.startswith(("machine ", "prefect "))}
    assert "machine packages" in found


def test_no_database_is_one_line(unpacked: Path, tmp_path: Path) -> None:
    """Reading where nothing is stored raises an error of `klines`, of one line."""
    program = """
import klines
try:
    klines.read("BTCUSDT")
except klines.KlinesError as error:
    print(error)
"""
    said = from_elsewhere(unpacked, tmp_path, program, KLINES_DATABASE=str(tmp_path / "none.duckdb"))
    assert 1 == len(said.splitlines())


def test_one_set_that_was_tested() -> None:
    """constraints.txt names versions and nothing else; each requirement is there, within its range."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert all(re.fullmatch(r"[\w.-]+", name) and re.fullmatch(r"[\w.]+", version) for name, version in pins.items())
    versions = {canonicalize_name(name): version for name, version in pins.items()}
    for requirement in [*BASE, *(one for extra in EXTRAS.values() for one in extra)]:
        assert requirement.specifier.contains(versions[canonicalize_name(requirement.name)]), requirement


def test_the_same_pythons_everywhere() -> None:
    """requires-python, the classifiers, the Makefile and the workflow name the same versions."""
    expected = supported(PROJECT["requires-python"])
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    [first, last] = re.findall(r"\(3, (\d+)\)", makefile)

    classifiers = "\n".join(PROJECT["classifiers"])
    assert expected == re.findall(r"Python :: (3\.\d+)$", classifiers, re.MULTILINE)
    assert expected == [f"3.{minor}" for minor in range(int(first), int(last))]
    assert expected == [f"3.{minor}" for minor in range(PYTHONS[0][1], PYTHONS[1][1])]
    assert expected == sorted(set(re.findall(r"python(3\.\d+)", makefile)))
    assert {f"Python {expected[0]} to {expected[-1]}"} == set(re.findall(r"Python 3\.\d+ to 3\.\d+", makefile))
    assert expected == re.findall(r'"(3\.\d+)"', workflow)


def test_the_changelog_tells_the_version() -> None:
    """The version has a section in CHANGELOG.md, with its date."""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## {re.escape(PROJECT['version'])} [–-] \d{{4}}-\d{{2}}-\d{{2}}$", changelog, re.MULTILINE)
