"""A prefect.yaml, which is the user's to edit: read, and refused where it is none, before anything is started."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from klines.errors import BadParameter

Section = dict[str, Any]


def deployments_of(prefect_file: Path) -> list[Section]:
    """Its sections, each with a name, an entrypoint and a work pool; raises BadParameter where it has not even that."""
    found: list[Section] = whole(prefect_file)["deployments"]
    return found


def whole(prefect_file: Path) -> dict[str, Any]:
    """All of it; raises as `deployments_of`."""
    found = _content(prefect_file)
    sections = found.get("deployments") if isinstance(found, dict) else None
    if not isinstance(sections, list) or not sections:
        raise BadParameter(f"{prefect_file} has no list of deployments; git checkout prefect.yaml brings ours back")
    for number, section in enumerate(sections, 1):
        if lacking := [name for name in ("name", "entrypoint", "work_pool") if not _has(section, name)]:
            raise BadParameter(f"{prefect_file}: its deployment {number} has no {lacking[0]} as Prefect wants it")
        if not isinstance(section.get("parameters"), dict | None):
            raise BadParameter(f"{prefect_file}: the parameters of its deployment {number} are no names with values")
        if not _are_sections(section.get("schedules") or []):
            raise BadParameter(f"{prefect_file}: the schedules of its deployment {number} are no list of schedules")
    return dict(found)


def _has(section: Any, name: str) -> bool:
    value = section.get(name) if isinstance(section, dict) else None
    if name == "work_pool":
        return isinstance(value, dict) and _has(value, "name")
    return isinstance(value, str) and bool(value.strip())


def _are_sections(listed: Any) -> bool:
    return isinstance(listed, list) and all(isinstance(part, dict) for part in listed)


def _content(path: Path) -> Any:
    try:
        if not path.is_file():
            raise BadParameter(f"{path} is no file; --prefect-file names another one")
        return yaml.safe_load(path.read_bytes())
    except OSError as error:
        raise BadParameter(f"{path} can't be read ({error.strerror})") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        raise BadParameter(f"{path} is no YAML{f', from line {mark.line + 1} on' if mark else ''}") from None
