"""What the artifacts share: Markdown tables, bars as pictures, and the age of what was written last."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from urllib.parse import quote

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactCollectionFilter, ArtifactCollectionFilterKey

GREEN, AMBER, RED, GREY, PALE = "#2da44e", "#d4a72c", "#cf222e", "#8c959f", "#8c959f40"
"""Good, bearable, bad, out of our hands, nothing; each is told from the others on a light and on a dark page."""
_STEP, _HEIGHT = 8, 16


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; a column whose name begins with `#` is one of numbers."""
    aligned = ["--:" if name.startswith("#") else "---" for name in head]
    lines = [[name.lstrip("#") for name in head], aligned, *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def bar(colours: Sequence[str], text: str) -> str:
    """A picture of one block for each colour, as Markdown; `text` is for those who can't see it."""
    left, lines = 0, []
    for colour, run in groupby(colours):
        length = _STEP * len(list(run))
        lines.append(f"<path d='M{left} 8h{length}' stroke='{colour}'/>")
        left += length
    style = f"stroke-width='{_HEIGHT}' stroke-dasharray='{_STEP - 1} 1'"
    svg = f"<svg xmlns='http://www.w3.org/2000/svg' width='{left}' height='{_HEIGHT}' {style}>{''.join(lines)}</svg>"
    return f"![{text}](data:image/svg+xml,{quote(svg, safe='')})"


def now_said() -> str:
    """When this is written: `2026-11-24 07:31:08 UTC`."""
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"


def last(key: str) -> tuple[str, timedelta]:
    """The description of the artifact that was written last under a key, and its age; endless if there is none."""
    with get_client(sync_client=True) as client:
        found = client.read_latest_artifacts(
            artifact_filter=ArtifactCollectionFilter(key=ArtifactCollectionFilterKey(any_=[key])), limit=1
        )
    if not found or found[0].updated is None:
        return "", timedelta.max
    return found[0].description or "", datetime.now(UTC) - found[0].updated
