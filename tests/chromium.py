"""Chromium, for tests of what people see; they are skipped where there is none. Screenshots: look at them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests import CHECKOUT, LONGEST_S

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
_PROGRAM = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
needed = pytest.mark.skipif(_PROGRAM is None, reason="there is no Chromium: apt install chromium")
_OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run", "--disable-sync"]
SCREENSHOTS = CHECKOUT / "screenshots"
LONGEST_MS = 1000 * LONGEST_S


STILL = """addEventListener('DOMContentLoaded', () => document.head.append(Object.assign(
    document.createElement('style'),
    {textContent: '*, ::before, ::after {animation: none !important; transition: none !important}'})))"""
"""A script for pages of others: nothing on them moves, as each frame of it is drawn without a graphics card."""


@contextmanager
def window_of(program: Any) -> Iterator[Any]:
    """A window with an empty page, in which others come and go, or that several tests lead elsewhere, one after the
    other: to open one costs a second of CPU. All of it is closed at the end."""
    window = program.new_context()
    try:
        window.new_page().set_default_timeout(LONGEST_MS)
        yield window
    finally:
        window.close()


@contextmanager
def visited(window: Any) -> Iterator[Any]:
    """The window for one test, whose pages but the empty one are closed at the end: one that is open goes on drawing
    and asking."""
    try:
        yield window
    finally:
        for page in window.pages[1:]:
            page.close()


@contextmanager
def launched(*more: str) -> Iterator[Any]:
    """The browser, with more options, and a folder for its screenshots."""
    SCREENSHOTS.mkdir(exist_ok=True)
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=_PROGRAM, args=[*_OPTIONS, *more])
        yield chromium
        chromium.close()
