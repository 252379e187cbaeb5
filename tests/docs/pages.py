"""The pages of the documentation, and what is in them: blocks of code with what they print, tables, names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from tests import CHECKOUT

PATHS = [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").glob("*.md"))]
PAGES = {str(path.relative_to(CHECKOUT)): path.read_text() for path in PATHS}
OTHERS = [CHECKOUT / name for name in ("CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")]
"""Pages beside the documentation, whose links are looked after, too."""
README = PAGES["README.md"]
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$(?:\n\n^```text\n(.*?)^```$)?", re.DOTALL | re.MULTILINE)


class Block(NamedTuple):
    """A block of code, and the text block that follows it: what it prints; empty if there is none."""

    page: str
    language: str
    code: str
    printed: str


def blocks(language: str) -> list[Block]:
    """The code blocks of a language, in the order of the pages."""
    found = [Block(page, *block) for page, text in PAGES.items() for block in _BLOCK.findall(text)]
    return [block for block in found if block.language == language]


def commands() -> dict[str, str]:
    """Every line of the sh blocks, once, with what the page says that the block's last line prints."""
    lines: dict[str, str] = {}
    for block in blocks("sh"):
        *before, last = block.code.splitlines()
        lines |= {line: lines.get(line, "") for line in before}
        lines[last] = block.printed or lines.get(last, "")
    return lines


def code_spans() -> list[str]:
    """What is set as code: spans within lines, and lines of sh and console blocks."""
    prose = [_BLOCK.sub("", text) for text in PAGES.values()]
    spans = [span for text in prose for span in re.findall(r"`([^`]+)`", text)]
    shell = [*blocks("sh"), *blocks("console")]
    return [*(" ".join(span.split()) for span in spans), *(line for block in shell for line in block.code.splitlines())]


def sections(page: str, level: int) -> dict[str, str]:
    """The text under each heading of a level, by heading."""
    parts = re.split(rf"^{'#' * level} (.+)$", PAGES[page], flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def rows(text: str) -> list[list[str]]:
    """The cells of the tables' rows, without their heads and backquotes."""
    lines = re.findall(r"^\|(.+)\|$", text, re.MULTILINE)
    cells = [[cell.strip().strip("`") for cell in re.split(r"(?<!\\)\|", line)] for line in lines]
    rules = [number for number, row in enumerate(cells) if set("".join(row)) <= set("-:")]
    return [row for number, row in enumerate(cells) if number not in rules and number + 1 not in rules]


def anchors(path: Path) -> set[str]:
    """What can be linked to in a page, as GitHub names it."""
    text = _BLOCK.sub("", path.read_text())
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
