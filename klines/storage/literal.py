"""A text in SQL: statements such as ATTACH take no parameters. Pure."""

from __future__ import annotations

from pathlib import Path


def literal(text: str | Path) -> str:
    """The text, or the path, as a SQL literal."""
    return "'" + str(text).replace("'", "''") + "'"
