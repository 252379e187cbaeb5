"""What a prefect.yaml that somebody has edited may be: what is none is one line, before anything is started."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from klines.errors import BadParameter
from stack.prefect_file import deployments_of
from tests import CHECKOUT

GOOD = "deployments: [{name: a, entrypoint: 'flows/collect.py:collect', work_pool: {name: klines}}]"
BAD = {
    "": "has no list of deployments",
    "[]": "has no list of deployments",
    "deployments:": "has no list of deployments",
    "deployments: []": "has no list of deployments",
    "deployments: [x]": "deployment 1 has no name",
    "a: [": "is no YAML, from line 1 on",
    "deployments:\n\t- x": "is no YAML, from line 2 on",
    "\0": "is no YAML",
    "[" * 5000: "is no YAML",
    "a: 2024-99-99": "is no YAML",
    "!!python/object:os.system {}": "is no YAML",
    GOOD.replace("name: a, ", ""): "deployment 1 has no name",
    GOOD.replace("name: a", "name: 5"): "deployment 1 has no name",
    GOOD.replace("entrypoint", "entry"): "deployment 1 has no entrypoint",
    GOOD.replace("{name: klines}", "klines"): "deployment 1 has no work_pool",
    GOOD.replace("{name: klines}", "{}"): "deployment 1 has no work_pool",
    GOOD.replace("}]", ", parameters: [x]}]"): "the parameters of its deployment 1 are no names",
    GOOD.replace("}]", ", schedules: 5}]"): "the schedules of its deployment 1 are no list",
    GOOD.replace("}]", ", schedules: [x]}]"): "the schedules of its deployment 1 are no list",
}


def test_ours() -> None:
    """The one of the checkout, and the least that is one."""
    assert 5 <= len(deployments_of(CHECKOUT / "prefect.yaml"))


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_deployments(tmp_path: Path, text: str) -> None:
    """Each is named, with the file, in one line."""
    file = tmp_path / "prefect.yaml"
    file.write_text(GOOD)
    assert "a" == deployments_of(file)[0]["name"]
    file.write_text(text)
    with pytest.raises(BadParameter, match=BAD[text]) as refused:
        deployments_of(file)
    assert str(refused.value).startswith(str(file))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("make", [lambda _: None, os.mkfifo, Path.mkdir, lambda path: path.write_bytes(b"a: \xff")])
def test_what_is_no_file_of_text(tmp_path: Path, make: Callable[[Path], object]) -> None:
    """So is what is not there, a pipe, a folder, and what is no text; nobody waits."""
    make(tmp_path / "prefect.yaml")
    with pytest.raises(BadParameter, match=r"is no file|is no YAML"):
        deployments_of(tmp_path / "prefect.yaml")
