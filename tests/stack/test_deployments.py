"""A section with shards is so many deployments, each with a queue of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from klines.errors import BadParameter
from stack.deployments import Deployments
from tests import CHECKOUT


def read(tmp_path: Path, *queues: str, **more: Any) -> Deployments:
    """The project's prefect.yaml with more in its first section, as `klines run` reads it."""
    whole = yaml.safe_load((CHECKOUT / "prefect.yaml").read_text())
    whole["deployments"][0] |= more
    file = tmp_path / "prefect.yaml"
    file.write_text(yaml.safe_dump(whole))
    found = Deployments.read(file, queues)
    (tmp_path / "home").mkdir(exist_ok=True)
    found.write(tmp_path / "home")
    return found


def sections(found: Deployments) -> list[dict[str, Any]]:
    """What is deployed."""
    listed: list[dict[str, Any]] = yaml.safe_load(found.file.read_text())["deployments"]
    return listed


@pytest.mark.parametrize("more", [{}, {"shards": 1}])
def test_without_shards_nothing_changes(tmp_path: Path, more: dict[str, int]) -> None:
    """The file is deployed as it is, and the worker has all queues."""
    found = read(tmp_path, **more)
    assert (tmp_path / "prefect.yaml", [], "") == (found.file, found.queues, found.said)


def test_a_section_with_shards(tmp_path: Path) -> None:
    """Each is the section with its own name, queue, slug and parameter; the other sections stay, and this machine has
    their runs, and those of the shards that it is told to have."""
    found = read(tmp_path, "shard-2", shards=3, parameters={"lookback": "PT1H"})
    assert tmp_path / "home" / "prefect.yaml" == found.file
    first, second, third, *others = sections(found)
    assert ["every-minute-1-of-3", "every-minute-2-of-3", "every-minute-3-of-3"] == [
        section["name"] for section in (first, second, third)
    ]
    assert {"lookback": "PT1H", "shard": "2/3"} == second["parameters"]
    assert {"name": "klines", "work_queue_name": "shard-2"} == second["work_pool"]
    assert ("every-minute-2-of-3", 60) == (second["schedules"][0]["slug"], second["schedules"][0]["interval"])
    assert first["concurrency_limit"] == third["concurrency_limit"]
    assert not any("shards" in section for section in sections(found))
    assert yaml.safe_load((tmp_path / "prefect.yaml").read_text())["deployments"][1:] == others
    assert ["default", "shard-2"] == found.queues
    assert "shard-1, shard-3: wait for `klines worker --queue …`" in found.said
    assert 0 == found.file.stat().st_mode & 0o077


@pytest.mark.parametrize("shards", [0, -1, 257, "3", 2.5, None, True])
def test_shards_that_can_not_be(tmp_path: Path, shards: Any) -> None:
    """They are refused with the section's name."""
    with pytest.raises(BadParameter, match=r"every-minute: shards: .* is none of 1 to 256"):
        read(tmp_path, shards=shards)


def test_only_collect_has_shards(tmp_path: Path) -> None:
    """Another flow has no such parameter."""
    with pytest.raises(BadParameter, match=r"only deployments of flows/collect\.py:collect"):
        read(tmp_path, shards=2, entrypoint="flows/audit.py:audit")


def test_a_queue_that_there_is_not(tmp_path: Path) -> None:
    """It is refused with those that there are."""
    with pytest.raises(BadParameter, match=r"--queue shard-4: prefect\.yaml has the queues default, shard-1, shard-2"):
        read(tmp_path, "shard-4", shards=2)
