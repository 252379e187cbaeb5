"""The deployments of prefect.yaml: a section with `shards: 10` is ten of them, each with a work queue of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import yaml

from klines.errors import BadParameter
from klines.shard import LANES, Shard
from stack.home import private
from stack.prefect_file import Section, whole

COLLECT = "flows/collect.py:collect"
DEFAULT = "default"
"""The queue of a deployment that names none."""
_OURS = "prefect.yaml"
"""In PREFECT_HOME: what is deployed where a section has shards."""


@dataclass
class Deployments:
    """What is deployed from `file`; this machine's worker has the runs of `queues`, of all of them where none is named.

    `said` is what to say of the others.
    """

    file: Path
    whole: Mapping[str, Any]
    queues: Sequence[str]
    said: str = ""

    @classmethod
    def read(cls, file: Path, asked: Sequence[str]) -> Self:
        """Of a prefect.yaml; `asked` are queues of shards whose runs this machine is to have.

        Raises BadParameter for shards that can't be, and for a queue that there is not.
        """
        found = whole(file)
        sections = [part for section in found["deployments"] for part in divided(section)]
        theirs = list(dict.fromkeys(queue_of(section) for section in sections if _shard(section)))
        ours = list(dict.fromkeys(queue_of(section) for section in sections if not _shard(section)))
        if unknown := [queue for queue in asked if queue not in {*theirs, *ours}]:
            raise BadParameter(f"--queue {unknown[0]}: {file.name} has the queues {', '.join([*ours, *theirs])}")
        is_divided = bool(theirs)
        left = ", ".join(queue for queue in theirs if queue not in asked)
        return cls(
            file,
            found | {"deployments": sections} if is_divided else {},
            list(dict.fromkeys([*ours, *asked])) if is_divided or asked else [],
            f"queues         {left}: wait for `klines worker --queue …`, here or elsewhere" if left else "",
        )

    def write(self, home: Path) -> None:
        """Where a section has shards, write all that they are into a file, which `file` is then."""
        if self.whole:
            self.file = home / _OURS
            with open(self.file, "w", encoding="utf-8", opener=private) as file:
                yaml.safe_dump(dict(self.whole), file, sort_keys=False, allow_unicode=True)


def divided(section: Section) -> list[Section]:
    """The section, or one for each of its shards; raises BadParameter."""
    shards = section.get("shards", 1)
    plain = {name: value for name, value in section.items() if name != "shards"}
    if type(shards) is not int or not 1 <= shards <= LANES:
        raise BadParameter(f"prefect.yaml, {section['name']}: shards: {shards!r:.40} is none of 1 to {LANES}")
    if shards == 1:
        return [plain]
    if plain["entrypoint"] != COLLECT:
        raise BadParameter(f"prefect.yaml, {section['name']}: shards: only deployments of {COLLECT} can have any")
    return [_part(plain, Shard(number, shards)) for number in range(1, shards + 1)]


def _part(section: Section, shard: Shard) -> Section:
    """`every-minute-3-of-10`, on the queue `shard-3`."""
    name = f"{section['name']}-{shard.slug}"
    return section | {
        "name": name,
        "work_pool": section["work_pool"] | {"work_queue_name": f"shard-{shard.number}"},
        "schedules": [
            schedule | {"slug": f"{schedule.get('slug', name)}-{shard.slug}"}
            for schedule in section.get("schedules") or []
        ],
        "parameters": (section.get("parameters") or {}) | {"shard": str(shard)},
    }


def queue_of(section: Section) -> str:
    """The work queue of a deployment."""
    return str(section["work_pool"].get("work_queue_name") or DEFAULT)


def _shard(section: Section) -> str:
    return str((section.get("parameters") or {}).get("shard") or "")
